"""The robot account with which deployments pull: its mapping to Harbor's JSON and the provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true

NEVER_EXPIRES = -1
DESCRIPTION = "Pulls from the mirror's projects; managed by harbor-mirror"
_PULL = {"action": "pull", "resource": "repository"}


def to_json(projects: Iterable[str]) -> Json:
    """Return what the robot may do as Harbor's update takes it: pull from these projects, for ever."""
    permissions = [{"kind": "project", "namespace": project, "access": [_PULL]} for project in projects]
    return {"disable": False, "duration": NEVER_EXPIRES, "permissions": permissions}


def to_provider(name: Any, projects: Iterable[Any]) -> dict[str, Any]:
    """Return the provider's arguments. Names may be Pulumi outputs."""
    return {
        "name": name,
        "level": "system",
        "duration": NEVER_EXPIRES,
        "description": DESCRIPTION,
        "permissions": [{"kind": "project", "namespace": project, "accesses": [_PULL]} for project in projects],
    }


def facts(found: Json) -> Facts:
    """Return what can drift in the robot. Its secret can't be read back, only tried."""
    rights = {
        f"{permission.get('namespace')}:{access.get('resource')}:{access.get('action')}"
        for permission in found.get("permissions") or []
        for access in permission.get("access") or []
    }
    expires = found.get("duration", NEVER_EXPIRES)
    return {
        "disabled": as_text(is_true(found.get("disable"))),
        "expires": "never" if expires == NEVER_EXPIRES else f"after {expires} days",
        "permissions": ", ".join(sorted(rights)),
    }
