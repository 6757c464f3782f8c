"""The installed package: its command, and its components in another program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT
from tests.consumers.program import OtherProgram
from tests.engine.conftest import Source, Target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package as pip installs it from its wheel; dependencies come from this environment."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(PROJECT)], check=True
    )
    (wheel,) = wheels.glob("harbor_mirror-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def program(
    tmp_path: Path, cloud: LocalCloud, target: Target, source: Source, installed: Path
) -> Iterator[OtherProgram]:
    """The example's stack on an existing Harbor, before its first `up`."""
    env = {**cloud.env, "PYTHONPATH": str(installed)}
    program = OtherProgram(tmp_path / "program", "team", env, PROJECT / "examples" / "program")
    program.create()
    program.configure({"team-images:harborUrl": target.url, "team-images:sourceUrl": source.url})
    program.set_secret("harborPassword", target.password)
    yield program
    program.destroy().ok()
    with target.client() as client:
        if any(project["name"] == "team-images" for project in client.projects()):
            client.request("DELETE", "/projects/team-images")


@pytest.mark.slow
def test_the_example_creates_its_rule_and_a_second_up_changes_nothing(program: OtherProgram, target: Target) -> None:
    preview = program.preview()
    assert preview.code == 0, preview.output
    assert "harbor:index/replication:Replication" in {step.type for step in preview.changes}
    program.up().ok()
    with target.client() as client:
        policy = client.policy(int(program.outputs()["policyId"]))
        project = next(project for project in client.projects() if project["name"] == "team-images")
        retention = client.get(f"/retentions/{project['metadata']['retention_id']}")
    assert (policy["name"], policy["dest_namespace"]) == ("team-nginx", "team-images")
    assert [item["value"] for item in policy["filters"]] == ["library/nginx", "1.*"]
    # `daily` is at an hour and minute of the rule's own.
    assert policy["trigger"]["trigger_settings"]["cron"].split()[3:] == ["*", "*", "*"]
    assert [rule["params"] for rule in retention["rules"]] == [{"latestPushedK": 10}]
    assert program.preview("--expect-no-changes").code == 0


def test_a_wrong_schedule_stops_the_program_with_reason_and_example(program: OtherProgram) -> None:
    config = program.configuration()
    program.configure({**config, "team-images:schedule": "0 */1 * * * *"})
    result = program.preview()
    assert result.code != 0
    assert "PullReplicationArgs team-nginx: 1 fault; nothing was changed:" in result.output
    said = next(text for severity, _, text in result.diagnostics if severity == "error")
    assert said.splitlines()[1].strip() == (
        "schedule: '0 */1 * * * *' runs every minute; pass allow_frequent=True to allow it. Example: 0 0 * * * *"
    )
    assert "Traceback" not in result.output


def test_the_command_starts_without_optional_dependencies(installed: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)}
    help_text = subprocess.run(
        [str(installed / "bin" / "mirrorctl"), "--help"], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    assert "sync" in help_text.stdout
    script = "import json, sys, mirrorctl.app; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", script], env=env, cwd="/", text=True))
    assert not {"pydantic", "httpx", "yaml", "jinja2", "pulumi", "harbor_mirror"} & set(loaded)


def test_every_dependency_of_the_package_is_pinned_for_the_program() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {text for texts in (project["dependencies"], *extras.values()) for text in texts}
    pinned = {
        line.partition("==")[0] for line in (PROJECT / "requirements.txt").read_text().splitlines() if "==" in line
    }
    names = {Requirement(text).name for text in declared} - {"harbor-mirror"}
    assert names <= pinned
