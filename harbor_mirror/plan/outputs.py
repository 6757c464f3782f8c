"""The stack's outputs, as far as they follow from the configuration: a contract (docs/outputs.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from harbor_mirror.plan.endpoint import PlannedEndpoint
from harbor_mirror.plan.project import PlannedProject
from harbor_mirror.plan.registry_types import image_host
from harbor_mirror.plan.rule import PlannedRule
from harbor_mirror.plan.tag_expressions import TagExpression


def pull_robot(stack: str) -> str:
    """Return the name of the stack's robot account without Harbor's prefix.

    Harbor accepts lower case letters and digits, separated by single `.`, `_` or `-` (measured). Pulumi's stack names
    may have upper case and several separators in a row; a part of their hash keeps `Dev` and `dev` apart.
    """
    name = "-".join(re.findall(r"[a-z0-9]+(?:[._][a-z0-9]+)*", f"mirror-{stack.lower()}"))
    return name if name == f"mirror-{stack}" else f"{name}-{sha256(stack.encode()).hexdigest()[:8]}"


def endpoint_output(endpoint: PlannedEndpoint) -> dict[str, Any]:
    """Return one value of `endpoints`, without Harbor's id."""
    return {"type": endpoint.type, "url": endpoint.url}


def rule_output(rule: PlannedRule) -> dict[str, Any]:
    """Return one value of `rules`, without Harbor's id."""
    expression = TagExpression.of_resolved(rule.tags)
    resolved = {
        **({"rule": rule.policy_of} if rule.policy_of else {}),
        **({"expression": expression.as_written} if expression else {}),
    }
    return {
        "endpoint": rule.endpoint,
        "project": rule.project,
        "schedule": rule.cron,
        "repositories": list(rule.repositories),
        "tags": {"matches": list(rule.tags.matches), "excludes": list(rule.tags.excludes)},
        "destination": {"namespace": rule.namespace, "flatten": rule.flatten},
        **resolved,
    }


def proxy_cache_outputs(
    projects: Iterable[PlannedProject], endpoints: Mapping[str, PlannedEndpoint], registry_host: str
) -> dict[str, Any]:
    """Return the output `proxyCaches`; no output without proxy caches, so that existing stacks do not change."""
    caches = {}
    for project in projects:
        if project.proxy_cache is not None:
            endpoint = endpoints[project.proxy_cache]
            source = image_host(endpoint.type, endpoint.url) or re.sub(r"^\w+://|/.*$", "", endpoint.url)
            place = f"{registry_host}/{project.name}"
            caches[project.name] = {"endpoint": project.proxy_cache, "source": source, "place": place}
    return {"proxyCaches": caches} if caches else {}
