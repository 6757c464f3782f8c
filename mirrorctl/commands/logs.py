"""The tasks of a rule's last execution and their logs."""

from __future__ import annotations

from harbor_mirror.harbor.client import Harbor, HarborError, Json
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.live import causes, mirror
from mirrorctl.live.mirror import Rule
from mirrorctl.output.render import Output
from mirrorctl.output.reports import LogReport, TaskLog
from mirrorctl.tool import Tool


def command(tool: Tool, name: str, *, execution: int | None, failed_only: bool) -> int:
    """See `mirrorctl logs --help`."""
    rule = mirror.chosen(tool.rules, [name])[0]
    found = _execution(tool.harbor, rule, execution)
    tasks = [task for task in tool.harbor.tasks(found["id"]) if not failed_only or task["status"] != "Succeed"]
    report = LogReport(
        rule=name,
        execution_id=found["id"],
        status=found.get("status") or "",
        text=(found.get("status_text") or "").strip(),
        tasks=tuple(tool.harbor.parallel(lambda task: _task(tool.harbor, found["id"], task), tasks)),
    )
    tool.output.report(report)
    show(tool.output, report)
    return BAD_FINDING if report.status == "Failed" else AS_WANTED


def _execution(harbor: Harbor, rule: Rule, number: int | None) -> Json:
    """The execution with this id, or the rule's last one."""
    if number is not None:
        found = harbor.execution(number)
        if found.get("policy_id") != rule.id:
            raise Failure(f"execution {number} is not one of {rule.name}")
        return found
    newest = harbor.executions(rule.id, newest=1)
    if not newest:
        raise Failure(f"{rule.name} has never run; start it: python -m mirrorctl sync {rule.name}")
    return newest[0]


def _task(harbor: Harbor, execution: int, task: Json) -> TaskLog:
    try:
        log = harbor.task_log(execution, task["id"])
    except HarborError as error:
        # A task that waits has no log yet.
        if error.status != 404:
            raise
        log = ""
    return TaskLog(
        id=task["id"],
        source=task.get("src_resource") or "",
        destination=task.get("dst_resource") or "",
        status=task["status"],
        matters=causes.line_that_matters(log),
        log=log,
    )


def show(output: Output, report: LogReport) -> None:
    """Each task's log, then what to do."""
    output.line(f"{report.rule}: execution {report.execution_id} {report.status} {report.text}".rstrip())
    for task in report.tasks:
        output.line(f"--- task {task.id} {task.status}: {task.source} -> {task.destination}")
        output.line(task.log.rstrip() or "(no log yet)")
    if report.status == "Failed":
        why = next((task.matters for task in report.tasks if task.matters), report.text)
        output.line(f"failed: {causes.advice(why)}")
