"""Unexpected values in any place give faults with a path and a reason; no traceback, and no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harbor_mirror.config.fields import Section
from harbor_mirror.config.parse import KEYED, SINGLE
from tests.data.model import STACK, configurations, resolved, stack

SECRET = "S3CRET-value"
#: Sections without a secret, whose values may be shown.
NO_SECRETS = {"service", "objectStorage", "maintenanceWindow", "defaults"}
#: Every key of the configuration, in stacks that are right.
STACKS = [stack(case, source="http://registry.example.com") for case in configurations("good")]
FULL = max((stack for stack in STACKS if "host" in stack), key=lambda stack: len(json.dumps(stack)))
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 10**30, 0.5, float("inf"), float("nan"), "", " ", "x", "\0", "\n", "\ud800", "ü", "٣",
    "*", "**", "{", "}", "[", "[a-", "\\", "{a,b", "a" * 5000, "0 0 31 2 *", "0 0 0 31 2 *", "@daily", "http://[", "//",
    "https://u:p@h", "2026-11-25 00:00:00 +0000 UTC", "[secret]", "{}", "[]", "{secure: x}",
    [], [None], [[]], [{}], ["a", "a"], [1, "x"], {}, {"": ""}, {"a": None}, {"secure": "x"}, {"matches": "*"},
)  # fmt: skip


def places(value: object, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if where:
        yield where
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*where, key))


def keys(section: type[Section], where: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each key that a section may have, with `a` for names and the first entry of lists."""
    for name, field in section.model_fields.items():
        place = (*where, field.alias or name)
        yield place
        for inner, steps in sections(field.annotation):
            yield from keys(inner, (*place, *steps))


def sections(annotation: object, steps: tuple[Any, ...] = ()) -> Iterator[tuple[type[Section], tuple[Any, ...]]]:
    """Yield the sections in the type of a field, and the keys that lead from its value to them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, steps
    origin = get_origin(annotation)
    step = ("a",) if origin is Mapping else (0,) if origin is tuple else ()
    for part in get_args(annotation):
        yield from sections(part, (*steps, *step))


KEYS = [
    *(place for name, section in SINGLE.items() for place in keys(section, (name,))),
    *(place for name, section in KEYED.items() for place in keys(section, (name, *STACK.get(name, ("a",))))),
]


def value_at(raw: Any, where: tuple[Any, ...]) -> Any:
    for key in where:
        raw = raw[key]
    return raw


def changed(raw: Any, where: tuple[Any, ...], value: object) -> Any:
    """Return a copy with this value in a place; what leads there is created or replaced."""
    if not where:
        return value
    key, *rest = where
    if isinstance(key, int):
        entries = list(raw) if isinstance(raw, list) else []
        entries[key : key + 1] = [changed(entries[key] if key < len(entries) else None, tuple(rest), value)]
        return entries
    known = raw if isinstance(raw, dict) else {}
    return {**known, key: changed(known.get(key), tuple(rest), value)}


def assert_faults_are_readable(raw: dict[str, Any]) -> None:
    found = resolved(raw)
    assert bool(found.faults) == (found.mirror is None)
    for fault in found.faults:
        line = str(fault)
        assert line.isprintable()
        assert fault.reason
        assert SECRET not in line


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_each_value_in_every_place_gives_faults(value: object) -> None:
    for where in places(FULL):
        assert_faults_are_readable(changed(FULL, where, value))
    for where in KEYS:
        assert_faults_are_readable(changed(STACK, where, value))


def test_every_key_is_tried() -> None:
    places = {"/".join(map(str, key)) for key in KEYS}
    assert {"cluster/managedDatabase/maintenance/hour", "rules/nginx/tags/semver"} < places
    assert {"projects/mirror/members/groups/a/ldapDn", "projects/mirror/retention/keep/0/tags/excludes"} < places


@given(st.sampled_from(STACKS), st.data())
def test_random_values_give_faults(raw: dict[str, Any], data: st.DataObject) -> None:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(VALUES)
    anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
    for _ in range(data.draw(st.integers(1, 3))):
        raw = changed(raw, data.draw(st.sampled_from(list(places(raw)))), data.draw(anything))
    assert_faults_are_readable(raw)


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    """In place of the secret, and in place of a section with a secret."""
    tried = 0
    for raw in (FULL, *STACKS[-40:]):
        for where in places(raw):
            if where[0] not in {"host", "endpoints"} or where[-1] in NO_SECRETS:
                continue
            if where[-1] in {"secret", "password", "secretKey"} or isinstance(value_at(raw, where), dict):
                for value in ([SECRET], {"secret": SECRET}, [{"secret": SECRET}]):
                    assert_faults_are_readable(changed(raw, where, value))
                    tried += 1
    assert tried > 100
