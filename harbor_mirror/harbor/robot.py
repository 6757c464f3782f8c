"""Robot accounts, of deployments and of teams: their mapping to Harbor's JSON and the provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.robot import SHORT, PlannedRobot

NEVER_EXPIRES = -1
DESCRIPTION = "Pulls from the mirror's projects; managed by harbor-mirror"


def to_json(projects: Iterable[str]) -> Json:
    """Return what the robot of deployments may do as Harbor's update takes it: pull from these projects, for ever."""
    return {"disable": False, "duration": NEVER_EXPIRES, "permissions": _permissions(projects, SHORT["pull"], "access")}


def to_provider(name: Any, projects: Iterable[Any]) -> dict[str, Any]:
    """Return the provider's arguments. Names may be Pulumi outputs."""
    return {
        "name": name,
        "level": "system",
        "duration": NEVER_EXPIRES,
        "description": DESCRIPTION,
        "permissions": _permissions(projects, SHORT["pull"], "accesses"),
    }


def account_to_json(robot: PlannedRobot) -> Json:
    """Return a team's robot account as Harbor's update takes it, without its name."""
    return {
        "disable": not robot.enabled,
        "duration": robot.expires_days or NEVER_EXPIRES,
        "description": robot.description,
        "permissions": _permissions(robot.projects, robot.rights, "access"),
    }


def account_to_provider(robot: PlannedRobot) -> dict[str, Any]:
    """Return the provider's arguments for a team's robot account."""
    return {
        "name": robot.name,
        "level": "system",
        "disable": not robot.enabled,
        "duration": robot.expires_days or NEVER_EXPIRES,
        "description": robot.description,
        "permissions": _permissions(robot.projects, robot.rights, "accesses"),
    }


def facts(found: Json) -> Facts:
    """Return what can drift in a robot account. Its secret can't be read back, only tried."""
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


def _permissions(projects: Iterable[Any], rights: Iterable[str], accesses: str) -> list[dict[str, Any]]:
    pairs = [right.split(":") for right in rights]
    granted = [{"action": action, "resource": resource} for resource, action in pairs]
    return [{"kind": "project", "namespace": project, accesses: granted} for project in projects]
