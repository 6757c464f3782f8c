"""Executions of replication policies: start by hand or by cron, run in threads, show, and stop."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from starlette.responses import PlainTextResponse, Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.body import Struct
from localcloud.harbor.core import Core, Outcome
from localcloud.harbor.cron import BadCron, parse
from localcloud.harbor.data import Execution, Policy, Task
from localcloud.harbor.errors import not_found, precondition
from localcloud.harbor.policies import find_policy
from localcloud.harbor.transfer import NOTHING, Failed, Job, prepare_project, resources

_START = Struct("StartReplicationExecution", {"policy_id": "int64"})
SKIPPED = "Execution skipped: active replication still in progress."
#: Harbor's job service runs ten jobs at a time by default (`max_job_workers`).
WORKERS = 10
_TICK_SECONDS = 0.25


class Runner:
    """Runs executions and fires crons; one for each Harbor."""

    def __init__(self, core: Core, status_lag_seconds: float, workers: int = WORKERS) -> None:
        self._core, self.status_lag_seconds = core, status_lag_seconds
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="harbor-job")
        self._scheduler = threading.Thread(target=self._schedule, name="harbor-scheduler", daemon=True)

    def start(self) -> None:
        self._scheduler.start()

    def close(self) -> None:
        """Stop running jobs and wait for their end."""
        self._stopping.set()
        for execution in self._core.data.executions:
            execution.stopped = execution.stopped or execution.status == "InProgress"
        if self._scheduler.is_alive():
            self._scheduler.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, policy: Policy, trigger: str) -> Execution:
        """Start an execution in its own thread. The caller holds the lock."""
        data = self._core.data
        running = any(run.status == "InProgress" for run in data.executions.where(policy_id=policy.id))
        now = self._core.clock()
        conditions = self._core.conditions
        execution = data.executions.add(Execution(data.executions.next_id(), policy.id, trigger, now))
        execution.abandoned = conditions.stalled
        if policy.id in conditions.outcomes:
            self._force(execution, conditions.outcomes[policy.id])
        elif policy.single_active_replication and running:
            self._end(execution, "Failed", SKIPPED)
        else:
            threading.Thread(target=self._run, args=(policy, execution), daemon=True).start()
        return execution

    def abandon(self) -> None:
        """Lose all running jobs, as a restart of the job service does: their executions stay InProgress for ever."""
        for execution in self._core.data.executions.where(status="InProgress"):
            execution.abandoned = True

    def _force(self, execution: Execution, outcome: Outcome) -> None:
        data, now = self._core.data, self._core.clock()
        for repository, status, log in outcome.tasks:
            text = f"{repository} [1 item(s) in total]"
            data.tasks.add(Task(data.tasks.next_id(), execution.id, text, text, now, status=status, log=[log]))
        self._end(execution, outcome.status, outcome.status_text)

    def _run(self, policy: Policy, execution: Execution) -> None:
        core = self._core
        try:
            found = resources(core, policy)
            with core.data.lock:
                if execution.stopped:
                    return
                jobs = []
                for resource in found:
                    prepare_project(core, resource.destination)
                    total = f" [{len(resource.tags)} item(s) in total]"
                    task = Task(
                        core.data.tasks.next_id(),
                        execution.id,
                        resource.source + total,
                        resource.destination + total,
                        core.clock(),
                        job_id=uuid.uuid4().hex,
                    )
                    jobs.append(Job(core, policy, execution, core.data.tasks.add(task), resource, self._stopping.wait))
        except Failed as failure:
            self._end(execution, "Failed", str(failure))
            return
        except Exception as error:
            self._end(execution, "Failed", f"internal: {error}")
            return
        if execution.abandoned:
            return
        if not jobs:
            self._end(execution, "Succeed", NOTHING)
            return
        try:
            for future in [self._pool.submit(job.run) for job in jobs]:
                future.result()
        except Exception as error:
            if self._stopping.is_set():
                self._end(execution, "Stopped", "")
            else:
                self._end(execution, "Failed", f"internal: {error!r}")
            return
        if execution.abandoned:
            return
        self._stopping.wait(self.status_lag_seconds)
        statuses = {task.status for task in core.data.tasks.where(execution_id=execution.id)}
        worst = next((status for status in ("Failed", "Stopped") if status in statuses), "Succeed")
        if execution.status == "InProgress":
            self._end(execution, worst, "")

    def _end(self, execution: Execution, status: str, text: str) -> None:
        execution.status_text, execution.end_time = text, self._core.clock()
        execution.status = status

    def stop(self, execution: Execution) -> None:
        """Stop an execution and its tasks at once; copying ends at the next step. The caller holds the lock."""
        if execution.status == "InProgress":
            execution.stopped = True
            for task in self._core.data.tasks.where(execution_id=execution.id):
                if task.status in ("Pending", "InProgress"):
                    task.status, task.end_time = "Stopped", self._core.clock()
            self._end(execution, "Stopped", "")

    def _schedule(self) -> None:
        """Fire what became due since the last look; a policy saved meanwhile counts from when it was saved."""
        looked = self._core.clock()
        due: dict[tuple[int, str, datetime], datetime | None] = {}
        while not self._stopping.wait(_TICK_SECONDS):
            now = self._core.clock()
            with self._core.data.lock:
                active = [policy for policy in self._core.data.policies if policy.enabled and policy.cron]
                for policy in active:
                    key = (policy.id, policy.cron, policy.update_time)
                    if key not in due:
                        due[key] = _next(policy.cron, max(looked, policy.update_time))
                    moment = due[key]
                    if moment is not None and moment <= now:
                        due[key] = _next(policy.cron, now)
                        self.begin(policy, "scheduled")
            looked = now


def _next(cron: str, after: datetime) -> datetime | None:
    """Return when a cron fires next; None if never, where the real scheduler loops for ever."""
    try:
        return parse(cron).next(after)
    except BadCron:
        return None


def _find(call: Call, execution_id: int) -> Execution:
    execution = call.data.executions.get(execution_id)
    if execution is None:
        raise not_found(f"replication execution {execution_id} not found")
    return execution


def show(call: Call, execution: Execution) -> dict[str, Any]:
    counts = Counter(task.status for task in call.data.tasks.where(execution_id=execution.id))
    return {
        "end_time": timestamp(execution.end_time),
        "failed": counts["Failed"],
        "id": execution.id,
        "in_progress": counts["Pending"] + counts["InProgress"],
        "policy_id": execution.policy_id,
        "start_time": timestamp(execution.start_time),
        "status": execution.status,
        "status_text": execution.status_text,
        "stopped": counts["Stopped"],
        "succeed": counts["Succeed"],
        "total": sum(counts.values()),
        "trigger": execution.trigger,
    }


def show_task(task: Task) -> dict[str, Any]:
    return {
        "dst_resource": task.dst_resource,
        "end_time": timestamp(task.end_time),
        "execution_id": task.execution_id,
        "id": task.id,
        "job_id": task.job_id,
        "operation": task.operation,
        "resource_type": task.resource_type,
        "src_resource": task.src_resource,
        "start_time": timestamp(task.start_time),
        "status": task.status,
    }


def start_execution(call: Call) -> Response:
    given = call.json(_START, "execution")
    call.require_system("replication", "create")
    with call.data.lock:
        policy = find_policy(call.data, given.get("policy_id", 0))
        if not policy.enabled:
            raise precondition(f"the policy {policy.id} is disabled")
        execution = call.core.runner.begin(policy, "manual")
    return created(f"/replication/executions/{execution.id}")


def list_executions(call: Call) -> Response:
    call.require_system("replication", "list")
    with call.data.lock:
        rows = list(call.data.executions)
        for name, field in (("policy_id", "policy_id"), ("status", "status"), ("trigger", "trigger")):
            wanted = call.query(name)
            if wanted:
                rows = [row for row in rows if str(getattr(row, field)).lower() == wanted.lower()]
        fields = {
            "id": lambda row: row.id,
            "start_time": lambda row: row.start_time,
            "status": lambda row: row.status,
            "trigger": lambda row: row.trigger,
        }
        return listing(call, rows, fields, "-id", lambda row: show(call, row))


def get_execution(call: Call) -> Response:
    call.require_system("replication", "read")
    with call.data.lock:
        return ok(show(call, _find(call, call.id())))


def stop_execution(call: Call) -> Response:
    call.require_system("replication", "update")
    with call.data.lock:
        call.core.runner.stop(_find(call, call.id()))
    return ok()


def list_tasks(call: Call) -> Response:
    call.require_system("replication", "list")
    with call.data.lock:
        execution = _find(call, call.id())
        rows = list(call.data.tasks.where(execution_id=execution.id))
        for name in ("status", "resource_type"):
            if call.query(name):
                rows = [row for row in rows if str(getattr(row, name)).lower() == call.query(name).lower()]
        fields = {"id": lambda task: task.id, "status": lambda task: task.status}
        return listing(call, rows, fields, "-id", show_task)


def task_log(call: Call) -> Response:
    call.require_system("replication", "read")
    with call.data.lock:
        execution = _find(call, call.id())
        task = call.data.tasks.get(call.id("task"))
        if task is None or task.execution_id != execution.id:
            raise not_found(f"replication task {call.id('task')} not found")
        if task.log is None:
            raise not_found(f"{task.job_id} not found")
        return PlainTextResponse("".join(task.log))


ENDPOINTS = [
    Endpoint("POST", "/replication/executions", start_execution),
    Endpoint("GET", "/replication/executions", list_executions),
    Endpoint("GET", "/replication/executions/{id}", get_execution),
    Endpoint("PUT", "/replication/executions/{id}", stop_execution),
    Endpoint("GET", "/replication/executions/{id}/tasks", list_tasks),
    Endpoint("GET", "/replication/executions/{id}/tasks/{task}/log", task_log),
]
