"""A stack is resolved once: components and outputs do not parse schedules or join globs again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harbor_mirror.plan import filters
from harbor_mirror.plan.schedule import Schedule

from .conftest import Program

STACK: dict[str, Any] = {
    "harbor": {"url": "https://harbor.example.com"},
    "harborPassword": "Harbor-Password-1",
    "endpoints": {"hub": {"type": "docker-registry", "url": "https://registry.example.com"}},
    "projects": {"mirror": {"retention": {"schedule": "0 0 1 * * *", "keep": [{"always": True}]}}},
    "rules": {
        name: {
            "endpoint": "hub",
            "repositories": [f"team/{name}", f"team/{name}-2"],
            "project": "mirror",
            "schedule": cron,
        }
        for name, cron in {"a": "daily", "b": "0 0 2 * * *", "c": "0 0 3 * * *"}.items()
    },
    "maintenance": {"garbageCollection": {"schedule": "0 0 4 * * *"}, "auditPurge": {"schedule": "0 0 5 * * *"}},
}


def test_each_schedule_is_parsed_and_each_list_joined_once(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: Counter[str] = Counter()
    joined: Counter[tuple[str, ...]] = Counter()
    parse, join = Schedule.parse, filters.join

    def counted_parse(text: str, **options: Any) -> Schedule:
        parsed[text] += 1
        return parse(text, **options)

    def counted_join(patterns: Any, *kind: Any) -> str:
        joined[tuple(patterns)] += 1
        return join(patterns, *kind)

    monkeypatch.setattr(Schedule, "parse", counted_parse)
    monkeypatch.setattr(filters, "join", counted_join)
    made = program(STACK)
    assert {entry.name: entry.inputs["schedule"] for entry in made.of("Replication")}["b"] == "0 0 2 * * *"
    assert parsed == dict.fromkeys(["daily", *(f"0 0 {hour} * * *" for hour in range(1, 6))], 1)
    assert joined == {tuple(entry["repositories"]): 1 for entry in STACK["rules"].values()}
