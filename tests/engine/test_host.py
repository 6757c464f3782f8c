"""The server, with the real engine: failures during its creation, and previews before its replacement.

The steps of each test use the same stack: each step continues with the state that the previous one left.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from localcloud.cloud import LINODE_TOKEN, LocalCloud
from localcloud.engine import Result, Workspace, names
from localcloud.faults import Fault
from localcloud.http import free_port
from localcloud.linode import Instance
from localcloud.linode.objects import Bucket
from tests.waiting import until

INSTANCES, INSTANCE = "/linode/instances$", r"/linode/instances/\d+$"
PATIENCE_SECONDS = 60.0
REDIS_PASSWORD = "Redis-Secret-1"


@pytest.fixture
def stack(workspace: Callable[[str], Workspace], cloud: LocalCloud) -> Iterator[Host]:
    """A stack with a host, before its first `up`."""
    made = Host(workspace(f"trial-{uuid.uuid4().hex[:6]}"), cloud)
    host = {"region": "sg-sin-2", "hostname": "localhost", "tls": "none", "httpPort": free_port(), "volumeGb": 20}
    host["adminCidrs"] = ["203.0.113.0/24"]
    made.workspace.configure({"harbor-mirror:host": host, "harbor-mirror:projects": {"mirror": {"forceDestroy": True}}})
    yield made
    cloud.linode.faults.clear()


class Host:
    """A stack and its server."""

    def __init__(self, workspace: Workspace, cloud: LocalCloud) -> None:
        self.workspace, self.cloud = workspace, cloud
        self.label = f"harbor-{workspace.stack}"
        self.up, self.preview = workspace.up, workspace.preview

    def change(self, **host: Any) -> None:
        config = self.workspace.configuration()
        config["harbor-mirror:host"] |= host
        self.workspace.configure(config)

    @property
    def servers(self) -> list[Instance]:
        return [instance for instance in self.cloud.linode.instances if instance.label == self.label]

    @property
    def bucket(self) -> Bucket:
        """Return the bucket with the server's settings."""
        buckets = self.cloud.linode.cloud.buckets
        (bucket,) = [found for (_, label), found in buckets.items() if label.startswith(f"{self.label}-settings-")]
        return bucket

    def settings(self) -> dict[str, Any]:
        """Return the settings document."""
        document: dict[str, Any] = json.loads(self.bucket.objects["settings.json"].content)
        return document

    def refused(self, result: Result) -> str:
        """Return the program's message; engine and provider print others."""
        assert result.code != 0, result.output
        assert "Traceback" not in result.output
        (said,) = [text for severity, name, text in result.diagnostics if severity == "error" and name == "harbor"]
        return said


@pytest.mark.slow
def test_every_failure_of_linode_during_creation_names_a_solution(stack: Host, cloud: LocalCloud) -> None:
    faults = cloud.linode.faults

    # Linode answers 500: nothing is created, and the next `up` tries again.
    faults.add(Fault(INSTANCES, method="POST", status=500))
    assert stack.refused(stack.up()).startswith(
        f"Linode did not create the server {stack.label}. Run `pulumi up` again"
    )
    assert not stack.servers

    # Its answer gets lost: a server that nobody knows. The next `up` names it; the operator deletes it by hand.
    faults.add(Fault(INSTANCES, method="POST", close="before", takes_effect=True))
    assert stack.refused(stack.up()).startswith("Linode did not create the server")
    (orphan,) = stack.servers
    said = stack.refused(stack.up())
    assert said.startswith(f"Linode already has a server called {stack.label} that this stack does not know")
    headers = {"Authorization": f"Bearer {LINODE_TOKEN}"}
    httpx.delete(f"{cloud.linode_url}/v4/linode/instances/{orphan.id}", headers=headers).raise_for_status()
    until(lambda: not stack.servers, seconds=PATIENCE_SECONDS, every=0.05)

    # The server is made, and is not seen to run. (One that never runs ends so too, after the plugin's 15 minutes.)
    faults.add(Fault(INSTANCE, method="GET", status=500))
    said = stack.refused(stack.up())
    assert said.startswith(f"the server {stack.label} was created but does not run.")
    assert "`pulumi up --replace '**harbor-instance'`" in said
    (dead,) = stack.servers

    # Follow the suggested solution. Meanwhile, another volume has the name.
    faults.add(Fault("/volumes$", method="POST", status=400, reason="Label must be unique among your Volumes"))
    said = stack.refused(stack.up("--replace", "**harbor-instance"))
    assert said.startswith(f"Linode already has a volume called {stack.label}-data")
    (alive,) = stack.servers
    assert alive.id != dead.id

    # Linode answers 429: the provider waits without a message, and `up` succeeds.
    busy = faults.add(Fault("/volumes$", method="POST", status=429, headers={"Retry-After": "1"}))
    stack.up().ok()
    assert busy.fired == 1
    assert stack.preview("--expect-no-changes").code == 0


@pytest.mark.slow
def test_a_volume_that_seems_not_to_be_attached_stays_at_the_running_server(stack: Host, cloud: LocalCloud) -> None:
    stack.up().ok()
    stack.change(image="linode/ubuntu24.04")
    # The plugin looks once after it has detached the volume, and again after it has attached it.
    cloud.linode.faults.add(Fault(r"/volumes/\d+$", method="GET", skip=1, status=500))
    said = stack.refused(stack.up())
    assert said.startswith(f"Linode did not update the volume {stack.label}-data. Run `pulumi refresh --target '**")
    (server,) = stack.servers
    calls = len(cloud.linode.faults.requests)

    # Follow the suggested solution.
    stack.workspace.refresh("--target", said.split("'")[1]).ok()
    stack.up().ok()
    assert stack.servers == [server]
    assert not [path for _, path in cloud.linode.faults.calls()[calls:] if path.endswith("/detach")]
    assert stack.preview("--expect-no-changes").code == 0


