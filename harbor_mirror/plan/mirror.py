"""A mirror, resolved: all endpoints, projects and rules of a stack, checked by themselves and against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harbor_mirror.config.faults import Caution
from harbor_mirror.config.host import Host
from harbor_mirror.config.models import Configuration, Project
from harbor_mirror.config.paths import join_path
from harbor_mirror.plan import destinations
from harbor_mirror.plan.budget import Budget, budget
from harbor_mirror.plan.destinations import Collision
from harbor_mirror.plan.endpoint import LIMITED_TYPE, PlannedEndpoint, plan_endpoint
from harbor_mirror.plan.harbor_versions import hub_login_fails
from harbor_mirror.plan.host_cautions import host_cautions
from harbor_mirror.plan.maintenance import (
    PlannedAuditPurge,
    PlannedGarbageCollection,
    plan_audit_purge,
    plan_garbage_collection,
)
from harbor_mirror.plan.project import PROXY_CACHE_TYPES, PlannedProject, plan_project
from harbor_mirror.plan.report import Report
from harbor_mirror.plan.retention import undone_rules
from harbor_mirror.plan.robot import PlannedRobot, plan_robot
from harbor_mirror.plan.rule import PlannedRule, plan_rule
from harbor_mirror.plan.schedule import crowds
from harbor_mirror.plan.signatures import ANY_IMAGE, COPIES_ACCESSORIES, signature_tag

#: Hosts that are reached without a network.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: How many examples of possible collisions a rule's warnings show: wide globs may collide with many rules.
SHOWN_COLLISIONS = 3
#: Harbor's installer creates these projects.
BUILT_IN_PROJECTS = frozenset({"library"})


@dataclass(frozen=True, kw_only=True)
class PlannedMirror:
    """What a stack declares, resolved once. Program, CLI and outputs read nothing else of the configuration.

    `configuration` is what it was resolved from: the host and Harbor's address are used as configured.
    """

    configuration: Configuration
    endpoints: Mapping[str, PlannedEndpoint]
    projects: Mapping[str, PlannedProject]
    rules: Mapping[str, PlannedRule]
    robots: Mapping[str, PlannedRobot]
    garbage_collection: PlannedGarbageCollection | None
    audit_purge: PlannedAuditPurge | None
    budgets: Mapping[str, Budget]
    """A budget for each account at Docker Hub by its endpoint's name; anonymous endpoints share Harbor's address."""
    images: Mapping[str, str]
    """Exact source reference without tag -> reference in the mirror, such as docker.io/library/nginx."""
    cautions: tuple[Caution, ...]

    @property
    def url(self) -> str:
        """Base URL of Harbor."""
        return self.configuration.url

    @property
    def registry_host(self) -> str:
        """What image references start with."""
        return self.configuration.registry_host

    @property
    def admin_username(self) -> str:
        """Harbor's administrator."""
        return self.configuration.admin_username

    @property
    def restricts_project_creation(self) -> bool:
        """Whether only administrators may create projects."""
        return self.configuration.restricts_project_creation

    @property
    def secrets(self) -> Iterator[str]:
        """The secrets that Harbor gets: those of endpoints and webhooks."""
        for endpoint in self.endpoints.values():
            yield from filter(None, (endpoint.plain_secret, endpoint.access_secret))
        for webhook in (webhook for project in self.projects.values() for webhook in project.webhooks):
            yield webhook.url.get_secret_value()
            if webhook.auth_header is not None:
                yield webhook.auth_header.get_secret_value()


def plan_mirror(configuration: Configuration, report: Report) -> PlannedMirror | None:
    """Resolve a whole configuration; return None if it has faults.

    Reports everything that Harbor would refuse late, or accept and do wrongly, and what deserves a warning.
    """
    report.cautions += _insecure_settings(configuration)
    endpoints = _endpoints(configuration, report)
    if configuration.host is not None:
        report.cautions += host_cautions(configuration.host)
    collection, purge = _maintenance(configuration, report)
    rules = _rules(configuration, endpoints, report)
    projects = {
        name: resolved
        for name, project in configuration.projects.items()
        if (resolved := plan_project(name, project, report.entry("projects", name)))
    }
    robots = {
        name: planned
        for name, robot in configuration.robots.items()
        if (planned := plan_robot(name, robot, report.entry("robots", name)))
    }
    _check_proxy_caches(configuration, report)
    _check_immutable_tags(configuration, report)
    _check_signatures(configuration, rules, report)
    _check_owners(configuration, report)
    for name in configuration.projects:
        if len(name) + len("/a") > (limit := destinations.longest_repository(name)):
            reason = (
                f"is too long for any repository: Harbor's registry fails above {limit} characters, project included"
            )
            report.entry("projects", name).fault("", name, reason, "mirror")
    if configuration.host is not None:
        _check_projects_of_host(configuration.projects, configuration.host, report)
    scheduled = {name: configuration.rules[name].schedule for name, rule in rules.items() if rule.enabled}
    report.cautions += (Caution("rules", name, text) for name, text in crowds(scheduled))
    _report_collisions(rules, report)
    if len(projects) == len(configuration.projects):
        retentions = {name: project.retention for name, project in projects.items() if project.retention}
        report.cautions += (Caution("rules", name, text) for name, text in undone_rules(retentions, rules.values()))
    if report.faults:
        return None
    budgets = _budgets(endpoints, rules)
    _report_overruns(budgets, report, strict=configuration.strict)
    if report.faults:
        return None
    landings = (rule.landing for rule in rules.values())
    return PlannedMirror(
        configuration=configuration,
        endpoints=endpoints,
        projects=projects,
        rules=rules,
        robots=robots,
        garbage_collection=collection,
        audit_purge=purge,
        budgets=budgets,
        images=destinations.images(landings, configuration.registry_host),
        cautions=tuple(report.cautions),
    )


