"""Webhook policies of a project: the mapping between a plan, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from harbor_mirror.config.faults import HIDDEN
from harbor_mirror.harbor.facts import Facts, Json, as_text
from harbor_mirror.plan.project import PlannedWebhook

#: Harbor's formats of a message; the provider lacks the setting, and so resets it to the first.
DEFAULT_FORMAT = "Default"


def to_json(webhook: PlannedWebhook) -> Json:
    """Return a webhook as Harbor's API takes it."""
    target = {
        "type": webhook.type,
        "address": webhook.url.get_secret_value(),
        "auth_header": _plain(webhook.auth_header),
        "skip_cert_verify": webhook.insecure,
    }
    return {
        "name": webhook.name,
        "description": webhook.description,
        "enabled": webhook.enabled,
        "event_types": list(webhook.events),
        "targets": [target],
    }


def to_provider(webhook: PlannedWebhook) -> dict[str, Any]:
    """Return the provider's arguments, all of them but `project_id`, `address` and `auth_header`, which are secrets."""
    return {
        "name": webhook.name,
        "notify_type": webhook.type,
        "events_types": list(webhook.events),
        "skip_cert_verify": webhook.insecure,
        "enabled": webhook.enabled,
        "description": webhook.description,
    }


def to_configuration(found: Json) -> dict[str, Any]:
    """Return the entry of `webhooks` for a webhook as Harbor has it; `obstacle` says whether there is one.

    Its secrets are placeholders.
    """
    target = found["targets"][0]
    entry: dict[str, Any] = {
        "type": target["type"],
        "url": "https://hooks.example.com/harbor",
        "events": found["event_types"],
    }
    if target.get("auth_header"):
        entry["authHeader"] = HIDDEN
    if target.get("skip_cert_verify"):
        entry["insecure"] = True
    if not found.get("enabled"):
        entry["enabled"] = False
    if found.get("description"):
        entry["description"] = found["description"]
    return entry


def obstacle(found: Json) -> str:
    """Return why the configuration can't declare a webhook, or an empty text if it can."""
    targets = found.get("targets") or []
    if len(targets) != 1:
        return f"it has {len(targets)} targets"
    if (payload := targets[0].get("payload_format") or DEFAULT_FORMAT) != DEFAULT_FORMAT:
        return f"its payload format is {payload}, which the provider would reset"
    return ""


def facts(found: Json) -> Facts:
    """Return what can drift in a webhook. Secrets are shown as a part of their hash."""
    target = (found.get("targets") or [{}])[0]
    return {
        "type": target.get("type") or "",
        "url": _hash_secret(target.get("address")),
        "authHeader": _hash_secret(target.get("auth_header")),
        "events": as_text(sorted(found.get("event_types") or [])),
        "insecure": as_text(bool(target.get("skip_cert_verify"))),
        "enabled": as_text(bool(found.get("enabled"))),
        "description": found.get("description") or "",
    }


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _hash_secret(secret: str | None) -> str:
    return f"secret {sha256(secret.encode()).hexdigest()[:8]}" if secret else ""
