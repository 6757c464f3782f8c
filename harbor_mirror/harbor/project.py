"""Projects and quotas: the mapping between a planned project, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from typing import Any

from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.project import PlannedProject

GB = 1024**3
UNLIMITED = -1
#: Harbor's setting for who may create projects, and its value for administrators only.
PROJECT_CREATION, ADMINISTRATORS = "project_creation_restriction", "adminonly"


def to_json(project: PlannedProject) -> Json:
    """Return a project's metadata as Harbor takes it: flags are text."""
    return {"public": as_text(project.public), "auto_scan": as_text(project.vulnerability_scanning)}


def to_quota(project: PlannedProject) -> Json:
    """Return a project's storage limit as Harbor takes it."""
    return {"hard": {"storage": UNLIMITED if project.quota_gb is None else project.quota_gb * GB}}


def to_provider(*, name: str, quota_gb: Any, **inputs: Any) -> dict[str, Any]:
    """Return the provider's arguments.

    `inputs` are `public`, `vulnerability_scanning` and `force_destroy`, which may be Pulumi outputs, like `quota_gb`.
    """
    return {"name": name, "storage_quota": UNLIMITED if quota_gb is None else quota_gb, **inputs}


def to_configuration(found: Json, quota: Json | None) -> dict[str, Any]:
    """Return the entry of `projects` that declares a project as Harbor has it, without its retention."""
    metadata = found.get("metadata") or {}
    limit = _limit(quota)
    entry: dict[str, Any] = {}
    if is_true(metadata.get("public")):
        entry["public"] = True
    if not is_true(metadata.get("auto_scan")):
        entry["vulnerabilityScanning"] = False
    if limit > 0:
        # The configuration takes whole GB. Rounded up, so that nothing that fits now is refused later.
        entry["quotaGb"] = -(-limit // GB)
    return entry


def facts(metadata: Json, quota: Json | None) -> Facts:
    """Return what can drift in a project."""
    limit = _limit(quota)
    whole = f"{limit // GB}" if limit % GB == 0 else f"{limit / GB:.3f} ({limit} bytes)"
    return {
        "public": as_text(is_true(metadata.get("public"))),
        "vulnerabilityScanning": as_text(is_true(metadata.get("auto_scan"))),
        "quotaGb": "unlimited" if limit == UNLIMITED else whole,
    }


def _limit(quota: Json | None) -> int:
    return int(((quota or {}).get("hard") or {}).get("storage", UNLIMITED))
