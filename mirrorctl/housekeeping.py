"""What a stack wants of Harbor's housekeeping, in Harbor's JSON, and the same facts read back: retention, garbage
collection, purge of the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harbor_mirror.clients.harbor import Json
from harbor_mirror.model.config import AuditPurge, GarbageCollection, Retention, RetentionRule
from harbor_mirror.model.outputs import MANUAL
from harbor_mirror.model.retention import selector
from harbor_mirror.model.schedule import parse_maintenance

Facts = Mapping[str, str]
GC, PURGE = "/system/gc/schedule", "/system/purgeaudit/schedule"
#: What a rule keeps by, and Harbor's template (and parameter) for it.
TEMPLATES = {
    "most_recently_pushed": "latestPushedK",
    "most_recently_pulled": "latestPulledN",
    "pushed_within_days": "nDaysSinceLastPush",
    "pulled_within_days": "nDaysSinceLastPull",
}
ALWAYS = "always"


def garbage_collection(wanted: GarbageCollection) -> Json:
    """As Harbor takes it."""
    return {
        "schedule": _schedule(wanted.schedule, "garbageCollection"),
        "parameters": {"delete_untagged": wanted.delete_untagged, "workers": wanted.workers},
    }


def garbage_collection_facts(found: Json) -> Facts:
    """What can drift in it."""
    parameters = _parameters(found)
    return {
        "schedule": _cron(found),
        "deleteUntagged": "true" if parameters.get("delete_untagged") else "false",
        "workers": str(parameters.get("workers") or 1),
    }


def audit_purge(wanted: AuditPurge) -> Json:
    """As Harbor takes it: until 2.12 it read `include_operations`, since 2.13 `include_event_types`."""
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


def audit_purge_facts(found: Json) -> Facts:
    """What can drift in it."""
    parameters = _parameters(found)
    events = str(parameters.get("include_event_types") or "").split(",")
    return {
        "schedule": _cron(found),
        "retentionHours": str(parameters.get("audit_retention_hour") or ""),
        "operations": ", ".join(sorted(event.removesuffix("_artifact") for event in events if event)),
    }


def retention(project: str, wanted: Retention, live: Json) -> Json:
    """As Harbor takes it, in place of `live`."""
    cron = parse_maintenance(wanted.schedule, name=project).cron
    return {
        **live,
        "rules": [_rule(kept) for kept in wanted.keep],
        "trigger": {"kind": "Schedule", "references": {}, "settings": {"cron": cron}},
    }


def retention_facts(found: Json) -> Facts:
    """What can drift in it; the order of rules says nothing."""
    cron = ((found.get("trigger") or {}).get("settings") or {}).get("cron")
    return {"schedule": cron or MANUAL, "keep": "; ".join(sorted(map(_in_words, found.get("rules") or [])))}


def _rule(kept: RetentionRule) -> Json:
    template = next((name for field, name in TEMPLATES.items() if getattr(kept, field) is not None), ALWAYS)
    count = next((getattr(kept, field) for field, name in TEMPLATES.items() if name == template), None)
    return {
        "disabled": False,
        "action": "retain",
        "template": template,
        "params": {} if count is None else {template: count},
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


def _in_words(rule: Json) -> str:
    counts = " ".join(str(value) for value in (rule.get("params") or {}).values())
    scopes = [part for parts in (rule.get("scope_selectors") or {}).values() for part in parts]
    tags = rule.get("tag_selectors") or []
    untagged = any(_extras(tag).get("untagged") for tag in tags)
    parts = [
        *(["disabled"] if rule.get("disabled") else []),
        f"{rule.get('template')} {counts}".strip(),
        *_patterns(scopes),
        *_patterns(tags),
        "and untagged" if untagged else "",
    ]
    return " ".join(filter(None, parts))


def _patterns(selectors: list[Json]) -> Iterator[str]:
    return (f"{part.get('decoration')} {part.get('pattern')}" for part in selectors)


def _extras(selector: Json) -> Json:
    return _decoded(selector.get("extras"))


def _schedule(text: str, name: str) -> Json:
    cron = parse_maintenance(text, name=name).cron
    return {"type": "Custom", "cron": cron} if cron else {"type": "None"}


def _cron(found: Json) -> str:
    return (found.get("schedule") or {}).get("cron") or MANUAL


def _parameters(found: Json) -> Json:
    # What Harbor takes as an object it gives back as text.
    return found.get("parameters") or _decoded(found.get("job_parameters"))


def _decoded(text: Any) -> Json:
    try:
        decoded = json.loads(text or "{}")
    except (TypeError, ValueError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
