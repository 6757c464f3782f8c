"""How each rule stands: last and next run, age of the last success, what is overdue; the worst first.

A rule is overdue when its cron should have fired since the last run and Harbor did not fire it, which happens after
upgrades, migrations and with paused queues, and which no status in Harbor shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep as pause
from typing import get_args

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import PAGE_SIZE, Harbor, Json
from harbor_mirror.plan.schedule import Schedule
from mirrorctl.commands.sync import SKIPPED
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.live import mirror
from mirrorctl.live.mirror import MANUAL, Rule
from mirrorctl.output.render import Output, duration
from mirrorctl.output.reports import RuleState, RuleStatus, StatusReport
from mirrorctl.tool import Tool

#: Worst first.
STATES: tuple[RuleState, ...] = get_args(RuleState)
#: Not a state of a rule; `--fail-on` takes it too.
PAUSED = "paused"
#: Harbor enqueues jobs some minutes ahead and starts them when a worker is free.
GRACE = timedelta(minutes=15)
#: Harbor's zero time: "has not happened".
NEVER_YEAR = 1
QUEUES = frozenset({"REPLICATION", "SCHEDULER"})


def command(
    tool: Tool,
    names: Sequence[str],
    *,
    watch: bool,
    interval: float,
    fail_on: str,
    prometheus: Path | None,
) -> int:
    """See `mirrorctl status --help`."""
    bad = _bad_states(fail_on)
    while True:
        report = status(tool.harbor, mirror.chosen(tool.rules, names, needed=False), bad, datetime.now(UTC))
        if prometheus:
            write_metrics(prometheus, report)
        if watch:
            tool.output.clear()
        tool.output.report(report)
        show(tool.output, report)
        if not watch:
            return AS_WANTED if report.ok else BAD_FINDING
        try:
            pause(interval)
        except KeyboardInterrupt:
            return AS_WANTED if report.ok else BAD_FINDING


def _bad_states(text: str) -> frozenset[str]:
    states = frozenset(filter(None, (part.strip() for part in text.split(","))))
    known = {*STATES, PAUSED} - {"ok"}
    if states - known:
        wrong, there = (", ".join(sorted(names)) for names in (states - known, known))
        raise Failure(f"--fail-on {text}: {wrong} is no state; there are {there}")
    return states


def status(harbor: Harbor, rules: Sequence[Rule], bad: frozenset[str], now: datetime) -> StatusReport:
    """The rules as of `now`. Costs about one request for a hundred rules."""
    policies = {policy["id"]: policy for policy in harbor.policies()}
    newest = _newest(harbor, [rule.id for rule in rules if rule.id in policies])
    successes = _last_successes(harbor, newest)
    found = [_of(rule, policies.get(rule.id), newest.get(rule.id), successes.get(rule.id), now) for rule in rules]
    found.sort(key=lambda rule: (STATES.index(rule.state), rule.rule))
    queues = mirror.if_allowed(harbor.queues) or []
    paused = tuple(queue["job_type"] for queue in queues if queue.get("paused") and queue["job_type"] in QUEUES)
    scheduler = bool(mirror.if_allowed(harbor.schedules_paused))
    stopped = PAUSED in bad and bool(paused or scheduler)
    return StatusReport(
        ok=not stopped and not any(rule.state in bad for rule in found),
        harbor=harbor.url,
        checked_at=now,
        scheduler_paused=scheduler,
        paused_queues=paused,
        rules=tuple(found),
    )


def _newest(harbor: Harbor, ids: Sequence[int]) -> dict[int, Json]:
    """The newest execution of each rule. The newest of all rules come a hundred a request; only a rule that is not
    among them is asked for by itself."""
    pages = 2 * -(-len(ids) // PAGE_SIZE)
    wanted = set(ids)
    newest: dict[int, Json] = {}
    for page in harbor.parallel(harbor.executions_page, range(1, pages + 1)):
        for execution in page:
            if execution["policy_id"] in wanted:
                newest.setdefault(execution["policy_id"], execution)
    left = [number for number in ids if number not in newest]
    for number, found in zip(left, harbor.parallel(lambda one: harbor.executions(one, newest=1), left), strict=True):
        if found:
            newest[number] = found[0]
    return newest


def _last_successes(harbor: Harbor, newest: Mapping[int, Json]) -> dict[int, Json]:
    good = {number: execution for number, execution in newest.items() if execution.get("status") == "Succeed"}
    asked = [number for number in newest if number not in good]
    answers = harbor.parallel(lambda number: harbor.executions(number, newest=1, status="Succeed"), asked)
    return good | {number: found[0] for number, found in zip(asked, answers, strict=True) if found}


def _of(rule: Rule, policy: Json | None, execution: Json | None, success: Json | None, now: datetime) -> RuleStatus:
    if policy is None:
        return RuleStatus(
            rule=rule.name, policy_id=rule.id, state="failed", enabled=False, schedule=rule.schedule,
            text="Harbor does not have this rule any more",
        )  # fmt: skip
    live = mirror.from_policy(policy)
    enabled = bool(policy.get("enabled"))
    schedule = _schedule(live)
    started = time_of(execution, "start_time")
    ended = time_of(execution, "end_time")
    state, text = _state(policy, execution, schedule, now, enabled=enabled)
    upcoming = schedule.next(now, 1) if schedule and enabled else []
    return RuleStatus(
        rule=rule.name,
        policy_id=rule.id,
        state=state,
        enabled=enabled,
        schedule=live.schedule,
        next_run=upcoming[0] if upcoming else None,
        execution_id=execution["id"] if execution else None,
        last_run=started,
        last_result=str((execution or {}).get("status") or ""),
        last_seconds=max(0.0, (ended - started).total_seconds()) if started and ended else None,
        tasks=(execution or {}).get("total") or 0,
        succeeded=(execution or {}).get("succeed") or 0,
        failed=(execution or {}).get("failed") or 0,
        last_success=time_of(success, "end_time"),
        text=text,
    )


def _schedule(rule: Rule) -> Schedule | None:
    if rule.schedule == MANUAL:
        return None
    try:
        return Schedule.parse(rule.schedule, name=rule.name, allow_frequent=True)
    except Refused:
        # Harbor takes crons that we refuse; its next run is then not known.
        return None


def _state(
    policy: Json, execution: Json | None, schedule: Schedule | None, now: datetime, *, enabled: bool
) -> tuple[RuleState, str]:
    outcome = (execution or {}).get("status")
    text = ((execution or {}).get("status_text") or "").strip()
    if not enabled:
        return "disabled", ""
    if outcome == "InProgress":
        return "running", ""
    if outcome == "Failed" and SKIPPED not in text:
        return "failed", text or "the reason stands in a task's log: mirrorctl logs"
    since = max(filter(None, (time_of(execution, "start_time"), time_of(policy, "update_time"))), default=None)
    due = schedule.next(since, 1) if schedule and since else []
    if due and due[0] + GRACE < now:
        return "overdue", f"should have run at {due[0]:%Y-%m-%d %H:%M} UTC; mirrorctl drift --fix saves the rule again"
    if execution is None:
        return "never", "has not run yet"
    if outcome == "Failed":
        return "skipped", text
    if outcome == "Stopped":
        return "stopped", "was stopped"
    if not (execution.get("total") or 0):
        return "empty", text or "matched no image"
    return "ok", ""


def time_of(thing: Json | None, key: str) -> datetime | None:
    """One of Harbor's times; None for its zero time, and for what is no time."""
    try:
        found = datetime.fromisoformat(str((thing or {}).get(key) or ""))
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return None if found.year <= NEVER_YEAR else found


