"""What a stack means, checked whole: each endpoint, project and rule by its own rooms, and rules against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from harbor_mirror.config.faults import Caution, Fault
from harbor_mirror.config.models import Configuration, Endpoint, Rule
from harbor_mirror.config.paths import join_path, set_command
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import destinations, filters, retention
from harbor_mirror.plan.budget import Budget, Load, budget, load
from harbor_mirror.plan.destinations import Collision
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.harbor_versions import hub_login_fails
from harbor_mirror.plan.outputs import landing
from harbor_mirror.plan.registry_types import SET_SECRET, check_endpoint, check_rule
from harbor_mirror.plan.schedule import Schedule, crowds, parse_maintenance

Checked = TypeVar("Checked")

#: The only source whose limits are published, and met daily.
LIMITED_TYPE = "docker-hub"
#: Sources that may meet are many where globs are wide; these many examples of a rule show what is meant.
SHOWN_COLLISIONS = 3


def check(configuration: Configuration) -> tuple[list[Fault], list[Caution]]:
    """Everything that Harbor would refuse late, or accept and do wrongly; and what is only worth a warning."""
    faults: list[Fault] = []
    cautions: list[Caution] = []
    unsound: set[str] = set()
    for name, endpoint in configuration.endpoints.items():
        wrong = list(_endpoint_faults(name, endpoint, cautions))
        faults += wrong
        if wrong:
            unsound.add(name)
    cautions += _hub_logins(configuration)
    faults += _maintenance_faults(configuration, cautions)
    retaining = list(_retention_faults(configuration))
    sound: dict[str, Rule] = {}
    for name, rule in configuration.rules.items():
        wrong = list(_rule_faults(name, rule, configuration.endpoints.get(rule.endpoint), cautions))
        faults += wrong
        if not wrong and rule.endpoint in configuration.endpoints.keys() - unsound:
            sound[name] = rule
    active = {name: rule.schedule for name, rule in sound.items() if rule.enabled}
    cautions += (Caution("rules", name, text) for name, text in crowds(active))
    faults += [*retaining, *_collisions(configuration, sound, cautions)]
    if not retaining:
        undone = retention.cautions(configuration.projects, sound)
        cautions += (Caution("rules", name, text) for name, text in undone)
    if not faults:
        overruns = list(_overruns(configuration))
        if configuration.strict:
            faults += (_strict(caution) for caution in overruns)
        else:
            cautions += overruns
    return faults, cautions


# --- Endpoints, projects and Harbor itself ---------------------------------------------------------------------------


def _endpoint_faults(name: str, endpoint: Endpoint, cautions: list[Caution]) -> Iterator[Fault]:
    path = join_path("endpoints", name)
    found = check_endpoint(endpoint.type, endpoint.url, endpoint.username, _plain(endpoint))
    for refused in found.refused:
        fault = _fault(path, refused)
        yield replace(fault, example=fault.example.replace(SET_SECRET, set_command(f"{path}.secret", "--secret")))
    cautions += (Caution("endpoints", name, text) for text in found.cautions)
    if endpoint.plan is not None and endpoint.type != LIMITED_TYPE:
        yield Fault(f"{path}.plan", endpoint.plan, f"is Docker Hub's, and has no use with type {endpoint.type}", "")
    elif endpoint.plan is not None and (endpoint.plan == "anonymous") != (endpoint.secret is None):
        has = "no credentials, so that Docker Hub counts by address" if endpoint.secret is None else "an account"
        shown = "plan: anonymous" if endpoint.secret is None else "plan: personal"
        yield Fault(f"{path}.plan", endpoint.plan, f"can't be: the endpoint has {has}", shown)


def _hub_logins(configuration: Configuration) -> Iterator[Caution]:
    host = configuration.host
    if host is None or not hub_login_fails(host.version):
        return
    for name, endpoint in configuration.endpoints.items():
        if endpoint.type == LIMITED_TYPE and endpoint.secret is not None:
            text = (
                f"Docker Hub may refuse these credentials from Harbor {host.version}, which asks an address that "
                "Docker Hub gave up; 2.15.1 asks the new one"
            )
            yield Caution("endpoints", name, text)


def _maintenance_faults(configuration: Configuration, cautions: list[Caution]) -> Iterator[Fault]:
    asked = configuration.maintenance
    for key, section in (("garbageCollection", asked.garbage_collection), ("auditPurge", asked.audit_purge)):
        if section is not None:
            tried = _tried(partial(parse_maintenance, section.schedule, name=key))
            if isinstance(tried, Refused):
                yield _fault(f"maintenance.{key}", tried, "schedule")
    if asked.garbage_collection is not None and asked.garbage_collection.delete_untagged:
        text = (
            "deleteUntagged deletes what a moved tag leaves behind: "
            "who pins such an image by digest can't pull it any more"
        )
        cautions.append(Caution("maintenance", "garbageCollection", text))


def _retention_faults(configuration: Configuration) -> Iterator[Fault]:
    for name, project in configuration.projects.items():
        for field, refused in retention.faults(name, project.retention) if project.retention else ():
            yield _fault(join_path("projects", name, "retention"), refused, field)


# --- Rules -----------------------------------------------------------------------------------------------------------


def tag_filters(rule: Rule) -> list[TagFilter]:
    """The rule's tag filters as Harbor gets them. Raises Refused."""
    found = []
    if rule.tags.matches:
        found.append(TagFilter(filters.join(rule.tags.matches, "tag")))
    if rule.tags.excludes:
        found.append(TagFilter(filters.join(rule.tags.excludes, "tag"), "excludes"))
    return found


