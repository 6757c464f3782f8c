"""Pull replication policies: the mapping between a planned policy, Harbor's JSON, the provider and the configuration.

A new plain setting of a rule is a field of `Rule` (config/models.py), a field of `PlannedPolicy` (plan/rule.py), and a
line of SETTINGS here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.facts import Facts, Json, as_text
from harbor_mirror.plan.rule import PlannedPolicy
from harbor_mirror.plan.schedule import MANUAL

#: The repository filter that Harbor takes a missing one for.
EVERYTHING = "**"
#: The trigger of policies that push; on one that pulls it never fires.
EVENT_BASED = "event_based"


class UnknownSetting(RuntimeError):
    """A setting that this version of Harbor does not have."""


_DEFAULTS = {field.name: field.default for field in fields(PlannedPolicy)}


@dataclass(frozen=True)
class Setting:
    """A plain value of a policy and its names: in the configuration, in PlannedPolicy, in Harbor, at the provider."""

    key: str
    attribute: str
    harbor: str
    argument: str
    """Empty for a setting that the provider lacks: it is set through Harbor's API (docs/adr/0140)."""
    missing: object
    """What Harbor means by leaving it out."""
    read: Callable[[Any], object] = lambda value: value
    """From Harbor's value to ours."""


SETTINGS = (
    Setting("description", "description", "description", "description", ""),
    Setting("flatten", "flatten", "dest_namespace_replace_count", "dest_namespace_replace", -1),
    Setting("enabled", "enabled", "enabled", "enabled", False),
    Setting("override", "override", "override", "override", False),
    Setting("deletion", "deletion", "deletion", "deletion", False),
    Setting("copyByChunk", "copy_by_chunk", "copy_by_chunk", "copy_by_chunk", False),
    # Harbor keeps "unlimited" as 0 or -1.
    Setting("singleActive", "single_active", "single_active_replication", "", False),
    Setting("speedKbps", "speed_kbps", "speed", "speed", -1, lambda speed: speed if speed > 0 else -1),
)
#: Keys of the configuration for what the provider lacks.
API_KEYS = frozenset(setting.key for setting in SETTINGS if not setting.argument)


def to_json(policy: PlannedPolicy, registry_id: int) -> Json:
    """Return a policy as Harbor's API takes it."""
    scheduled = {"type": "scheduled", "trigger_settings": {"cron": policy.schedule}}
    return {
        "name": policy.name,
        "src_registry": {"id": registry_id},
        "dest_namespace": policy.namespace,
        "filters": _filters(policy),
        "trigger": {"type": "manual"} if policy.schedule == MANUAL else scheduled,
        **{setting.harbor: _value_for_harbor(setting, policy) for setting in SETTINGS},
    }


def to_provider(policy: PlannedPolicy) -> dict[str, Any]:
    """Return the provider's arguments, all of them but `registry_id`.

    Everything is stated: the provider's defaults differ from Harbor's own.
    """
    return {
        "name": policy.name,
        "action": "pull",
        "dest_namespace": policy.namespace,
        "filters": [_provider_filter(item) for item in _filters(policy)],
        "schedule": policy.schedule,
        **{setting.argument: getattr(policy, setting.attribute) for setting in SETTINGS if setting.argument},
    }


def to_api(policy: PlannedPolicy) -> Json:
    """Return the declared settings that the provider lacks, as Harbor's API takes them."""
    values = {setting.harbor: getattr(policy, setting.attribute) for setting in SETTINGS if not setting.argument}
    return {key: value for key, value in values.items() if value is not None}


def save_settings(client: Harbor, policy_id: int, settings: Json) -> None:
    """Save settings of `to_api` in a policy. Raise UnknownSetting if this Harbor does not keep them."""
    client.update_policy(policy_id, {**client.policy(policy_id), **settings})
    saved = client.policy(policy_id)
    unknown = [key for key, value in settings.items() if (saved.get(key) or False) != value]
    if unknown:
        raise UnknownSetting(f"this Harbor does not know {', '.join(unknown)}: it needs Harbor 2.13 or later")


def from_json(found: Json) -> PlannedPolicy:
    """Return a policy as Harbor has it. Several filters of one kind are shown joined by "and", as Harbor joins them."""
    filters = _filters_by_kind(found)
    trigger = found.get("trigger") or {}
    kind = trigger.get("type") or MANUAL
    cron = (trigger.get("trigger_settings") or {}).get("cron") or ""
    settings = {setting.attribute: _value(setting, found) for setting in SETTINGS}
    return PlannedPolicy(
        name=found.get("name") or "",
        repositories=_join_filters(filters, "name matches") or "",
        namespace=found.get("dest_namespace") or "",
        tag_matches=_join_filters(filters, "tag matches"),
        tag_excludes=_join_filters(filters, "tag excludes"),
        labels=tuple(label for value in filters.get("label matches", ()) for label in _as_list(value)),
        resource=_join_filters(filters, "resource matches"),
        schedule=(cron or MANUAL) if kind == "scheduled" else kind,
        **settings,  # type: ignore[arg-type]
    )


