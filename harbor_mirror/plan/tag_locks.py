"""What an expression selected when `mirrorctl resolve` last looked, and the Harbor policies that follow from it.

`pulumi up` reads the lock file and never the network. A rule with an expression becomes one policy, or several where
the filters of one can't say it: Harbor keeps 1,024 characters of them, and applies a tag filter to every repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.models import Configuration, Endpoint, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.filters import STORED_LENGTH, TagFilter, check, join, stored_length
from harbor_mirror.plan.policies import PolicyRule, policy_name, split_by_namespace
from harbor_mirror.plan.registry_types import image_host, url_of
from harbor_mirror.plan.signatures import SIGNATURE_TAGS
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_globs import cover

#: Each policy makes Harbor list every tag of the source in each run.
MOST_POLICIES = 20
#: What repositories' names may take of the filters, so that tags have the rest.
REPOSITORIES_LENGTH = 512
HEADER = """\
# Written by `mirrorctl resolve`: what each rule's expression selects at its source. Do not edit; `mirrorctl check`
# compares it with the stack's file. Review a change of it like a change of versions.
"""


class LockError(ValueError):
    """The lock file can't be read."""


class NotResolved(ValueError):
    """A rule's expression has no lock, or one that does not fit."""


class _Locked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LockedPolicy(_Locked):
    """One Harbor policy of a rule: repositories named exactly, and the tags to copy of each."""

    name: str
    repositories: str
    matches: str


class LockedRule(_Locked):
    """What a rule's expression selected: `tags` by repository, the oldest version first."""

    source: str
    repositories: list[str]
    expression: dict[str, Any]
    tags: dict[str, list[str]]
    policies: list[LockedPolicy] = Field(min_length=1)


class _LockFile(_Locked):
    rules: dict[str, LockedRule] = Field(default_factory=dict)


# --- The file --------------------------------------------------------------------------------------------------------


def lock_path(folder: Path, stack: str) -> Path:
    """Return where the lock file of a stack is: beside Pulumi.yaml."""
    return folder / f"mirror.lock.{stack.rpartition('/')[2]}.yaml"


def read_locks(path: Path) -> dict[str, LockedRule]:
    """Return the locked rules by name; none if there is no file. Raises LockError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LockError(f"can't be read ({' '.join(str(error).split())})") from None
    try:
        return _LockFile.model_validate(content or {}).rules
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise LockError(f"is not as `mirrorctl resolve` writes it ({where}: {first['msg']})") from None


def format_locks(locks: Mapping[str, LockedRule]) -> str:
    """Return the lock file's text: in the order of names, one tag a line, so that a new tag is a small diff."""
    rules = {name: locks[name].model_dump() for name in sorted(locks)}
    text: str = yaml.dump({"rules": rules}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)
    return HEADER + text


class _Dumper(yaml.CSafeDumper):
    """Never writes anchors: equal lists of tags would refer to each other."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


# --- Resolving -------------------------------------------------------------------------------------------------------


def lock_rule(
    name: str, rule: Rule, expression: TagExpression, source: str, tags: Mapping[str, Iterable[str]]
) -> LockedRule:
    """Return what a rule's expression selects of the tags of each repository at the source. Raises Refused."""
    listed = {repository: set(tags[repository]) for repository in sorted(tags)}
    selected = {repository: wanted for repository in listed if (wanted := expression.select(listed[repository]))}
    if not selected:
        looked = sum(map(len, listed.values()))
        raise Refused(None, f"selects none of {looked} tags in {', '.join(listed) or 'no repository'}", "")
    groups: list[_Group] = []
    for repository, wanted in selected.items():
        group = _Group([repository], dict.fromkeys(wanted), listed[repository].difference(wanted))
        if not any(earlier.add(group) for earlier in groups):
            groups.append(group)
    filters = [filters for group in groups for filters in _filters(group, rule)]
    if len(filters) > MOST_POLICIES:
        raise _too_many()
    return LockedRule(
        source=source,
        repositories=list(rule.repositories),
        expression=expression.as_written,
        tags=selected,
        policies=[
            LockedPolicy(name=policy_name(name, index), repositories=repositories, matches=glob)
            for index, (repositories, glob) in enumerate(filters)
        ],
    )


@dataclass
class _Group:
    """Repositories of one namespace, the tags wanted of them and the others; no tag is both."""

    repositories: list[str]
    wanted: dict[str, None]
    unwanted: set[str]

    def add(self, other: _Group) -> bool:
        """Take other repositories in, unless a tag is wanted of some and not of the others."""
        repositories = [*self.repositories, *other.repositories]
        # Names of one namespace only: for others Harbor reads the source's catalogue, which many sources refuse.
        if len({name.rpartition("/")[0] for name in repositories}) > 1 or len(join(repositories)) > REPOSITORIES_LENGTH:
            return False
        if self.wanted.keys() & other.unwanted or other.wanted.keys() & self.unwanted:
            return False
        self.repositories = repositories
        self.wanted |= other.wanted
        self.unwanted |= other.unwanted
        return True


def _filters(group: _Group, rule: Rule) -> Iterator[tuple[str, str]]:
    repositories = join(group.repositories)
    available = STORED_LENGTH - filters_length(rule, repositories, "")
    covering = cover(list(group.wanted), sorted(group.unwanted), available, MOST_POLICIES)
    if covering is None:
        raise _too_many()
    for glob in covering:
        yield repositories, glob


def _too_many() -> Refused:
    reason = f"needs more than {MOST_POLICIES} Harbor policies for what it selects; narrow it, or make several rules"
    return Refused(None, reason, "latest: 20")


