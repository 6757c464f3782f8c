"""Tag retention, resolved, and whether it deletes what the rules bring.

In a repository that some retention rule selects, Harbor deletes every artifact that no rule keeps; other repositories
stay as they are. A scheduled replication brings deleted images back, so retention and replication would repeat the
same work every night.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

from pydantic.alias_generators import to_camel

from harbor_mirror.config.models import Retention, RetentionRule, TagFilter
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.filters import MUTABLE_TAGS, check, join, matches
from harbor_mirror.plan.globs import BadGlob, Kind, exact, example, expand
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.rule import PlannedRule
from harbor_mirror.plan.schedule import Schedule, parse_maintenance
from harbor_mirror.plan.signatures import EXAMPLE_ATTESTATION, SIGNATURE_TAGS

#: The counts and periods that a retention rule can keep by.
COUNTS = ("most_recently_pushed", "most_recently_pulled", "pushed_within_days", "pulled_within_days")
#: The keys of the configuration for them.
KEYS: Mapping[str, str] = {field: to_camel(field) for field in COUNTS}
_EXAMPLE = "{mostRecentlyPushed: 10}"
#: Tags to try for a rule that names none.
_TAGS = ("1.0.0", MUTABLE_TAGS[0])


class Selector(NamedTuple):
    """A selector as Harbor gets it: one glob, and whether it selects what matches or what does not."""

    pattern: str
    excludes: bool = False

    def selects(self, name: str) -> bool:
        """Whether Harbor selects a repository or tag of this name."""
        return _matches(self.pattern, name) != self.excludes


@dataclass(frozen=True, kw_only=True)
class PlannedRetentionRule:
    """What one retention rule keeps: `count` of the kind `keeps`, which is one of COUNTS, or `always`."""

    repositories: Selector
    tags: Selector
    untagged: bool
    keeps: str
    count: int | None = None

    @property
    def key(self) -> str:
        """The key of the configuration that says what is kept."""
        return KEYS.get(self.keeps, self.keeps)


@dataclass(frozen=True, kw_only=True)
class PlannedRetention:
    """A project's retention policy: an artifact stays if one of the rules keeps it."""

    schedule: Schedule
    keep: tuple[PlannedRetentionRule, ...]


def plan_retention(project: str, retention: Retention, report: EntryReport) -> PlannedRetention | None:
    """Resolve a project's `retention`; return None if it has faults."""
    schedule = report.attempt("schedule", lambda: parse_maintenance(retention.schedule, name=project))
    keep: dict[PlannedRetentionRule, str] = {}
    for index, rule in enumerate(retention.keep):
        path = f"keep[{index}]"
        _check_counts(path, rule, report)
        repositories = plan_selector(f"{path}.repositories", rule.repositories, "repository", report)
        tags = plan_selector(f"{path}.tags", rule.tags, "tag", report)
        if repositories is None or tags is None:
            continue
        planned = _plan_rule(rule, repositories, tags)
        if planned in keep:
            report.fault(
                path, None, f"is the same as {keep[planned]}, and Harbor rejects that; remove one of the two", ""
            )
        keep.setdefault(planned, path)
    if schedule is None or not report.is_valid:
        return None
    return PlannedRetention(schedule=schedule, keep=tuple(keep))


def _plan_rule(rule: RetentionRule, repositories: Selector, tags: Selector) -> PlannedRetentionRule:
    keeps = next((field for field in COUNTS if getattr(rule, field) is not None), "always")
    return PlannedRetentionRule(
        repositories=repositories,
        tags=tags,
        untagged=rule.untagged,
        keeps=keeps,
        count=None if keeps == "always" else getattr(rule, keeps),
    )


def _check_counts(path: str, rule: RetentionRule, report: EntryReport) -> None:
    kept = [key for field, key in KEYS.items() if getattr(rule, field) is not None]
    kept += ["always"] if rule.always else []
    if not kept:
        known = ", ".join([*KEYS.values(), "always"])
        report.fault(path, None, f"keeps nothing: it wants one of {known}", _EXAMPLE)
    elif len(kept) > 1:
        reason = f"keeps by {' and '.join(kept)}, and a rule has one of them; rules are joined by OR"
        report.fault(path, None, reason, f"[{', '.join(f'{{{key}: …}}' for key in kept)}]")


