"""sync starts, waits and ends with what really happened, however Harbor behaves on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.cli.conftest import ROOT, Run
from tests.cli.fake_harbor import FakeHarbor, Fault

DENIED = "adding 292 B of storage resource, which will exceed the configured upper limit of 1 B."
QUOTA_LOG = f"""2026-11-25T08:00:00Z [INFO] [/transfer.go:140]: client for source registry created
2026-11-25T08:00:01Z [ERROR] [/transfer.go:352]: failed to mount the blob: http status code: 403, body: {DENIED}
2026-11-25T08:00:02Z [ERROR] [/transfer.go:201]: got error during the whole transfer period, mark the job failure
"""


def only(report: Any) -> Any:
    assert len(report["rules"]) == 1
    return report["rules"][0]


def test_run_wait_and_prove(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.hold = 2
    done = run("sync", "--all", "--wait", "--verify")
    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.split("  ")[0] == "rule"
    assert [row.split()[0] for row in rows] == ["nginx", "redis"]
    assert "succeeded" in rows[0]
    assert "equal 2/2" in rows[0]
    # Without a terminal: a line whenever something changes, on standard error.
    assert "nginx: succeeded 1/1" in done.err


def test_without_wait_it_only_starts(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.hold = 1000
    done = run("sync", "nginx", "--json")
    assert done.code == 0
    assert (only(done.json)["outcome"], only(done.json)["executionId"]) == ("started", 1)


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("arguments", [["sync"], ["sync", "nginx", "--all"], ["sync", "nginy"], ["sync", "--al"]])
def test_wrong_use_is_1(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err


@pytest.mark.usefixtures("mirrored")
def test_an_unknown_rule_names_the_near_one(run: Run) -> None:
    assert "no rule nginy; did you mean nginx?" in run("sync", "nginy").err


def test_a_disabled_rule(mirrored: FakeHarbor, run: Run) -> None:
    del mirrored.policies[1]["enabled"]
    done = run("sync", "nginx", "--wait", "--json")
    assert (done.code, only(done.json)["outcome"]) == (2, "disabled")
    assert "enabled: true" in only(done.json)["text"]
    assert run("sync", "--all", "--wait").code == 0


def test_a_running_execution_is_joined(mirrored: FakeHarbor, run: Run) -> None:
    running = mirrored.execution(1, status="InProgress", total=2, succeed=0)
    done = run("sync", "nginx", "--json")
    assert only(done.json)["executionId"] == running
    assert "joining it" in done.err


def test_one_whose_status_trails_its_counters_is_not(mirrored: FakeHarbor, run: Run) -> None:
    running = mirrored.execution(1, status="InProgress", total=2, succeed=2)
    assert only(run("sync", "nginx", "--json").json)["executionId"] != running


def test_single_active_replication_skips(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.scripts[1] = {
        "status": "Failed",
        "status_text": "Execution skipped: active replication still in progress.",
    }
    done = run("sync", "nginx", "--wait", "--json")
    assert (done.code, only(done.json)["outcome"]) == (0, "skipped")


def test_success_with_nothing_copied_is_a_bad_finding(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.policies[1]["filters"][1]["value"] = "9.*"
    done = run("sync", "nginx", "--wait")
    assert done.code == 2
    assert "no resources need to be replicated: the rule matched no image" in done.out
    assert run("sync", "nginx", "--wait", "--allow-empty").code == 0


def test_a_failed_task_shows_the_line_that_matters(mirrored: FakeHarbor, run: Run) -> None:
    tasks = [("library/nginx", "Failed", QUOTA_LOG), ("library/redis", "Succeed", "fine")]
    mirrored.scripts[1] = {"status": "Failed", "total": 2, "succeed": 1, "failed": 1, "tasks": tasks}
    done = run("sync", "nginx", "--wait")
    assert done.code == 2
    assert f"library/nginx: failed to mount the blob: http status code: 403, body: {DENIED}" in done.out
    assert "quota is full" in done.out


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("http status code: 401, body: authentication required", "refuses Harbor's credentials"),
        ("http status code: 429, body: toomanyrequests", "limits requests"),
        ("http status code: 404, body: MANIFEST_UNKNOWN", "no longer has this image"),
        ("http status code: 404, body: NAME_UNKNOWN", "no such repository"),
        ("write /storage/x: no space left on device", "disk is full"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "can't be reached"),
        ("contains only 1 path components [library], but the destination namespace flattening level is 2", "flatten"),
        ("syntax error in pattern", "no valid glob"),
        ("something new", "mirrorctl logs"),
    ],
)
def test_what_to_do_about_a_failed_execution(mirrored: FakeHarbor, run: Run, text: str, advice: str) -> None:
    mirrored.scripts[1] = {"status": "Failed", "status_text": text}
    done = run("sync", "nginx", "--wait")
    assert done.code == 2
    assert text in done.out
    assert advice in done.out


def test_a_rule_that_harbor_lost(mirrored: FakeHarbor, run: Run) -> None:
    rules = list(mirrored.policies.values())
    mirrored.faults.append(Fault("/replication/executions", 404, '{"errors":[{"message":"gone"}]}', method="POST"))
    done = run("sync", "nginx", "--json")
    assert rules
    assert (done.code, only(done.json)["outcome"]) == (2, "missing")


def test_a_timeout_leaves_harbor_running(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.hold = 1000
    done = run("sync", "nginx", "--wait", "--timeout", "0", "--json")
    assert (done.code, only(done.json)["outcome"]) == (2, "unfinished")


def test_ctrl_c_leaves_harbor_running_and_says_how_to_resume(mirrored: FakeHarbor, environment: dict[str, str]) -> None:
    mirrored.hold = 100_000
    tool = subprocess.Popen(
        [sys.executable, "-m", "mirrorctl", "sync", "nginx", "--wait"],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while ("GET", "/api/v2.0/replication/executions/1") not in mirrored.requests and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(tool.pid, signal.SIGINT)
    out, err = tool.communicate(timeout=60)
    assert tool.returncode == 1
    assert "python -m mirrorctl sync --wait nginx" in err
    assert "Traceback" not in err
    assert not out
    assert mirrored.executions[1]["status"] != "Stopped"


def test_harbor_restarts_in_the_middle(mirrored: FakeHarbor, run: Run) -> None:
    mirrored.hold = 1
    look = "/replication/executions/1"
    mirrored.faults += [Fault(look, 502, "<html>Bad Gateway", times=5), Fault(look, 0, times=1)]
    assert run("sync", "nginx", "--wait").code == 0
