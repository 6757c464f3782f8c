"""Resolves the rules' tag expressions: lists the tags at the sources and writes the lock file.

Only lists of repositories and tags are requested: nothing is pulled, so Docker Hub counts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harbor_mirror.config.models import Configuration, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import HarborError
from harbor_mirror.plan.filters import check
from harbor_mirror.plan.registry_types import url_of
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_locks import (
    LockedRule,
    LockError,
    format_locks,
    lock_path,
    lock_rule,
    read_locks,
    source_of,
)
from harbor_mirror.registry.distribution import RegistryError
from mirrorctl import stack_file
from mirrorctl.advice import with_advice
from mirrorctl.failure import Failure, unknown
from mirrorctl.live import mirror, sources
from mirrorctl.live.connection import Connection
from mirrorctl.live.sources import Sources
from mirrorctl.output.reports import ResolvedRule, ResolvedStack

#: Repositories whose tags are listed at the same time; each registry client limits its own connections.
REPOSITORIES_AT_ONCE = 4


@dataclass(frozen=True)
class Resolution:
    """Resolves the expressions of one stack. `hide` gets the sources' passwords, `note` what is being listed."""

    path: Path
    hide: Callable[[str], None]
    note: Callable[[str], None] = lambda _: None

    def run(self, names: Sequence[str], *, only_check: bool = False) -> ResolvedStack:
        """Resolve the named rules, all without names, and write the lock file if it changes. Raise Failure."""
        configuration = stack_file.read_as_written(self.path)
        expressions = _expressions(configuration)
        for name in names:
            if name not in expressions:
                raise unknown("rule with an expression", name, expressions)
        file = lock_path(self.path.parent, stack_file.stack_of(self.path))
        try:
            before = read_locks(file)
        except LockError:
            # It is written again from the sources.
            before = {}
        locks = {name: lock for name, lock in before.items() if name in expressions}
        rules = []
        with closing(Sources(_connection(self.path, configuration), self.hide)) as opened:
            for name in names or expressions:
                rule = self._resolve(name, configuration, expressions[name], opened, locks)
                rules.append(rule)
        changed = self._write(file, locks, only_check=only_check)
        return ResolvedStack(
            stack=stack_file.stack_of(self.path),
            file=str(file),
            ok=not any(rule.problem for rule in rules) and not (changed and only_check),
            changed=changed,
            rules=tuple(rules),
            removed=tuple(sorted(before.keys() - locks.keys())),
        )

    def _resolve(
        self,
        name: str,
        configuration: Configuration,
        expression: TagExpression,
        opened: Sources,
        locks: dict[str, LockedRule],
    ) -> ResolvedRule:
        """Replace the lock of a rule; keep it if the source does not answer or nothing is selected."""
        rule = configuration.rules[name]
        before = locks.get(name)
        try:
            for pattern in rule.repositories:
                check(pattern)
            tags = self._list(name, rule, configuration, opened)
            lock = lock_rule(name, rule, expression, source_of(configuration.endpoints[rule.endpoint]), tags)
        except (RegistryError, HarborError) as error:
            return ResolvedRule(rule=name, state="unreachable", problem=with_advice(error))
        except Refused as refused:
            value = "" if refused.value is None else f"{refused.value!r} "
            return ResolvedRule(rule=name, state="refused", problem=f"{value}{refused.reason}")
        locks[name] = lock
        old, new = (_references(state) for state in (before, lock))
        return ResolvedRule(
            rule=name,
            state="new" if before is None else "unchanged" if before == lock else "changed",
            listed=sum(map(len, tags.values())),
            selected=len(new),
            added=tuple(reference for reference in new if reference not in old),
            removed=tuple(reference for reference in old if reference not in new),
            policies=tuple(policy.name for policy in lock.policies),
            globs=tuple(policy.matches for policy in lock.policies),
        )

    def _list(self, name: str, rule: Rule, configuration: Configuration, opened: Sources) -> Mapping[str, list[str]]:
        """Return every tag of each of the rule's repositories at the source. Raise RegistryError, HarborError."""
        pull_rule = _pull_rule(name, rule, configuration)
        source = opened.of(pull_rule.endpoint)
        repositories = sources.matching_repositories(source, pull_rule)
        self.note(f"listing tags for {name}: {len(repositories)} repositories of {source.host}")
        with ThreadPoolExecutor(REPOSITORIES_AT_ONCE) as pool:
            return dict(zip(repositories, pool.map(source.registry.tags, repositories), strict=True))

    def _write(self, file: Path, locks: Mapping[str, LockedRule], *, only_check: bool) -> bool:
        """Write the lock file if its text changes, at once or not at all; return whether it changes."""
        if not locks and not file.exists():
            return False
        text = format_locks(locks)
        try:
            if file.exists() and file.read_text(encoding="utf-8") == text:
                return False
            if not only_check:
                new = file.with_name(f".{file.name}.new")
                new.write_text(text, encoding="utf-8")
                os.replace(new, file)
        except OSError as error:
            raise Failure(f"{file}: {error.strerror}") from None
        return True


def _expressions(configuration: Configuration) -> dict[str, TagExpression]:
    expressions = {}
    for name, rule in configuration.rules.items():
        try:
            expression = TagExpression.of(rule.tags)
        except Refused as refused:
            raise Failure(f"rules.{name}.{refused.field}: {refused}") from None
        if expression is not None:
            expressions[name] = expression
    return expressions


def _connection(path: Path, configuration: Configuration) -> Connection:
    """Return what Sources needs to find credentials: the stack, if its configuration has some."""
    has_secrets = any(endpoint.secret is not None for endpoint in configuration.endpoints.values())
    stack = stack_file.stack_of(path)
    return Connection("", "", "", stack, path.parent, {} if has_secrets else None)


def _pull_rule(name: str, rule: Rule, configuration: Configuration) -> mirror.Rule:
    """Return the rule in the form that sources list repositories for."""
    endpoint = configuration.endpoints[rule.endpoint]
    return mirror.Rule(
        name=name,
        id=0,
        endpoint=mirror.Endpoint(rule.endpoint, 0, endpoint.type, url_of(endpoint.type, endpoint.url)),
        repositories=rule.repositories,
        tag_matches=(),
        tag_excludes=(),
        namespace=rule.namespace,
        flatten=rule.flatten,
        schedule=rule.schedule,
        project=rule.project,
    )


def _references(lock: LockedRule | None) -> dict[str, None]:
    """Return `repository:tag` of all that is locked, in the lock's order."""
    return {f"{name}:{tag}": None for name, tags in lock.tags.items() for tag in tags} if lock else {}