def _rule_faults(name: str, rule: Rule, endpoint: Endpoint | None, cautions: list[Caution]) -> Iterator[Fault]:
    """Of a rule whose endpoint can't be read, all but what depends on the kind of source."""
    path = join_path("rules", name)

    def warn(texts: Iterable[str]) -> None:
        cautions.extend(Caution("rules", name, text) for text in texts)

    wrong = [_fault(path, refused, field) for field, refused in _filter_faults(rule)]
    yield from wrong
    schedule = _tried(lambda: Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent))
    if isinstance(schedule, Refused):
        yield _fault(path, schedule, "schedule")
    else:
        warn(schedule.notes())
    if rule.listed_tags is not None and rule.listed_tags < (rule.expected_tags or 0):
        reason = f"is less than expectedTags ({rule.expected_tags}), which are some of them"
        yield Fault(f"{path}.listedTags", rule.listed_tags, reason, f"listedTags: {rule.expected_tags}")
    if wrong:
        return
    pattern, tags = filters.join(rule.repositories), tag_filters(rule)
    for field, flatten in (("path", 0), ("flatten", rule.flatten)):
        mapped = _tried(partial(destinations.check, pattern, rule.namespace, flatten))
        if isinstance(mapped, Refused):
            yield _fault(path, mapped, field)
            break
    if endpoint is not None:
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
    if rule.deletion:
        warn(["deletion has no effect on a pull rule: Harbor deletes on events, and no source sends it any"])
    moving = None if rule.override else filters.moving_tag(tags)
    if moving:
        warn([f"override is false, so that {moving} stays as it first arrived however often it moves at the source"])


def _filter_faults(rule: Rule) -> Iterator[tuple[str, Refused]]:
    """Each value of a filter, then the values of a key together, and then all tag filters: what is wrong first."""
    values: list[tuple[str, Callable[[], object]]] = [
        *(("repositories", partial(filters.check, pattern)) for pattern in rule.repositories),
        *(("tags.matches", TagFilter(pattern).check) for pattern in rule.tags.matches),
        *(("tags.excludes", TagFilter(pattern, "excludes").check) for pattern in rule.tags.excludes),
    ]
    wrong = set()
    for field, check_value in values:
        refused = _tried(check_value)
        if isinstance(refused, Refused):
            wrong.add(field.partition(".")[0])
            yield field, refused
    together: tuple[tuple[str, Callable[[], object]], ...] = (
        ("repositories", lambda: filters.join(rule.repositories)),
        ("tags", lambda: filters.check_together(tag_filters(rule))),
    )
    for field, check_values in together:
        refused = None if field in wrong else _tried(check_values)
        if isinstance(refused, Refused):
            yield field, refused


def _collisions(configuration: Configuration, sound: Mapping[str, Rule], cautions: list[Caution]) -> Iterator[Fault]:
    landings = [landing(name, rule, configuration.endpoints[rule.endpoint]) for name, rule in sound.items()]
    meeting = destinations.collisions(landings)
    for collision in meeting.certain:
        name = collision.rules[-1]
        path = join_path("rules", name, "repositories")
        yield Fault(path, list(sound[name].repositories), collision.reason, collision.example)
    possible: defaultdict[str, list[Collision]] = defaultdict(list)
    for collision in meeting.possible:
        possible[collision.rules[-1]].append(collision)
    for name, found in possible.items():
        cautions += (Caution("rules", name, collision.reason) for collision in found[:SHOWN_COLLISIONS])
        if (more := len(found) - SHOWN_COLLISIONS) > 0:
            cautions.append(Caution("rules", name, f"may collide with {more} other rule{'s' * (more > 1)}, too"))


# --- The request budget ----------------------------------------------------------------------------------------------


def rule_load(name: str, rule: Rule, endpoint: Endpoint) -> Load:
    """What a rule costs at its source. Give rules that passed `check` only."""
    return load(
        name,
        endpoint.type,
        filters.join(rule.repositories),
        Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent),
        tags=tag_filters(rule),
        expected_tags=rule.expected_tags,
        listed_tags=rule.listed_tags,
    )


def budgets(configuration: Configuration) -> dict[str, Budget]:
    """A budget for each account at Docker Hub, by its endpoint's name; anonymous endpoints share Harbor's address."""
    shared: defaultdict[str, list[str]] = defaultdict(list)
    for name, endpoint in configuration.endpoints.items():
        if endpoint.type == LIMITED_TYPE:
            shared["" if endpoint.secret is None else name].append(name)
    found = {}
    for names in shared.values():
        endpoint = configuration.endpoints[names[0]]
        loads = [
            rule_load(name, rule, configuration.endpoints[rule.endpoint])
            for name, rule in configuration.rules.items()
            if rule.enabled and rule.endpoint in names
        ]
        if loads:
            found[names[0]] = budget(" and ".join(names), endpoint.plan, loads, anonymous=endpoint.secret is None)
    return found


def _overruns(configuration: Configuration) -> Iterator[Caution]:
    for name, counted in budgets(configuration).items():
        if text := counted.overrun():
            yield Caution("endpoints", name, text)
        yield from (Caution("rules", cost.rule, text) for cost in counted.loads if (text := cost.overrun()))


def _strict(caution: Caution) -> Fault:
    example = "a sparser schedule, fewer tags, an account's plan, or strict: false"
    return Fault(caution.path, None, caution.text, example)


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
