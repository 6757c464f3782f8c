"""Replication policies: their checks, their form, and the schedule that goes with them."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import Response

from localcloud.harbor import registries
from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.core import Core
from localcloud.harbor.cron import check_replication
from localcloud.harbor.data import HarborData, Policy
from localcloud.harbor.errors import ApiError, bad_request, conflict, internal, not_found, precondition, unprocessable

#: Columns of Harbor's database, in characters; anything longer is an internal error (measured on Harbor 2.15.2).
MAX_TEXT, MAX_FILTERS, MAX_TRIGGER, MAX_CRON = 256, 1024, 256, 64
MAX_SPEED = (1 << 31) - 1
_NAMESPACE = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_FILTER = Struct("ReplicationFilter", {"type": "string", "value": "any", "decoration": "string"})
_TRIGGER = Struct(
    "ReplicationTrigger",
    {"type": "string", "trigger_settings": Struct("ReplicationTriggerSettings", {"cron": "string"})},
)
_POLICY = Struct(
    "ReplicationPolicy",
    {
        **{"id": "int64", "name": "string", "description": "string", "dest_namespace": "string"},
        **{"src_registry": registries.REGISTRY_FIELDS, "dest_registry": registries.REGISTRY_FIELDS},
        **{"dest_namespace_replace_count": "int8", "trigger": _TRIGGER, "speed": "int32"},
        **{"filters": ListOf(_FILTER, "*models.ReplicationFilter")},
        **{"replicate_deletion": "bool", "deletion": "bool", "override": "bool", "enabled": "bool"},
        **{"copy_by_chunk": "bool", "single_active_replication": "bool"},
    },
)


def find_policy(data: HarborData, policy_id: int) -> Policy:
    """Raise 404."""
    policy = data.policies.get(policy_id)
    if policy is None:
        raise not_found(f"replication policy {policy_id} not found")
    return policy


def show(core: Core, policy: Policy) -> dict[str, Any]:
    """Return a policy as Harbor shows it: some false or empty fields are left out."""
    shown: dict[str, Any] = {
        "copy_by_chunk": policy.copy_by_chunk,
        "creation_time": timestamp(policy.creation_time),
        "dest_namespace_replace_count": policy.dest_namespace_replace_count,
        "dest_registry": _registry(core, policy.dest_registry_id),
        "filters": policy.filters or None,
        "id": policy.id,
        "name": policy.name,
        "single_active_replication": policy.single_active_replication,
        "speed": policy.speed,
        "src_registry": _registry(core, policy.src_registry_id),
        "update_time": timestamp(policy.update_time),
    }
    optional = {
        "description": policy.description,
        "dest_namespace": policy.dest_namespace,
        "trigger": policy.trigger,
        "enabled": policy.enabled,
        "override": policy.override,
        "deletion": policy.deletion,
        "replicate_deletion": policy.deletion,
    }
    return shown | {name: value for name, value in optional.items() if value}


def _registry(core: Core, registry_id: int) -> dict[str, Any] | None:
    try:
        return registries.show(registries.find_registry(core, registry_id))
    except ApiError:
        return None


def list_policies(call: Call) -> Response:
    call.require_system("replication-policy", "list")
    name = call.query("name")
    with call.data.lock:
        rows = [policy for policy in call.data.policies if name in policy.name]
        fields = {
            "id": lambda policy: policy.id,
            "name": lambda policy: policy.name,
            "creation_time": lambda policy: policy.creation_time,
            "update_time": lambda policy: policy.update_time,
            "enabled": lambda policy: policy.enabled,
        }
        return listing(call, rows, fields, "-id", lambda policy: show(call.core, policy))


def create_policy(call: Call) -> Response:
    given = call.json(_POLICY, "policy")
    call.require_system("replication-policy", "create")
    data = call.data
    with data.lock:
        now = call.now()
        policy = Policy(0, "", now, now)
        _take(call, policy, given)
        policy.id = data.policies.next_id()
        data.policies.add(policy)
    return created(f"/replication/policies/{policy.id}")


def get_policy(call: Call) -> Response:
    call.require_system("replication-policy", "read")
    with call.data.lock:
        return ok(show(call.core, find_policy(call.data, call.id())))


def update_policy(call: Call) -> Response:
    """Replace a policy: fields that are left out are reset."""
    given = call.json(_POLICY, "policy")
    call.require_system("replication-policy", "update")
    with call.data.lock:
        old = find_policy(call.data, call.id())
        fresh = Policy(old.id, "", old.creation_time, call.now())
        _take(call, fresh, given)
        call.data.policies.add(fresh)
    return ok()


def delete_policy(call: Call) -> Response:
    call.require_system("replication-policy", "delete")
    data = call.data
    with data.lock:
        policy = find_policy(data, call.id())
        runs = list(data.executions.where(policy_id=policy.id))
        if any(run.status == "InProgress" for run in runs):
            raise precondition("contains executions that aren't in final status, stop the execution first")
        for run in runs:
            for task in data.tasks.where(execution_id=run.id):
                data.tasks.delete(task.id)
            data.executions.delete(run.id)
        data.policies.delete(policy.id)
    return ok()


def _take(call: Call, policy: Policy, given: dict[str, Any]) -> None:
    """Write a request into `policy`; raise Harbor's errors, in its order."""
    name, namespace = given.get("name", ""), given.get("dest_namespace", "")
    policy.name, policy.description = name, given.get("description", "")
    policy.src_registry_id = (given.get("src_registry") or {}).get("id", 0)
    policy.dest_registry_id = (given.get("dest_registry") or {}).get("id", 0)
    policy.dest_namespace = namespace
    policy.dest_namespace_replace_count = given.get("dest_namespace_replace_count", -1)
    policy.filters = [dict(entry) for entry in given.get("filters") or []]
    policy.trigger = given.get("trigger")
    for field in ("enabled", "override", "deletion", "copy_by_chunk", "single_active_replication"):
        setattr(policy, field, given.get(field, False))
    speed = given.get("speed", 0)
    if speed > MAX_SPEED:
        raise unprocessable("speed in body must be of type int32")
    policy.speed = max(0, speed)
    if not name:
        raise bad_request("empty name")
    if bool(policy.src_registry_id) == bool(policy.dest_registry_id):
        raise bad_request("either src_registry or dest_registry should be empty and the other one shouldn't be empty")
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise bad_request(f"invalid destination namespace: {namespace}")
    for entry in policy.filters:
        _check_filter(entry)
    _check_trigger(policy)
    same_name = call.data.policies.find(name=name)
    registries.find_registry(call.core, policy.src_registry_id or policy.dest_registry_id)
    if same_name is not None and same_name.id != policy.id:
        raise conflict(f"replication policy {name} already exists")
    if len(name) > MAX_TEXT or len(namespace) > MAX_TEXT or len(_compact(policy.filters)) > MAX_FILTERS:
        raise internal()
    if len(policy.cron) > MAX_CRON or len(_compact(policy.trigger)) > MAX_TRIGGER:
        raise internal()
    if policy.single_active_replication and policy.trigger_type == "event_based":
        raise internal()


