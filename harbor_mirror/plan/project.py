"""A resolved project: the destination of rules, or a proxy cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.models import ImmutableTags, Project
from harbor_mirror.config.parse import read_section
from harbor_mirror.config.paths import join_path
from harbor_mirror.config.protection import (
    WEBHOOK_NAME_LENGTH,
    CveAllowlist,
    Gate,
    GroupType,
    Members,
    Role,
    Webhook,
    parse_expiry,
)
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.retention import PlannedRetention, Selector, plan_retention, plan_selector

#: Types of endpoints that Harbor 2.15 permits for proxy caches (PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE of its core).
PROXY_CACHE_TYPES = frozenset(
    {
        *("docker-hub", "harbor", "azure-acr", "ali-acr", "aws-ecr", "google-gcr", "docker-registry"),
        *("github-ghcr", "jfrog-artifactory"),
    }
)


@dataclass(frozen=True, kw_only=True)
class PlannedAllowlist:
    """A CVE allowlist; `expires` is in seconds since 1970, None for never."""

    cves: tuple[str, ...] = ()
    expires: int | None = None
    reuse_system: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedImmutableTags:
    """An immutable tag rule: tags that nobody can overwrite or delete."""

    repositories: Selector
    tags: Selector

    @property
    def slug(self) -> str:
        """A part of a name that stands for what the rule selects."""
        selectors = f"{self.repositories.excludes} {self.repositories.pattern} {self.tags.excludes} {self.tags.pattern}"
        return sha256(selectors.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class PlannedWebhook:
    """A webhook policy with one target."""

    name: str
    type: str
    url: SecretStr = field(repr=False)
    auth_header: SecretStr | None = field(default=None, repr=False)
    events: tuple[str, ...]
    insecure: bool = False
    enabled: bool = True
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedMember:
    """A user with a role in a project, or with `group_type` a group."""

    name: str
    role: Role
    group_type: GroupType | None = None
    ldap_dn: str | None = None

    @property
    def kind(self) -> str:
        """`group` or `user`."""
        return "group" if self.group_type else "user"

    @property
    def key(self) -> str:
        """The key of the configuration: `users.alice`."""
        return f"{self.kind}s.{self.name}"


@dataclass(frozen=True, kw_only=True)
class PlannedProject:
    """A project as Harbor gets it.

    `quota_gb` is None for unlimited storage. `prevent_vulnerable`, `cosign`, `sbom` and `cve_allowlist` are None if the
    configuration does not set them: what Harbor has is then left as it is. `proxy_cache` is an endpoint's key.
    """

    name: str
    public: bool = False
    quota_gb: int | None = None
    vulnerability_scanning: bool = True
    force_destroy: bool = False
    retention: PlannedRetention | None = None
    proxy_cache: str | None = None
    prevent_vulnerable: Gate | None = None
    cosign: bool | None = None
    sbom: bool | None = None
    cve_allowlist: PlannedAllowlist | None = None
    immutable_tags: tuple[PlannedImmutableTags, ...] = ()
    webhooks: tuple[PlannedWebhook, ...] = ()
    members: tuple[PlannedMember, ...] = ()


def plan_project(name: str, project: Project, report: EntryReport) -> PlannedProject | None:
    """Resolve one entry of `projects`; return None if it has faults."""
    retention = plan_retention(name, project.retention, report.below("retention")) if project.retention else None
    allowlist = _plan_allowlist(project.cve_allowlist, report)
    immutable_tags = _plan_immutable_tags(project.immutable_tags, report)
    webhooks = tuple(_plan_webhook(key, webhook, report) for key, webhook in project.webhooks.items())
    members = tuple(_plan_members(project.members, report))
    if not report.is_valid or (project.retention and retention is None):
        return None
    _warn(project, report)
    return PlannedProject(
        name=name,
        public=project.public,
        quota_gb=project.quota_gb,
        vulnerability_scanning=project.vulnerability_scanning,
        force_destroy=project.force_destroy,
        retention=retention,
        proxy_cache=project.proxy_cache,
        prevent_vulnerable=project.prevent_vulnerable,
        cosign=project.cosign,
        sbom=project.sbom,
        cve_allowlist=allowlist,
        immutable_tags=immutable_tags,
        webhooks=webhooks,
        members=members,
    )


def read_project(name: str, raw: Mapping[str, Any], report: EntryReport) -> PlannedProject | None:
    """Resolve a project from a map in the configuration's form; return None if it has faults."""
    faults: list[Fault] = []
    project = read_section(Project, "", raw, faults)
    report.stack.faults += faults
    return plan_project(name, project, report) if isinstance(project, Project) else None


