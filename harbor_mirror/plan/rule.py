"""A resolved rule: its schedule, filters, destinations, costs, and Harbor policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from harbor_mirror.config import models
from harbor_mirror.config.models import Endpoint, Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan import destinations, filters
from harbor_mirror.plan.budget import Load, load
from harbor_mirror.plan.destinations import Landing
from harbor_mirror.plan.endpoint import image_source
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.harbor_versions import SINGLE_ACTIVE, is_older
from harbor_mirror.plan.policies import PolicyRule
from harbor_mirror.plan.registry_types import check_rule
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.schedule import MANUAL, Schedule
from harbor_mirror.plan.signatures import COPIES_ACCESSORIES, with_signatures


@dataclass(frozen=True, kw_only=True)
class PlannedPolicy:
    """One pull replication policy as Harbor gets it.

    `name` is the policy's name in Harbor; `repositories`, `tag_matches` and `tag_excludes` are one glob each;
    `namespace` is the destination project with the path below it; `schedule` is Harbor's cron (six fields, UTC) or
    `manual`.
    """

    name: str
    repositories: str
    namespace: str
    flatten: int = 0
    tag_matches: str | None = None
    tag_excludes: str | None = None
    labels: tuple[str, ...] = ()
    resource: str | None = None
    schedule: str = MANUAL
    override: bool = True
    enabled: bool = True
    deletion: bool = False
    copy_by_chunk: bool = False
    speed_kbps: int = -1
    single_active: bool | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedRule:
    """A rule of the configuration. `endpoint` and `project` are keys; `repositories` and `tags` are as configured."""

    name: str
    endpoint: str
    project: str
    namespace: str
    flatten: int
    enabled: bool
    repositories: tuple[str, ...]
    tags: models.RuleTags
    tag_filters: tuple[TagFilter, ...]
    expected_tags: int | None
    schedule: Schedule
    landing: Landing
    load: Load
    policy: PlannedPolicy
    policy_of: str | None = None
    """The rule's name in the configuration, where it became several Harbor policies and this is one of them."""

    @property
    def cron(self) -> str:
        """The schedule as Harbor gets it: six fields, or `manual`."""
        return self.schedule.text


def plan_rule(
    name: str, rule: Rule, endpoint: Endpoint | None, report: EntryReport, *, harbor_version: str | None = None
) -> PlannedRule | None:
    """Resolve one entry of `rules`; return None if it has faults.

    Without an endpoint (it could not be read), check everything that does not depend on the kind of source.
    `harbor_version` is None for an existing Harbor.
    """
    if rule.single_active and harbor_version is not None and is_older(harbor_version, SINGLE_ACTIVE):
        report.fault("singleActive", True, f"needs Harbor 2.13 or later, and host.version is {harbor_version}", "")
    pattern, chosen = _filters(rule, report)
    schedule = report.attempt(
        "schedule", lambda: Schedule.parse(rule.schedule, name=name, allow_frequent=rule.allow_frequent)
    )
    if schedule is not None:
        report.warn(*schedule.notes())
    if rule.listed_tags is not None and rule.listed_tags < (rule.expected_tags or 0):
        reason = f"is less than expectedTags ({rule.expected_tags}), which are some of them"
        report.fault("listedTags", rule.listed_tags, reason, f"listedTags: {rule.expected_tags}")
    if pattern is None or chosen is None:
        return None
    brought = rule.tags
    if rule.signatures:
        type_ = endpoint.type if endpoint else None
        found = report.attempt("tags", lambda: with_signatures(rule.tags, type_))
        if found is None:
            return None
        brought = found
    tags = _joined_tags(brought)
    report.attempt("", lambda: filters.check_stored_length(pattern, tags, rule.labels, rule.resource))
    _check_destination(pattern, rule.namespace, rule.flatten, "path", report)
    if endpoint is not None:
        report.add(
            check_rule(
                endpoint.type,
                url=endpoint.url,
                anonymous=endpoint.secret is None,
                repositories=pattern,
                tags=tags,
                labels=rule.labels,
                resource=rule.resource,
            )
        )
    _warn(pattern, chosen, rule, report)
    if rule.signatures and endpoint is not None and endpoint.type != COPIES_ACCESSORIES:
        report.warn(
            "signatures: brings those with a tag (sha256-*), as cosign pushes them. Harbor does not copy OCI referrers "
            "without a tag from this source; `mirrorctl verify` names the images whose signature is missing"
        )
    if schedule is None or endpoint is None or not report.is_valid:
        return None
    try:
        source = image_source(endpoint)
    except Refused:
        # The endpoint's fault, which is reported there.
        return None
    return PlannedRule(
        name=name,
        endpoint=rule.endpoint,
        project=rule.project,
        namespace=rule.namespace,
        flatten=rule.flatten,
        enabled=rule.enabled,
        repositories=rule.repositories,
        tags=brought,
        tag_filters=tags,
        expected_tags=rule.expected_tags,
        schedule=schedule,
        # Tags of signatures contain the digest of their image: those of different images never collide.
        landing=Landing(name, source, pattern, rule.namespace, rule.flatten, chosen),
        load=load(
            name,
            endpoint.type,
            pattern,
            schedule,
            tags=chosen,
            are_all_tags=brought is rule.tags,
            expected_tags=rule.expected_tags,
            listed_tags=rule.listed_tags,
        ),
        policy=_policy(name, rule, pattern, tags, schedule),
        policy_of=rule.policy_of if isinstance(rule, PolicyRule) else None,
    )


