"""Starts executions of rules and waits until they end.

An execution is over when Harbor's status says so: the status trails the counters by up to 30 s (measured), and only the
status counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harbor_mirror.harbor.client import PAGE_SIZE, Harbor, HarborError, Json, Unreachable
from mirrorctl.failure import Failure
from mirrorctl.live import causes
from mirrorctl.live.mirror import Rule
from mirrorctl.output.reports import Outcome, RuleRun, TaskReport
from mirrorctl.output.units import duration

#: Harbor's final statuses and our names for them.
FINAL: Mapping[str, Outcome] = {"Succeed": "succeeded", "Failed": "failed", "Stopped": "stopped"}
#: Harbor's status text of an execution that a running one of the same rule prevented.
SKIPPED = "active replication still in progress"
POLL_SECONDS = 1.0
#: Harbor may restart while an execution runs, and the execution survives. Give up watching after this long.
PATIENCE_SECONDS = 120.0
#: An execution that does not move for this long is reported as stalled. A restarted job service leaves such executions
#: behind (measured: they stay InProgress for ever); a very large layer looks the same for a while.
STALLED_SECONDS = 5 * 60.0
#: Where nobody can press Ctrl-C and no time limit was given, watching a stalled execution ends after this long.
ABANDONED_SECONDS = 15 * 60.0
#: Pause between looks at the tasks of an execution whose counters do not move.
TASKS_SECONDS = 30.0
#: Up to this many executions are requested one by one; more are read from the list, a hundred per request.
REQUESTED_ONE_BY_ONE = 10
#: Number of failed tasks per rule whose logs are read: they usually have the same cause.
LOGS_READ = 5


class Progress(Protocol):
    """Receives every state of an execution that is read."""

    def __call__(self, rule: str, execution: Json) -> None: ...


@dataclass(frozen=True)
class Watch:
    """How to wait; without `timeout_seconds` there is no time limit."""

    timeout_seconds: float | None = None
    poll_seconds: float = POLL_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    stalled_seconds: float = STALLED_SECONDS
    abandoned_seconds: float | None = None
    """Stop watching an execution that has not moved for this long."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def start_all(
    harbor: Harbor, rules: Sequence[Rule], *, note: Callable[[str], None], restart: bool = False
) -> list[RuleRun]:
    """Start an execution of each rule, or join the one that is running; with `restart`, stop that one first."""
    return list(harbor.parallel(lambda rule: _start(harbor, rule, note, restart=restart), rules))


def _start(harbor: Harbor, rule: Rule, note: Callable[[str], None], *, restart: bool) -> RuleRun:
    running = _running(harbor, rule)
    if running is not None and not restart:
        note(f"{rule.name}: execution {running} is already running; joining it.")
        return RuleRun(rule=rule.name, policy_id=rule.id, execution_id=running, outcome="started", text="joined")
    try:
        if running is not None:
            note(f"{rule.name}: stopping execution {running}.")
            harbor.stop(running)
        execution = harbor.start(rule.id)
    except Unreachable:
        raise
    except HarborError as error:
        outcome, text = _not_started(error)
        return RuleRun(rule=rule.name, policy_id=rule.id, outcome=outcome, text=text)
    return RuleRun(rule=rule.name, policy_id=rule.id, execution_id=execution, outcome="started")


def _running(harbor: Harbor, rule: Rule) -> int | None:
    newest = harbor.executions(rule.id, newest=1)
    if not newest or newest[0].get("status") != "InProgress":
        return None
    # All tasks have ended: only the status is late.
    return None if is_counted(newest[0]) else int(newest[0]["id"])


def done_tasks(execution: Json) -> int:
    """Return how many tasks of an execution have ended."""
    return sum(execution.get(counter) or 0 for counter in ("succeed", "failed", "stopped"))


def is_counted(execution: Json) -> bool:
    """Return whether all tasks of an execution have ended."""
    total = execution.get("total") or 0
    return total > 0 and done_tasks(execution) >= total