def _compact(value: Any) -> str:
    """Return JSON as Go writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _check_filter(entry: dict[str, Any]) -> None:
    kind, value, decoration = entry.get("type", ""), entry.get("value"), entry.get("decoration", "")
    if kind not in ("resource", "name", "tag", "label"):
        raise bad_request("invalid filter type")
    if kind == "label":
        if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
            raise bad_request("the type of label filter value isn't string slice")
    elif not isinstance(value, str):
        raise bad_request("the type of filter value isn't string")
    if kind == "resource" and value not in ("image", "artifact"):
        raise bad_request(f"invalid resource filter: {value}")
    if decoration and kind not in ("tag", "label"):
        raise bad_request("only tag and label filter support decoration")
    if decoration not in ("", "matches", "excludes"):
        raise bad_request(f"invalid filter decoration, :{decoration}")
    if not decoration:
        entry.pop("decoration", None)


def _check_trigger(policy: Policy) -> None:
    if policy.trigger is None:
        return
    if policy.trigger_type not in ("manual", "scheduled", "event_based"):
        raise bad_request("invalid trigger type")
    if policy.trigger_type == "scheduled":
        complaint = check_replication(policy.cron)
        if complaint is not None:
            raise bad_request(complaint)
    if not (policy.trigger.get("trigger_settings") or {}).get("cron"):
        policy.trigger = {"type": policy.trigger_type}


ENDPOINTS = [
    Endpoint("GET", "/replication/policies", list_policies),
    Endpoint("POST", "/replication/policies", create_policy),
    Endpoint("GET", "/replication/policies/{id}", get_policy),
    Endpoint("PUT", "/replication/policies/{id}", update_policy),
    Endpoint("DELETE", "/replication/policies/{id}", delete_policy),
]