def plan_selector(path: str, selector: TagFilter, kind: Kind, report: EntryReport) -> Selector | None:
    """Resolve one selector of a retention rule or an immutable tag rule: no pattern selects everything."""
    if selector.matches and selector.excludes:
        what = "an immutable tag rule" if path.startswith("immutable") else "a retention rule"
        report.fault(path, None, f"has matches and excludes, and {what} takes one of them", "{matches: v*}")
    globs = {
        decoration: report.attempt(f"{path}.{decoration}", partial(_join_patterns, patterns, kind))
        for decoration, patterns in (("matches", selector.matches), ("excludes", selector.excludes))
        if patterns
    }
    if not globs:
        return Selector("**")
    decoration, pattern = next(iter(globs.items()))
    return None if pattern is None else Selector(pattern, excludes=decoration == "excludes")


def _join_patterns(patterns: Sequence[str], kind: Kind) -> str:
    for pattern in patterns:
        check(pattern, kind)
    return join(patterns, kind)


def undone_rules(retentions: Mapping[str, PlannedRetention], rules: Iterable[PlannedRule]) -> Iterator[tuple[str, str]]:
    """Yield (rule, sentence) for each scheduled rule that would bring back images that retention deletes.

    `retentions` are by project.
    """
    for rule in rules:
        retention = retentions.get(rule.project)
        if retention is None or not rule.enabled or rule.schedule.is_manual or retention.schedule.is_manual:
            continue
        if text := _undone(rule, retention):
            yield (
                rule.name,
                f"the retention of project {rule.project} {text}, and the rule brings it back at its next run",
            )


def _undone(rule: PlannedRule, retention: PlannedRetention) -> str | None:
    for repository, tag in product(_repositories(rule), _tags(rule)):
        selecting = [kept for kept in retention.keep if kept.repositories.selects(repository)]
        if not selecting:
            continue
        keeping = [kept for kept in selecting if kept.tags.selects(tag)]
        if not keeping:
            return f"deletes {repository}:{tag}, which none of its rules keeps"
        if not any(_keeps_all(kept, rule) for kept in keeping):
            kept_by = " or ".join(f"{kept.key}: {kept.count}" for kept in keeping)
            return f"may delete {repository}:{tag} (it keeps {kept_by})"
    return None


def _keeps_all(kept: PlannedRetentionRule, rule: PlannedRule) -> bool:
    """Return True if this retention rule keeps everything that the rule brings."""
    if kept.keeps == "most_recently_pushed":
        return (kept.count or 0) >= (_count(rule) or float("inf"))
    return kept.keeps == "always"


def _count(rule: PlannedRule) -> int | None:
    """Return how many tags the rule brings to one repository at most, or None if that is unknown."""
    if rule.expected_tags is not None:
        return rule.expected_tags
    matching = next((tag.pattern for tag in rule.tag_filters if tag.decoration == "matches"), None)
    names = None if matching is None else exact(matching)
    return None if names is None else len(names)


def _repositories(rule: PlannedRule) -> list[str]:
    """Return one repository for each form of the rule's glob, with the name it has in the project."""
    found = []
    for form in expand(rule.landing.repositories):
        shown = example(form)
        if shown is not None:
            try:
                place = destination(shown, rule.namespace, rule.flatten)
            except Refused:
                continue
            found.append(place.partition("/")[2])
    return found


def _tags(rule: PlannedRule) -> Sequence[str]:
    """Return tags that the rule brings: one for each form it names, or some common ones."""
    forms = [form for pattern in rule.tags.matches for form in expand(pattern)]
    examples = [EXAMPLE_ATTESTATION if form == SIGNATURE_TAGS else example(form, "tag") for form in forms]
    tags = [shown for shown in examples if shown] or _TAGS
    return [tag for tag in tags if not any(_matches(pattern, tag) for pattern in rule.tags.excludes)]


def _matches(pattern: str, name: str) -> bool:
    try:
        return matches(pattern, name)
    except BadGlob:
        return False