def check_policy(policy: PlannedPolicy, report: EntryReport) -> None:
    """Report everything that Harbor would refuse, or fail on, in a policy that comes from no configuration."""
    tags = _tag_filters(policy.tag_matches, policy.tag_excludes)
    report.attempt("repositories", lambda: filters.check(policy.repositories))
    for tag in tags:
        report.attempt(f"tag_{tag.decoration}", tag.check)
    if report.is_valid:
        report.attempt("tag_excludes", lambda: filters.check_together(tags))
        report.attempt(
            "", lambda: filters.check_stored_length(policy.repositories, tags, policy.labels, policy.resource)
        )
        _check_destination(policy.repositories, policy.namespace, policy.flatten, "namespace", report)


def _filters(rule: Rule, report: EntryReport) -> tuple[str | None, tuple[TagFilter, ...] | None]:
    """Return the joined repository glob and the tag filters; None for one that has faults.

    Each value of a key is checked by itself, then the values of a key together, then all tag filters.
    """
    checks: list[tuple[str, Callable[[], object]]] = [
        *(("repositories", partial(filters.check, pattern)) for pattern in rule.repositories),
        *(("tags.matches", TagFilter(pattern).check) for pattern in rule.tags.matches),
        *(("tags.excludes", TagFilter(pattern, "excludes").check) for pattern in rule.tags.excludes),
    ]
    faulty = set()
    for field, check in checks:
        try:
            check()
        except Refused as refused:
            report.refuse(refused, field)
            faulty.add(field.partition(".")[0])
    pattern = tags = None
    if "repositories" not in faulty:
        pattern = report.attempt("repositories", lambda: filters.join(rule.repositories))
    if "tags" not in faulty:
        tags = report.attempt("tags", lambda: _joined_tags(rule.tags))
    return pattern, tags


def _joined_tags(tags: models.RuleTags) -> tuple[TagFilter, ...]:
    joined = _tag_filters(
        filters.join(tags.matches, "tag") if tags.matches else None,
        filters.join(tags.excludes, "tag") if tags.excludes else None,
    )
    filters.check_together(joined)
    return joined


def _tag_filters(matches: str | None, excludes: str | None) -> tuple[TagFilter, ...]:
    """Return the tag filters as Harbor gets them."""
    found = []
    if matches is not None:
        found.append(TagFilter(matches))
    if excludes is not None:
        found.append(TagFilter(excludes, "excludes"))
    return tuple(found)


def _check_destination(pattern: str, namespace: str, flatten: int, key: str, report: EntryReport) -> None:
    """Report a wrong namespace under `key`, or else a wrong `flatten`."""
    for field, cut in ((key, 0), ("flatten", flatten)):
        try:
            destinations.check(pattern, namespace, cut)
        except Refused as refused:
            report.refuse(refused, field)
            return


def _warn(pattern: str, tags: tuple[TagFilter, ...], rule: Rule, report: EntryReport) -> None:
    report.warn(*filters.notes(pattern), *destinations.cautions(pattern, rule.namespace, rule.flatten))
    if rule.deletion:
        report.warn("deletion has no effect on a pull rule: Harbor deletes on events, and no source sends it any")
    moving = None if rule.override else filters.moving_tag(tags)
    if moving:
        report.warn(
            f"override is false, so that {moving} stays as it first arrived however often it moves at the source"
        )


def _policy(name: str, rule: Rule, pattern: str, tags: tuple[TagFilter, ...], schedule: Schedule) -> PlannedPolicy:
    by_decoration = {tag.decoration: tag.pattern for tag in tags}
    return PlannedPolicy(
        name=name,
        repositories=pattern,
        namespace=rule.namespace,
        flatten=rule.flatten,
        tag_matches=by_decoration.get("matches"),
        tag_excludes=by_decoration.get("excludes"),
        labels=rule.labels,
        resource=rule.resource,
        schedule=schedule.text,
        override=rule.override,
        enabled=rule.enabled,
        deletion=rule.deletion,
        copy_by_chunk=rule.copy_by_chunk,
        speed_kbps=rule.speed_kbps,
        single_active=rule.single_active,
        description=rule.description,
    )
