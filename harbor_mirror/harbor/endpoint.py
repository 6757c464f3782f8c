"""Registry endpoints: the mapping between a planned endpoint, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from typing import Any

from harbor_mirror.config.faults import HIDDEN
from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.endpoint import PlannedEndpoint
from harbor_mirror.plan.registry_types import provider_name


def to_json(endpoint: PlannedEndpoint) -> Json:
    """Return an endpoint as Harbor's update takes it: flat, with its secret."""
    return {
        "name": endpoint.name,
        "type": endpoint.type,
        "url": endpoint.url,
        "description": endpoint.description,
        "insecure": endpoint.insecure,
        "credential_type": "basic",
        "access_key": endpoint.access_id or "",
        "access_secret": endpoint.access_secret or "",
    }


def to_update(endpoint: PlannedEndpoint) -> Json:
    """Return the body that saves an endpoint again. Without its type, which Harbor ignores here."""
    return {key: value for key, value in to_json(endpoint).items() if key != "type"}


def to_provider(*, name: str, type: str, **inputs: Any) -> dict[str, Any]:
    """Return the provider's arguments.

    `inputs` are `url`, `access_id`, `access_secret`, `description` and `insecure`, which may be Pulumi outputs.
    """
    return {"name": name, "provider_name": provider_name(type), "endpoint_url": inputs.pop("url"), **inputs}


def to_configuration(key: str, found: Json) -> dict[str, Any]:
    """Return the entry of `endpoints` that declares an endpoint as Harbor has it; its secret is a placeholder."""
    entry: dict[str, Any] = {"type": found["type"], "url": found["url"].rstrip("/")}
    if found["name"] != f"{key}-{found['type']}":
        entry["name"] = found["name"]
    if username := (found.get("credential") or {}).get("access_key"):
        entry["username"] = username
        entry["secret"] = HIDDEN
    if found.get("description"):
        entry["description"] = found["description"]
    if found.get("insecure"):
        entry["insecure"] = True
    return entry


def facts(found: Json) -> Facts:
    """Return what can drift in an endpoint. Its secret can't be read back, only tried."""
    return {
        "name": found.get("name") or "",
        "type": found.get("type") or "",
        "url": (found.get("url") or "").rstrip("/"),
        "description": found.get("description") or "",
        "insecure": as_text(is_true(found.get("insecure"))),
        "username": found.get("access_key") or (found.get("credential") or {}).get("access_key") or "",
    }
