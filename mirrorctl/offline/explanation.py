"""Describes rules in words: what they copy, when, to where, and what that costs at the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from harbor_mirror.cluster.resources import billed
from harbor_mirror.config.faults import in_yaml
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.rule import PlannedRule
from harbor_mirror.plan.tag_expressions import TagExpression
from mirrorctl import stack_file
from mirrorctl.failure import Failure, unknown
from mirrorctl.output.reports import BilledResource, ExplainReport, Explanation, Run
from mirrorctl.stack_file import StackFile

NEXT_RUNS = 3
#: Destinations shown for each pattern.
SHOWN_DESTINATIONS = 10


def select_file(folder: Path, stack: str | None) -> Path:
    """Return the file of a stack; the name is optional if there is only one. Raise Failure."""
    files = stack_file.stack_files(folder, stack)
    if len(files) > 1:
        stacks = ", ".join(map(stack_file.stack_of, files))
        raise Failure(f"there are several stacks: add --stack, one of {stacks}")
    return files[0]


def explain_rules(file: StackFile, names: Sequence[str], now: datetime) -> ExplainReport:
    """Describe the rules of a file as of `now`, all without names. Raise Failure for faults or an unknown rule."""
    mirror = file.mirror
    if mirror is None:
        raise Failure(f"{file.path} has faults ({len(file.faults)}); `mirrorctl check` shows them")
    for name in names:
        if name not in mirror.rules:
            raise unknown("rule", name, mirror.rules)
    warnings: dict[str, list[str]] = {}
    for caution in file.cautions:
        if caution.section == "rules":
            warnings.setdefault(caution.name, []).append(caution.text)
    return ExplainReport(
        stack=stack_file.stack_of(file.path),
        rules=tuple(_explanation(mirror, name, warnings.get(name, []), now) for name in names or mirror.rules),
        budgets=tuple(text for budget in mirror.budgets.values() if (text := budget.overrun())),
        resources=() if names else tuple(_resources(mirror)),
    )


def _resources(mirror: PlannedMirror) -> Iterator[BilledResource]:
    cluster = mirror.configuration.cluster
    for resource in billed(cluster) if cluster else ():
        yield BilledResource(what=resource.what, size=resource.size, outlives=resource.outlives)


def _explanation(mirror: PlannedMirror, name: str, warnings: Sequence[str], now: datetime) -> Explanation:
    rule = mirror.rules[name]
    return Explanation(
        rule=name,
        enabled=rule.enabled,
        source=f"{rule.landing.source}/{rule.landing.repositories}",
        tags=_tags(rule),
        schedule=rule.schedule.describe(),
        cron=rule.cron,
        next_runs=tuple(Run(utc=run, local=run.astimezone()) for run in rule.schedule.next(now, NEXT_RUNS)),
        destinations=tuple(_destinations(mirror.registry_host, rule)),
        pulls_per_run=rule.load.pulls,
        pulls_per_six_hours=rule.load.pulls_per_window,
        certain=rule.load.certain,
        warnings=tuple(warnings),
    )


def _tags(rule: PlannedRule) -> str:
    matching = f"tags {', '.join(rule.tags.matches)}" if rule.tags.matches else "all tags"
    tags = f"{matching} except {', '.join(rule.tags.excludes)}" if rule.tags.excludes else matching
    expression = TagExpression.of_resolved(rule.tags)
    return f"{tags} (resolved from {in_yaml(expression.as_written)})" if expression else tags


def _destinations(host: str, rule: PlannedRule) -> Iterator[str]:
    for pattern in rule.repositories:
        names = globs.exact(pattern)
        for repository in (names or ())[:SHOWN_DESTINATIONS]:
            yield f"{repository} -> {host}/{destination(repository, rule.namespace, rule.flatten)}"
        if names is None:
            yield f"{pattern} -> {host}/{_pattern_destination(pattern, rule)}"


def _pattern_destination(pattern: str, rule: PlannedRule) -> str:
    try:
        return destination(pattern, rule.namespace, rule.flatten)
    except Refused:
        return f"{rule.namespace}/…"
