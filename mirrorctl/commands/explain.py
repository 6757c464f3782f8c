"""Each rule in words: what it takes, when, where it lands, and what it costs at the source. Offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harbor_mirror.config.models import Configuration, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import globs
from harbor_mirror.plan.checks import budgets, rule_load
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.outputs import MANUAL, landing
from harbor_mirror.plan.schedule import Schedule
from mirrorctl import stack_file
from mirrorctl.failure import AS_WANTED, Failure, unknown
from mirrorctl.output.render import Output
from mirrorctl.output.reports import ExplainReport, Explanation, Run
from mirrorctl.stack_file import StackFile
from mirrorctl.tool import Tool

NEXT_RUNS = 3
#: More destinations than these say no more than the pattern does.
SHOWN_DESTINATIONS = 10


def command(tool: Tool, names: Sequence[str]) -> int:
    """See `mirrorctl explain --help`."""
    report = explain(stack_file.read(one_file(tool.stack, tool.folder)), names, datetime.now(UTC))
    tool.output.report(report)
    show(tool.output, report)
    return AS_WANTED


def one_file(stack: str | None, folder: Path) -> Path:
    """The file of a stack, which need not be named where there is but one. Raises Failure."""
    files = stack_file.stack_files(folder, stack)
    if len(files) > 1:
        stacks = ", ".join(map(stack_file.stack_of, files))
        raise Failure(f"which stack? --stack, one of {stacks}")
    return files[0]


def explain(file: StackFile, names: Sequence[str], now: datetime) -> ExplainReport:
    """The rules of a file, as of `now`. Raises Failure for a faulty file or an unknown rule."""
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
            _explained(configuration, name, warnings.get(name, []), now) for name in names or configuration.rules
        ),
        budgets=tuple(_overruns(configuration)),
    )


def _explained(configuration: Configuration, name: str, warnings: Sequence[str], now: datetime) -> Explanation:
    rule = configuration.rules[name]
    schedule = _schedule(name, rule)
    cost = rule_load(name, rule, configuration.endpoints[rule.endpoint])
    from_there = landing(name, rule, configuration.endpoints[rule.endpoint])
    return Explanation(
        rule=name,
        enabled=rule.enabled,
        source=f"{from_there.source}/{from_there.repositories}",
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
    taken = f"tags {', '.join(rule.tags.matches)}" if rule.tags.matches else "all tags"
    return f"{taken} except {', '.join(rule.tags.excludes)}" if rule.tags.excludes else taken


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
    return filter(None, (counted.overrun() for counted in budgets(configuration).values()))


def show(output: Output, report: ExplainReport) -> None:
    """A paragraph for each rule."""
    for rule in report.rules:
        output.line(f"{rule.rule}{'' if rule.enabled else ' (disabled)'}")
        output.line(f"  takes    {rule.source}, {rule.tags}")
        for place in rule.destinations:
            output.line(f"  lands    {place}")
        output.line(f"  runs     {rule.schedule}{'' if rule.cron == MANUAL else f' ({rule.cron})'}")
        for run in rule.next_runs:
            here = f", {run.local:%Y-%m-%d %H:%M %Z}" if run.local.utcoffset() else ""
            output.line(f"  next     {run.utc:%Y-%m-%d %H:%M} UTC{here}")
        least = "" if rule.certain else "at least "
        output.line(f"  costs    {least}{rule.pulls_per_run} pulls a run, {least}{rule.pulls_per_six_hours} in 6 hours")
        for text in rule.warnings:
            output.line(f"  warning: {text}")
        output.line()
    for text in report.budgets:
        output.line(f"warning: {text}")
