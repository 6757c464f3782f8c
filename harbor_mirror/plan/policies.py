"""Splits rules into the Harbor policies that they need: each becomes a rule of its own."""

from __future__ import annotations

from collections import defaultdict
from math import ceil

from harbor_mirror.config.models import Configuration, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.filters import check, join
from harbor_mirror.plan.globs import exact, specific

#: Harbor finds the repositories of these sources by an API of their own, or takes all of them.
_WITHOUT_CATALOGUE = frozenset({"harbor", "gitlab", "huawei-SWR"})


class PolicyRule(Rule):
    """One Harbor policy of a rule that needs several, or of one with a tag expression; its tags are globs."""

    policy_of: str
    """The rule's name in the configuration."""


def policy_name(rule: str, index: int) -> str:
    """Return the name in Harbor of a rule's policy; the first has the rule's own."""
    return f"{rule}-{index + 1}" if index else rule


def rule_names(configuration: Configuration) -> dict[str, str]:
    """Return the rule's name for each policy of a rule that became several."""
    return {name: rule.policy_of for name, rule in configuration.rules.items() if isinstance(rule, PolicyRule)}


def split_by_namespace(name: str, rule: Rule, type_: str) -> dict[str, Rule]:
    """Return a policy for each namespace of a rule that names all its repositories, else the rule itself.

    For names of several namespaces in one pattern Harbor reads the source's catalogue, which many sources refuse; for
    names of one namespace it asks for each repository. Raise Refused.
    """
    # Most rules have one pattern without braces, which has one namespace: do not check it here and again later.
    has_alternatives = len(rule.repositories) > 1 or "{" in rule.repositories[0]
    if type_ in _WITHOUT_CATALOGUE or not has_alternatives or not all(map(_is_valid, rule.repositories)):
        return {name: rule}
    names = [exact(pattern) for pattern in rule.repositories]
    if None in names:
        return {name: rule}
    repositories = list(dict.fromkeys(repository for known in names for repository in known or ()))
    namespaces: defaultdict[str, list[str]] = defaultdict(list)
    for repository in repositories:
        namespaces[repository.rpartition("/")[0]].append(repository)
    if len(namespaces) < 2 or specific(join(repositories)) is not None:
        return {name: rule}
    return {
        policy_name(name, index): PolicyRule.model_construct(
            **{
                **dict(rule),
                "repositories": tuple(group),
                "expected_tags": rule.expected_tags and ceil(rule.expected_tags * len(group) / len(repositories)),
                "listed_tags": rule.listed_tags and ceil(rule.listed_tags * len(group) / len(repositories)),
            },
            policy_of=name,
        )
        for index, group in enumerate(namespaces.values())
    }


def _is_valid(pattern: str) -> bool:
    """Return whether a pattern has no fault; faults are reported when the rule is resolved."""
    try:
        check(pattern)
    except Refused:
        return False
    return True
