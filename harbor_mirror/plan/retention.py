"""Tag retention, and whether it undoes what the rules bring.

In a repository that some retention rule selects, Harbor deletes every artifact that no rule keeps; other repositories
it leaves alone. A scheduled replication brings back what was deleted, so that both work for nothing, every night.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from pydantic.alias_generators import to_camel

from harbor_mirror.config.models import Project, Retention, RetentionRule, Rule, TagFilter
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.destinations import destination
from harbor_mirror.plan.filters import MUTABLE_TAGS, check, join, matches
from harbor_mirror.plan.globs import BadGlob, Kind, exact, example, expand
from harbor_mirror.plan.schedule import parse_maintenance

#: What a retention rule keeps by, and Harbor's template (and parameter) for it.
TEMPLATES: Mapping[str, str] = {
    "most_recently_pushed": "latestPushedK",
    "most_recently_pulled": "latestPulledN",
    "pushed_within_days": "nDaysSinceLastPush",
    "pulled_within_days": "nDaysSinceLastPull",
}
#: The same in the words of the configuration.
WORDS: Mapping[str, str] = {field: to_camel(field) for field in TEMPLATES}
_EXAMPLE = "{mostRecentlyPushed: 10}"
#: Tried where a rule names no tags.
_TAGS = ("1.0.0", MUTABLE_TAGS[0])


def faults(project: str, retention: Retention) -> Iterator[tuple[str, Refused]]:
    """What Harbor would refuse or read otherwise, with the path below `retention`."""
    try:
        parse_maintenance(retention.schedule, name=project)
    except Refused as refused:
        yield "schedule", refused
    seen: dict[RetentionRule, int] = {}
    for index, rule in enumerate(retention.keep):
        path = f"keep[{index}]"
        kept = [word for field, word in WORDS.items() if getattr(rule, field) is not None]
        kept += ["always"] if rule.always else []
        if not kept:
            known = ", ".join([*WORDS.values(), "always"])
            yield path, Refused(None, f"keeps nothing: it wants one of {known}", _EXAMPLE)
        elif len(kept) > 1:
            reason = f"keeps by {' and '.join(kept)}, and a rule has one of them; rules are joined by OR"
            yield path, Refused(None, reason, f"[{', '.join(f'{{{word}: …}}' for word in kept)}]")
        for key, selector, kind in _selectors(rule):
            yield from _selector_faults(f"{path}.{key}", selector, kind)
        if rule in seen:
            reason = f"is the same as keep[{seen[rule]}], and Harbor rejects that; remove one of the two"
            yield path, Refused(None, reason, "")
        seen.setdefault(rule, index)


def _selectors(rule: RetentionRule) -> Iterable[tuple[str, TagFilter, Kind]]:
    return (("repositories", rule.repositories, "repository"), ("tags", rule.tags, "tag"))


def _selector_faults(path: str, selector: TagFilter, kind: Kind) -> Iterator[tuple[str, Refused]]:
    if selector.matches and selector.excludes:
        yield path, Refused(None, "has matches and excludes, and a retention rule takes one of them", "{matches: v*}")
    for decoration, patterns in (("matches", selector.matches), ("excludes", selector.excludes)):
        try:
            for pattern in patterns:
                check(pattern, kind)
            if patterns:
                join(patterns, kind)
        except Refused as refused:
            yield f"{path}.{decoration}", refused


def selector(patterns: TagFilter, kind: Kind) -> tuple[str | None, str | None]:
    """(matches, excludes) as Harbor gets them; one is None. No pattern is all."""
    if patterns.excludes:
        return None, join(patterns.excludes, kind)
    return join(patterns.matches or ("**",), kind), None


def cautions(projects: Mapping[str, Project], rules: Mapping[str, Rule]) -> Iterator[tuple[str, str]]:
    """(rule, sentence) for each scheduled rule some of whose images retention deletes, so that it brings them back."""
    for name, rule in rules.items():
        project = projects.get(rule.project)
        if project is None or project.retention is None or "manual" in (rule.schedule, project.retention.schedule):
            continue
        if rule.enabled and (text := _undone(rule, project.retention)):
            yield name, f"the retention of project {rule.project} {text}, and the rule brings it back at its next run"


def _undone(rule: Rule, retention: Retention) -> str | None:
    for repository, tag in product(_repositories(rule), _tags(rule)):
        selecting = [kept for kept in retention.keep if _selects(kept.repositories, repository, "repository")]
        if not selecting:
            continue
        keeping = [kept for kept in selecting if _selects(kept.tags, tag, "tag")]
        if not keeping:
            return f"deletes {repository}:{tag}, which none of its rules keeps"
        if not any(_keeps_all(kept, rule) for kept in keeping):
            return f"may delete {repository}:{tag} (it keeps {' or '.join(map(_in_words, keeping))})"
    return None


def _keeps_all(kept: RetentionRule, rule: Rule) -> bool:
    """True if nothing that the rule brings can fall out of this retention rule."""
    return kept.always or (kept.most_recently_pushed or 0) >= (_count(rule) or float("inf"))


def _count(rule: Rule) -> int | None:
    """How many tags the rule brings to one repository at most, where that is known."""
    if rule.expected_tags is not None:
        return rule.expected_tags
    names = exact(join(rule.tags.matches, "tag")) if rule.tags.matches else None
    return None if names is None else len(names)


def _in_words(kept: RetentionRule) -> str:
    return next(f"{word}: {getattr(kept, field)}" for field, word in WORDS.items() if getattr(kept, field))


def _repositories(rule: Rule) -> list[str]:
    """One repository of each form the rule takes, as the project has it."""
    found = []
    for form in expand(join(rule.repositories)):
        shown = example(form)
        if shown is not None:
            try:
                place = destination(shown, rule.namespace, rule.flatten)
            except Refused:
                continue
            found.append(place.partition("/")[2])
    return found


def _tags(rule: Rule) -> Sequence[str]:
    """Tags that the rule brings: one of each form it names, or some that are common."""
    forms = [form for pattern in rule.tags.matches for form in expand(pattern)]
    tags = [shown for form in forms if (shown := example(form, "tag"))] or _TAGS
    return [tag for tag in tags if not any(_matches(pattern, tag) for pattern in rule.tags.excludes)]


def _selects(patterns: TagFilter, name: str, kind: Kind) -> bool:
    matching, excluding = selector(patterns, kind)
    if excluding is not None:
        return not _matches(excluding, name)
    return matching is not None and _matches(matching, name)


def _matches(pattern: str, name: str) -> bool:
    try:
        return matches(pattern, name)
    except BadGlob:
        return False
