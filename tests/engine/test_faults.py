"""Messages for faults before and during `up`; a rerun converges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localcloud.engine import Workspace
from localcloud.registry import RegistrySimulator

from .conftest import SOURCE_PASSWORD, SOURCE_USERNAME, Mirror

TEN_FAULTS = {
    "harbor-mirror:harbor": {"url": "harbor.example.com", "user": "admin"},
    "harbor-mirror:harborPassword": "Harbor-Password-1",
    "harbor-mirror:ruels": {},
    "harbor-mirror:endpoints": {"hub": {"type": "dockerhub"}, "other hub": {"type": "docker-hub"}},
    "harbor-mirror:projects": {"Mirror": {}, "mirror": {"public": "yes", "quotaGb": 0}},
    "harbor-mirror:rules": {
        "nginx": {"endpoint": "nowhere", "repositories": "library/nginx", "project": "mirror", "flatten": -9}
    },
}
TEN_PATHS = [
    "ruels", "harbor.url", "harbor.user", "endpoints.hub.type", "endpoints.other hub", "projects.Mirror",
    "projects.mirror.public", "projects.mirror.quotaGb", "rules.nginx.flatten", "rules.nginx.endpoint",
]  # fmt: skip


def test_ten_faults_are_ten_lines_and_nothing_is_registered(workspace: Callable[[str], Workspace]) -> None:
    stack = workspace("faulty")
    stack.configure(TEN_FAULTS)
    for result in (stack.preview(), stack.up()):
        assert result.code != 0
        said = next(message for severity, _, message in result.diagnostics if severity == "error")
        lines = [line.strip() for line in said.splitlines()]
        assert lines[0].startswith("10 faults")
        assert [line.split(": ")[0] for line in lines[1:]] == TEN_PATHS
        assert "Traceback" not in result.output
        assert {step.type for step in result.steps} <= {"pulumi:pulumi:Stack"}


@pytest.mark.slow
def test_a_source_that_is_down_is_named_and_a_rerun_converges(
    mirror: Mirror, locked_source: tuple[RegistrySimulator, str]
) -> None:
    _, url = locked_source
    mirror.section("endpoints")[mirror.name] |= {"url": url, "username": SOURCE_USERNAME}
    mirror.workspace.configure(mirror.config)
    mirror.workspace.set_secret(f"endpoints.{mirror.name}.secret", "Wrong-Secret-1")
    result = mirror.workspace.up()
    assert result.code != 0
    assert "the registry is unhealthy" in result.output
    assert any(
        severity == "error" and name == f"{mirror.name}-docker-registry" for severity, name, _ in result.diagnostics
    ), "the endpoint is named"
    assert "Wrong-Secret-1" not in result.output
    mirror.workspace.set_secret(f"endpoints.{mirror.name}.secret", SOURCE_PASSWORD)
    assert mirror.workspace.up().code == 0
    assert mirror.workspace.preview("--expect-no-changes").code == 0


def test_a_wrong_admin_password_gives_one_clear_message(mirror: Mirror) -> None:
    mirror.workspace.set_secret("harborPassword", "Not-The-Password-1")
    result = mirror.workspace.up()
    assert result.code != 0
    assert "rotate-admin-password" in result.output
    assert "Not-The-Password-1" not in result.output
    assert not [step for step in result.steps if step.type.startswith("harbor:index")]
    mirror.workspace.set_secret("harborPassword", mirror.target.password)
    assert mirror.workspace.up().code == 0