# A stack for each: what else began before the failure is left to chance.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "path"), [("address", "/networking/ips$"), ("bucket or access key", "/object-storage/keys$")]
)
def test_what_linode_creates_twice_without_an_error_exists_once(
    stack: Host, cloud: LocalCloud, what: str, path: str
) -> None:
    stack.change(objectStorage={"blobs": True})
    account = cloud.linode.cloud
    addresses, keys = set(account.addresses), set(account.keys)
    lost = cloud.linode.faults.add(Fault(path, method="POST", close="before", takes_effect=True))
    refused = stack.up()
    assert refused.code != 0
    assert lost.fired == 1
    assert f"Linode did not create the {what} {stack.label}" in refused.output
    assert "or its answer was lost. Run `mirrorctl recover`" in refused.output

    # Follow the suggested solution, as a person who sees what is found.
    recovered = stack.workspace.mirrorctl("recover", stdin="yes\n")
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    stack.up().ok()
    assert len(account.addresses.keys() - addresses) == 1
    made = [account.keys[key].label for key in account.keys.keys() - keys]
    assert made
    assert len(made) == len(set(made))
    assert stack.preview("--expect-no-changes").code == 0


@pytest.mark.slow
def test_the_preview_announces_a_replacement_and_rejects_it_with_protect(stack: Host) -> None:
    stack.up().ok()
    (before,) = stack.servers

    stack.change(image="linode/ubuntu24.04")
    result = stack.preview().ok()
    assert f"warning: this REPLACES the server {stack.label}" in result.output
    assert ": Harbor is down until the new server has booted" in result.output
    stack.change(image="linode/debian13", tags=["team"])
    assert "REPLACES" not in stack.preview().ok().output

    stack.change(version="2.14.4")
    for result in (stack.preview(), stack.up()):
        assert result.code != 0
        assert "host.version: '2.14.4' is not possible: Harbor 2.14.4 is older than 2.15.1" in result.output
        assert not result.changes

    stack.change(version="2.15.1", protect=True)
    stack.up().ok()
    stack.change(version="2.15.2")
    result = stack.preview()
    assert result.code != 0
    assert f"this would replace the server {stack.label}" in result.output
    assert ", and `protect: true` forbids it." in result.output
    assert "`pulumi config set --path host.protect false`, `pulumi up`, and set it back to true" in result.output
    assert "Traceback" not in result.output
    assert stack.up().code != 0
    assert stack.servers == [before]

    stack.change(protect=False)
    result = stack.up().ok()
    assert names(result.changes, "delete-replaced") == ["harbor-instance", "harbor-ready"]


@pytest.mark.slow
def test_settings_change_without_a_new_server_and_their_secrets_stay_hidden(stack: Host, cloud: LocalCloud) -> None:
    redis = {"host": "redis.internal", "username": "harbor", "tls": False}
    stack.change(objectStorage={"blobs": True}, backup={"keep": 3}, service={"workers": 6}, redis=redis)
    stack.workspace.set_secret("host.redis.password", REDIS_PASSWORD)
    shown = stack.up("--diff").ok().output
    assert stack.settings()["workers"] == 6
    assert stack.settings()["harbor"]["external_redis"]["password"] == REDIS_PASSWORD
    (before,) = stack.servers

    # Everything that a server may read later, at once; one object is what changes.
    stack.workspace.set_secret("host.redis.password", REDIS_PASSWORD[::-1])
    stack.change(service={"workers": 9, "trivy": False}, authorizedKeys=["ssh-ed25519 AAAA ops@example.com"])
    result = stack.up("--diff").ok()
    assert [(step.op, step.name) for step in result.changes] == [("update", "harbor-settings-settings.json")]
    assert stack.servers == [before]
    assert (stack.settings()["workers"], stack.settings()["trivy"]) == (9, False)
    assert stack.settings()["harbor"]["external_redis"]["password"] == REDIS_PASSWORD[::-1]
    assert stack.settings()["authorizedKeys"] == ["ssh-ed25519 AAAA ops@example.com"]

    for again in (stack.preview("--diff", "--expect-no-changes"), stack.workspace.refresh("--expect-no-changes")):
        assert again.code == 0, again.output
        shown += again.output
    shown += result.output + stack.workspace.export() + stack.preview("--diff").output
    keys = [key.secret_key for key in cloud.linode.cloud.keys.values()]
    # The program's key, and the server's to its settings, its layers and its backups.
    assert len(keys) == 4
    for secret in (REDIS_PASSWORD, REDIS_PASSWORD[::-1], *keys):
        assert secret not in shown

    # Somebody deletes the document: the provider's refresh stops there, and this is the way out.
    stack.bucket.objects.clear()
    assert "Failed to Refresh the Object" in stack.workspace.refresh().output
    stack.workspace.refresh("--exclude", "**settings.json").ok()
    stack.up("--replace", "**settings.json").ok()
    assert stack.settings()["workers"] == 9
    assert stack.servers == [before]
