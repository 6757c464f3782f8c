"""Harbor's own maintenance, resolved: garbage collection and the purge of the audit log. Global settings of Harbor."""

from __future__ import annotations

from dataclasses import dataclass

from harbor_mirror.config.models import AuditPurge, GarbageCollection
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.schedule import Schedule, parse_maintenance

DELETES_UNTAGGED = (
    "deleteUntagged deletes what a moved tag leaves behind: who pins such an image by digest can't pull it any more"
)


@dataclass(frozen=True, kw_only=True)
class PlannedGarbageCollection:
    """When Harbor frees the disk space of deleted images, and whether untagged artifacts go, too."""

    schedule: Schedule
    delete_untagged: bool
    workers: int


@dataclass(frozen=True, kw_only=True)
class PlannedAuditPurge:
    """When Harbor deletes audit log entries older than `retention_hours`, and of which operations."""

    schedule: Schedule
    retention_hours: int
    operations: tuple[str, ...]


def plan_garbage_collection(entry: GarbageCollection, report: EntryReport) -> PlannedGarbageCollection | None:
    """Resolve `maintenance.garbageCollection`; return None if it has faults."""
    schedule = report.attempt("schedule", lambda: parse_maintenance(entry.schedule, name="garbageCollection"))
    if entry.delete_untagged:
        report.warn(DELETES_UNTAGGED)
    if schedule is None:
        return None
    return PlannedGarbageCollection(schedule=schedule, delete_untagged=entry.delete_untagged, workers=entry.workers)


def plan_audit_purge(entry: AuditPurge, report: EntryReport) -> PlannedAuditPurge | None:
    """Resolve `maintenance.auditPurge`; return None if it has faults."""
    schedule = report.attempt("schedule", lambda: parse_maintenance(entry.schedule, name="auditPurge"))
    if schedule is None:
        return None
    return PlannedAuditPurge(
        schedule=schedule, retention_hours=entry.retention_hours, operations=tuple(entry.operations)
    )
