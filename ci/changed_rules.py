"""The rules that an update changes, by name, from `pulumi preview --json` on standard input.

A rule changes when its policy in Harbor does, or the endpoint that it pulls from: then it has to run again. A rule that
is gone or disabled can't.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

REPLICATION = "harbor:index/replication:Replication"
UNCHANGED = {"same", "read", "refresh"}


def changed_rules(preview: Mapping[str, Any]) -> list[str]:
    """Logical names of rules, which are the keys of the configuration."""
    steps = preview.get("steps") or []
    changed = {step["urn"] for step in steps if step["op"] not in UNCHANGED}
    found = set()
    for step in steps:
        state = step.get("newState") or {}
        if not step["urn"].split("::")[2].endswith(REPLICATION) or step["op"].startswith("delete"):
            continue
        if state.get("inputs", {}).get("enabled") is False:
            continue
        if changed & {step["urn"], *_sources(state)}:
            found.add(step["urn"].rsplit("::", 1)[-1])
    return sorted(found)


def _sources(state: Mapping[str, Any]) -> Iterable[str]:
    depends: Mapping[str, list[str]] = state.get("propertyDependencies") or {}
    return depends.get("registryId") or []


if __name__ == "__main__":
    print("\n".join(changed_rules(json.load(sys.stdin))))
