"""What an expression selected when `mirrorctl resolve` last looked, and the Harbor policies that follow from it.

`pulumi up` reads the lock file and never the network. A rule with an expression becomes one policy, or several where
the filters of one can't say it: Harbor keeps 1,024 characters of them, and applies a tag filter to every repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harbor_mirror.config.models import Rule, RuleTags
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.filters import join
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_globs import cover

#: Harbor's column for a rule's filters as compact JSON (measured on 2.15.2: 1,024 characters accepted, 1,025 refused).
FILTERS_LENGTH = 1024
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


def policy_name(rule: str, index: int) -> str:
    """Return the name in Harbor of a rule's policy; the first has the rule's own."""
    return f"{rule}-{index + 1}" if index else rule


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
    room = FILTERS_LENGTH - filters_length(rule, repositories, "")
    found = cover(list(group.wanted), sorted(group.unwanted), room, MOST_POLICIES)
    if found is None:
        raise _too_many()
    for glob in found:
        yield repositories, glob


def _too_many() -> Refused:
    reason = f"needs more than {MOST_POLICIES} Harbor policies for what it selects; narrow it, or make several rules"
    return Refused(None, reason, "latest: 20")


def filters_length(rule: Rule, repositories: str, tags: str) -> int:
    """Return the length of a rule's filters as Harbor keeps them."""
    filters: list[dict[str, object]] = [
        {"type": "name", "value": repositories},
        {"type": "tag", "value": tags, "decoration": "matches"},
    ]
    if rule.tags.excludes:
        filters.append({"type": "tag", "value": join(rule.tags.excludes, "tag"), "decoration": "excludes"})
    if rule.labels:
        filters.append({"type": "label", "value": list(rule.labels), "decoration": "matches"})
    if rule.resource is not None:
        filters.append({"type": "resource", "value": rule.resource})
    return len(json.dumps(filters, separators=(",", ":"), ensure_ascii=False))


# --- Using the lock --------------------------------------------------------------------------------------------------


def lock_faults(rule: Rule, expression: TagExpression, source: str, lock: LockedRule) -> Iterator[Refused]:
    """Yield why a lock does not fit its rule, without the network."""
    for what, locked, configured in (
        ("source", lock.source, source),
        ("repositories", lock.repositories, list(rule.repositories)),
        ("expression", lock.expression, expression.as_written),
    ):
        if locked != configured:
            yield Refused(None, f"is locked for the {what} {_shown(locked)}, and is now {_shown(configured)}", "")
            return
    for repository, tags in lock.tags.items():
        if not any(globs.matches(pattern, repository) for pattern in rule.repositories):
            yield Refused(repository, "is locked, and no repository of the rule", "")
        selected = expression.select(tags)
        if wrong := sorted(set(tags) - set(selected)):
            yield Refused(f"{repository}:{wrong[0]}", "is locked, and not selected by the rule's expression", "")
        policies = [policy for policy in lock.policies if globs.matches(policy.repositories, repository)]
        if lost := [tag for tag in tags if not any(globs.matches(policy.matches, tag) for policy in policies)]:
            yield Refused(f"{repository}:{lost[0]}", "is locked, and no policy of the lock matches it", "")
    for policy in lock.policies:
        named = globs.specific(policy.repositories)
        if named is None or not lock.tags.keys() >= set(named):
            yield Refused(policy.repositories, "is in a policy of the lock, and its tags are not locked", "")
        length = filters_length(rule, policy.repositories, policy.matches)
        if length > FILTERS_LENGTH:
            reason = f"has filters of {length} characters, and Harbor keeps {FILTERS_LENGTH}"
            yield Refused(policy.name, reason, "")


def policies(rule: Rule, lock: LockedRule) -> dict[str, Rule]:
    """Return the Harbor policies of a rule with an expression, as rules of their own by name."""
    return {
        policy.name: rule.model_copy(
            update={
                "repositories": (policy.repositories,),
                "tags": RuleTags(matches=(policy.matches,), excludes=rule.tags.excludes),
                "expected_tags": _expected(policy, lock.tags),
            }
        )
        for policy in lock.policies
    }


def _expected(policy: LockedPolicy, tags: Mapping[str, Sequence[str]]) -> int:
    """Return how many tags a policy copies, for the request budget."""
    names = globs.specific(policy.repositories) or ()
    return sum(globs.matches(policy.matches, tag) for name in names for tag in tags.get(name, ()))


def _shown(value: object) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
