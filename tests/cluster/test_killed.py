"""An `up` that is killed at any point is recovered as docs/cluster-operations.md says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harbor_mirror.cluster import names
from localcloud.engine import kill
from tests.cluster.documents import shell_blocks
from tests.cluster.rehearsal import Rehearsal
from tests.cluster.tools import recover
from tests.programs import program

#: Resources of the stack; a point is a share of them.
RESOURCES = 86
POINTS = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
#: While Linode creates cluster and database, while pods start, and while Harbor's objects are created.
SHORT_FORM = (0.15, 0.65, 0.95)
KILLED_WITHIN_SECONDS = 1200.0
all_points = pytest.mark.skipif(
    os.environ.get("CLUSTER_KILL_POINTS") != "all",
    reason="left out: 15 minutes; CLUSTER_KILL_POINTS=all runs all points instead of three",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def kill_up(stack: Rehearsal, is_reached: Callable[[Path], bool]) -> None:
    """Start `pulumi up`, and kill it and its plugins at a point, which may look into the engine's log of events."""
    log = stack.workspace.directory / "killed.json"
    log.unlink(missing_ok=True)
    deadline = time.monotonic() + KILLED_WITHIN_SECONDS
    with (stack.workspace.directory / "killed.log").open("w+") as output:
        command = ("up", "--yes", "--skip-preview", "--event-log", str(log))
        process = stack.workspace.start(*command, stdout=output, stderr=output)
        while process.poll() is None and not is_reached(log):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        is_running = process.poll() is None
        kill(process)
        output.seek(0)
        assert is_running, output.read()


def has_finished(share: float) -> Callable[[Path], bool]:
    """Return whether an update has finished this share of its steps."""
    return lambda log: finished(log) >= int(RESOURCES * share)


def finished(log: Path) -> int:
    """Return how many steps an update has finished, by the engine's events."""
    try:
        with log.open() as events:
            return sum('"resOutputsEvent"' in line for line in events)
    except FileNotFoundError:
        return 0


def check_recovered(stack: Rehearsal) -> None:
    """Check that the next `up` completes the stack, and that nothing exists twice."""
    stack.up().ok()
    unchanged = stack.preview("--expect-no-changes")
    assert unchanged.code == 0, unchanged.output
    stack.destroy().ok()
    assert stack.at_linode == []


def test_an_update_that_is_killed_again_and_again_is_recovered(stack: Rehearsal) -> None:
    for point in SHORT_FORM:
        kill_up(stack, has_finished(point))
        recover(stack.workspace)
    check_recovered(stack)


@all_points
@pytest.mark.parametrize("point", POINTS)
def test_an_update_that_was_killed_is_recovered(stack: Rehearsal, point: float) -> None:
    kill_up(stack, has_finished(point))
    recover(stack.workspace)
    check_recovered(stack)


def test_a_first_update_in_an_existing_cluster_that_was_killed_is_recovered(stack: Rehearsal) -> None:
    """The released plugin refuses objects that the killed run left, so the page says to delete them.

    The plugin that `make cluster-tools` builds is older and takes them over; the commands must work with both.
    """
    program("kubectl", "kubernetes-client")
    stack.use_existing_cluster()
    deployments = f"/apis/apps/v1/namespaces/{names.NAMESPACE}/deployments"
    # They are created, and the engine waits for their pods.
    kill_up(stack, lambda _: bool(stack.api.items(deployments)))
    recover(stack.workspace)
    _, delete = shell_blocks("An update of a cluster was cut off")
    stack.shell(delete)
    check_recovered(stack)
    assert stack.in_kubernetes() == []
