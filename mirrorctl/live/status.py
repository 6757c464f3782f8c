"""The state of each rule: last and next run, last success, and whether its schedule still fires.

A rule is overdue when its cron should have fired since the last run and did not. This happens after upgrades and
migrations and with paused queues, and no status in Harbor shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import PAGE_SIZE, Harbor, Json
from harbor_mirror.plan.schedule import MANUAL, Schedule
from mirrorctl.live import mirror
from mirrorctl.live.executions import SKIPPED
from mirrorctl.live.mirror import Rule
from mirrorctl.output.reports import RuleState, RuleStatus, StatusReport

#: Worst first.
STATES: tuple[RuleState, ...] = get_args(RuleState)
#: Not a state of a rule, but accepted by `--fail-on`.
PAUSED = "paused"
#: Harbor enqueues jobs some minutes ahead and starts them when a worker is free.
GRACE = timedelta(minutes=15)
#: Harbor writes times that have not happened as year 1.
NEVER_YEAR = 1
#: Queues that replication needs.
QUEUES = frozenset({"REPLICATION", "SCHEDULER"})


def read_status(harbor: Harbor, rules: Sequence[Rule], bad_states: frozenset[str], now: datetime) -> StatusReport:
    """Return the state of rules as of `now`, with about one request for a hundred rules."""
    policies = {policy["id"]: policy for policy in harbor.policies()}
    newest = _newest(harbor, [rule.id for rule in rules if rule.id in policies])
    successes = _last_successes(harbor, newest)
    statuses = [
        _rule_status(rule, policies.get(rule.id), newest.get(rule.id), successes.get(rule.id), now) for rule in rules
    ]
    statuses.sort(key=lambda status: (STATES.index(status.state), status.rule))
    queues = mirror.if_allowed(harbor.queues) or []
    paused_queues = tuple(queue["job_type"] for queue in queues if queue.get("paused") and queue["job_type"] in QUEUES)
    scheduler_paused = bool(mirror.if_allowed(harbor.schedules_paused))
    paused_is_bad = PAUSED in bad_states and bool(paused_queues or scheduler_paused)
    return StatusReport(
        ok=not paused_is_bad and not any(status.state in bad_states for status in statuses),
        harbor=harbor.url,
        checked_at=now,
        scheduler_paused=scheduler_paused,
        paused_queues=paused_queues,
        rules=tuple(statuses),
    )


def is_success(execution: Json) -> bool:
    """Return whether an execution copied something: Harbor also calls a run that matched nothing a success."""
    return execution.get("status") == "Succeed" and bool(execution.get("total"))


def _newest(harbor: Harbor, ids: Sequence[int]) -> dict[int, Json]:
    """Return the newest execution of each rule.

    The newest executions of all rules come a hundred per request; only rules that are not among them are requested one
    by one.
    """
    pages = 2 * -(-len(ids) // PAGE_SIZE)
    wanted = set(ids)
    newest: dict[int, Json] = {}
    for page in harbor.parallel(harbor.executions_page, range(1, pages + 1)):
        for execution in page:
            if execution["policy_id"] in wanted:
                newest.setdefault(execution["policy_id"], execution)
    missing = [policy_id for policy_id in ids if policy_id not in newest]
    pages_of_missing = harbor.parallel(lambda policy_id: harbor.executions(policy_id, newest=1), missing)
    newest.update({policy_id: page[0] for policy_id, page in zip(missing, pages_of_missing, strict=True) if page})
    return newest


def _last_successes(harbor: Harbor, newest: Mapping[int, Json]) -> dict[int, Json]:
    successes = {policy_id: execution for policy_id, execution in newest.items() if is_success(execution)}
    others = [policy_id for policy_id in newest if policy_id not in successes]

    def last_success(policy_id: int) -> Json | None:
        candidates = harbor.executions(policy_id, newest=PAGE_SIZE, status="Succeed")
        return next(filter(is_success, candidates), None)

    for policy_id, execution in zip(others, harbor.parallel(last_success, others), strict=True):
        if execution is not None:
            successes[policy_id] = execution
    return successes


def _rule_status(
    rule: Rule, policy: Json | None, execution: Json | None, success: Json | None, now: datetime
) -> RuleStatus:
    if policy is None:
        return RuleStatus(
            rule=rule.name,
            policy_id=rule.id,
            state="failed",
            enabled=False,
            schedule=rule.schedule,
            text="the rule does not exist in Harbor; run `pulumi up --refresh`",
        )
    live = mirror.from_policy(policy)
    enabled = bool(policy.get("enabled"))
    schedule = _schedule(live)
    started = parse_time(execution, "start_time")
    ended = parse_time(execution, "end_time")
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
        last_success=parse_time(success, "end_time"),
        text=text,
    )


def _schedule(rule: Rule) -> Schedule | None:
    if rule.schedule == MANUAL:
        return None
    try:
        return Schedule.parse(rule.schedule, name=rule.name, allow_frequent=True)
    except Refused:
        # Harbor accepts crons that we reject; their next run is unknown.
        return None


def _state(
    policy: Json, execution: Json | None, schedule: Schedule | None, now: datetime, *, enabled: bool
) -> tuple[RuleState, str]:
    result = (execution or {}).get("status")
    text = ((execution or {}).get("status_text") or "").strip()
    if not enabled:
        return "disabled", ""
    if result == "InProgress":
        return "running", ""
    if result == "Failed" and SKIPPED not in text:
        return "failed", text or "only a task's log has the reason: mirrorctl logs"
    since = max(filter(None, (parse_time(execution, "start_time"), parse_time(policy, "update_time"))), default=None)
    due = schedule.next(since, 1) if schedule and since else []
    if due and due[0] + GRACE < now:
        return "overdue", f"should have run at {due[0]:%Y-%m-%d %H:%M} UTC; mirrorctl drift --fix saves the rule again"
    if execution is None:
        return "never", "has not run yet"
    if result == "Failed":
        return "skipped", text
    if result == "Stopped":
        return "stopped", "was stopped"
    if not execution.get("total"):
        return "empty", text or "matched no image"
    return "ok", ""


def parse_time(item: Json | None, key: str) -> datetime | None:
    """Return one of Harbor's times; None for its zero time and for invalid text."""
    try:
        moment = datetime.fromisoformat(str((item or {}).get(key) or ""))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None if moment.year <= NEVER_YEAR else moment
