"""The tasks of a rule's last execution and their logs."""

from __future__ import annotations

from harbor_mirror.clients.harbor import HarborError
from mirrorctl import failures, mirror
from mirrorctl.failure import AS_WANTED, BAD_FINDING, Failure
from mirrorctl.reports import LogReport, TaskLog
from mirrorctl.tool import Tool


def command(tool: Tool, name: str, *, execution: int | None, failed_only: bool) -> int:
    """See `mirrorctl logs --help`."""
    rule = mirror.chosen(tool.rules, [name])[0]
    if execution is None:
        newest = tool.harbor.executions(rule.id, newest=1)
        if not newest:
            raise Failure(f"{name} has never run; start it: python -m mirrorctl sync {name}")
        found = newest[0]
    else:
        found = tool.harbor.execution(execution)
        if found.get("policy_id") != rule.id:
            raise Failure(f"execution {execution} is not one of {name}")
    tasks = [task for task in tool.harbor.tasks(found["id"]) if not failed_only or task["status"] != "Succeed"]

    def log(number: int) -> str:
        try:
            return tool.harbor.task_log(found["id"], number)
        except HarborError as error:
            # A task that waits has no log yet.
            if error.status != 404:
                raise
            return ""

    texts = tool.harbor.parallel(lambda task: log(task["id"]), tasks)
    text = (found.get("status_text") or "").strip()
    report = LogReport(
        rule=name,
        execution_id=found["id"],
        status=found.get("status") or "",
        text=text,
        tasks=tuple(
            TaskLog(
                id=task["id"],
                source=task.get("src_resource") or "",
                destination=task.get("dst_resource") or "",
                status=task["status"],
                matters=failures.line_that_matters(log_text),
                log=log_text,
            )
            for task, log_text in zip(tasks, texts, strict=True)
        ),
    )
    tool.output.report(report)
    tool.output.line(f"{name}: execution {report.execution_id} {report.status} {report.text}".rstrip())
    for task in report.tasks:
        tool.output.line(f"--- task {task.id} {task.status}: {task.source} -> {task.destination}")
        tool.output.line(task.log.rstrip() or "(no log yet)")
    if report.status == "Failed":
        why = next((task.matters for task in report.tasks if task.matters), report.text)
        tool.output.line(f"failed: {failures.advice(why)}")
    return BAD_FINDING if report.status == "Failed" else AS_WANTED
