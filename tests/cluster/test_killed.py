"""An `up` that is killed at any point is recovered as docs/cluster-operations.md says."""

from __future__ import annotations

import json
import os
import subprocess
import time

import httpx
import pytest

from localcloud.cloud import LINODE_TOKEN
from localcloud.engine import kill
from tests.cluster.rehearsal import Rehearsal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
#: Shares of the resources of a first `up`, in the order in which it creates them.
POINTS = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
#: Resources of the stack that the engine registers; a point is a share of them.
RESOURCES = 75
PATIENCE_SECONDS = 600.0
#: What Linode does not let two of have the same label, and how to delete it.
KINDS = {
    "clusters": "/lke/clusters",
    "databases": "/databases/postgresql/instances",
    "nodebalancers": "/nodebalancers",
    "firewalls": "/networking/firewalls",
}


def kill_up(stack: Rehearsal, after: int) -> None:
    """Start `pulumi up`, and kill it and its plugins once it has finished `after` steps."""
    log = stack.workspace.directory / "killed.json"
    log.unlink(missing_ok=True)
    process = stack.workspace.start(
        *("up", "--yes", "--skip-preview", "--event-log", str(log)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and finished(log) < after and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(process)


def finished(log: os.PathLike[str]) -> int:
    """Return how many steps an update has finished, by the engine's events."""
    try:
        with open(log) as events:
            return sum('"resOutputsEvent"' in line for line in events)
    except FileNotFoundError:
        return 0


def restore_checkpoint(stack: Rehearsal) -> None:
    """Put the backup in the place of a state file that the kill cut off; only a backend of files has one."""
    for file in (stack.workspace.directory / "state").rglob(f"{stack.workspace.stack}.json"):
        if not file.read_text().strip():
            file.write_bytes(file.with_suffix(".json.bak").read_bytes())


def known_ids(stack: Rehearsal) -> set[str]:
    """Return the ids in the stack's state."""
    deployment = json.loads(stack.workspace.export())["deployment"]
    return {str(resource.get("id")) for resource in deployment.get("resources", [])}


def delete_orphans(stack: Rehearsal) -> list[str]:
    """Delete at Linode what the killed update created and the state does not have."""
    known, deleted = known_ids(stack), []
    for attribute, path in KINDS.items():
        for id in list(getattr(stack.cloud.linode.cloud, attribute)):
            if str(id) not in known:
                headers = {"Authorization": f"Bearer {LINODE_TOKEN}"}
                httpx.delete(f"{stack.cloud.linode_url}/v4{path}/{id}", headers=headers).raise_for_status()
                deleted.append(f"{attribute} {id}")
    buckets, state = stack.cloud.linode.cloud.buckets, stack.workspace.export()
    for region, label in list(buckets):
        if f'"{region}:{label}"' not in state:
            del buckets[region, label]
            deleted.append(f"bucket {label}")
    return deleted


@pytest.mark.parametrize("point", POINTS)
def test_an_update_that_was_killed_is_recovered(stack: Rehearsal, point: float) -> None:
    kill_up(stack, int(RESOURCES * point))
    restore_checkpoint(stack)
    stack.workspace.pulumi("cancel", "--yes")
    result = stack.up()
    if result.code != 0:
        assert "Label must be unique" in result.output or "bucket already exists" in result.output, result.output
        assert delete_orphans(stack)
        result = stack.up()
    result.ok()
    unchanged = stack.preview("--expect-no-changes")
    assert unchanged.code == 0, unchanged.output
    stack.destroy().ok()
    left = [name for name in stack.at_linode if not name.startswith(("bucket", "key"))]
    assert left == []
