"""The short form of the kill trials: a stack with a host, and one on an existing Harbor without checkpoints."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from localcloud.faults import Fault
from mirrorctl.offline.schemas import report_schema
from tests.faults.kills import destroyed, trial
from tests.faults.secrets import leaks, places
from tests.faults.stack import Point, TrialCloud, TrialStack
from tests.plugins import REAL_PLUGINS

#: The creating request of the server.
SERVER_WRITE = 10
#: The creating request of the last object in Harbor but one, after all kinds of them.
LATE_WRITE = 12

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(REAL_PLUGINS, reason="the watcher counts the requests of the stand-ins"),
]


def test_a_stack_with_a_host_that_was_killed_recovers(tmp_path: Path) -> None:
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, tmp_path, "trial-killed")
        assert stack.killed("up", Point(SERVER_WRITE, "after", signal.SIGKILL))
        assert cloud.writes[-1].endswith("/linode/instances")

        # A process that still runs keeps its lock.
        (lock,) = (stack.workspace.directory / "state/.pulumi/locks").rglob("*.json")
        content = lock.read_text()
        lock.write_text(json.dumps({**json.loads(content), "pid": os.getpid()}))
        refused = stack.recover("--yes")
        assert refused.returncode == 1
        assert f"pulumi runs on this stack (process {os.getpid()}" in refused.stderr
        lock.write_text(content)

        # Without a confirmation nothing happens.
        unconfirmed = stack.recover("--json")
        report = json.loads(unconfirmed.stdout)
        assert unconfirmed.returncode == 2
        assert list(Draft202012Validator(report_schema("recover")).iter_errors(report)) == []
        assert report["interrupted"] == ["creating harbor-instance"]
        (left,) = report["left"]
        (server,) = cloud.linode.instances
        assert (left["action"], left["name"], left["id"]) == ("import", "harbor-instance", str(server.entity.id))
        assert "the stack is currently locked" in stack.workspace.up().output

        assert stack.recover("--yes").returncode == 0
        # The imported server is replaced; its deletion has the same guidance as that of any server.
        cloud.linode.faults.add(Fault(r"/linode/instances/\d+$", 409, method="DELETE"))
        assert "Linode did not delete the server" in stack.workspace.up().output
        stack.workspace.up().ok()
        assert stack.faults() == []


@pytest.mark.slow
def test_a_destruction_that_was_interrupted_continues(tmp_path: Path) -> None:
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, tmp_path, "trial-destroyed")
        stack.workspace.up().ok()
        assert str(destroyed(stack, Point(3, "before", signal.SIGTERM))).endswith(": recovered")


@pytest.mark.slow
def test_a_retention_policy_without_a_number_leaves_the_state(tmp_path: Path) -> None:
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, tmp_path, "trial-number", has_host=False)
        # The plugin updates the policy that it could not create, at a path without a number, and believes the answer.
        faults = cloud.harbors[-1].faults
        faults.add(Fault("/retentions$", 500, method="POST"))
        faults.add(Fault("/retentions/$", 200, "<html>Welcome</html>", "PUT"))
        assert stack.workspace.up().code != 0
        resources = json.loads(stack.workspace.export())["deployment"]["resources"]
        assert "/retentions/" in [resource.get("id") for resource in resources]

        refused = stack.workspace.up()
        assert refused.code != 0
        assert "`mirrorctl recover`" in refused.output
        assert stack.recover("--yes").returncode == 0, stack.outputs
        stack.change()
        stack.workspace.up().ok()
        assert stack.faults() == []


def test_a_stack_whose_state_knows_nothing_of_what_a_killed_run_created_recovers(tmp_path: Path) -> None:
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, tmp_path, "trial-unknown", has_host=False)
        result = trial(stack, "create", Point(LATE_WRITE, "after", signal.SIGKILL))
        assert str(result) == f"create SIGKILL after write {LATE_WRITE}: recovered"
        for created in ("Project cache", "ImmutableTagRule", "ProjectMemberUser", "RetentionPolicy"):
            assert f"import {created}" in stack.outputs["recover 0"]
        # The engine's history keeps what an import reads from Harbor, in plain text.
        assert "delete ProjectWebhook" in stack.outputs["recover 0"]
        assert leaks(places(stack.workspace.directory, stack.outputs), stack.secrets()) == []

        # The plugin takes any answer with the status 200 for a deletion: the state loses rules that Harbor has.
        harbor = cloud.harbors[-1]
        harbor.faults.add(Fault(r"/replication/policies/\d+$", 200, "", "DELETE", times=None))
        assert "is referenced by" in stack.workspace.destroy().output
        harbor.faults.clear()
        assert stack.recover("--yes").returncode == 0
        assert {policy.name for policy in harbor.data.policies} == set(stack.rules)
        # Harbor refuses to delete an endpoint before the rules that use it.
        stack.workspace.destroy("--parallel", "1").ok()
        assert stack.left_over() == {}
