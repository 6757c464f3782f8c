"""Immutable tag rules of a project: the mapping between a plan, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from typing import Any

from harbor_mirror.harbor.facts import Facts, Json, as_text
from harbor_mirror.harbor.retention import EVERYTHING, scopes, to_selector
from harbor_mirror.plan.project import PlannedImmutableTags


def to_json(rule: PlannedImmutableTags) -> Json:
    """Return a rule as Harbor's API takes it."""
    return {
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "scope_selectors": {"repository": [to_selector(rule.repositories, "repoMatches", "repoExcludes")]},
        "tag_selectors": [to_selector(rule.tags, "matches", "excludes")],
    }


def to_provider(rule: PlannedImmutableTags) -> dict[str, Any]:
    """Return the provider's arguments, all of them but `project_id`."""
    return {
        f"repo_{'excluding' if rule.repositories.excludes else 'matching'}": rule.repositories.pattern,
        f"tag_{'excluding' if rule.tags.excludes else 'matching'}": rule.tags.pattern,
        "disabled": False,
    }


def to_configuration(found: Json) -> dict[str, Any]:
    """Return the entry of `immutableTags` for a rule as Harbor has it; `obstacle` says whether there is one."""
    entry: dict[str, Any] = {}
    for key, selector in (("repositories", scopes(found)[0]), ("tags", found["tag_selectors"][0])):
        if selector["decoration"].lower().endswith("excludes"):
            entry[key] = {"excludes": selector["pattern"]}
        elif selector["pattern"] != EVERYTHING:
            entry[key] = selector["pattern"]
    return entry


def obstacle(found: Json) -> str:
    """Return why the configuration can't declare a rule, or an empty text if it can."""
    if found.get("disabled"):
        return "it is disabled"
    if len(found.get("tag_selectors") or []) != 1 or len(scopes(found)) != 1:
        return "it selects by more or less than one pattern each for repositories and tags"
    return ""


def identity(found: Json) -> str:
    """Return what a rule selects, which Harbor lets only one rule of a project do."""
    return " ".join(
        f"{part.get('decoration')} {part.get('pattern')}"
        for part in (*scopes(found), *(found.get("tag_selectors") or []))
    )


def facts(found: Json) -> Facts:
    """Return what can drift in a rule."""
    return {"enabled": as_text(not found.get("disabled"))}
