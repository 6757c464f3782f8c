"""Maintenance: retention, garbage collection, audit log purge, and the job service's queues and schedules."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.cron import BadCron, check, parse
from localcloud.harbor.data import Schedule
from localcloud.harbor.errors import bad_request, conflict, internal, not_found, unprocessable
from localcloud.harbor.retention import add_retention

_KINDS = ("Hourly", "Daily", "Weekly", "Custom", "Manual", "None", "Schedule")
_CRONS = {"Hourly": "0 0 * * * *", "Daily": "0 0 0 * * *", "Weekly": "0 0 0 * * 0"}
_SCHEDULE = Struct(
    "Schedule",
    {"schedule": Struct("ScheduleObj", {"type": "string", "cron": "string"}), "parameters": "map"},
)
_RETENTION = Struct(
    "RetentionPolicy",
    {
        "id": "int64",
        "algorithm": "string",
        "rules": ListOf("map", "*models.RetentionRule"),
        "trigger": "map",
        "scope": "map",
    },
)
GC, PURGE = "GARBAGE_COLLECTION", "PURGE_AUDIT_LOG"
MAX_WORKERS, MAX_AUDIT_HOURS, MAX_RULES = 10, 240000, 15
#: The column of a schedule; a longer cron is an internal error (measured on Harbor 2.15.2).
MAX_CRON = 64


def _next(cron: str, now: datetime) -> str:
    try:
        moment = parse(cron).next(now)
    except BadCron:
        moment = None
    return timestamp(moment) if moment else "0001-01-01T00:00:00.000Z"


# Garbage collection and audit purge: one global schedule each


def _read(vendor: str) -> Callable[[Call], Response]:
    def handler(call: Call) -> Response:
        call.require_system("system", "read")
        with call.data.lock:
            row = call.data.schedules.find(vendor_type=vendor)
            if row is None:
                return ok()
            return ok(
                {
                    "creation_time": timestamp(row.creation_time),
                    "id": row.id,
                    "job_kind": row.cron,
                    "job_parameters": json.dumps(row.parameters, separators=(",", ":"), sort_keys=True),
                    "job_status": "Running",
                    "schedule": {
                        "cron": row.cron,
                        "next_scheduled_time": _next(row.cron, call.now()),
                        "type": row.kind,
                    },
                    "update_time": timestamp(row.update_time),
                }
            )

    return handler


def _write(vendor: str, words: str, path: str, *, create: bool) -> Callable[[Call], Response]:
    def handler(call: Call) -> Response:
        given = call.json(_SCHEDULE, "schedule")
        call.require_system("system", "update")
        schedule, parameters = given.get("schedule") or {}, given.get("parameters") or {}
        kind, cron = schedule.get("type", ""), schedule.get("cron", "")
        if kind not in _KINDS:
            raise unprocessable(
                f"validation failure list:\nschedule.type in body should be one of [{' '.join(_KINDS)}]"
            )
        if vendor == PURGE:
            _check_purge(parameters)
        elif kind != "None":
            parameters = _gc_parameters(parameters)
        if kind in _CRONS:
            cron = _CRONS[kind]
        elif kind in ("Custom", "Schedule"):
            try:
                check(cron)
            except BadCron as error:
                raise bad_request(f"invalid cron string for scheduled {words}: {cron}, error: {error}") from None
            if len(cron) > MAX_CRON:
                raise internal()
        data, now = call.data, call.now()
        with data.lock:
            row = data.schedules.find(vendor_type=vendor)
            if row is not None and kind != "Manual":
                data.schedules.delete(row.id)
            if kind not in ("None", "Manual"):
                made = row.creation_time if row else now
                data.schedules.add(Schedule(data.schedules.next_id(), vendor, -1, kind, cron, made, now, parameters))
        return created(f"{path}/0") if create else ok()

    return handler


def _gc_parameters(given: dict[str, Any]) -> dict[str, Any]:
    workers = given.get("workers", 1)
    if not isinstance(workers, int) or not 0 < workers <= MAX_WORKERS:
        raise bad_request(
            f"Error: Invalid number of workers:{workers}. Workers must be greater than 0 and less than or equal to "
            f"{MAX_WORKERS}."
        )
    return {"delete_tag": False, "delete_untagged": given.get("delete_untagged", False), "workers": workers}


def _check_purge(given: dict[str, Any]) -> None:
    if not given:
        raise bad_request("bad request: schedule parameter cann't be empty")
    if given.get("audit_retention_hour", 0) > MAX_AUDIT_HOURS:
        raise bad_request(f"bad request: audit_retention_hour should be less than {MAX_AUDIT_HOURS}")


def _no_runs(call: Call) -> Response:
    call.require_system("system", "read")
    return listing(call, [], {"id": lambda row: row}, "-id", lambda row: row)


# Retention


def _checked_retention(call: Call) -> dict[str, Any]:
    given = call.json(_RETENTION, "policy")
    call.require_login()
    cron = ((given.get("trigger") or {}).get("settings") or {}).get("cron") or ""
    if cron:
        try:
            check(cron)
        except BadCron as error:
            raise bad_request(f"invalid cron string for scheduled tag retention: {cron}, error: {error}") from None
    rules = given.get("rules") or []
    if len(rules) > MAX_RULES:
        raise bad_request(f"only {MAX_RULES} rules are allowed at most")
    _refuse_equal(rules)
    if len(cron) > MAX_CRON:
        raise internal()
    return given


def _refuse_equal(rules: list[dict[str, Any]]) -> None:
    """Refuse two equal rules with the conflict that Harbor reports, which counts from 0."""
    known: dict[str, int] = {}
    for number, rule in enumerate(rules):
        text = json.dumps({name: value for name, value in rule.items() if name != "id" and value}, sort_keys=True)
        if text in known:
            raise conflict(f"rule {number} is conflict with rule {known[text]}")
        known[text] = number


def create_retention(call: Call) -> Response:
    given = _checked_retention(call)
    ref = (given.get("scope") or {}).get("ref", 0)
    with call.data.lock:
        project = call.data.projects.get(int(ref or 0))
        if project is None:
            raise bad_request(f"bad request: invalid Project id {ref}")
        old = call.data.retentions.find(project_id=project.id)
        if old is not None:
            raise bad_request(f"bad request: project {project.id} already has retention policy {old.id}")
        retention = add_retention(call.data, project, given)
    return created(f"/retentions/{retention.id}")


def get_retention(call: Call) -> Response:
    call.require_login()
    with call.data.lock:
        retention = call.data.retentions.get(call.id())
        if retention is None:
            raise not_found(f"the retention policy {call.id()} not found")
        body = json.loads(json.dumps(retention.body))
        for rule in body.get("rules") or []:
            if not rule.get("disabled"):
                rule.pop("disabled", None)
        settings = (body.get("trigger") or {}).setdefault("settings", {}) if body.get("trigger") else {}
        if settings.get("cron"):
            settings["next_scheduled_time"] = _next(settings["cron"], call.now())
        return ok({**body, "id": retention.id})


def update_retention(call: Call) -> Response:
    given = _checked_retention(call)
    with call.data.lock:
        retention = call.data.retentions.get(call.id())
        if retention is None:
            raise not_found(f"the retention policy {call.id()} not found")
        retention.body = given
    return ok()


def delete_retention(call: Call) -> Response:
    call.require_login()
    with call.data.lock:
        retention = call.data.retentions.get(call.id())
        if retention is None:
            raise not_found(f"the retention policy {call.id()} not found")
        project = call.data.projects.get(retention.project_id)
        if project is not None:
            project.metadata.pop("retention_id", None)
        call.data.retentions.delete(retention.id)
    return ok()


# The job service


def list_schedules(call: Call) -> Response:
    call.require_system("jobservice-monitor", "list")
    with call.data.lock:
        rows = [
            {
                "cron": policy.cron,
                "extra_attrs": {},
                "id": policy.id,
                "status": "Running",
                "update_time": timestamp(policy.update_time),
                "vendor_id": policy.id,
                "vendor_type": "REPLICATION",
            }
            for policy in call.data.policies
            if policy.enabled and policy.cron
        ]
        rows += [
            {
                "cron": row.cron,
                "extra_attrs": row.parameters,
                "id": row.id,
                "status": "Running",
                "update_time": timestamp(row.update_time),
                "vendor_id": row.vendor_id,
                "vendor_type": row.vendor_type,
            }
            for row in call.data.schedules
        ]
        rows += call.core.conditions.schedules
        return listing(call, rows, {"id": lambda row: row.get("id", 0)}, "-id", lambda row: row)


def paused(call: Call) -> Response:
    call.require_system("jobservice-monitor", "list")
    return ok({"paused": call.core.conditions.scheduler_paused})


def list_queues(call: Call) -> Response:
    call.require_system("jobservice-monitor", "list")
    kinds = ("REPLICATION", "SCHEDULER", "GARBAGE_COLLECTION", "RETENTION", "PURGE_AUDIT_LOG", "IMAGE_SCAN")
    given = call.core.conditions.queues
    return ok([{"count": 0, "job_type": kind, "latency": 0, "paused": False, **given.get(kind, {})} for kind in kinds])


def list_pools(call: Call) -> Response:
    call.require_system("jobservice-monitor", "list")
    return ok([])


def _schedule_endpoints(path: str, vendor: str, words: str) -> list[Endpoint]:
    return [
        Endpoint("GET", f"{path}/schedule", _read(vendor)),
        Endpoint("POST", f"{path}/schedule", _write(vendor, words, path, create=True)),
        Endpoint("PUT", f"{path}/schedule", _write(vendor, words, path, create=False)),
        Endpoint("GET", path, _no_runs),
    ]


ENDPOINTS = [
    *_schedule_endpoints("/system/gc", GC, "gc"),
    *_schedule_endpoints("/system/purgeaudit", PURGE, "log rotation purge"),
    Endpoint("POST", "/retentions", create_retention),
    Endpoint("GET", "/retentions/{id}", get_retention),
    Endpoint("PUT", "/retentions/{id}", update_retention),
    Endpoint("DELETE", "/retentions/{id}", delete_retention),
    Endpoint("GET", "/schedules", list_schedules),
    Endpoint("GET", "/schedules/{kind}/paused", paused),
    Endpoint("GET", "/jobservice/queues", list_queues),
    Endpoint("GET", "/jobservice/pools", list_pools),
]
