"""What a stack wants in Harbor, in Harbor's own JSON, and the same facts read back from Harbor.

Both sides become flat maps from the configuration's key to text, so that one comparison serves every kind of object.
"""

from __future__ import annotations

from collections.abc import Mapping

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.models import Configuration, Endpoint, Project, Rule
from harbor_mirror.config.parse import endpoint_name
from harbor_mirror.harbor.client import Json
from harbor_mirror.plan.checks import tag_filters
from harbor_mirror.plan.filters import join
from harbor_mirror.plan.outputs import MANUAL, cron
from harbor_mirror.plan.registry_types import access_id, access_secret, url_of
from harbor_mirror.plan.validation import checked
from mirrorctl import stack_file
from mirrorctl.failure import Failure
from mirrorctl.live import engine
from mirrorctl.live.connection import Connection

Facts = Mapping[str, str]
GB = 1024**3
UNLIMITED = -1


def configuration(connection: Connection) -> Configuration:
    """The stack's configuration as the engine has it. Raises Failure."""
    if connection.outputs is None:
        raise Failure("this compares a stack with its Harbor; say --stack, or unset HARBOR_URL")
    settings = engine.configuration(connection.stack, connection.cwd)
    stack = connection.stack or engine.selected(connection.cwd)
    held = {key: entry.get("objectValue", entry.get("value")) for key, entry in settings.items()}
    try:
        return checked(held, stack_file.project(connection.cwd), connection.cwd, stack).sound()
    except ConfigurationError as error:
        raise Failure(str(error)) from None


# Rules


def policy(name: str, rule: Rule, registry_id: int) -> Json:
    """A rule as Harbor takes it."""
    schedule = cron(name, rule)
    filters: list[Json] = [{"type": "name", "value": join(rule.repositories)}]
    filters += [{"type": "tag", "value": tag.pattern, "decoration": tag.decoration} for tag in tag_filters(rule)]
    if rule.labels:
        filters.append({"type": "label", "value": list(rule.labels), "decoration": "matches"})
    if rule.resource is not None:
        filters.append({"type": "resource", "value": rule.resource})
    scheduled = {"type": "scheduled", "trigger_settings": {"cron": schedule}}
    return {
        "name": name,
        "description": rule.description,
        "src_registry": {"id": registry_id},
        "dest_namespace": rule.namespace,
        "dest_namespace_replace_count": rule.flatten,
        "filters": filters,
        "trigger": {"type": "manual"} if schedule == MANUAL else scheduled,
        "enabled": rule.enabled,
        "override": rule.override,
        "deletion": rule.deletion,
        "copy_by_chunk": rule.copy_by_chunk,
        "speed": rule.speed_kbps,
    }


def policy_facts(found: Json) -> Facts:
    """What can drift in a rule; what Harbor leaves out is false, and its speed 0 is our -1."""
    filters: dict[str, str] = {}
    for item in found.get("filters") or []:
        key = f"{item.get('type')} {item.get('decoration') or 'matches'}"
        value = item.get("value")
        # A second filter of a kind counts too: Harbor joins them by AND.
        filters[key] = f"{filters[key]} and {_text(value)}" if key in filters else _text(value)
    trigger = found.get("trigger") or {}
    schedule = (trigger.get("trigger_settings") or {}).get("cron") or ""
    return {
        "name": found.get("name") or "",
        "description": found.get("description") or "",
        "endpoint": str((found.get("src_registry") or {}).get("id") or ""),
        "destination": found.get("dest_namespace") or "",
        "flatten": str(found.get("dest_namespace_replace_count", -1)),
        "repositories": filters.get("name matches", ""),
        "tags.matches": filters.get("tag matches", ""),
        "tags.excludes": filters.get("tag excludes", ""),
        "labels": filters.get("label matches", ""),
        "resource": filters.get("resource matches", ""),
        "schedule": schedule if trigger.get("type") == "scheduled" else trigger.get("type") or MANUAL,
        "enabled": _flag(found.get("enabled")),
        "override": _flag(found.get("override")),
        "deletion": _flag(found.get("deletion")),
        "copyByChunk": _flag(found.get("copy_by_chunk")),
        "speedKbps": str(found.get("speed") if (found.get("speed") or 0) > 0 else -1),
    }


# Endpoints


def registry(key: str, endpoint: Endpoint) -> Json:
    """An endpoint as Harbor's update takes it: flat, with its secret."""
    secret = None if endpoint.secret is None else endpoint.secret.get_secret_value()
    credential = {
        "credential_type": "basic",
        "access_key": access_id(endpoint.type, endpoint.username, secret) or "",
        "access_secret": access_secret(endpoint.type, endpoint.username, secret) or "",
    }
    return {
        "name": endpoint_name(key, endpoint),
        "type": endpoint.type,
        "url": url_of(endpoint.type, endpoint.url),
        "description": endpoint.description,
        "insecure": endpoint.insecure,
        **credential,
    }


def registry_facts(found: Json) -> Facts:
    """What can drift in an endpoint; its secret can't be read back, only tried."""
    return {
        "name": found.get("name") or "",
        "type": found.get("type") or "",
        "url": (found.get("url") or "").rstrip("/"),
        "description": found.get("description") or "",
        "insecure": _flag(found.get("insecure")),
        "username": found.get("access_key") or (found.get("credential") or {}).get("access_key") or "",
    }


# Projects


def project(entry: Project) -> Json:
    """A project's metadata; Harbor wants text for its flags."""
    return {"public": _flag(entry.public), "auto_scan": _flag(entry.vulnerability_scanning)}


def project_facts(metadata: Json, quota: Json | None) -> Facts:
    """What can drift in a project."""
    hard = ((quota or {}).get("hard") or {}).get("storage", UNLIMITED)
    return {
        "public": str(metadata.get("public") or "false"),
        "vulnerabilityScanning": str(metadata.get("auto_scan") or "false"),
        "quotaGb": "unlimited" if hard == UNLIMITED else f"{hard / GB:g}",
    }


def quota(entry: Project) -> Json:
    """A project's storage limit."""
    return {"hard": {"storage": UNLIMITED if entry.quota_gb is None else entry.quota_gb * GB}}


# The robot


def robot_permissions(projects: Mapping[str, Project]) -> list[Json]:
    """What deployments' robot may do: pull, from the stack's projects."""
    pull = [{"action": "pull", "resource": "repository"}]
    return [{"kind": "project", "namespace": name, "access": pull} for name in projects]


def robot_facts(found: Json) -> Facts:
    """What can drift in the robot; its secret can only be tried."""
    rights = {
        f"{permission.get('namespace')}:{access.get('resource')}:{access.get('action')}"
        for permission in found.get("permissions") or []
        for access in permission.get("access") or []
    }
    expires = found.get("duration", -1)
    return {
        "disabled": _flag(found.get("disable")),
        "expires": "never" if expires == -1 else f"after {expires} days",
        "permissions": ", ".join(sorted(rights)),
    }


def _flag(value: object) -> str:
    return "true" if value in (True, "true") else "false"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
