"""Endpoints and rules of a mirror, from the stack's outputs or from Harbor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harbor_mirror.harbor import rule as rule_mapping
from harbor_mirror.harbor.client import Harbor, HarborError, Json
from harbor_mirror.plan import globs
from harbor_mirror.plan.schedule import MANUAL
from mirrorctl.failure import Failure, unknown

Response = TypeVar("Response")
FORBIDDEN = 403


@dataclass(frozen=True)
class Endpoint:
    """A source registry with Harbor's ID and Harbor's type."""

    name: str
    id: int
    type: str
    url: str


@dataclass(frozen=True)
class Rule:
    """A pull replication policy; patterns are Harbor globs, `namespace` starts with the destination project."""

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
    rule: str = ""
    """The rule in the configuration, where it has a tag expression and this is one of its policies."""
    expression: Mapping[str, Any] = field(default_factory=dict)
    """The tag expression that the globs were resolved from."""

    def takes_repository(self, name: str) -> bool:
        """Return whether the repository filter matches."""
        return any(globs.matches(glob, name) for glob in self.repositories)

    def takes_tag(self, tag: str) -> bool:
        """Return whether the tag filters match."""
        is_matched = not self.tag_matches or any(globs.matches(glob, tag) for glob in self.tag_matches)
        return is_matched and not any(globs.matches(glob, tag) for glob in self.tag_excludes)


def declared(outputs: Mapping[str, Any]) -> dict[str, Rule]:
    """Return the rules of a stack from its outputs. Raise Failure if they are not outputs of this project."""
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
                rule=value.get("rule", ""),
                expression=value.get("expression", {}),
            )
            for name, value in outputs["rules"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failure(f"the stack's outputs lack {error}; run `pulumi up` with this version of the project") from None


def proxy_caches(outputs: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return the proxy caches of a stack as if each was a rule that copies everything from its endpoint."""
    found = []
    for project, cache in (outputs.get("proxyCaches") or {}).items():
        key = cache["endpoint"]
        source = outputs["endpoints"][key]
        found.append(
            Rule(
                name=f"proxy cache {project}",
                id=0,
                endpoint=Endpoint(key, 0, source["type"], source["url"]),
                repositories=(rule_mapping.EVERYTHING,),
                tag_matches=(),
                tag_excludes=(),
                namespace=project,
                flatten=0,
                schedule=MANUAL,
                project=project,
            )
        )
    return tuple(found)


def live(harbor: Harbor) -> dict[str, Rule]:
    """Return all pull rules in Harbor, whoever created them."""
    return {policy["name"]: from_policy(policy) for policy in harbor.policies() if is_pull(policy)}


def is_pull(policy: Json) -> bool:
    """Return whether a policy pulls from another registry."""
    return bool((policy.get("src_registry") or {}).get("id"))


def is_proxy_cache(project: Json | None) -> bool:
    """Return whether a project is a proxy cache: Harbor copies nothing into it, and the run still succeeds."""
    return bool((project or {}).get("registry_id"))


def from_policy(policy: Json) -> Rule:
    """Return a rule from Harbor's JSON."""
    source = policy.get("src_registry") or {}
    planned = rule_mapping.from_json(policy)
    return Rule(
        name=planned.name,
        id=policy["id"],
        endpoint=Endpoint(source.get("name", ""), source.get("id", 0), source.get("type", ""), source.get("url", "")),
        repositories=(planned.repositories or rule_mapping.EVERYTHING,),
        tag_matches=_split_list(planned.tag_matches),
        tag_excludes=_split_list(planned.tag_excludes),
        namespace=planned.namespace,
        flatten=planned.flatten,
        schedule=MANUAL if planned.schedule == rule_mapping.EVENT_BASED else planned.schedule,
        project=planned.namespace.partition("/")[0],
    )


def chosen(rules: Mapping[str, Rule], names: Sequence[str], *, needed: bool = True) -> list[Rule]:
    """Return the rules with these names, all without names.

    Raise Failure for an unknown name, and with `needed` if there are no rules at all.
    """
    if needed and not rules:
        raise Failure("this mirror has no rules")
    for name in names:
        if name not in rules:
            raise unknown("rule", name, rules)
    # A rule with a tag expression may have several policies: its name means all of them.
    return [rule for rule in rules.values() if not names or rule.name in names or rule.rule in names]


def _split_list(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def by_name(items: Iterable[Json]) -> dict[str, Json]:
    """Return Harbor's objects by name."""
    return {item["name"]: item for item in items}


def if_allowed(request: Callable[[], Response]) -> Response | None:
    """Return Harbor's response; None if the account lacks the permission."""
    try:
        return request()
    except HarborError as error:
        if error.status != FORBIDDEN:
            raise
        return None