def _not_started(error: HarborError) -> tuple[Outcome, str]:
    if error.status == 412:
        return "disabled", "the rule is disabled; set `enabled: true` and run `pulumi up`"
    if error.status == 404:
        return "missing", "the rule does not exist in Harbor; run `pulumi up --refresh`"
    return "refused", error.message


def wait(
    harbor: Harbor,
    runs: Sequence[RuleRun],
    watch: Watch,
    progress: Progress,
    *,
    note: Callable[[str], None],
    allow_empty: bool = False,
) -> list[RuleRun]:
    """Watch started executions until each has an outcome. Raise Failure if Harbor stays unreachable."""
    began = last_response = watch.clock()
    done: dict[str, RuleRun] = {run.rule: run for run in runs if run.execution_id is None}
    pending = {run.rule: run for run in runs if run.execution_id is not None}
    movements = {rule: Movement(harbor, watch, began) for rule in pending}
    while pending:
        try:
            executions = _read(harbor, [run.execution_id or 0 for run in pending.values()])
            idle = {
                rule: movements[rule].idle_seconds(execution)
                for rule, execution in zip(pending, executions, strict=True)
            }
            last_response = watch.clock()
        except HarborError as error:
            now = watch.clock()
            is_late = watch.timeout_seconds is not None and now - began >= watch.timeout_seconds
            if is_late or not _is_temporary(error) or now - last_response >= watch.patience_seconds:
                raise Failure(f"{error}. {resume_advice(list(pending))}") from None
            watch.sleep(watch.poll_seconds)
            continue
        elapsed = watch.clock() - began
        for run, execution in zip(list(pending.values()), executions, strict=True):
            progress(run.rule, execution)
            if execution.get("status") in FINAL:
                done[run.rule] = _finish(harbor, run, execution, elapsed, allow_empty=allow_empty)
            elif idle[run.rule] >= watch.stalled_seconds:
                text = _stalled_text(run.rule, execution, idle[run.rule])
                if movements[run.rule].is_first_report():
                    note(f"stalled: {run.rule}: {text}")
                if watch.abandoned_seconds is not None and idle[run.rule] >= watch.abandoned_seconds:
                    done[run.rule] = _unfinished(run, execution, "stalled", text)
            if run.rule not in done and watch.timeout_seconds is not None and elapsed >= watch.timeout_seconds:
                text = f"still running after {duration(watch.timeout_seconds)}"
                done[run.rule] = _unfinished(run, execution, "unfinished", text)
        pending = {rule: run for rule, run in pending.items() if rule not in done}
        if pending:
            watch.sleep(watch.poll_seconds)
    return [done[run.rule] for run in runs]


@dataclass
class Movement:
    """Detects whether an execution still moves: its counters, then its tasks, then the logs of running tasks."""

    harbor: Harbor
    watch: Watch
    moved_at: float
    _counters: object = None
    _tasks: object = None
    _tasks_read_at: float = field(default=0.0)
    _reported: bool = False

    def idle_seconds(self, execution: Json) -> float:
        """Return for how long nothing has moved. Raise HarborError."""
        now = self.watch.clock()
        counters = tuple(execution.get(key) for key in ("status", "total", "succeed", "failed", "stopped"))
        if counters != self._counters:
            self._counters = counters
            self._moved(now)
        elif now - self.moved_at >= TASKS_SECONDS and now - self._tasks_read_at >= TASKS_SECONDS:
            tasks = self._read_tasks(int(execution["id"]))
            # The first read has nothing to compare with: only a difference to an earlier one is movement.
            if self._tasks is not None and tasks != self._tasks:
                self._moved(now)
            self._tasks, self._tasks_read_at = tasks, now
        return now - self.moved_at

    def is_first_report(self) -> bool:
        """Return True once for each time that the execution stalls."""
        first, self._reported = not self._reported, True
        return first

    def _moved(self, now: float) -> None:
        self.moved_at = now
        self._reported = False

    def _read_tasks(self, execution_id: int) -> object:
        tasks = self.harbor.tasks(execution_id)
        running = [task for task in tasks if task.get("status") == "InProgress"]
        logs = self.harbor.parallel(lambda task: self._log_length(execution_id, task["id"]), running)
        return [(task["id"], task.get("status")) for task in tasks], list(logs)

    def _log_length(self, execution_id: int, task_id: int) -> int:
        try:
            return len(self.harbor.task_log(execution_id, task_id))
        except HarborError as error:
            # A task that waits for a worker has no log yet.
            if error.status != 404:
                raise
            return 0


