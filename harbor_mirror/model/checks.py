"""What a stack means, checked whole: each endpoint and rule by its own rooms, and the rules against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from harbor_mirror.model import destinations, filters
from harbor_mirror.model.config import Configuration, Endpoint, Rule
from harbor_mirror.model.faults import Caution, Fault
from harbor_mirror.model.filters import TagFilter
from harbor_mirror.model.outputs import landing
from harbor_mirror.model.refusal import Refused
from harbor_mirror.model.registry_types import check_endpoint, check_rule
from harbor_mirror.model.schedule import Schedule

Checked = TypeVar("Checked")


def check(configuration: Configuration) -> tuple[list[Fault], list[Caution]]:
    """Everything that Harbor would refuse late, or accept and do wrongly; and what is only worth a warning."""
    faults: list[Fault] = []
    cautions: list[Caution] = []
    for name, endpoint in configuration.endpoints.items():
        found = check_endpoint(endpoint.type, endpoint.url, endpoint.username, _plain(endpoint))
        faults += (_fault(f"endpoints.{name}", refused) for refused in found.refused)
        cautions += (Caution("endpoints", name, text) for text in found.cautions)
    sound: dict[str, Rule] = {}
    for name, rule in configuration.rules.items():
        wrong = list(_rule_faults(name, rule, configuration.endpoints[rule.endpoint], cautions))
        faults += wrong
        if not wrong:
            sound[name] = rule
    landings = [landing(name, rule, configuration.endpoints[rule.endpoint]) for name, rule in sound.items()]
    meeting = destinations.collisions(landings)
    for collision in meeting.certain:
        name = collision.rules[-1]
        path = f"rules.{name}.repositories"
        faults.append(Fault(path, list(sound[name].repositories), collision.reason, collision.example))
    cautions += (Caution("rules", collision.rules[-1], collision.reason) for collision in meeting.possible)
    return faults, cautions


def tag_filters(rule: Rule) -> list[TagFilter]:
    """The rule's tag filters as Harbor gets them. Raises Refused."""
    found = []
    if rule.tags.matches:
        found.append(TagFilter(filters.join(rule.tags.matches, "tag")))
    if rule.tags.excludes:
        found.append(TagFilter(filters.join(rule.tags.excludes, "tag"), "excludes"))
    return found


def _rule_faults(name: str, rule: Rule, endpoint: Endpoint, cautions: list[Caution]) -> Iterator[Fault]:
    path = f"rules.{name}"

    def warn(texts: Iterable[str]) -> None:
        cautions.extend(Caution("rules", name, text) for text in texts)

    for field, check_value in _values(rule):
        try:
            check_value()
        except Refused as refused:
            yield _fault(path, refused, field)
    schedule = _tried(lambda: Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent))
    if isinstance(schedule, Refused):
        yield _fault(path, schedule, "schedule")
    else:
        warn(schedule.notes())
    pattern, tags = _tried(lambda: filters.join(rule.repositories)), _tried(lambda: tag_filters(rule))
    if isinstance(pattern, Refused) or isinstance(tags, Refused):
        return
    found = check_rule(
        endpoint.type,
        url=endpoint.url,
        anonymous=endpoint.secret is None,
        repositories=pattern,
        tags=tags,
        labels=rule.labels,
        resource=rule.resource,
    )
    yield from (_fault(path, refused) for refused in found.refused)
    warn(found.cautions)
    warn(filters.notes(pattern))
    warn(destinations.cautions(pattern, rule.namespace, rule.flatten))
    if not rule.override:
        moving = next((tag for tag in (entry.mutable_tag for entry in tags or [TagFilter("**")]) if tag), None)
        if moving:
            warn(
                [f"override is false, so that {moving} stays as it first arrived however often it moves at the source"]
            )


def _values(rule: Rule) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each value that is checked on its own, with the key it stands under."""
    yield from (("repositories", partial(filters.check, pattern)) for pattern in rule.repositories)
    yield from (("tags.matches", TagFilter(pattern).check) for pattern in rule.tags.matches)
    yield from (("tags.excludes", TagFilter(pattern, "excludes").check) for pattern in rule.tags.excludes)
    yield "repositories", lambda: filters.join(rule.repositories)
    yield "tags", lambda: tag_filters(rule)
    yield "flatten", lambda: destinations.check(filters.join(rule.repositories), rule.namespace, rule.flatten)


def _tried(function: Callable[[], Checked]) -> Checked | Refused:
    try:
        return function()
    except Refused as refused:
        return refused


def _fault(path: str, refused: Refused, field: str = "") -> Fault:
    where = ".".join(filter(None, [path, refused.field or field]))
    return Fault(where, refused.value, refused.reason, refused.example)


def _plain(endpoint: Endpoint) -> str | None:
    return None if endpoint.secret is None else endpoint.secret.get_secret_value()
