"""Facts: what can drift in an object of Harbor, as a flat map from the configuration's key to text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: A JSON object of Harbor's API.
Json = dict[str, Any]
Facts = Mapping[str, str]


class Difference(NamedTuple):
    """One fact that differs; `live` is None where Harbor has no such fact."""

    key: str
    declared: str
    live: str | None


def differences(declared: Facts, live: Facts) -> Iterator[Difference]:
    """Yield every declared fact that Harbor has otherwise."""
    for key, value in declared.items():
        if value != live.get(key):
            yield Difference(key, value, live.get(key))


def as_text(value: object) -> str:
    """Return a value as a fact: booleans as true or false, lists with commas, nothing as an empty text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def is_true(value: object) -> bool:
    """Return a flag of Harbor's, which may be text or left out."""
    return value in (True, "true")
