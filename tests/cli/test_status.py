"""Tests of `status`: every state of a rule, exit codes for alerts, metrics, and a thousand rules."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harbor_mirror.harbor.client import Harbor
from localcloud.faults import Fault
from mirrorctl.live import mirror
from mirrorctl.live.status import read_status
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import ADMIN, PASSWORD, STARTED, HarborFixture

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def state(harbor: HarborFixture, name: str = "redis", now: datetime = NOW) -> tuple[str, str]:
    """Return a rule's state and its reason as of `now`."""
    with Harbor(harbor.url, ADMIN, PASSWORD) as client:
        report = read_status(client, list(mirror.live(client).values()), frozenset(), now)
    rule = next(rule for rule in report.rules if rule.rule == name)
    return rule.state, rule.text


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        ({}, "ok"),
        ({"status": "Failed", "status_text": "no such host"}, "failed"),
        ({"status": "Failed", "status_text": "Execution skipped: active replication still in progress."}, "skipped"),
        ({"status": "Stopped"}, "stopped"),
        ({"status": "InProgress", "tasks": [("library/redis", "InProgress", "")]}, "running"),
        ({"tasks": [], "status_text": "no resources need to be replicated"}, "empty"),
        (None, "never"),
    ],
)
def test_states(mirrored: HarborFixture, execution: dict[str, Any] | None, expected: str) -> None:
    mirrored.policies[2].update_time = NOW
    if execution is not None:
        mirrored.add_execution(2, start=NOW, **execution)
    assert state(mirrored)[0] == expected


def test_a_disabled_rule(mirrored: HarborFixture) -> None:
    mirrored.policies[2].enabled = False
    assert state(mirrored)[0] == "disabled"


def test_an_overdue_rule(mirrored: HarborFixture) -> None:
    mirrored.add_execution(2, start=NOW.replace(hour=6))
    at_noon = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    assert state(mirrored, now=at_noon + timedelta(minutes=10))[0] == "ok"
    found, text = state(mirrored, now=at_noon + timedelta(minutes=20))
    assert found == "overdue"
    assert "should have run at 2026-11-25 12:00 UTC" in text


def test_a_rule_that_was_saved_later_is_not_overdue(mirrored: HarborFixture) -> None:
    mirrored.add_execution(2, start=NOW.replace(day=20))
    mirrored.policies[2].update_time = NOW.replace(hour=11)
    assert state(mirrored)[0] == "ok"


def test_the_worst_rule_comes_first_with_its_last_success(mirrored: HarborFixture, run: Run) -> None:
    now = datetime.now(UTC)
    mirrored.add_execution(1, start=now - timedelta(hours=3))
    mirrored.add_execution(1, status="Failed", status_text="no such host", start=now)
    mirrored.add_execution(2, start=now)
    result = run("status", "--json")
    assert result.code == 0
    first, second = result.json["rules"]
    assert (first["rule"], first["state"], second["state"]) == ("nginx", "failed", "ok")
    assert datetime.fromisoformat(first["lastSuccess"]) < datetime.fromisoformat(first["lastRun"])
    assert second["nextRun"]
    lines = run("status").out.splitlines()
    assert re.match(r"nginx +failed +\d+ s ago .* 3 h \d\d min ago", lines[1])
    assert lines[-1] == "failed: nginx: no such host"


def test_an_empty_run_is_not_a_success(mirrored: HarborFixture, run: Run) -> None:
    """Harbor reports Succeed for a run that matched nothing."""
    mirrored.add_execution(1, (), start=STARTED + timedelta(hours=1), status_text="no resources need to be replicated")
    mirrored.add_execution(2, start=STARTED)
    for hours in range(1, 25):
        mirrored.add_execution(2, (), start=STARTED + timedelta(hours=hours))
    rules = {rule["rule"]: rule for rule in run("status", "--json").json["rules"]}
    assert rules["nginx"]["lastSuccess"] is None
    assert datetime.fromisoformat(rules["redis"]["lastSuccess"]) == STARTED


def test_fail_on(mirrored: HarborFixture, run: Run) -> None:
    mirrored.add_execution(1, status="Failed")
    assert run("status").code == 0
    assert run("status", "--fail-on", "failed,overdue").code == 2
    assert run("status", "redis", "--fail-on", "failed").code == 0
    assert run("status", "--fail-on", "paused").code == 0
    mirrored.conditions.scheduler_paused = True
    result = run("status", "--fail-on", "paused")
    assert result.code == 2
    assert "the scheduler is paused" in result.out
    result = run("status", "--fail-on", "late")
    assert result.code == 1
    assert "unknown state late; available: disabled, empty, failed" in result.err


def test_a_paused_queue(mirrored: HarborFixture, run: Run) -> None:
    mirrored.conditions.queues["REPLICATION"] = {"paused": True}
    assert "the queue REPLICATION is paused" in run("status").out


def test_accounts_without_administrator_rights_see_the_rules(mirrored: HarborFixture, run: Run) -> None:
    forbidden = '{"errors":[{"code":"FORBIDDEN","message":"forbidden"}]}'
    mirrored.faults.add(Fault("/jobservice/queues", 403, forbidden), Fault("/schedules", 403, forbidden))
    assert run("status").code == 0


def test_prometheus_metrics(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    mirrored.add_execution(1, status="Failed", end_time=STARTED + timedelta(seconds=30))
    mirrored.policies[2].name = 'quo"te'
    assert run("status", "--prometheus", "mirror.prom").code == 0
    text = (tmp_path / "mirror.prom").read_text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(name: str, **labels: str) -> float:
        return next(
            sample.value for sample in samples if (sample.name, sample.labels) == (f"harbor_mirror_{name}", labels)
        )

    assert value("rule_state", rule="nginx", state="failed") == 1
    assert value("rule_state", rule="nginx", state="ok") == 0
    assert value("rule_last_run_timestamp_seconds", rule="nginx") == STARTED.timestamp()
    assert value("rule_last_duration_seconds", rule="nginx") == 30
    assert value("rule_last_tasks", rule="nginx", result="succeeded") == 1
    assert value("rule_state", rule='quo"te', state="ok") == 0
    assert value("up") == 1
    # Replaced in one step: the collector's folder has no temporary file left.
    assert [path.name for path in tmp_path.glob("*prom*")] == ["mirror.prom"]
    assert run("status", "--prometheus", "no/such/mirror.prom").code == 1


def test_a_thousand_rules_need_few_requests(mirrored: HarborFixture, run: Run) -> None:
    mirrored.policies.clear()
    for number in range(1000):
        policy = mirrored.add_policy(f"rule-{number:04}", 1, cron="0 0 */6 * * *")
        mirrored.add_execution(policy)
    mirrored.faults.requests.clear()
    result = run("status", "--json")
    assert len(result.json["rules"]) == 1000
    # A request reads a hundred rules; `make bench` measures the time.
    assert len(mirrored.calls()) < 50


def test_watch_refreshes_until_ctrl_c(mirrored: HarborFixture, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("mirrorctl.commands.status.pause", nap)
    result = run("status", "--watch", "--interval", "7")
    assert len(mirrored.policies) == 2
    assert result.code == 0
    assert naps == [7, 7, 7]
    assert len(re.findall(r"^rule ", result.out, re.MULTILINE)) == 3
