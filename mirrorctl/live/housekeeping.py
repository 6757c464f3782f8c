"""Harbor's housekeeping as it is set: what can drift in it, and what a stack's configuration would say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from harbor_mirror.harbor.client import Json
from harbor_mirror.harbor.maintenance import ALWAYS
from harbor_mirror.plan.outputs import MANUAL
from harbor_mirror.plan.retention import TEMPLATES
from mirrorctl.live.mirror import EVERYTHING

Facts = Mapping[str, str]


def is_scheduled(found: Json) -> bool:
    """Whether one of the two schedules is set; where none is, Harbor answers with nothing at all."""
    return _cron(found) != MANUAL


def garbage_collection_setting(found: Json) -> dict[str, Any]:
    """What `maintenance.garbageCollection` has to say for it."""
    parameters = _parameters(found)
    untagged, workers = bool(parameters.get("delete_untagged")), parameters.get("workers") or 1
    return {"schedule": _cron(found), "deleteUntagged": untagged, "workers": workers}


def audit_purge_setting(found: Json) -> dict[str, Any]:
    """What `maintenance.auditPurge` has to say for it."""
    hours = _parameters(found).get("audit_retention_hour")
    return {"schedule": _cron(found), "retentionHours": hours, "operations": _operations(found)}


def retention_setting(found: Json) -> dict[str, Any]:
    """What a project's `retention` has to say for it; `retention_obstacle` first."""
    return {"schedule": _retention_cron(found), "keep": [_kept(rule) for rule in found["rules"]]}


def retention_obstacle(found: Json) -> str:
    """Why the configuration can't say what this retention policy does; empty if it can."""
    for rule in found["rules"]:
        tags, repositories = rule.get("tag_selectors") or [], _scopes(rule)
        if rule.get("disabled"):
            return "one of its rules is disabled; delete that rule in Harbor first"
        if rule.get("template") not in {*TEMPLATES.values(), ALWAYS}:
            return f"it keeps by {rule.get('template')}, which has no counterpart"
        if len(tags) != 1 or len(repositories) != 1:
            return "one of its rules selects by more or less than one pattern each for repositories and tags"
    return ""


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
    return {
        "schedule": _cron(found),
        "retentionHours": str(_parameters(found).get("audit_retention_hour") or ""),
        "operations": ", ".join(sorted(_operations(found))),
    }


def retention_facts(found: Json) -> Facts:
    """What can drift in it; the order of rules says nothing."""
    return {"schedule": _retention_cron(found), "keep": "; ".join(sorted(map(_in_words, found.get("rules") or [])))}


def _in_words(rule: Json) -> str:
    counts = " ".join(str(value) for value in (rule.get("params") or {}).values())
    tags = rule.get("tag_selectors") or []
    untagged = any(_takes_untagged(tag) for tag in tags)
    parts = [
        *(["disabled"] if rule.get("disabled") else []),
        f"{rule.get('template')} {counts}".strip(),
        *_patterns(_scopes(rule)),
        *_patterns(tags),
        "and untagged" if untagged else "",
    ]
    return " ".join(filter(None, parts))


def _patterns(selectors: list[Json]) -> Iterator[str]:
    return (f"{part.get('decoration')} {part.get('pattern')}" for part in selectors)


def _kept(rule: Json) -> dict[str, Any]:
    count = {to_camel(field): rule["params"][name] for field, name in TEMPLATES.items() if name == rule["template"]}
    setting: dict[str, Any] = count or {ALWAYS: True}
    for key, selector in (("repositories", _scopes(rule)[0]), ("tags", rule["tag_selectors"][0])):
        if selector["decoration"].lower().endswith("excludes"):
            setting[key] = {"excludes": selector["pattern"]}
        elif selector["pattern"] != EVERYTHING:
            setting[key] = selector["pattern"]
    return setting if _takes_untagged(rule["tag_selectors"][0]) else {**setting, "untagged": False}


def _scopes(rule: Json) -> list[Json]:
    return [part for parts in (rule.get("scope_selectors") or {}).values() for part in parts]


def _takes_untagged(selector: Json) -> bool:
    return bool(_decoded(selector.get("extras")).get("untagged"))


def _retention_cron(found: Json) -> str:
    return ((found.get("trigger") or {}).get("settings") or {}).get("cron") or MANUAL


def _operations(found: Json) -> list[str]:
    """Until 2.12 Harbor told `include_operations`, since 2.13 `include_event_types`."""
    parameters = _parameters(found)
    told = parameters.get("include_event_types") or parameters.get("include_operations") or ""
    return [event.removesuffix("_artifact") for event in str(told).split(",") if event]


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