def _check_proxy_caches(configuration: Configuration, report: Report) -> None:
    caches = {name: project.proxy_cache for name, project in configuration.projects.items() if project.proxy_cache}
    for name, key in caches.items():
        endpoint = configuration.endpoints.get(key)
        if endpoint is None:
            continue
        if endpoint.type == "quay":
            text = f"Harbor 2.14 and later refuse a proxy cache of an endpoint of type {endpoint.type} by default"
            report.entry("projects", name).warn(text)
        elif endpoint.type not in PROXY_CACHE_TYPES:
            reason = (
                f"is an endpoint of type {endpoint.type}, which Harbor can't use for a proxy cache; it can use "
                f"{', '.join(sorted(PROXY_CACHE_TYPES))}"
            )
            report.entry("projects", name).fault("proxyCache", key, reason, "type: docker-registry")
    for name, rule in configuration.rules.items():
        if rule.project in caches:
            reason = "is a proxy cache: Harbor copies nothing into it, and the run still succeeds; use another project"
            report.entry("rules", name).fault("project", rule.project, reason, "mirror")


def _check_immutable_tags(configuration: Configuration, report: Report) -> None:
    for name, project in configuration.projects.items():
        rules = [key for key, rule in configuration.rules.items() if rule.project == name and rule.override]
        if project.immutable_tags and rules:
            named = ", ".join(rules[:3]) + (" and others" if len(rules) > 3 else "")
            report.entry("projects", name).warn(
                f"immutableTags: a run of {named} fails once such a tag has moved at the source; override: false of "
                "the rule keeps the old image without a failure"
            )


def _check_signatures(configuration: Configuration, rules: Mapping[str, PlannedRule], report: Report) -> None:
    """Warn about rules without signatures in projects that serve signed images only."""
    for name, rule in rules.items():
        project = configuration.projects.get(rule.project)
        if project is None or not project.cosign:
            continue
        is_from_harbor = configuration.endpoints[rule.endpoint].type == COPIES_ACCESSORIES
        if not is_from_harbor and not all(tags.keeps(signature_tag(ANY_IMAGE)) for tags in rule.tag_filters):
            report.entry("rules", name).warn(
                f"project {rule.project} (cosign: true) serves signed images only, and this rule copies no signatures; "
                "set signatures: true"
            )


def _check_owners(configuration: Configuration, report: Report) -> None:
    owner = configuration.admin_username
    for name, project in configuration.projects.items():
        if owner in project.members.users:
            reason = "owns the projects that this stack creates, and Harbor refuses to add it again; remove it"
            report.entry("projects", name).fault(
                join_path("members", "users", owner), None, reason, "users: {alice: maintainer}"
            )


def _check_projects_of_host(projects: Mapping[str, Project], host: Host, report: Report) -> None:
    for name in projects.keys() & BUILT_IN_PROJECTS:
        reason = "exists in every new Harbor, which refuses to create it again; use another name"
        report.entry("projects", name).fault("", name, reason, "mirror")
    on_volume = host.object_storage is None or not host.object_storage.blobs
    quotas = {name: project.quota_gb for name, project in projects.items() if project.quota_gb is not None}
    if on_volume and quotas and sum(quotas.values()) > host.volume_gb:
        text = (
            f"the quotas of all projects add up to {sum(quotas.values())} GB, and the volume has {host.volume_gb} GB: "
            "it may be full before a quota is reached"
        )
        report.entry("projects", max(quotas, key=lambda name: quotas[name])).warn(text)


def _insecure_settings(configuration: Configuration) -> Iterator[Caution]:
    harbor = urlsplit(configuration.harbor.url if configuration.harbor else "")
    if harbor.scheme == "http" and harbor.hostname not in LOOPBACK:
        text = "Harbor's http sends passwords unencrypted, the administrator's included; use https"
        yield Caution("harbor", "url", text)
    if configuration.harbor is not None and configuration.harbor.restrict_project_creation is None:
        text = (
            "everybody who can log in to this Harbor, the pull robot included, can create projects; set true to allow "
            "that to administrators only, or false to accept it"
        )
        yield Caution("harbor", "restrictProjectCreation", text)
    for name, endpoint in configuration.endpoints.items():
        if endpoint.insecure:
            text = (
                "insecure: true accepts any certificate: others on the network can read the secret and replace images"
            )
            yield Caution("endpoints", name, text)
    for name, project in configuration.projects.items():
        if project.public:
            text = "public: true lets everybody who can reach Harbor pull its images without credentials"
            yield Caution("projects", name, text)


