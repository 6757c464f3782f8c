"""Consumers read the pull credentials from a stack of their own, and cannot read the administrator's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT, Workspace
from tests.ci.conftest import Ran, script
from tests.consumers.program import OtherProgram
from tests.consumers.test_consumers import EXAMPLES, TAG, pulls

PASSPHRASE = "of the consumers"


@dataclass(frozen=True)
class Access:
    """The stack for consumers, in a backend of its own, and the deployment that fills it."""

    mirror: Workspace
    stack: OtherProgram

    def publish(self, **env: str) -> Ran:
        given = {
            **self.mirror.environment(),
            "PROJECT_DIR": str(self.mirror.directory),
            "PULL_ACCESS_DIR": str(self.stack.directory),
            "PULL_ACCESS_BACKEND_URL": self.stack.environment()["PULUMI_BACKEND_URL"],
            "PULL_ACCESS_PASSPHRASE": PASSPHRASE,
        }
        return script("publish_access.sh", "dev", env={**given, **env})


@pytest.fixture
def access(mirror: Workspace, tmp_path: Path) -> Access:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/.venv").symlink_to(PROJECT / ".venv")
    stack = OtherProgram(
        tmp_path / "checkout/ci/pull_access",
        "dev",
        {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE},
        PROJECT / "ci/pull_access",
    )
    stack.create()
    return Access(mirror, stack)


def test_a_consumer_pulls_and_cannot_decrypt_the_administrators_password(
    access: Access, cloud: LocalCloud, outputs: dict[str, Any], tmp_path: Path
) -> None:
    ran = access.publish()
    assert ran.code == 0, ran.errors
    for secret in (outputs["pullPassword"], outputs["adminPassword"]):
        assert secret not in ran.errors + ran.output
        assert secret not in access.stack.export()
    assert access.stack.outputs()["pullPassword"] == "[secret]"
    published = access.stack.outputs(secrets=True)
    assert published == {
        name: outputs[name] for name in ("harborUrl", "registryHost", "images", "pullUsername", "pullPassword")
    }

    theirs = {name: access.stack.environment()[name] for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE")}
    consumer = OtherProgram(tmp_path / "consumer", "web", theirs, EXAMPLES / "consumer")
    consumer.create()
    source = f"{cloud.hub_url.removeprefix('http://')}/library/nginx:{TAG}"
    configuration = {"consumer:mirror": "organization/harbor-mirror-pull/dev", "consumer:images": {"web": source}}
    consumer.configure(configuration)
    consumer.up().ok()
    auth = tmp_path / "auth.json"
    auth.write_text(consumer.outputs(secrets=True)["pullSecret"])
    inspected = pulls(consumer.outputs()["images"]["web"], auth)
    assert inspected.returncode == 0, inspected.stderr

    everything = access.stack.pulumi("stack", "export", "--show-secrets").ok().output
    assert outputs["pullPassword"] in everything
    assert outputs["adminPassword"] not in everything
    assert json.loads(everything)["deployment"]["secrets_providers"]["type"] == "passphrase"


def test_the_consumers_passphrase_does_not_open_the_mirrors_stack(access: Access, outputs: dict[str, Any]) -> None:
    mirror = access.mirror
    theirs = Workspace(mirror.directory, mirror.stack, {**mirror.env, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE})
    for command in (("stack", "output", "--show-secrets"), ("stack", "export", "--show-secrets")):
        assert mirror.pulumi(*command).code == 0, "the passphrase of the mirror opens it"
        refused = theirs.pulumi(*command)
        assert refused.code != 0
        assert "incorrect passphrase" in refused.output
        assert outputs["adminPassword"] not in refused.output


def test_one_passphrase_for_both_is_refused(access: Access) -> None:
    ran = access.publish(PULL_ACCESS_PASSPHRASE=access.mirror.environment()["PULUMI_CONFIG_PASSPHRASE"])
    assert ran.code == 1
    assert "consumers could decrypt the administrator's password" in ran.errors
    assert access.publish(PULL_ACCESS_PASSPHRASE="").code != 0, "the mirror's passphrase is not the default"
    assert access.stack.outputs() == {}


def test_without_a_stack_for_consumers_nothing_happens(access: Access, tmp_path: Path) -> None:
    ran = access.publish(PULL_ACCESS_DIR=str(tmp_path))
    assert ran.code == 0
    assert "no stack for consumers" in ran.errors
