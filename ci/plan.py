"""Read the output of `pulumi preview --json` from standard input.

    plan.py rules      print the rules that the update changes
    plan.py steps      print every planned change as JSON, sorted, so that two previews can be compared

A rule changes if its policy in Harbor changes, or the endpoint from which it pulls; then it has to run again. Deleted
and disabled rules cannot run. The engine masks secrets, so two plans that differ only in a secret are equal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

REPLICATION = "harbor:index/replication:Replication"
UNCHANGED = {"same", "read", "refresh"}


def changed_rules(preview: Mapping[str, Any]) -> list[str]:
    """Logical names of the rules, which are their keys in the configuration."""
    steps = preview.get("steps") or []
    changed = {step["urn"] for step in steps if step["op"] not in UNCHANGED}
    rules = set()
    for step in steps:
        state = step.get("newState") or {}
        if not step["urn"].split("::")[2].endswith(REPLICATION) or step["op"].startswith("delete"):
            continue
        if state.get("inputs", {}).get("enabled") is False:
            continue
        if changed & {step["urn"], *_sources(state)}:
            rules.add(step["urn"].rsplit("::", 1)[-1])
    return sorted(rules)


def planned_steps(preview: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Operation, resource, and inputs before and after, of each step that changes something."""
    steps = [
        {
            "op": step["op"],
            "urn": step["urn"],
            "before": (step.get("oldState") or {}).get("inputs"),
            "after": (step.get("newState") or {}).get("inputs"),
        }
        for step in preview.get("steps") or []
        if step["op"] not in UNCHANGED
    ]
    return sorted(steps, key=lambda step: (step["urn"], step["op"]))


def _sources(state: Mapping[str, Any]) -> Iterable[str]:
    depends: Mapping[str, list[str]] = state.get("propertyDependencies") or {}
    return depends.get("registryId") or []


def main() -> None:
    """Run the command of the first argument."""
    match sys.argv[1:]:
        case ["rules"]:
            print("\n".join(changed_rules(json.load(sys.stdin))))
        case ["steps"]:
            print(json.dumps(planned_steps(json.load(sys.stdin)), indent=2, sort_keys=True))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
