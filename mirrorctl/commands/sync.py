"""Starts rules and watches them to the end.

An execution is over when Harbor says so: its status trails its counters by up to 30 s, and only the status counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from harbor_mirror.harbor.client import PAGE_SIZE, Harbor, HarborError, Json, Unreachable
from mirrorctl.commands import verify
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.live import causes, mirror
from mirrorctl.live.mirror import Rule
from mirrorctl.output.render import Output, duration, size
from mirrorctl.output.reports import Outcome, RuleProof, RuleRun, SyncReport, TaskReport
from mirrorctl.tool import Tool

FINAL: Mapping[str, Outcome] = {"Succeed": "succeeded", "Failed": "failed", "Stopped": "stopped"}
#: Outcomes with which the images are not where they should be.
BAD = frozenset({"disabled", "failed", "stopped", "empty", "unfinished", "refused", "missing"})
SKIPPED = "active replication still in progress"
POLL_SECONDS = 1.0
#: Harbor may restart in the middle of a run, which it survives; beyond this the watching ends, not the run.
PATIENCE_SECONDS = 120.0
#: Executions that are asked for by themselves; more come from a list, a hundred a request.
ASKED_ONE_BY_ONE = 10
#: Failed tasks whose logs are read, for each rule: one cause usually fails them all.
LOGS_READ = 5


class Progress(Protocol):
    """Hears of every look at an execution."""

    def __call__(self, rule: str, execution: Json) -> None: ...


def command(
    tool: Tool,
    names: Sequence[str],
    *,
    every: bool,
    wait_for_end: bool,
    timeout: float | None,
    prove: bool,
    allow_empty: bool,
) -> int:
    """See `mirrorctl sync --help`."""
    if not names and not every:
        raise Failure(f"name rules to run, or say --all; there are {', '.join(sorted(tool.rules)) or 'none'}")
    if names and every:
        raise Failure("name rules to run, or say --all; not both")
    rules = mirror.chosen(tool.rules, names)
    runs = start(tool.harbor, rules, note=tool.output.note)
    if every:
        # Asked for all, a rule that was switched off is left alone; asked for by name, that is a finding.
        runs = [run.model_copy(update={"outcome": "skipped"}) if run.outcome == "disabled" else run for run in runs]
    if wait_for_end or prove:
        runs = _watch(tool, runs, timeout, allow_empty=allow_empty)
    proofs = None
    if prove:
        ran = [rule for rule, run in zip(rules, runs, strict=True) if run.execution_id is not None]
        proofs = verify.verification(tool, allow_empty=allow_empty).run(ran)
    ok = not any(run.outcome in BAD for run in runs) and (proofs is None or proofs.ok)
    report = SyncReport(ok=ok, harbor=tool.connection.url, rules=tuple(runs), verify=proofs)
    tool.output.report(report)
    show(tool.output, report)
    return AS_WANTED if report.ok else BAD_FINDING


def _watch(tool: Tool, runs: list[RuleRun], timeout: float | None, *, allow_empty: bool) -> list[RuleRun]:
    started = [run.rule for run in runs if run.execution_id is not None]
    try:
        with watching(tool.output, started) as progress:
            return wait(tool.harbor, runs, Watch(timeout), progress, allow_empty=allow_empty)
    except KeyboardInterrupt:
        raise Failure(f"interrupted. {resume(started)}") from None


@dataclass(frozen=True)
class Watch:
    """How to wait; `timeout_seconds` None waits for ever."""

    timeout_seconds: float | None = None
    poll_seconds: float = POLL_SECONDS
    patience_seconds: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def start(harbor: Harbor, rules: Sequence[Rule], *, note: Callable[[str], None]) -> list[RuleRun]:
    """Starts an execution of each rule, or joins the one that is running."""
    return list(harbor.parallel(lambda rule: _start(harbor, rule, note), rules))


def _start(harbor: Harbor, rule: Rule, note: Callable[[str], None]) -> RuleRun:
    running = _running(harbor, rule)
    if running is not None:
        note(f"{rule.name}: execution {running} is running already; joining it.")
        return RuleRun(rule=rule.name, policy_id=rule.id, execution_id=running, outcome="started", text="joined")
    try:
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
    # Counters that add up: it is over, and only its status trails.
    return None if _counted(newest[0]) else int(newest[0]["id"])


def _counted(execution: Json) -> bool:
    total = execution.get("total") or 0
    done = sum(execution.get(counter) or 0 for counter in ("succeed", "failed", "stopped"))
    return total > 0 and done >= total


def _not_started(error: HarborError) -> tuple[Outcome, str]:
    if error.status == 412:
        return "disabled", "the rule is disabled; set `enabled: true` and run `pulumi up`"
    if error.status == 404:
        return "missing", "Harbor does not have this rule any more; run `pulumi up --refresh`"
    return "refused", error.message


def wait(
    harbor: Harbor, runs: Sequence[RuleRun], watch: Watch, progress: Progress, *, allow_empty: bool = False
) -> list[RuleRun]:
    """Watches what was started until each has its outcome. Raises Failure if Harbor stays away."""
    began = last_seen = watch.clock()
    done: dict[str, RuleRun] = {run.rule: run for run in runs if run.execution_id is None}
    pending = [run for run in runs if run.execution_id is not None]
    while pending:
        try:
            looks = _look(harbor, [run.execution_id or 0 for run in pending])
            last_seen = watch.clock()
        except HarborError as error:
            if not _passing(error) or watch.clock() - last_seen >= watch.patience_seconds:
                raise Failure(f"{error}. {resume([run.rule for run in pending])}") from None
            watch.sleep(watch.poll_seconds)
            continue
        for run, execution in zip(list(pending), looks, strict=True):
            progress(run.rule, execution)
            if execution.get("status") in FINAL:
                done[run.rule] = _finished(harbor, run, execution, watch.clock() - began, allow_empty=allow_empty)
                pending.remove(run)
        if pending and watch.timeout_seconds is not None and watch.clock() - began >= watch.timeout_seconds:
            for run in pending:
                text = f"still running after {duration(watch.timeout_seconds)}"
                done[run.rule] = run.model_copy(update={"outcome": "unfinished", "text": text})
            break
        if pending:
            watch.sleep(watch.poll_seconds)
    return [done[run.rule] for run in runs]


def _look(harbor: Harbor, ids: Sequence[int]) -> list[Json]:
    """Executions by id: many at once from the list of the newest, a few, and what is not there, one by one."""
    found: dict[int, Json] = {}
    if len(ids) > ASKED_ONE_BY_ONE:
        pages = range(1, -(-len(ids) // PAGE_SIZE) + 2)
        for page in harbor.parallel(harbor.executions_page, pages):
            found.update({execution["id"]: execution for execution in page})
    missing = [number for number in ids if number not in found]
    found.update(zip(missing, harbor.parallel(harbor.execution, missing), strict=True))
    return [found[number] for number in ids]


def _passing(error: HarborError) -> bool:
    """A state that Harbor leaves by itself: restarting, overloaded."""
    return isinstance(error, Unreachable) or error.status in {429, 500, 502, 503, 504}


def resume(rules: Sequence[str]) -> str:
    """How to go on watching."""
    return f"Harbor goes on by itself; to watch again: python -m mirrorctl sync --wait {' '.join(rules)}"


def _finished(harbor: Harbor, run: RuleRun, execution: Json, seconds: float, *, allow_empty: bool) -> RuleRun:
    outcome = FINAL[execution["status"]]
    text = (execution.get("status_text") or "").strip()
    total = execution.get("total") or 0
    tasks: tuple[TaskReport, ...] = ()
    if SKIPPED in text:
        outcome = "skipped"
    elif outcome == "succeeded" and total == 0 and not allow_empty:
        outcome, text = "empty", f"{text or 'nothing was copied'}: the rule matched no image; correct its filters"
    elif outcome == "failed":
        tasks = failed_tasks(harbor, execution["id"])
        # A full quota leaves the text empty; the reason stands in the task's log only.
        text = text or (tasks[0].line if tasks else "Harbor gives no reason")
    return run.model_copy(
        update={
            "outcome": outcome,
            "text": text,
            "total": total,
            "succeeded": execution.get("succeed") or 0,
            "failed": execution.get("failed") or 0,
            "stopped": execution.get("stopped") or 0,
            "seconds": round(seconds, 1),
            "tasks": tasks,
        }
    )


def failed_tasks(harbor: Harbor, execution_id: int) -> tuple[TaskReport, ...]:
    """Why tasks failed, from their logs: the first few."""
    try:
        failed = [task for task in harbor.tasks(execution_id) if task.get("status") in {"Failed", "Error"}]
    except HarborError:
        # What the run came to is known, and a Harbor that has just failed must not lose that.
        return ()
    return tuple(harbor.parallel(lambda task: _task(harbor, execution_id, task), failed[:LOGS_READ]))


def _task(harbor: Harbor, execution_id: int, task: Json) -> TaskReport:
    try:
        line = causes.line_that_matters(harbor.task_log(execution_id, task["id"]))
    except HarborError as error:
        line = f"no log: {error.message}"
    repository = re.sub(r" \[\d+ item\(s\) in total\]$", "", task.get("src_resource") or "")
    return TaskReport(repository=repository, status=task["status"], line=line, advice=causes.advice(line))


def show(output: Output, report: SyncReport) -> None:
    """The findings, image by image, then a line for each rule, then what to do about the bad ones."""
    proofs = {proof.rule: proof for proof in report.verify.rules} if report.verify else {}
    if report.verify:
        verify.show_findings(output, report.verify)
    rows = [_row(run, proofs.get(run.rule), proven=bool(proofs)) for run in report.rules]
    columns = ["rule", "execution", "result", "time", "repositories"]
    output.table([*columns, "tags", "bytes", "digest proof"] if proofs else columns, rows)
    _explain_bad(output, report.rules)


def _row(run: RuleRun, proof: RuleProof | None, *, proven: bool) -> list[object]:
    done = f"{run.succeeded}/{run.total}" if run.seconds is not None else "-"
    row: list[object] = [run.rule, run.execution_id or "-", run.outcome, duration(run.seconds), done]
    if proof is not None:
        return [*row, proof.tags, size(proof.bytes), verify.proof(proof)]
    return [*row, "-", "-", "-"] if proven else row


def _explain_bad(output: Output, runs: Sequence[RuleRun]) -> None:
    """What went wrong and what to do, for each rule that is not as wanted."""
    for run in runs:
        if run.outcome not in BAD:
            continue
        output.line()
        output.line(f"{run.outcome}: {run.rule}: {run.text}")
        if run.tasks:
            for task in run.tasks:
                output.line(f"  {task.repository}: {task.line}")
                output.line(f"    {task.advice}")
            unread = run.failed - len(run.tasks)
            if unread > 0:
                output.line(f"  and {unread} more; python -m mirrorctl logs {run.rule}")
        elif run.outcome == "failed":
            output.line(f"    {causes.advice(run.text)}")


@contextmanager
def watching(output: Output, rules: Sequence[str]) -> Iterator[Progress]:
    """Bars on a terminal; elsewhere a line whenever an execution gets further."""
    if output.interactive:
        with _bars(output, rules) as progress:
            yield progress
        return
    seen: dict[str, str] = {}

    def line(rule: str, execution: Json) -> None:
        text = _state(execution)
        if seen.get(rule) != text:
            seen[rule] = text
            output.note(f"{rule}: {text}")

    yield line


@contextmanager
def _bars(output: Output, rules: Sequence[str]) -> Iterator[Progress]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    # The state comes before the bar: on 40 columns the bar is what may go.
    columns: list[Any] = [
        TextColumn("{task.fields[rule]}"),
        TextColumn("{task.fields[state]}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
    ]
    with Bars(*columns, console=output.progress_console, transient=True) as bars:
        ids = {rule: bars.add_task("", total=None, rule=rule, state="waiting") for rule in rules}

        def update(rule: str, execution: Json) -> None:
            total = execution.get("total") or None
            done = sum(execution.get(counter) or 0 for counter in ("succeed", "failed", "stopped"))
            bars.update(ids[rule], total=total, completed=done, state=_state(execution))
            if execution.get("status") in FINAL:
                bars.stop_task(ids[rule])

        yield update


def _state(execution: Json) -> str:
    status = execution.get("status") or "?"
    total = execution.get("total") or 0
    done = sum(execution.get(counter) or 0 for counter in ("succeed", "failed", "stopped"))
    failed = execution.get("failed") or 0
    wrong = f", {failed} failed" if failed else ""
    if status in FINAL:
        return f"{FINAL[status]} {done}/{total}{wrong}"
    if _counted(execution):
        return f"{done}/{total}{wrong}, waiting for Harbor's word"
    return f"{done}/{total} tasks{wrong}" if total else "listing the source"
