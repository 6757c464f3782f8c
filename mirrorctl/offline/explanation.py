"""Describes rules in words: what they copy, when, to where, and what that costs at the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from harbor_mirror.config.models import Configuration, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.checks import budgets, rule_load
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.outputs import MANUAL, landing
from harbor_mirror.plan.schedule import Schedule
from mirrorctl import stack_file
from mirrorctl.failure import Failure, unknown
from mirrorctl.output.reports import ExplainReport, Explanation, Run
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
    if file.configuration is None:
        raise Failure(f"{file.path} has faults ({len(file.faults)}); `python -m mirrorctl check` shows them")
    configuration = file.configuration
    for name in names:
        if name not in configuration.rules:
            raise unknown("rule", name, configuration.rules)
    warnings: dict[str, list[str]] = {}
    for caution in file.cautions:
        if caution.section == "rules":
            warnings.setdefault(caution.name, []).append(caution.text)
    return ExplainReport(
        stack=stack_file.stack_of(file.path),
        rules=tuple(
            _explanation(configuration, name, warnings.get(name, []), now) for name in names or configuration.rules
        ),
        budgets=tuple(_overruns(configuration)),
    )


def _explanation(configuration: Configuration, name: str, warnings: Sequence[str], now: datetime) -> Explanation:
    rule = configuration.rules[name]
    schedule = _schedule(name, rule)
    cost = rule_load(name, rule, configuration.endpoints[rule.endpoint])
    place = landing(name, rule, configuration.endpoints[rule.endpoint])
    return Explanation(
        rule=name,
        enabled=rule.enabled,
        source=f"{place.source}/{place.repositories}",
        tags=_tags(rule),
        schedule=schedule.describe(),
        cron=schedule.cron or MANUAL,
        next_runs=tuple(Run(utc=run, local=run.astimezone()) for run in schedule.next(now, NEXT_RUNS)),
        destinations=tuple(_destinations(configuration, name)),
        pulls_per_run=cost.pulls,
        pulls_per_six_hours=cost.pulls_per_window,
        certain=cost.certain,
        warnings=tuple(warnings),
    )


def _schedule(name: str, rule: Rule) -> Schedule:
    return Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent)


def _tags(rule: Rule) -> str:
    matching = f"tags {', '.join(rule.tags.matches)}" if rule.tags.matches else "all tags"
    return f"{matching} except {', '.join(rule.tags.excludes)}" if rule.tags.excludes else matching


def _destinations(configuration: Configuration, name: str) -> Iterator[str]:
    rule = configuration.rules[name]
    host = configuration.registry_host
    names = [globs.exact(pattern) for pattern in rule.repositories]
    for pattern, exact in zip(rule.repositories, names, strict=True):
        for repository in (exact or ())[:SHOWN_DESTINATIONS]:
            yield f"{repository} -> {host}/{destination(repository, rule.namespace, rule.flatten)}"
        if exact is None:
            yield f"{pattern} -> {host}/{_pattern_destination(pattern, rule)}"


def _pattern_destination(pattern: str, rule: Rule) -> str:
    try:
        return destination(pattern, rule.namespace, rule.flatten)
    except Refused:
        return f"{rule.namespace}/…"


def _overruns(configuration: Configuration) -> Iterator[str]:
    return filter(None, (budget.overrun() for budget in budgets(configuration).values()))
