"""Tests of `sync`: starting, waiting, results, and executions that stall."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from localcloud.faults import Fault
from localcloud.harbor.core import Outcome
from localcloud.harbor.executions import SKIPPED
from mirrorctl.live import executions
from tests.cli.clock import Clock
from tests.cli.conftest import ROOT, Run
from tests.cli.harbor_fixture import HarborFixture, change
from tests.waiting import until

DENIED = "adding 292 B of storage resource, which will exceed the configured upper limit of 1 B."
QUOTA_LOG = f"""2026-11-25T08:00:00Z [INFO] [/transfer.go:140]: client for source registry created
2026-11-25T08:00:01Z [ERROR] [/transfer.go:352]: failed to mount the blob: http status code: 403, body: {DENIED}
2026-11-25T08:00:02Z [ERROR] [/transfer.go:201]: got error during the whole transfer period, mark the job failure
"""


def only(report: Any) -> Any:
    assert len(report["rules"]) == 1
    return report["rules"][0]


def test_run_wait_and_verify(mirrored: HarborFixture, run: Run) -> None:
    mirrored.simulator.core.runner.status_lag_seconds = 0.5
    result = run("sync", "--all", "--wait", "--verify")
    assert result.code == 0
    header, *rows = result.out.splitlines()
    assert header.split("  ")[0] == "rule"
    shown = {row.split()[0]: row for row in rows}
    assert shown.keys() == {"nginx", "redis"}
    assert "succeeded" in shown["nginx"]
    assert "equal 2/2" in shown["nginx"]
    # Without a terminal, progress is a line on standard error for each change.
    assert "nginx: succeeded 1/1" in result.err


def test_without_wait_it_only_starts(mirrored: HarborFixture, run: Run) -> None:
    mirrored.conditions.stalled = True
    result = run("sync", "nginx", "--json")
    assert result.code == 0
    assert (only(result.json)["outcome"], only(result.json)["executionId"]) == ("started", 1)


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("arguments", [["sync"], ["sync", "nginx", "--all"], ["sync", "nginy"], ["sync", "--al"]])
def test_wrong_usage_exits_with_1(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err


@pytest.mark.usefixtures("mirrored")
def test_an_unknown_rule_suggests_a_similar_name(run: Run) -> None:
    assert "unknown rule nginy; did you mean nginx?" in run("sync", "nginy").err


def test_a_disabled_rule(mirrored: HarborFixture, run: Run) -> None:
    mirrored.policies[1].enabled = False
    result = run("sync", "nginx", "--wait", "--json")
    assert (result.code, only(result.json)["outcome"]) == (2, "disabled")
    assert "enabled: true" in only(result.json)["text"]
    assert run("sync", "--all", "--wait").code == 0


def test_a_running_execution_is_joined(mirrored: HarborFixture, run: Run) -> None:
    running = mirrored.add_execution(1, [("library/nginx", "InProgress", "")], status="InProgress")
    result = run("sync", "nginx", "--json")
    assert only(result.json)["executionId"] == running
    assert "joining it" in result.err


def test_an_execution_whose_tasks_have_ended_is_not_joined(mirrored: HarborFixture, run: Run) -> None:
    running = mirrored.add_execution(1, status="InProgress")
    assert only(run("sync", "nginx", "--json").json)["executionId"] != running


def test_an_execution_skipped_by_single_active_replication(mirrored: HarborFixture, run: Run) -> None:
    mirrored.conditions.outcomes[1] = Outcome("Failed", SKIPPED)
    result = run("sync", "nginx", "--wait", "--json")
    assert (result.code, only(result.json)["outcome"]) == (0, "skipped")


def test_success_with_nothing_copied_is_a_bad_finding(mirrored: HarborFixture, run: Run) -> None:
    mirrored.policies[1].filters[1]["value"] = "9.*"
    result = run("sync", "nginx", "--wait")
    assert result.code == 2
    assert "no resources need to be replicated: the rule matched no image" in result.out
    assert run("sync", "nginx", "--wait", "--allow-empty").code == 0


def test_a_failed_task_shows_the_cause_from_its_log(mirrored: HarborFixture, run: Run) -> None:
    tasks = [("library/nginx", "Failed", QUOTA_LOG), ("library/redis", "Succeed", "fine")]
    mirrored.conditions.outcomes[1] = Outcome("Failed", tasks=tasks)
    result = run("sync", "nginx", "--wait")
    assert result.code == 2
    assert f"library/nginx: failed to mount the blob: http status code: 403, body: {DENIED}" in result.out
    assert "quota is full" in result.out


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("http status code: 401, body: authentication required", "rejects Harbor's credentials"),
        ("http status code: 429, body: toomanyrequests", "limits requests"),
        ("http status code: 404, body: MANIFEST_UNKNOWN", "no longer has this image"),
        ("http status code: 404, body: NAME_UNKNOWN", "no such repository"),
        ("write /storage/x: no space left on device", "disk is full"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "is unreachable"),
        ("contains only 1 path components [library], but the destination namespace flattening level is 2", "flatten"),
        ("syntax error in pattern", "not a valid glob"),
        ("something new", "mirrorctl logs"),
    ],
)
def test_advice_for_failed_executions(mirrored: HarborFixture, run: Run, text: str, advice: str) -> None:
    mirrored.conditions.outcomes[1] = Outcome("Failed", text)
    result = run("sync", "nginx", "--wait")
    assert result.code == 2
    assert text in result.out
    assert advice in result.out


def test_a_rule_that_does_not_exist_in_harbor(mirrored: HarborFixture, run: Run) -> None:
    mirrored.faults.add(Fault("/replication/executions", 404, method="POST"))
    result = run("sync", "nginx", "--json")
    assert (result.code, only(result.json)["outcome"]) == (2, "missing")


def test_a_timeout_does_not_stop_the_execution(mirrored: HarborFixture, run: Run) -> None:
    mirrored.conditions.stalled = True
    result = run("sync", "nginx", "--wait", "--timeout", "0", "--json")
    assert (result.code, only(result.json)["outcome"]) == (2, "unfinished")


def test_ctrl_c_does_not_stop_the_execution_and_says_how_to_resume(
    mirrored: HarborFixture, environment: dict[str, str]
) -> None:
    mirrored.conditions.stalled = True
    tool = subprocess.Popen(
        # A test run in the background would pass on that it ignores SIGINT.
        ["env", "--default-signal=INT", sys.executable, "-m", "mirrorctl", "sync", "nginx", "--wait"],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: ("GET", "/api/v2.0/replication/executions/1") in mirrored.calls(), seconds=300)
    os.kill(tool.pid, signal.SIGINT)
    out, err = tool.communicate(timeout=300)
    assert tool.returncode == 1
    assert "mirrorctl sync --wait nginx" in err
    assert "Traceback" not in err
    assert not out
    assert mirrored.data.executions[1].status == "InProgress"


def test_harbor_restarts_while_watching(mirrored: HarborFixture, run: Run) -> None:
    look = "/replication/executions/1"
    mirrored.faults.add(Fault(look, 502, "<html>Bad Gateway", times=5), Fault(look, close="during"))
    assert run("sync", "nginx", "--wait").code == 0


# Stalled executions


@pytest.fixture
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock: each poll takes ten seconds of it and no real time."""
    clock = Clock()
    watch = functools.partial(executions.Watch, clock=clock.time, sleep=clock.sleep, poll_seconds=10)
    monkeypatch.setattr(executions, "Watch", watch)
    return clock