def filters_length(rule: Rule, repositories: str, tags: str) -> int:
    """Return the length of a rule's filters as Harbor keeps them."""
    filters = [TagFilter(f"{{{tags},{SIGNATURE_TAGS}}}" if rule.signatures else tags)]
    if rule.tags.excludes:
        filters.append(TagFilter(join(rule.tags.excludes, "tag"), "excludes"))
    return stored_length(repositories, filters, rule.labels, rule.resource)


# --- Using the lock --------------------------------------------------------------------------------------------------


def lock_problems(name: str, rule: Rule, expression: TagExpression, source: str, lock: LockedRule) -> Iterator[str]:
    """Yield why a lock does not fit its rule, as far as that shows without the source."""
    for what, locked, configured in (
        ("source", lock.source, source),
        ("repositories", lock.repositories, list(rule.repositories)),
        ("expression", lock.expression, expression.as_written),
    ):
        if locked != configured:
            yield f"it is for the {what} {_show_value(locked)}, and the rule has {_show_value(configured)}"
            return
    for index, policy in enumerate(lock.policies):
        if policy.name != policy_name(name, index):
            yield f"its policies are named {', '.join(policy.name for policy in lock.policies)}"
            return
        try:
            check(policy.repositories)
            check(policy.matches, "tag")
        except Refused as refused:
            yield f"in the policy {policy.name}, {refused.value} {refused.reason}"
            return
    for repository, tags in lock.tags.items():
        if not any(globs.matches(pattern, repository) for pattern in rule.repositories):
            yield f"{repository} is not a repository of the rule"
        if wrong := sorted(set(tags).difference(expression.select(tags))):
            yield f"the expression does not select {repository}:{wrong[0]}"
        patterns = [policy.matches for policy in lock.policies if globs.matches(policy.repositories, repository)]
        if lost := [tag for tag in tags if not any(globs.matches(pattern, tag) for pattern in patterns)]:
            yield f"no policy takes {repository}:{lost[0]}"
    for policy in lock.policies:
        named = globs.specific(policy.repositories)
        if named is None or not lock.tags.keys() >= set(named):
            yield f"the policy {policy.name} takes repositories without locked tags: {policy.repositories}"
        length = filters_length(rule, policy.repositories, policy.matches)
        if length > STORED_LENGTH:
            yield f"the policy {policy.name} has filters of {length} characters, and Harbor keeps {STORED_LENGTH}"


def with_policies(
    configuration: Configuration, locks: Mapping[str, LockedRule], resolve: str
) -> tuple[Configuration, list[Fault]]:
    """Return the configuration with a rule of its own for each Harbor policy, and the faults of rules without one.

    Expressions are replaced by what is locked; `resolve` is the command that writes the lock.
    """
    rules: dict[str, Rule] = {}
    faults = [
        Fault(f"rules.{name}", None, "is locked, and has no expression", resolve)
        for name in locks
        if name not in configuration.rules or not configuration.rules[name].tags.is_expression
    ]
    for name, rule in configuration.rules.items():
        try:
            expression = TagExpression.of(rule.tags)
            endpoint = configuration.endpoints.get(rule.endpoint)
            if endpoint is None:
                policies = {} if expression else {name: rule}
            elif expression is None:
                policies = split_by_namespace(name, rule, endpoint.type)
            else:
                policies = locked_policies(name, rule, expression, endpoint, locks)
        except NotResolved as error:
            faults.append(Fault(f"rules.{name}.tags", None, str(error), resolve))
            continue
        except Refused as refused:
            field = refused.field or "repositories"
            faults.append(Fault(f"rules.{name}.{field}", refused.value, refused.reason, refused.example))
            continue
        for policy in policies.keys() & configuration.rules.keys() - {name}:
            faults.append(Fault(f"rules.{policy}", None, f"is the name of a policy of {name}", f"{policy}-tags"))
        rules |= policies
    return configuration.model_copy(update={"rules": rules}), faults


def locked_policies(
    name: str, rule: Rule, expression: TagExpression, endpoint: Endpoint, locks: Mapping[str, LockedRule]
) -> dict[str, Rule]:
    """Return the Harbor policies of a rule with an expression, as rules of their own by name.

    Raises NotResolved, and Refused for repositories that Harbor can't match.
    """
    for pattern in rule.repositories:
        check(pattern)
    if name not in locks:
        raise NotResolved("has an expression that is not resolved yet")
    lock = locks[name]
    reason = next(lock_problems(name, rule, expression, source_of(endpoint), lock), None)
    if reason is not None:
        raise NotResolved(f"does not fit its lock: {reason}")
    # One policy for each repository brings the signatures: the tags of one repository may need several policies.
    first = {policy.repositories: policy.name for policy in reversed(lock.policies)}
    return {
        policy.name: PolicyRule.model_construct(
            **{
                **dict(rule),
                "repositories": (policy.repositories,),
                "tags": rule.tags.model_copy(update={"matches": (policy.matches,)}),
                "signatures": rule.signatures and first[policy.repositories] == policy.name,
                "expected_tags": _expected(policy, lock, rule),
            },
            policy_of=name,
        )
        for policy in lock.policies
    }


def source_of(endpoint: Endpoint) -> str:
    """Return how the lock names a source: its host in image references, or its address."""
    return image_host(endpoint.type, endpoint.url) or url_of(endpoint.type, endpoint.url)


def _expected(policy: LockedPolicy, lock: LockedRule, rule: Rule) -> int | None:
    """Return how many tags a policy copies, for the request budget; None if that is unknown."""
    names = globs.specific(policy.repositories) or ()
    chosen = sum(globs.matches(policy.matches, tag) for name in names for tag in lock.tags.get(name, ()))
    if not rule.signatures:
        return chosen
    # Only the configuration can say how many signatures there are.
    return rule.expected_tags and max(chosen, ceil(rule.expected_tags / len(lock.policies)))


def _show_value(value: object) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