def _endpoints(configuration: Configuration, report: Report) -> dict[str, PlannedEndpoint]:
    endpoints = {
        key: planned
        for key, endpoint in configuration.endpoints.items()
        if (
            planned := plan_endpoint(
                key,
                endpoint,
                report.entry("endpoints", key),
                has_role=not configuration.host,
                harbor_version=configuration.harbor_version,
            )
        )
    }
    version = configuration.host.version if configuration.host else None
    if version is not None and hub_login_fails(version):
        for key, endpoint in configuration.endpoints.items():
            if endpoint.type == LIMITED_TYPE and endpoint.secret is not None:
                report.entry("endpoints", key).warn(
                    f"Docker Hub may refuse these credentials from Harbor {version}, which asks an address that "
                    "Docker Hub gave up; 2.15.1 asks the new one"
                )
    return endpoints


def _rules(
    configuration: Configuration, endpoints: Mapping[str, PlannedEndpoint], report: Report
) -> dict[str, PlannedRule]:
    version = configuration.host.version if configuration.host else None
    rules = {}
    for name, rule in configuration.rules.items():
        endpoint = configuration.endpoints.get(rule.endpoint)
        planned = plan_rule(name, rule, endpoint, report.entry("rules", name), harbor_version=version)
        if planned is not None and rule.endpoint in endpoints:
            rules[name] = planned
    return rules


def _maintenance(
    configuration: Configuration, report: Report
) -> tuple[PlannedGarbageCollection | None, PlannedAuditPurge | None]:
    collection, purge = configuration.garbage_collection, configuration.audit_purge
    return (
        plan_garbage_collection(collection, report.entry("maintenance", "garbageCollection")) if collection else None,
        plan_audit_purge(purge, report.entry("maintenance", "auditPurge")) if purge else None,
    )


def _report_collisions(rules: Mapping[str, PlannedRule], report: Report) -> None:
    collisions = destinations.collisions([rule.landing for rule in rules.values()])
    for collision in collisions.certain:
        name = collision.rules[-1]
        repositories = list(rules[name].repositories)
        report.entry("rules", name).fault("repositories", repositories, collision.reason, collision.example)
    possible: defaultdict[str, list[Collision]] = defaultdict(list)
    for collision in collisions.possible:
        possible[collision.rules[-1]].append(collision)
    for name, found in possible.items():
        entry = report.entry("rules", name)
        entry.warn(*(collision.reason for collision in found[:SHOWN_COLLISIONS]))
        if (more := len(found) - SHOWN_COLLISIONS) > 0:
            entry.warn(f"may collide with {more} other rule{'s' * (more > 1)}, too")


def _budgets(endpoints: Mapping[str, PlannedEndpoint], rules: Mapping[str, PlannedRule]) -> dict[str, Budget]:
    accounts: defaultdict[str, list[str]] = defaultdict(list)
    for key, endpoint in endpoints.items():
        if endpoint.type == LIMITED_TYPE:
            accounts["" if endpoint.is_anonymous else key].append(key)
    budgets = {}
    for keys in accounts.values():
        first = endpoints[keys[0]]
        loads = [rule.load for rule in rules.values() if rule.enabled and rule.endpoint in keys]
        if loads:
            budgets[first.key] = budget(" and ".join(keys), first.plan, loads, anonymous=first.is_anonymous)
    return budgets


def _overruns(budgets: Mapping[str, Budget]) -> Iterator[tuple[str, str, str]]:
    """Yield (section, name, sentence) for everything that exceeds Docker Hub's limits."""
    for name, counted in budgets.items():
        if text := counted.overrun():
            yield "endpoints", name, text
        yield from (("rules", cost.rule, text) for cost in counted.loads if (text := cost.overrun()))


def _report_overruns(budgets: Mapping[str, Budget], report: Report, *, strict: bool) -> None:
    for section, name, text in _overruns(budgets):
        entry = report.entry(section, name)
        if strict:
            entry.fault("", None, text, "a sparser schedule, fewer tags, an account's plan, or strict: false")
        else:
            entry.warn(text)
    for counted in budgets.values():
        for load in counted.uncounted():
            entry = report.entry("rules", load.rule)
            if strict:
                reason = "is missing: without it nobody knows how many tags match, and strict needs that for the budget"
                entry.fault("expectedTags", None, reason, "expectedTags: 40")
            else:
                entry.warn("the request budget does not know how many tags match; set expectedTags")