def test_a_stalled_execution_is_reported_and_ends_the_wait_in_ci(
    mirrored: HarborFixture, run: Run, fast_clock: Clock
) -> None:
    mirrored.conditions.stalled = True
    result = run("sync", "nginx", "--wait")
    assert result.code == 2
    assert re.search(r"^nginx +1 +stalled ", result.out, re.MULTILINE)
    assert "stalled: nginx: execution 1 has not moved for 15 min" in result.out
    assert "Stop it and start again: mirrorctl sync --restart --wait nginx" in result.out
    assert "stalled: nginx: execution 1 has not moved for 5 min" in result.err
    assert result.err.count("stalled:") == 1
    assert 15 * 60 <= fast_clock.now < 60 * 60
    assert mirrored.data.executions[1].status == "InProgress", "watching ends, the execution does not"


def test_with_a_timeout_a_stalled_execution_is_watched_until_then(
    mirrored: HarborFixture, run: Run, fast_clock: Clock
) -> None:
    mirrored.conditions.stalled = True
    result = run("sync", "nginx", "--wait", "--timeout", "7200", "--json")
    assert (result.code, only(result.json)["outcome"]) == (2, "unfinished")
    assert fast_clock.now >= 7200


def test_a_large_image_is_not_stalled_while_its_log_grows(mirrored: HarborFixture, run: Run, fast_clock: Clock) -> None:
    number = mirrored.add_execution(1, [("library/nginx", "InProgress", "copying")], status="InProgress")
    task = mirrored.data.tasks.find(execution_id=number)
    assert task is not None

    def go_on(now: float) -> None:
        assert task.log is not None
        task.log.append("copying the next layer")
        if now > 3600:
            change(task, status="Succeed")
            change(mirrored.data.executions[number], status="Succeed")

    fast_clock.on_sleep = go_on
    result = run("sync", "nginx", "--wait", "--json")
    assert (result.code, only(result.json)["outcome"]) == (0, "succeeded")
    assert "stalled" not in result.err


def test_restart_stops_a_stalled_execution_and_starts_a_new_one(mirrored: HarborFixture, run: Run) -> None:
    mirrored.conditions.stalled = True
    assert run("sync", "nginx").code == 0
    mirrored.conditions.stalled = False
    result = run("sync", "nginx", "--restart", "--wait", "--json")
    assert (result.code, only(result.json)["outcome"], only(result.json)["executionId"]) == (0, "succeeded", 2)
    assert mirrored.data.executions[1].status == "Stopped"
