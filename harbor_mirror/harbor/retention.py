"""Tag retention: the mapping between a planned retention, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from harbor_mirror.harbor.facts import Facts, Json
from harbor_mirror.harbor.maintenance import decode, provider_schedule
from harbor_mirror.plan.retention import KEYS, PlannedRetention, PlannedRetentionRule, Selector
from harbor_mirror.plan.schedule import MANUAL

ALWAYS = "always"
EVERYTHING = "**"


class Template(NamedTuple):
    """What a rule keeps by: Harbor's template, which is also the name of its parameter, and the provider's argument."""

    harbor: str
    argument: str


TEMPLATES: Mapping[str, Template] = {
    "most_recently_pushed": Template("latestPushedK", "most_recently_pushed"),
    "most_recently_pulled": Template("latestPulledN", "most_recently_pulled"),
    "pushed_within_days": Template("nDaysSinceLastPush", "n_days_since_last_push"),
    "pulled_within_days": Template("nDaysSinceLastPull", "n_days_since_last_pull"),
    ALWAYS: Template(ALWAYS, "always_retain"),
}
_COUNTED = {template.harbor: KEYS[keeps] for keeps, template in TEMPLATES.items() if keeps in KEYS}


def to_json(retention: PlannedRetention) -> Json:
    """Return what the stack says of a retention policy; its id, scope and algorithm are Harbor's."""
    return {
        "rules": [_rule(kept) for kept in retention.keep],
        "trigger": {"kind": "Schedule", "references": {}, "settings": {"cron": retention.schedule.cron}},
    }


def to_provider(retention: PlannedRetention) -> dict[str, Any]:
    """Return the provider's arguments, all of them but `scope`."""
    return {
        "schedule": provider_schedule(retention.schedule),
        "rules": [_provider_rule(kept) for kept in retention.keep],
    }


def to_configuration(found: Json) -> dict[str, Any]:
    """Return a project's `retention` that declares a policy as Harbor has it; `obstacle` says whether there is one."""
    return {"schedule": _cron(found), "keep": [_entry(rule) for rule in found["rules"]]}


def obstacle(found: Json) -> str:
    """Return why the configuration can't declare a retention policy, or an empty text if it can."""
    known = {template.harbor for template in TEMPLATES.values()}
    for rule in found["rules"]:
        if rule.get("disabled"):
            return "one of its rules is disabled; delete that rule in Harbor first"
        if rule.get("template") not in known:
            return f"it keeps by {rule.get('template')}, which has no counterpart"
        if len(rule.get("tag_selectors") or []) != 1 or len(scopes(rule)) != 1:
            return "one of its rules selects by more or less than one pattern each for repositories and tags"
    return ""


def facts(found: Json) -> Facts:
    """Return what can drift in a retention policy. The order of its rules means nothing."""
    return {"schedule": _cron(found), "keep": "; ".join(sorted(map(_describe, found.get("rules") or [])))}


def _rule(kept: PlannedRetentionRule) -> Json:
    template = TEMPLATES[kept.keeps].harbor
    extras = json.dumps({"untagged": kept.untagged}, separators=(",", ":"))
    return {
        "disabled": False,
        "action": "retain",
        "template": template,
        "params": {} if kept.count is None else {template: kept.count},
        "scope_selectors": {"repository": [to_selector(kept.repositories, "repoMatches", "repoExcludes")]},
        "tag_selectors": [{**to_selector(kept.tags, "matches", "excludes"), "extras": extras}],
    }


def to_selector(selector: Selector, matches: str, excludes: str) -> Json:
    """Return a selector as Harbor's API takes it, with one of two decorations."""
    decoration = excludes if selector.excludes else matches
    return {"kind": "doublestar", "decoration": decoration, "pattern": selector.pattern}


def _provider_rule(kept: PlannedRetentionRule) -> dict[str, Any]:
    repositories, tags = (
        "excluding" if selector.excludes else "matching" for selector in (kept.repositories, kept.tags)
    )
    return {
        f"repo_{repositories}": kept.repositories.pattern,
        f"tag_{tags}": kept.tags.pattern,
        "untagged_artifacts": kept.untagged,
        TEMPLATES[kept.keeps].argument: True if kept.count is None else kept.count,
    }


def _entry(rule: Json) -> dict[str, Any]:
    key = _COUNTED.get(rule["template"])
    entry: dict[str, Any] = {ALWAYS: True} if key is None else {key: rule["params"][rule["template"]]}
    tags = rule["tag_selectors"][0]
    for field, selector in (("repositories", scopes(rule)[0]), ("tags", tags)):
        if selector["decoration"].lower().endswith("excludes"):
            entry[field] = {"excludes": selector["pattern"]}
        elif selector["pattern"] != EVERYTHING:
            entry[field] = selector["pattern"]
    return entry if _selects_untagged(tags) else {**entry, "untagged": False}


def _describe(rule: Json) -> str:
    counts = " ".join(str(value) for value in (rule.get("params") or {}).values())
    tags = rule.get("tag_selectors") or []
    parts = [
        *(["disabled"] if rule.get("disabled") else []),
        f"{rule.get('template')} {counts}".strip(),
        *_patterns(scopes(rule)),
        *_patterns(tags),
        "and untagged" if any(map(_selects_untagged, tags)) else "",
    ]
    return " ".join(filter(None, parts))


def _patterns(selectors: list[Json]) -> Iterator[str]:
    return (f"{part.get('decoration')} {part.get('pattern')}" for part in selectors)


def scopes(rule: Json) -> list[Json]:
    """Return the selectors of repositories of a rule as Harbor has it."""
    return [part for parts in (rule.get("scope_selectors") or {}).values() for part in parts]


def _selects_untagged(selector: Json) -> bool:
    return bool(decode(selector.get("extras")).get("untagged"))


def _cron(found: Json) -> str:
    return ((found.get("trigger") or {}).get("settings") or {}).get("cron") or MANUAL