def _stalled_text(rule: str, execution: Json, idle_seconds: float) -> str:
    done = f"{done_tasks(execution)}/{execution.get('total') or 0} tasks done"
    return (
        f"execution {execution.get('id')} has not moved for {duration(idle_seconds)} ({done}); a restarted job service "
        f"leaves such executions behind. Stop it and start again: mirrorctl sync --restart --wait {rule}"
    )


def _unfinished(run: RuleRun, execution: Json, outcome: Outcome, text: str) -> RuleRun:
    return run.model_copy(update={"outcome": outcome, "text": text, **_counts(execution)})


def _counts(execution: Json) -> dict[str, int]:
    return {
        "total": execution.get("total") or 0,
        "succeeded": execution.get("succeed") or 0,
        "failed": execution.get("failed") or 0,
        "stopped": execution.get("stopped") or 0,
    }


def _read(harbor: Harbor, ids: Sequence[int]) -> list[Json]:
    """Return executions by id: many from the list of the newest, few and those not in the list one by one."""
    by_id: dict[int, Json] = {}
    if len(ids) > REQUESTED_ONE_BY_ONE:
        pages = range(1, -(-len(ids) // PAGE_SIZE) + 2)
        for page in harbor.parallel(harbor.executions_page, pages):
            by_id.update({execution["id"]: execution for execution in page})
    missing = [number for number in ids if number not in by_id]
    by_id.update(zip(missing, harbor.parallel(harbor.execution, missing), strict=True))
    return [by_id[number] for number in ids]


def _is_temporary(error: HarborError) -> bool:
    """Return whether Harbor recovers from this without help: it restarts, or is overloaded."""
    return isinstance(error, Unreachable) or error.status in {429, 500, 502, 503, 504}


def resume_advice(rules: Sequence[str]) -> str:
    """Return how to go on watching."""
    return f"Harbor continues the executions; to watch them again: mirrorctl sync --wait {' '.join(rules)}"


def _finish(harbor: Harbor, run: RuleRun, execution: Json, seconds: float, *, allow_empty: bool) -> RuleRun:
    outcome = FINAL[execution["status"]]
    text = (execution.get("status_text") or "").strip()
    tasks: tuple[TaskReport, ...] = ()
    if SKIPPED in text:
        outcome = "skipped"
    elif outcome == "succeeded" and not execution.get("total") and not allow_empty:
        outcome, text = "empty", f"{text or 'nothing was copied'}: the rule matched no image; correct its filters"
    elif outcome == "failed":
        tasks = failed_tasks(harbor, execution["id"])
        # A full quota leaves the text empty; only a task's log names the reason.
        text = text or (tasks[0].line if tasks else "Harbor gives no reason")
    return run.model_copy(
        update={
            "outcome": outcome,
            "text": text,
            "seconds": round(seconds, 1),
            "tasks": tasks,
            **_counts(execution),
        }
    )


def failed_tasks(harbor: Harbor, execution_id: int) -> tuple[TaskReport, ...]:
    """Return why tasks failed, from the logs of the first few."""
    try:
        failed = [task for task in harbor.tasks(execution_id) if task.get("status") in {"Failed", "Error"}]
    except HarborError:
        # The outcome is known; report it even if Harbor has just become unreachable.
        return ()
    return tuple(harbor.parallel(lambda task: _task_report(harbor, execution_id, task), failed[:LOGS_READ]))


def _task_report(harbor: Harbor, execution_id: int, task: Json) -> TaskReport:
    try:
        line = causes.line_that_matters(harbor.task_log(execution_id, task["id"]))
    except HarborError as error:
        line = f"no log: {error.message}"
    repository = re.sub(r" \[\d+ item\(s\) in total\]$", "", task.get("src_resource") or "")
    return TaskReport(repository=repository, status=task["status"], line=line, advice=causes.advice(line))
