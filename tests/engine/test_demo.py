"""The demo verifies what it prints: if one thing is broken, it fails and names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harbor_mirror.harbor.client import Harbor as HarborClient
from localcloud import boot
from localcloud.cloud import LocalCloud
from localcloud.demo import DemoFailed, Narrator, rehearse
from localcloud.engine import Workspace
from tests.plugins import REAL_PLUGINS, plugin_home
from tests.programs import program

Outputs = Mapping[str, Any]


@pytest.fixture
def rehearsal(tmp_path: Path) -> Callable[..., None]:
    """Runs the demo's course on a cloud of its own, whose guests boot by `start_harbor`."""

    @contextmanager
    def ended(cloud: LocalCloud, workspace: Workspace) -> Iterator[None]:
        try:
            yield
        finally:
            workspace.destroy()
            cloud.close()

    def run(*, start_harbor: boot.StartHarbor | None = None, **hooks: Callable[[Outputs], None]) -> None:
        cloud = LocalCloud(boot=boot.Boot(start_harbor), providers=not REAL_PLUGINS)
        workspace = Workspace(tmp_path / "demo", "local", {**cloud.env, **plugin_home()})
        with ended(cloud, workspace):
            rehearse(cloud, workspace, Narrator(lambda _: None), **hooks)

    return run


def test_the_demo_fails_if_user_data_has_another_admin_password(rehearsal: Callable[..., None]) -> None:
    def tampered(data: Any, hostname: str, external_url: str, _: str, port: int, version: str) -> boot.Closable:
        return boot.boot_harbor(data, hostname, external_url, "Another-Password-1", port, version)

    with pytest.raises(DemoFailed, match="password"):
        rehearsal(start_harbor=tampered)


@pytest.mark.slow
def test_the_demo_fails_if_harbor_has_another_digest(rehearsal: Callable[..., None]) -> None:
    def overwrite(outputs: Outputs) -> None:
        registry = f"docker://{outputs['registryHost']}/mirror/library"
        credentials = f"admin:{outputs['adminPassword']}"
        subprocess.run(
            [program("skopeo"), "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
             "--src-creds", credentials, "--dest-creds", credentials,
             f"{registry}/redis:7.2.5", f"{registry}/nginx:1.25.0"],
            check=True, capture_output=True,
        )  # fmt: skip

    with pytest.raises(DemoFailed, match=r"(?s)nginx.*1\.25.*different"):
        rehearsal(before_verify=overwrite)


@pytest.mark.slow
def test_the_demo_fails_if_the_rule_has_another_filter(rehearsal: Callable[..., None]) -> None:
    def narrow(outputs: Outputs) -> None:
        with HarborClient(outputs["harborUrl"], "admin", outputs["adminPassword"]) as client:
            policy = client.policy(outputs["rules"]["nginx"]["id"])
            others = [entry for entry in policy["filters"] if entry["type"] != "tag"]
            tag = {"type": "tag", "value": "1.29*", "decoration": "matches"}
            client.update_policy(policy["id"], {**policy, "filters": [*others, tag]})

    with pytest.raises(DemoFailed, match="nginx"):
        rehearsal(before_sync=narrow)
