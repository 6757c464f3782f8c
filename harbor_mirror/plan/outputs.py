"""The stack's outputs, as far as they follow from the configuration: a contract (docs/outputs.md)."""

from __future__ import annotations

import re
from typing import Any

from harbor_mirror.config.models import Configuration, Endpoint, Rule
from harbor_mirror.plan import destinations
from harbor_mirror.plan.destinations import Landing
from harbor_mirror.plan.filters import join
from harbor_mirror.plan.registry_types import image_host, url_of
from harbor_mirror.plan.schedule import Schedule

MANUAL = "manual"


def pull_robot(stack: str) -> str:
    """Name of the stack's robot account without Harbor's prefix.

    Harbor takes lower case letters and digits, separated by single `.`, `_` or `-` (measured); Pulumi's stacks know
    upper case and runs of separators, too.
    """
    return "-".join(re.findall(r"[a-z0-9]+(?:[._][a-z0-9]+)*", f"mirror-{stack.lower()}"))


def cron(name: str, rule: Rule) -> str:
    """The schedule as Harbor gets it: six fields, or `manual`. Raises Refused."""
    return Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent).cron or MANUAL


def endpoint_output(endpoint: Endpoint) -> dict[str, Any]:
    """One value of `endpoints`, but for Harbor's id."""
    return {"type": endpoint.type, "url": url_of(endpoint.type, endpoint.url)}


def rule_output(name: str, rule: Rule) -> dict[str, Any]:
    """One value of `rules`, but for Harbor's id."""
    return {
        "endpoint": rule.endpoint,
        "project": rule.project,
        "schedule": cron(name, rule),
        "repositories": list(rule.repositories),
        "tags": {"matches": list(rule.tags.matches), "excludes": list(rule.tags.excludes)},
        "destination": {"namespace": rule.namespace, "flatten": rule.flatten},
    }


def landing(name: str, rule: Rule, endpoint: Endpoint) -> Landing:
    """What the rule takes from where to where."""
    source = image_host(endpoint.type, endpoint.url) or url_of(endpoint.type, endpoint.url)
    return Landing(name, source, join(rule.repositories), rule.namespace, rule.flatten)


def images(configuration: Configuration) -> dict[str, str]:
    """Exact source reference without tag -> mirror reference, such as docker.io/library/nginx -> its place here."""
    landings = [
        landing(name, rule, configuration.endpoints[rule.endpoint]) for name, rule in configuration.rules.items()
    ]
    return destinations.images(landings, configuration.registry_host)
