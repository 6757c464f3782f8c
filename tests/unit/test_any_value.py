"""Unexpected values in any place give faults with a path and a reason; no traceback, and no secret."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.model import configurations, resolved, stack

SECRET = "S3CRET-value"
#: Sections without a secret, whose values may be shown.
NO_SECRETS = {"service", "objectStorage", "maintenanceWindow", "defaults"}
#: Every key of the configuration, in stacks that are right.
STACKS = [stack(case, source="http://registry.example.com") for case in configurations("good")]
FULL = max((one for one in STACKS if "host" in one), key=lambda one: len(json.dumps(one)))
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


def value_at(raw: Any, where: tuple[Any, ...]) -> Any:
    for key in where:
        raw = raw[key]
    return raw


def changed(raw: dict[str, Any], where: tuple[Any, ...], value: object) -> dict[str, Any]:
    result: Any = copy.deepcopy(raw)
    part = result
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    return dict(result)


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
