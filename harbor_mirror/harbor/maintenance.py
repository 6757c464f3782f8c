"""Harbor's own maintenance: the mapping between the plan, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

import json
from typing import Any

from harbor_mirror.harbor.facts import Facts, Json, as_text, is_true
from harbor_mirror.plan.maintenance import PlannedAuditPurge, PlannedGarbageCollection
from harbor_mirror.plan.schedule import MANUAL, Schedule

#: Where each of the two schedules is; Harbor has one of each kind.
GC_SCHEDULE, PURGE_SCHEDULE = "/system/gc/schedule", "/system/purgeaudit/schedule"
#: Crons that the provider reads back as words of its own: sent as crons they would differ at every preview.
PROVIDER_WORDS = {"0 0 * * * *": "Hourly", "0 0 0 * * *": "Daily", "0 0 0 * * 0": "Weekly"}


def provider_schedule(schedule: Schedule) -> str | None:
    """Return a schedule as the provider keeps it; None for `manual`."""
    return PROVIDER_WORDS.get(schedule.cron, schedule.cron) or None


def garbage_collection_to_json(collection: PlannedGarbageCollection) -> Json:
    """Return the body of a PUT to GC_SCHEDULE."""
    return {
        "schedule": _schedule(collection.schedule),
        "parameters": {"delete_untagged": collection.delete_untagged, "workers": collection.workers},
    }


def garbage_collection_to_provider(collection: PlannedGarbageCollection) -> dict[str, Any]:
    """Return the provider's arguments. `delete_untagged` is stated: Harbor's own default is to delete them."""
    return {
        "schedule": provider_schedule(collection.schedule) or "",
        "delete_untagged": collection.delete_untagged,
        "workers": collection.workers,
    }


def garbage_collection_to_configuration(found: Json) -> dict[str, Any]:
    """Return the entry `maintenance.garbageCollection` that declares the schedule as Harbor has it."""
    parameters = _parameters(found)
    untagged, workers = is_true(parameters.get("delete_untagged")), parameters.get("workers") or 1
    return {"schedule": cron(found), "deleteUntagged": untagged, "workers": workers}


def garbage_collection_facts(found: Json) -> Facts:
    """Return what can drift in it."""
    return {key: as_text(value) for key, value in garbage_collection_to_configuration(found).items()}


def audit_purge_to_json(purge: PlannedAuditPurge) -> Json:
    """Return the body of a PUT to PURGE_SCHEDULE.

    Harbor reads `include_operations` until 2.12 and `include_event_types` from 2.13.
    """
    artifacts = [operation for operation in purge.operations if operation != "other"]
    events = [f"{operation}_artifact" for operation in artifacts] + ["other"] * ("other" in purge.operations)
    return {
        "schedule": _schedule(purge.schedule),
        "parameters": {
            "audit_retention_hour": purge.retention_hours,
            "include_operations": ",".join(artifacts),
            "include_event_types": ",".join(events),
            "dry_run": False,
        },
    }


def audit_purge_to_configuration(found: Json) -> dict[str, Any]:
    """Return the entry `maintenance.auditPurge` that declares the schedule as Harbor has it."""
    hours = _parameters(found).get("audit_retention_hour")
    return {"schedule": cron(found), "retentionHours": hours, "operations": _operations(found)}


def audit_purge_facts(found: Json) -> Facts:
    """Return what can drift in it. The order of the operations means nothing."""
    entry = audit_purge_to_configuration(found)
    return {key: as_text(value) for key, value in {**entry, "operations": sorted(entry["operations"])}.items()}


def cron(found: Json) -> str:
    """Return the cron of one of the two schedules, or `manual`: Harbor answers with nothing where none is set."""
    return (found.get("schedule") or {}).get("cron") or MANUAL


def decode(text: object) -> Json:
    """Return an object that Harbor keeps as JSON text; an empty one if it is none."""
    try:
        decoded = json.loads(str(text or "{}"))
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _schedule(schedule: Schedule) -> Json:
    return {"type": "None"} if schedule.is_manual else {"type": "Custom", "cron": schedule.cron}


def _operations(found: Json) -> list[str]:
    parameters = _parameters(found)
    events = parameters.get("include_event_types") or parameters.get("include_operations") or ""
    return [event.removesuffix("_artifact") for event in str(events).split(",") if event]


def _parameters(found: Json) -> Json:
    # Harbor takes an object and gives it back as text.
    return found.get("parameters") or decode(found.get("job_parameters"))
