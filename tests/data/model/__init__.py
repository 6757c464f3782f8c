"""Loads the tables in this directory; README.md has their sources."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.plan.validation import ResolvedStack, resolve_stack

HERE = Path(__file__).parent
PROJECT = "harbor-mirror"
#: What is neither a setting nor an entry in a case of the tables of configurations.
ABOUT = {"case", "says", "warns", "lands"}
#: The good stack that these tables change.
STACK: dict[str, Any] = {
    "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": False},
    "harborPassword": "Harbor-Password-1",
    "endpoints": {"hub": {"type": "docker-hub"}},
    "projects": {"mirror": {}},
    "rules": {"nginx": {"endpoint": "hub", "repositories": "library/nginx", "project": "mirror"}},
}


def rows(table: str) -> list[dict[str, Any]]:
    """Return the rows of `table`.jsonl."""
    return [json.loads(line) for line in (HERE / f"{table}.jsonl").read_text().splitlines()]


def configurations(kind: str) -> list[dict[str, Any]]:
    """Return the cases of configurations-`kind`.yaml, bad or good."""
    return table(f"configurations-{kind}")


def table(name: str) -> list[dict[str, Any]]:
    """Return the cases of `name`.yaml."""
    cases: list[dict[str, Any]] = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    return cases


def resolved(raw: Mapping[str, Any], base: Path = HERE) -> ResolvedStack:
    """Resolve a raw configuration as program and CLI do."""
    return resolve_stack({f"{PROJECT}:{key}": value for key, value in raw.items()}, PROJECT, base, "dev")


def stack(case: Mapping[str, Any], *, source: str | None = None) -> dict[str, Any]:
    """Return the raw configuration of a case; with `lands`, its endpoint `hub` is the registry `source`."""
    config = copy.deepcopy(STACK)
    if "lands" in case:
        config["endpoints"]["hub"] = {"type": "docker-registry", "url": source}
    for key, value in case.items():
        section, dot, name = key.partition(".")
        if key in ABOUT:
            continue
        if not dot:
            config[key] = value
            continue
        entry = {**config.get(section, {}).get(name, {}), **value}
        config.setdefault(section, {})[name] = {k: v for k, v in entry.items() if v is not None}
    given = {key: value for key, value in config.items() if value is not None}
    replaced: dict[str, Any] = json.loads(json.dumps(given).replace("SOURCE", source or ""))
    return replaced
