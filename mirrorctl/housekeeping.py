"""Harbor's housekeeping as it is set: what can drift in it, and what a stack's configuration would say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harbor_mirror.clients.harbor import Json
from harbor_mirror.model.outputs import MANUAL

Facts = Mapping[str, str]


def garbage_collection_facts(found: Json) -> Facts:
    """What can drift in it."""
    parameters = _parameters(found)
    return {
        "schedule": _cron(found),
        "deleteUntagged": "true" if parameters.get("delete_untagged") else "false",
        "workers": str(parameters.get("workers") or 1),
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


def retention_facts(found: Json) -> Facts:
    """What can drift in it; the order of rules says nothing."""
    cron = ((found.get("trigger") or {}).get("settings") or {}).get("cron")
    return {"schedule": cron or MANUAL, "keep": "; ".join(sorted(map(_in_words, found.get("rules") or [])))}


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