def _plan_allowlist(allowlist: CveAllowlist | None, report: EntryReport) -> PlannedAllowlist | None:
    if allowlist is None:
        return None
    if allowlist.reuse_system and (allowlist.cves or allowlist.expires):
        reason = "uses the system's list, and so the project has none of its own"
        report.fault("cveAllowlist.reuseSystem", True, reason, "cveAllowlist: {reuseSystem: true}")
    expires = None if allowlist.expires is None else int(parse_expiry(allowlist.expires).timestamp())
    return PlannedAllowlist(
        cves=tuple(dict.fromkeys(allowlist.cves)), expires=expires, reuse_system=allowlist.reuse_system
    )


def _plan_immutable_tags(rules: tuple[ImmutableTags, ...], report: EntryReport) -> tuple[PlannedImmutableTags, ...]:
    planned: dict[PlannedImmutableTags, str] = {}
    for index, rule in enumerate(rules):
        path = f"immutableTags[{index}]"
        repositories = plan_selector(f"{path}.repositories", rule.repositories, "repository", report)
        tags = plan_selector(f"{path}.tags", rule.tags, "tag", report)
        if repositories is None or tags is None:
            continue
        resolved = PlannedImmutableTags(repositories=repositories, tags=tags)
        if resolved in planned:
            reason = f"is the same as {planned[resolved]}, and Harbor rejects that; remove one of the two"
            report.fault(path, None, reason, "")
        planned.setdefault(resolved, path)
    return tuple(planned)


def _plan_webhook(name: str, webhook: Webhook, report: EntryReport) -> PlannedWebhook:
    if not name.strip() or not name.isprintable() or len(name) > WEBHOOK_NAME_LENGTH:
        reason = f"is not a name: one line of at most {WEBHOOK_NAME_LENGTH} characters"
        report.fault("webhooks", name, reason, "webhooks: {ops: {type: slack, url: …}}")
    if webhook.auth_header is not None and webhook.type != "http":
        report.fault(
            join_path("webhooks", name, "authHeader"), None, f"has no use with type: {webhook.type}", "type: http"
        )
    if webhook.url.get_secret_value().startswith("http:") and webhook.auth_header is not None:
        report.warn(f"webhook {name}: http sends the authHeader unencrypted; use https")
    if webhook.insecure:
        report.warn(f"webhook {name}: insecure: true accepts any certificate of the receiver")
    return PlannedWebhook(
        name=name,
        type=webhook.type,
        url=webhook.url,
        auth_header=webhook.auth_header,
        events=tuple(dict.fromkeys(webhook.events)),
        insecure=webhook.insecure,
        enabled=webhook.enabled,
        description=webhook.description,
    )


def _plan_members(members: Members, report: EntryReport) -> Iterator[PlannedMember]:
    for name, role in members.users.items():
        yield PlannedMember(name=name, role=role)
    for name, group in members.groups.items():
        if (group.ldap_dn is None) == (group.type == "ldap"):
            reason = "is missing with type: ldap" if group.type == "ldap" else f"has no use with type: {group.type}"
            example = "ldapDn: cn=web,ou=groups,dc=example,dc=com" if group.type == "ldap" else "type: ldap"
            report.fault(join_path("members", "groups", name, "ldapDn"), group.ldap_dn, reason, example)
        yield PlannedMember(name=name, role=group.role, group_type=group.type, ldap_dn=group.ldap_dn)


def _warn(project: Project, report: EntryReport) -> None:
    gate = project.prevent_vulnerable
    if gate == "none":
        report.warn("preventVulnerable: none refuses images with any known vulnerability; false turns the gate off")
    if gate and not project.vulnerability_scanning:
        report.warn("preventVulnerable: Harbor refuses images that were not scanned, and vulnerabilityScanning is off")
    if project.cve_allowlist is not None and not gate:
        report.warn("cveAllowlist has no effect without preventVulnerable")