def show(output: Output, report: StatusReport) -> None:
    """One screen: what holds everything up, a line for each rule, the reasons."""
    now = report.checked_at
    if report.scheduler_paused:
        output.line("bad: the scheduler is paused: no rule fires (Harbor, Job Service Dashboard, Schedules: resume)")
    for queue in report.paused_queues:
        output.line(f"bad: the queue {queue} is paused (Harbor, Job Service Dashboard, Job Queues: resume)")
    columns = ("rule", "state", "last run", "took", "tasks", "last success", "next run")
    output.table(
        columns,
        [
            (
                rule.rule,
                rule.state,
                _ago(rule.last_run, now),
                duration(rule.last_seconds),
                f"{rule.succeeded}/{rule.tasks}" if rule.execution_id else "-",
                _ago(rule.last_success, now),
                "-" if rule.next_run is None else f"in {duration((rule.next_run - now).total_seconds())}",
            )
            for rule in report.rules
        ],
    )
    if not report.rules:
        output.line("this mirror has no rules")
    for rule in report.rules:
        if rule.text:
            output.line(f"{rule.state}: {rule.rule}: {rule.text}")


def _ago(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else f"{duration(max(0.0, (now - moment).total_seconds()))} ago"


def write_metrics(path: Path, report: StatusReport) -> None:
    """Prometheus' text format, for node_exporter's textfile collector; replaced whole, so it is never half there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text("\n".join(metrics(report)) + "\n")
        fresh.replace(path)
    except OSError as error:
        raise Failure(f"--prometheus {path}: {error.strerror}") from None


def metrics(report: StatusReport) -> Iterable[str]:
    """The lines of the text file."""
    yield from _metric("up", "Harbor answered.", [({}, 1.0)])
    yield from _metric("checked_timestamp_seconds", "When this was read.", [({}, report.checked_at.timestamp())])
    yield from _metric("scheduler_paused", "Harbor's scheduler is paused.", [({}, float(report.scheduler_paused))])
    yield from _metric(
        "queue_paused", "A job queue is paused.", [({"queue": name}, 1.0) for name in report.paused_queues]
    )
    by_rule = [({"rule": rule.rule}, rule) for rule in report.rules]
    yield from _metric(
        "rule_state",
        "The rule is in this state.",
        [(labels | {"state": state}, float(rule.state == state)) for labels, rule in by_rule for state in STATES],
    )
    moments: dict[str, tuple[str, list[datetime | None]]] = {
        "last_run": ("Start of the last execution.", [rule.last_run for rule in report.rules]),
        "last_success": ("End of the last that succeeded.", [rule.last_success for rule in report.rules]),
        "next_run": ("Next time the schedule fires.", [rule.next_run for rule in report.rules]),
    }
    for name, (help_text, times) in moments.items():
        found = zip(by_rule, times, strict=True)
        values = [(labels, moment.timestamp()) for (labels, _), moment in found if moment is not None]
        yield from _metric(f"rule_{name}_timestamp_seconds", help_text, values)
    yield from _metric(
        "rule_last_duration_seconds",
        "How long the last execution took.",
        [(labels, rule.last_seconds) for labels, rule in by_rule if rule.last_seconds is not None],
    )
    yield from _metric(
        "rule_last_tasks",
        "Repositories of the last execution.",
        [
            (labels | {"result": result}, float(count))
            for labels, rule in by_rule
            for result, count in (("succeeded", rule.succeeded), ("failed", rule.failed))
        ],
    )


def _metric(name: str, help_text: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    full = f"harbor_mirror_{name}"
    yield f"# HELP {full} {help_text}"
    yield f"# TYPE {full} gauge"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{full}{{{inside}}} {value:.15g}" if inside else f"{full} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
