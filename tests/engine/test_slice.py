"""The main use case, from an empty Linode account to verified images, and the data that survives a new server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harbor_mirror.harbor.client import Harbor as HarborClient
from harbor_mirror.harbor.client import wait_until_healthy
from localcloud.cloud import PARTNER_PASSWORD, LocalCloud
from localcloud.demo import Narrator, mirrorctl, rehearse, stack_config
from localcloud.engine import Workspace, names
from localcloud.http import free_port
from tests.programs import program

#: Generous: what is waited for takes seconds, on any machine.
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, cloud: LocalCloud) -> Iterator[Workspace]:
    """The demo's stack after `up` and one run of each rule."""
    workspace = Workspace(tmp_path_factory.mktemp("slice"), "local", cloud.env)
    rehearse(cloud, workspace, Narrator())
    yield workspace
    workspace.destroy().ok()


@pytest.fixture(scope="module")
def outputs(stack: Workspace) -> dict[str, Any]:
    return stack.outputs(secrets=True)


def secrets_of(outputs: dict[str, Any]) -> list[str]:
    return [PARTNER_PASSWORD, outputs["adminPassword"], outputs["pullPassword"]]


def skopeo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("skopeo"), *arguments], capture_output=True, text=True, check=False)


def test_a_preview_before_anything_exists_shows_every_resource(tmp_path: Path, cloud: LocalCloud) -> None:
    workspace = Workspace(tmp_path / "p", "preview", cloud.env)
    workspace.create()
    workspace.configure(stack_config(cloud, free_port()))
    workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
    result = workspace.preview("--diff")
    assert result.code == 0, result.output
    created = {step.type for step in result.steps if step.op == "create"}
    assert {
        "linode:index/instance:Instance",
        "linode:index/volume:Volume",
        "linode:index/firewall:Firewall",
        "linode:index/networkingIp:NetworkingIp",
        "harbor:index/registry:Registry",
        "harbor:index/project:Project",
        "harbor:index/replication:Replication",
        "harbor:index/robotAccount:RobotAccount",
    } <= created
    assert PARTNER_PASSWORD not in result.output
    assert "harbor-preview" not in {instance.label for instance in cloud.linode.instances}


def test_a_second_up_and_a_refresh_change_nothing(stack: Workspace, outputs: dict[str, Any]) -> None:
    for result in (stack.up("--expect-no-changes"), stack.refresh("--expect-no-changes")):
        assert result.code == 0, result.output
        assert not result.changes
    assert stack.preview("--expect-no-changes").code == 0
    assert stack.outputs(secrets=True) == outputs


def test_no_secret_is_in_state_preview_or_output(stack: Workspace, outputs: dict[str, Any]) -> None:
    seen = stack.export() + json.dumps(stack.outputs()) + stack.preview("--diff").output
    seen += (stack.directory / "events.json").read_text()
    for secret in secrets_of(outputs):
        assert secret not in seen
    state = json.loads(stack.pulumi("stack", "export", "--show-secrets").ok().output)
    passwords = [
        resource["outputs"]["result"]
        for resource in state["deployment"]["resources"]
        if resource["type"] == "random:index/randomPassword:RandomPassword"
    ]
    user_data = [
        resource["inputs"]["metadatas"]
        for resource in state["deployment"]["resources"]
        if resource["type"] == "linode:index/instance:Instance"
    ]
    assert len(passwords) == 3
    assert user_data
    for hidden in (*passwords, *user_data):
        plain = hidden["plaintext"] if isinstance(hidden, dict) else hidden
        assert isinstance(hidden, dict), "kept as a secret"
        assert json.loads(plain) not in ("", None)
        assert str(json.loads(plain)) not in seen


def test_a_mirrored_image_is_pulled_by_digest_with_the_stacks_credentials(
    outputs: dict[str, Any], tmp_path: Path
) -> None:
    registry = outputs["registryHost"]
    credentials = f"{outputs['pullUsername']}:{outputs['pullPassword']}"
    with HarborClient(outputs["harborUrl"], "admin", outputs["adminPassword"]) as client:
        digest = client.artifacts("mirror/library/nginx")[0]["digest"]
        client.request("POST", "/projects", body={"project_name": "foreign", "metadata": {"public": "false"}})
    image = f"docker://{registry}/mirror/library/nginx@{digest}"
    pulled = skopeo("copy", "--src-tls-verify=false", "--src-creds", credentials, image, f"oci:{tmp_path}/nginx")
    assert pulled.returncode == 0, pulled.stderr
    foreign = f"docker://{registry}/foreign/library/nginx@{digest}"
    pushed = skopeo(
        "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        "--src-creds", credentials, "--dest-creds", f"admin:{outputs['adminPassword']}",
        image, f"docker://{registry}/foreign/library/nginx:kept",
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    refused = skopeo("inspect", "--tls-verify=false", "--creds", credentials, foreign)
    assert refused.returncode != 0
    assert "unauthorized" in refused.stderr.lower() or "denied" in refused.stderr.lower(), refused.stderr
    back = skopeo(
        "copy", "--dest-tls-verify=false", "--dest-creds", credentials,
        f"oci:{tmp_path}/nginx", f"docker://{registry}/mirror/library/nginx:pushed",
    )  # fmt: skip
    assert back.returncode != 0, "the robot may only pull"


def test_the_pull_robot_cannot_create_projects(outputs: dict[str, Any]) -> None:
    robot = HarborClient(outputs["harborUrl"], outputs["pullUsername"], outputs["pullPassword"])
    with robot, pytest.raises(Exception, match="403"):
        robot.request("POST", "/projects", body={"project_name": "by-robot"})


@pytest.mark.slow
def test_a_replaced_server_keeps_address_and_data(stack: Workspace, outputs: dict[str, Any]) -> None:
    config = stack.configuration()
    config["harbor-mirror:host"]["image"] = "linode/ubuntu24.04"
    stack.configure(config)
    result = stack.up().ok()
    assert names(result.changes, "delete-replaced") == ["harbor-instance", "harbor-ready"]
    assert not [step for step in result.changes if step.type.startswith("harbor:")]
    after = stack.outputs(secrets=True)
    assert after["host"]["ip"] == outputs["host"]["ip"]
    assert after["host"]["volumeId"] == outputs["host"]["volumeId"]
    assert after["host"]["instanceId"] != outputs["host"]["instanceId"]
    wait_until_healthy(
        after["harborUrl"], timeout_seconds=PATIENCE_SECONDS, interval_seconds=0.5, report=lambda _: None
    )
    code, output = mirrorctl(stack, "verify")
    assert code == 0, output
    assert stack.preview("--expect-no-changes").code == 0
