"""A project, resolved: where a rule's images land."""

from __future__ import annotations

from dataclasses import dataclass

from harbor_mirror.config.models import Project
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.retention import PlannedRetention, plan_retention


@dataclass(frozen=True, kw_only=True)
class PlannedProject:
    """A project as Harbor gets it; `quota_gb` is None for unlimited storage."""

    name: str
    public: bool = False
    quota_gb: int | None = None
    vulnerability_scanning: bool = True
    force_destroy: bool = False
    retention: PlannedRetention | None = None


def plan_project(name: str, project: Project, report: EntryReport) -> PlannedProject | None:
    """Resolve one entry of `projects`; return None if it has faults. `report` is for its `retention`."""
    retention = plan_retention(name, project.retention, report) if project.retention else None
    if not report.is_valid:
        return None
    return PlannedProject(
        name=name,
        public=project.public,
        quota_gb=project.quota_gb,
        vulnerability_scanning=project.vulnerability_scanning,
        force_destroy=project.force_destroy,
        retention=retention,
    )
