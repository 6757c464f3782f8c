"""Applies `defaults` to rules. A rule's own value comes first, then its file's, its endpoint's, and the stack's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harbor_mirror.config.paths import join_path

SETTING = "defaults"


@dataclass(frozen=True)
class Origin:
    """Where a rule's value comes from: its path, in the rule file `file` or, without one, in the stack's file."""

    path: str
    file: str | None = None


def apply_defaults(
    raw: Mapping[str, Any], files: Mapping[str, Any], owners: Mapping[str, str]
) -> tuple[Mapping[str, Any], dict[tuple[str, str], Origin]]:
    """Return the configuration with complete rules, and the origin of each value that is a default, by rule and key.

    `files` has the defaults of each rule file, `owners` the file of each rule that comes from one.
    """
    rules = raw.get("rules")
    if not isinstance(rules, Mapping):
        return raw, {}
    complete: dict[str, Any] = {}
    origins: dict[tuple[str, str], Origin] = {}
    for name, rule in rules.items():
        complete[name] = rule
        if not isinstance(rule, Mapping):
            continue
        complete[name] = merged = dict(rule)
        for values, origin, file in _levels(raw, rule, owners.get(name), files):
            for key, value in values.items():
                if key not in merged:
                    merged[key] = value
                    origins[name, key] = Origin(join_path(*origin, key), file)
    return {**raw, "rules": complete}, origins


def _levels(
    raw: Mapping[str, Any], rule: Mapping[str, Any], file: str | None, files: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], tuple[str, ...], str | None]]:
    """Yield the defaults that apply to a rule, the nearest first, with their path and file."""
    stack, own = _map(raw.get(SETTING)), _map(files.get(file or ""))
    if own:
        yield own, (SETTING,), file
    endpoint = next((values["endpoint"] for values in (rule, own, stack) if "endpoint" in values), None)
    if isinstance(endpoint, str):
        values = _map(_map(_map(raw.get("endpoints")).get(endpoint)).get(SETTING))
        yield values, ("endpoints", endpoint, SETTING), None
    yield stack, (SETTING,), None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
