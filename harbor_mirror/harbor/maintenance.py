"""Harbor's own housekeeping in the form that Harbor takes: garbage collection, purge of the audit log, retention."""

from __future__ import annotations

import json
from typing import Any

from harbor_mirror.config.models import AuditPurge, GarbageCollection, Retention, RetentionRule
from harbor_mirror.plan.retention import TEMPLATES, selector
from harbor_mirror.plan.schedule import parse_maintenance

Json = dict[str, Any]
#: Where each of the two schedules is; Harbor has one of each kind.
GC_SCHEDULE, PURGE_SCHEDULE = "/system/gc/schedule", "/system/purgeaudit/schedule"
ALWAYS = "always"


def garbage_collection(wanted: GarbageCollection) -> Json:
    """The body of a PUT to GC_SCHEDULE."""
    return {
        "schedule": _schedule(wanted.schedule, "garbageCollection"),
        "parameters": {"delete_untagged": wanted.delete_untagged, "workers": wanted.workers},
    }


def audit_purge(wanted: AuditPurge) -> Json:
    """The body of a PUT to PURGE_SCHEDULE; Harbor reads `include_operations` until 2.12, then `include_event_types`."""
    artifacts = [operation for operation in wanted.operations if operation != "other"]
    events = [f"{operation}_artifact" for operation in artifacts] + ["other"] * ("other" in wanted.operations)
    return {
        "schedule": _schedule(wanted.schedule, "auditPurge"),
        "parameters": {
            "audit_retention_hour": wanted.retention_hours,
            "include_operations": ",".join(artifacts),
            "include_event_types": ",".join(events),
            "dry_run": False,
        },
    }


def retention(project: str, wanted: Retention) -> Json:
    """What the stack says of a retention policy; its id, scope and algorithm are Harbor's."""
    cron = parse_maintenance(wanted.schedule, name=project).cron
    return {
        "rules": [_rule(kept) for kept in wanted.keep],
        "trigger": {"kind": "Schedule", "references": {}, "settings": {"cron": cron}},
    }


def _schedule(text: str, name: str) -> Json:
    cron = parse_maintenance(text, name=name).cron
    return {"type": "Custom", "cron": cron} if cron else {"type": "None"}


def _rule(kept: RetentionRule) -> Json:
    counts = {name: count for field, name in TEMPLATES.items() if (count := getattr(kept, field)) is not None}
    return {
        "disabled": False,
        "action": "retain",
        "template": next(iter(counts), ALWAYS),
        "params": counts,
        "scope_selectors": {"repository": [_selector(*selector(kept.repositories, "repository"), "repo")]},
        "tag_selectors": [
            {
                **_selector(*selector(kept.tags, "tag"), ""),
                "extras": json.dumps({"untagged": kept.untagged}, separators=(",", ":")),
            }
        ],
    }


def _selector(matching: str | None, excluding: str | None, prefix: str) -> Json:
    word = "matches" if excluding is None else "excludes"
    decoration = f"{prefix}{word.capitalize()}" if prefix else word
    return {"kind": "doublestar", "decoration": decoration, "pattern": matching if excluding is None else excluding}
