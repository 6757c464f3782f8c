"""Webhook policies of projects, and the notifications about replications that they send."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.auth import ADMIN
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.core import Core
from localcloud.harbor.data import WebhookPolicy
from localcloud.harbor.errors import bad_request, conflict, internal, not_found
from localcloud.harbor.registries import clean_url

EVENTS = (
    *("PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING", "SCANNING_FAILED"),
    *("SCANNING_STOPPED", "SCANNING_COMPLETED", "REPLICATION", "TAG_RETENTION"),
)
TARGETS = ("http", "slack", "teams")
FORMATS = ("Default", "CloudEvents")
MAX_NAME = 256
SEND_SECONDS = 5.0
_TARGET = Struct(
    "WebhookTargetObject",
    {
        **{"type": "string", "address": "string", "auth_header": "string", "skip_cert_verify": "bool"},
        **{"payload_format": "string"},
    },
)
_POLICY = Struct(
    "WebhookPolicy",
    {
        **{"id": "int64", "name": "string", "description": "string", "project_id": "int64", "enabled": "bool"},
        **{"targets": ListOf(_TARGET, "*models.WebhookTargetObject"), "event_types": ListOf("string", "string")},
    },
)


def notify(core: Core, project_name: str, event: str, data: dict[str, Any]) -> None:
    """Send an event to the targets of the project's enabled policies; what a target answers does not matter."""
    project = core.data.projects.find(name=project_name)
    policies = core.data.webhooks.where(project_id=project.id, enabled=True) if project else ()
    body = {"type": event, "occur_at": int(core.clock().timestamp()), "operator": ADMIN, "event_data": data}
    for target in [target for policy in policies if event in policy.event_types for target in policy.targets]:
        sent = body if target["type"] == "http" else {"text": f"Harbor webhook events: {event}\n{data}"}
        headers = {"Authorization": target["auth_header"]} if target.get("auth_header") else {}
        verify = not target.get("skip_cert_verify", False)
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(target["address"], json=sent, headers=headers, timeout=SEND_SECONDS, verify=verify)


def _show(policy: WebhookPolicy) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "creation_time": timestamp(policy.creation_time),
        "creator": ADMIN,
        "description": policy.description,
        "enabled": policy.enabled,
        "event_types": policy.event_types,
        "id": policy.id,
        "name": policy.name,
        "project_id": policy.project_id,
        "targets": policy.targets,
        "update_time": timestamp(policy.update_time),
    }
    return {name: value for name, value in shown.items() if value != ""}


def list_webhooks(call: Call) -> Response:
    project = call.require(call.project(), "notification-policy", "list")
    rows = list(call.data.webhooks.where(project_id=project.id))
    fields = {"id": lambda policy: policy.id, "name": lambda policy: policy.name}
    return listing(call, rows, fields, "-id", _show)


def create_webhook(call: Call) -> Response:
    given = call.json(_POLICY, "policy")
    project = call.require(call.project(), "notification-policy", "create")
    with call.data.lock:
        policy = WebhookPolicy(0, project.id, "", call.now(), call.now())
        _take(call, policy, given)
        policy.id = call.data.webhooks.next_id()
        call.data.webhooks.add(policy)
    return created(f"/projects/{call.params['project']}/webhook/policies/{policy.id}")


def _take(call: Call, policy: WebhookPolicy, given: dict[str, Any]) -> None:
    """Check a request in Harbor's order, and write it into `policy`."""
    name, events, targets = given.get("name", ""), given.get("event_types") or [], given.get("targets") or []
    if not events:
        raise bad_request("empty event type")
    for event in events:
        if event not in EVENTS:
            raise bad_request(f"unsupported event type {event}")
    if not targets:
        raise bad_request(f"empty notification target with policy {name}")
    checked = [_checked_target(name, target) for target in targets]
    same_name = call.data.webhooks.find(project_id=policy.project_id, name=name)
    if same_name is not None and same_name.id != policy.id:
        raise conflict(f"notification policy named {name} already exists")
    if len(name) > MAX_NAME:
        raise internal()
    policy.name, policy.description, policy.enabled = name, given.get("description", ""), given.get("enabled", False)
    policy.targets, policy.event_types = checked, events


def _checked_target(policy: str, target: dict[str, Any]) -> dict[str, Any]:
    kind, payload = target.get("type", ""), target.get("payload_format", "")
    checked = {**target, "address": clean_url(target.get("address", ""))}
    if kind not in TARGETS:
        raise bad_request(f"unsupported target type {kind} with policy {policy}")
    if payload and kind != "http":
        raise bad_request(f"set payload format is not allowed for {kind}")
    if payload and payload not in FORMATS:
        raise bad_request(f"unsupported payload format type: {payload}")
    if kind == "http":
        checked["payload_format"] = payload or FORMATS[0]
    return {name: value for name, value in checked.items() if value not in ("", False)}


def _webhook(call: Call, action: str) -> WebhookPolicy:
    project = call.require(call.project(), "notification-policy", action)
    policy = call.data.webhooks.get(call.id())
    if policy is None:
        raise not_found(f"notification policy {call.id()} not found")
    if policy.project_id != project.id:
        raise not_found(f"project id:{project.id}, webhook policy id: {policy.id} not found")
    return policy


def get_webhook(call: Call) -> Response:
    return ok(_show(_webhook(call, "read")))


def update_webhook(call: Call) -> Response:
    given = call.json(_POLICY, "policy")
    policy = _webhook(call, "update")
    with call.data.lock:
        _take(call, policy, given)
        policy.update_time = call.now()
    return ok()


def delete_webhook(call: Call) -> Response:
    call.data.webhooks.delete(_webhook(call, "delete").id)
    return ok()


_WEBHOOKS = "/projects/{project}/webhook/policies"
ENDPOINTS = [
    Endpoint("GET", _WEBHOOKS, list_webhooks),
    Endpoint("POST", _WEBHOOKS, create_webhook),
    Endpoint("GET", f"{_WEBHOOKS}/{{id}}", get_webhook),
    Endpoint("PUT", f"{_WEBHOOKS}/{{id}}", update_webhook),
    Endpoint("DELETE", f"{_WEBHOOKS}/{{id}}", delete_webhook),
]
