"""Collects what `report` shows: state, failures, history, the load of the next 24 hours, and storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import PAGE_SIZE, Harbor, Json
from harbor_mirror.plan.schedule import MANUAL, Schedule
from mirrorctl.live import mirror
from mirrorctl.live.executions import failed_tasks
from mirrorctl.live.mirror import Rule
from mirrorctl.live.status import read_status
from mirrorctl.output.reports import RuleStatus, StatusReport, TaskReport

CALENDAR_HOURS = 24
#: Executions shown for each rule.
HISTORY = 24
#: Rules whose task logs are read: the report must be quick even if every rule fails.
FAILURES_READ = 10


@dataclass(frozen=True)
class Storage:
    """A disk or a project: `used` of `limit` bytes; None without a limit."""

    name: str
    used: int
    limit: int | None


@dataclass(frozen=True)
class Overview:
    """Everything about one mirror at one moment."""

    title: str
    report: StatusReport
    load: Mapping[datetime, Sequence[str]]
    """Rules that start, by minute."""
    history: Mapping[str, Sequence[Json]]
    """Executions of each rule, oldest first."""
    storage: Sequence[Storage]
    failures: Mapping[str, Sequence[TaskReport]]

    @property
    def failed_rules(self) -> list[RuleStatus]:
        """Return the rules whose last run failed."""
        return [rule for rule in self.report.rules if rule.state == "failed"]


def collect_overview(harbor: Harbor, rules: Sequence[Rule], title: str, now: datetime) -> Overview:
    """Read the state of a mirror as of `now`."""
    report = read_status(harbor, rules, frozenset(), now)
    failed = [rule for rule in report.rules if rule.state == "failed" and rule.execution_id is not None]
    return Overview(
        title=title,
        report=report,
        load=schedule_load(report.rules, now),
        history=_history(harbor, rules),
        storage=list(_storage(harbor)),
        failures={rule.rule: failed_tasks(harbor, rule.execution_id or 0) for rule in failed[:FAILURES_READ]},
    )


def schedule_load(rules: Iterable[RuleStatus], now: datetime) -> dict[datetime, list[str]]:
    """Return the rules that start in each minute of the next 24 hours."""
    end = now + timedelta(hours=CALENDAR_HOURS)
    load: dict[datetime, list[str]] = {}
    for rule in rules:
        if not rule.enabled or rule.schedule == MANUAL:
            continue
        try:
            schedule = Schedule.parse(rule.schedule, name=rule.rule, allow_frequent=True)
        except Refused:
            continue
        for moment in schedule.next(now, schedule.runs_per(CALENDAR_HOURS)):
            if moment < end:
                load.setdefault(moment, []).append(rule.rule)
    return load


def _history(harbor: Harbor, rules: Sequence[Rule]) -> dict[str, list[Json]]:
    names = {rule.id: rule.name for rule in rules}
    pages = max(2, -(-len(rules) * 4 // PAGE_SIZE))
    history: dict[str, list[Json]] = {rule.name: [] for rule in rules}
    for page in harbor.parallel(harbor.executions_page, range(1, pages + 1)):
        for execution in page:
            name = names.get(execution["policy_id"])
            if name is not None and len(history[name]) < HISTORY:
                history[name].insert(0, execution)
    return history


def _storage(harbor: Harbor) -> Iterator[Storage]:
    for volume in mirror.if_allowed(harbor.volumes) or []:
        yield Storage("disk", (volume.get("total") or 0) - (volume.get("free") or 0), volume.get("total"))
    for quota in mirror.if_allowed(harbor.quotas) or []:
        limit = quota["hard"].get("storage", -1)
        name = (quota.get("ref") or {}).get("name") or ""
        yield Storage(f"project {name}", quota["used"].get("storage", 0), limit if limit > 0 else None)
