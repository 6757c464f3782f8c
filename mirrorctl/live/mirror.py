"""A mirror's endpoints and rules, as the stack declares them or as they are in Harbor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harbor_mirror.harbor import rule as rule_mapping
from harbor_mirror.harbor.client import Harbor, HarborError, Json
from harbor_mirror.plan import globs
from harbor_mirror.plan.schedule import MANUAL
from mirrorctl.failure import Failure, unknown

Found = TypeVar("Found")
FORBIDDEN = 403


@dataclass(frozen=True)
class Endpoint:
    """A source registry: `id` is Harbor's, `type` Harbor's word for its kind."""

    name: str
    id: int
    type: str
    url: str


@dataclass(frozen=True)
class Rule:
    """A pull replication policy; globs are Harbor's, `namespace` starts with the destination project."""

    name: str
    id: int
    endpoint: Endpoint
    repositories: tuple[str, ...]
    tag_matches: tuple[str, ...]
    tag_excludes: tuple[str, ...]
    namespace: str
    flatten: int
    schedule: str
    project: str

    def takes_repository(self, name: str) -> bool:
        """Whether the repository filter matches."""
        return any(globs.matches(glob, name) for glob in self.repositories)

    def takes_tag(self, tag: str) -> bool:
        """Whether the tag filters match."""
        wanted = not self.tag_matches or any(globs.matches(glob, tag) for glob in self.tag_matches)
        return wanted and not any(globs.matches(glob, tag) for glob in self.tag_excludes)


def declared(outputs: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of a stack, from its outputs. Raises Failure if those are not of this project."""
    try:
        endpoints = {
            name: Endpoint(name, int(value["id"]), value["type"], value["url"])
            for name, value in outputs["endpoints"].items()
        }
        return {
            name: Rule(
                name=name,
                id=int(value["id"]),
                endpoint=endpoints[value["endpoint"]],
                repositories=tuple(value["repositories"]),
                tag_matches=tuple((value.get("tags") or {}).get("matches") or ()),
                tag_excludes=tuple((value.get("tags") or {}).get("excludes") or ()),
                namespace=value["destination"]["namespace"],
                flatten=int(value["destination"]["flatten"]),
                schedule=value["schedule"] or MANUAL,
                project=value["project"],
            )
            for name, value in outputs["rules"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failure(f"the stack's outputs lack {error}; run `pulumi up` with this version of the project") from None


def live(harbor: Harbor) -> dict[str, Rule]:
    """The pull rules that are in Harbor, whoever made them."""
    return {policy["name"]: from_policy(policy) for policy in harbor.policies() if is_pull(policy)}


def is_pull(policy: Json) -> bool:
    """Whether a policy's source is another registry."""
    return bool((policy.get("src_registry") or {}).get("id"))


def is_proxy_cache(project: Json | None) -> bool:
    """Whether a project fetches by itself what is pulled: Harbor replicates nothing into one, and says Succeed."""
    return bool((project or {}).get("registry_id"))


def from_policy(policy: Json) -> Rule:
    """A rule as Harbor keeps it."""
    source = policy.get("src_registry") or {}
    planned = rule_mapping.from_json(policy)
    return Rule(
        name=planned.name,
        id=policy["id"],
        endpoint=Endpoint(source.get("name", ""), source.get("id", 0), source.get("type", ""), source.get("url", "")),
        repositories=(planned.repositories or rule_mapping.EVERYTHING,),
        tag_matches=_listed(planned.tag_matches),
        tag_excludes=_listed(planned.tag_excludes),
        namespace=planned.namespace,
        flatten=planned.flatten,
        schedule=MANUAL if planned.schedule == rule_mapping.EVENT_BASED else planned.schedule,
        project=planned.namespace.partition("/")[0],
    )


def chosen(rules: Mapping[str, Rule], names: Sequence[str], *, needed: bool = True) -> list[Rule]:
    """The rules with these names, all of them without names. Raises Failure for an unknown one, and where `needed` if
    there are none: nothing to prove is no proof."""
    if needed and not rules:
        raise Failure("this mirror has no rules")
    for name in names:
        if name not in rules:
            raise unknown("rule", name, rules)
    return [rules[name] for name in names] if names else list(rules.values())


def _listed(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def by_name(items: Iterable[Json]) -> dict[str, Json]:
    """Objects of Harbor keyed by their names."""
    return {item["name"]: item for item in items}


def if_allowed(ask: Callable[[], Found]) -> Found | None:
    """What Harbor answers; None if only administrators may see it."""
    try:
        return ask()
    except HarborError as error:
        if error.status != FORBIDDEN:
            raise
        return None