def to_configuration(found: Json, endpoint: str) -> dict[str, Any]:
    """Return the entry of `rules` that declares a policy as Harbor has it; `obstacle` says whether there is one."""
    policy = from_json(found)
    project, _, path = policy.namespace.partition("/")
    tags = {"matches": policy.tag_matches, "excludes": policy.tag_excludes}
    tags = {decoration: pattern for decoration, pattern in tags.items() if pattern}
    optional: dict[str, Any] = {
        "tags": policy.tag_matches if set(tags) == {"matches"} else tags,
        "labels": list(policy.labels),
        "resource": policy.resource,
        "path": path,
        "schedule": "" if policy.schedule == MANUAL else policy.schedule,
    }
    return {
        "endpoint": endpoint,
        "repositories": policy.repositories or EVERYTHING,
        "project": project,
        **{key: value for key, value in optional.items() if value},
        **{
            setting.key: value
            for setting in SETTINGS
            if (value := getattr(policy, setting.attribute)) != _default(setting)
        },
    }


def obstacle(found: Json) -> str:
    """Return why the configuration can't declare a policy, or an empty text if it can."""
    kinds = [_kind(item) for item in found.get("filters") or []]
    repeated = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if repeated:
        return f"it has several {repeated.partition(' ')[0]} filters, which Harbor joins by AND; make it one"
    unknown = next((kind for kind in kinds if kind not in KINDS), None)
    if unknown:
        return f"its filter {unknown} has no counterpart"
    if not found.get("dest_namespace"):
        return "it has no destination; set one in Harbor first"
    trigger = (found.get("trigger") or {}).get("type") or MANUAL
    return "" if trigger in {MANUAL, "scheduled"} else f"its trigger is {trigger}; there are manual and scheduled"


#: The kinds of filters that the configuration can declare.
KINDS = ("name matches", "tag matches", "tag excludes", "label matches", "resource matches")


def facts(found: Json) -> Facts:
    """Return what can drift in a policy."""
    policy = from_json(found)
    other = [f"{kind} {as_text(value)}" for kind, value in _filters_by_kind(found).items() if kind not in KINDS]
    return {
        "name": policy.name,
        "endpoint": as_text((found.get("src_registry") or {}).get("id")),
        "destination": policy.namespace,
        "repositories": policy.repositories,
        "tags.matches": as_text(policy.tag_matches),
        "tags.excludes": as_text(policy.tag_excludes),
        "labels": as_text(policy.labels),
        "resource": as_text(policy.resource),
        "otherFilters": as_text(other),
        "schedule": policy.schedule,
        **{setting.key: as_text(getattr(policy, setting.attribute)) for setting in SETTINGS},
    }


def _filters(policy: PlannedPolicy) -> list[Json]:
    filters: list[Json] = [{"type": "name", "value": policy.repositories}]
    for decoration, pattern in (("matches", policy.tag_matches), ("excludes", policy.tag_excludes)):
        if pattern is not None:
            filters.append({"type": "tag", "value": pattern, "decoration": decoration})
    if policy.labels:
        filters.append({"type": "label", "value": list(policy.labels), "decoration": "matches"})
    if policy.resource is not None:
        filters.append({"type": "resource", "value": policy.resource})
    return filters


def _provider_filter(item: Json) -> dict[str, Any]:
    """Return one filter block. Of several kinds in one block the provider sends the last and drops the rest."""
    argument = "labels" if item["type"] == "label" else item["type"]
    block = {argument: item["value"]}
    return {**block, "decoration": item["decoration"]} if "decoration" in item else block


def _kind(item: Json) -> str:
    return f"{item.get('type')} {item.get('decoration') or 'matches'}"


def _filters_by_kind(found: Json) -> dict[str, list[Any]]:
    filters: dict[str, list[Any]] = {}
    for item in found.get("filters") or []:
        filters.setdefault(_kind(item), []).append(item.get("value") or "")
    return filters


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _join_filters(filters: dict[str, list[Any]], kind: str) -> str | None:
    return " and ".join(map(as_text, filters[kind])) if kind in filters else None


def _value_for_harbor(setting: Setting, policy: PlannedPolicy) -> object:
    """Return a setting's value for Harbor; an undeclared setting has Harbor's default."""
    value = getattr(policy, setting.attribute)
    return setting.missing if value is None else value


def _default(setting: Setting) -> object:
    default = _DEFAULTS[setting.attribute]
    return setting.missing if default is None else default


def _value(setting: Setting, found: Json) -> object:
    value = found.get(setting.harbor)
    return setting.missing if value is None else setting.read(value)
