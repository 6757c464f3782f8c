"""The short form of the kill trials: one stack, killed while it is created, updated and destroyed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.kills import destroyed, trial
from tests.faults.stack import Point, TrialCloud, TrialStack
from tests.plugins import REAL_PLUGINS

#: The creating request of the server.
SERVER_WRITE = 10


@pytest.mark.skipif(REAL_PLUGINS, reason="the watcher counts the requests of the stand-ins")
def test_a_stack_that_was_killed_three_times_recovers(tmp_path: Path) -> None:
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, tmp_path, "trial-killed")
        assert stack.killed("up", Point(SERVER_WRITE, "after", signal.SIGKILL)) == -signal.SIGKILL
        assert cloud.writes[-1].endswith("/linode/instances")
        said = stack.workspace.up().output
        assert "the stack is currently locked" in said

        # Without a confirmation nothing happens.
        unconfirmed = stack.recover(answer="")
        assert unconfirmed.returncode == 2, unconfirmed.stderr
        assert f"import Instance harbor-instance ({cloud.linode.instances[0].entity.id})" in unconfirmed.stdout
        assert "clear the mark of an interrupted operation: creating harbor-instance" in unconfirmed.stdout
        assert "the stack is currently locked" in stack.workspace.up().output

        assert stack.recover("--yes").returncode == 0
        stack.workspace.up().ok()
        assert stack.faults() == []

        stack.change()
        assert trial(stack, "update", Point(4, "after", signal.SIGKILL)).failures == []
        assert destroyed(stack, Point(3, "before", signal.SIGTERM)).failures == []
