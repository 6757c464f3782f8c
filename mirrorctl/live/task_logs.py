"""Reads the logs of an execution's tasks."""

from __future__ import annotations

from harbor_mirror.harbor.client import Harbor, HarborError, Json
from mirrorctl.failure import Failure
from mirrorctl.live import causes
from mirrorctl.live.mirror import Rule
from mirrorctl.output.reports import LogReport, TaskLog


def read_logs(harbor: Harbor, rule: Rule, execution_id: int | None, *, failed_only: bool) -> LogReport:
    """Return the logs of one execution of a rule, of the latest without an ID. Raise Failure."""
    execution = _execution(harbor, rule, execution_id)
    tasks = [task for task in harbor.tasks(execution["id"]) if not failed_only or task["status"] != "Succeed"]
    return LogReport(
        rule=rule.name,
        execution_id=execution["id"],
        status=execution.get("status") or "",
        text=(execution.get("status_text") or "").strip(),
        tasks=tuple(harbor.parallel(lambda task: _task_log(harbor, execution["id"], task), tasks)),
    )


def _execution(harbor: Harbor, rule: Rule, execution_id: int | None) -> Json:
    if execution_id is not None:
        execution = harbor.execution(execution_id)
        if execution.get("policy_id") != rule.id:
            raise Failure(f"execution {execution_id} does not belong to {rule.name}")
        return execution
    newest = harbor.executions(rule.id, newest=1)
    if not newest:
        raise Failure(f"{rule.name} has never run; start it: mirrorctl sync {rule.name}")
    return newest[0]


def _task_log(harbor: Harbor, execution_id: int, task: Json) -> TaskLog:
    try:
        log = harbor.task_log(execution_id, task["id"])
    except HarborError as error:
        # A task that waits for a worker has no log yet.
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
