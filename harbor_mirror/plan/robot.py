"""A team's robot account, resolved."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from harbor_mirror.config.protection import Robot
from harbor_mirror.plan.report import EntryReport

#: What a robot account may do in a project: resources and actions (Harbor's GET /permissions).
PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "accessory": ("list",),
    "artifact": ("create", "delete", "list", "read"),
    "artifact-addition": ("read",),
    "artifact-label": ("create", "delete"),
    "immutable-tag": ("create", "delete", "list", "update"),
    "label": ("create", "delete", "list", "read", "update"),
    "log": ("list",),
    "member": ("create", "delete", "list", "read", "update"),
    "metadata": ("create", "delete", "list", "read", "update"),
    "notification-policy": ("create", "delete", "list", "read", "update"),
    "preheat-policy": ("create", "delete", "list", "read", "update"),
    "project": ("delete", "read", "update"),
    "quota": ("read",),
    "repository": ("delete", "list", "pull", "push", "read", "update"),
    "robot": ("create", "delete", "list", "read"),
    "sbom": ("create", "read", "stop"),
    "scan": ("create", "read", "stop"),
    "scanner": ("create", "read"),
    "tag": ("create", "delete", "list"),
    "tag-retention": ("create", "delete", "list", "operate", "read", "update"),
}
#: Short forms. Harbor needs pull for a push, too.
SHORT: Mapping[str, tuple[str, ...]] = {
    "pull": ("repository:pull",),
    "push": ("repository:pull", "repository:push"),
}
KNOWN = (*SHORT, *(f"{resource}:{action}" for resource, actions in PERMISSIONS.items() for action in actions))


@dataclass(frozen=True, kw_only=True)
class PlannedRobot:
    """A robot account of the system level, with rights in projects. `expires_days` is None for never."""

    name: str
    projects: tuple[str, ...]
    rights: tuple[str, ...] = SHORT["pull"]
    """Harbor's permissions, such as `repository:pull`."""
    expires_days: int | None = None
    enabled: bool = True
    description: str = ""


def plan_robot(name: str, robot: Robot, report: EntryReport) -> PlannedRobot | None:
    """Resolve one entry of `robots`; return None if it has faults."""
    rights: dict[str, None] = {}
    for index, right in enumerate(robot.rights):
        if right not in KNOWN:
            close = difflib.get_close_matches(right, KNOWN, n=1)
            reason = "is not pull, push, or a permission of a project in Harbor"
            report.fault(f"rights[{index}]", right, reason, next(iter(close), "artifact:list"))
        rights |= dict.fromkeys(SHORT.get(right, (right,)))
    if not report.is_valid:
        return None
    return PlannedRobot(
        name=name,
        projects=tuple(dict.fromkeys(robot.projects)),
        rights=tuple(sorted(rights)),
        expires_days=robot.expires_days,
        enabled=robot.enabled,
        description=robot.description,
    )
