"""The stack configuration as frozen models.

Keys are camelCase in YAML and snake_case here. The fields' descriptions and examples are used in error messages, the
JSON Schema for editors and the reference in docs/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from harbor_mirror.config.certificates import EXAMPLE_AUTHORITY, read_authorities
from harbor_mirror.config.cluster import Cluster
from harbor_mirror.config.fields import (
    BaseUrl,
    FreeText,
    HttpUrl,
    Name,
    Section,
    one_line,
    one_or_many,
    trimmed,
)
from harbor_mirror.config.host import Host
from harbor_mirror.config.protection import AllowlistForm, Gate, Members, Robot, Webhook

#: Docker Hub's plans, which have different pull limits.
Plan = Literal["anonymous", "personal", "paid"]
EndpointType = Literal[
    "docker-hub",
    "docker-registry",
    "aws-ecr",
    "azure-acr",
    "ali-acr",
    "google-gcr",
    "huawei-SWR",
    "gitlab",
    "quay",
    "jfrog-artifactory",
    "github-ghcr",
    "harbor",
    "tencent-tcr",
    "volcengine-cr",
]

#: Harbor 2.15 accepts lower case letters and digits, separated by single `.`, `_` or `-`, at most 255 characters
#: (measured: it answers 422 to longer names, 400 to other forms).
PROJECT_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
#: One component of a repository's path (OCI distribution specification).
PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
#: More components than this do not fit into the length of a path.
MOST_COMPONENTS = 127
#: Keys of entries: they become Pulumi logical names and, for rules and endpoints, names in Harbor.
KEY = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
#: Limits of columns in Harbor's database (measured on Harbor 2.15.2: one more is answered 400 or 500). An endpoint's
#: name is counted in bytes; a secret is stored encrypted, which makes it longer.
ENDPOINT_NAME_LENGTH = 64
URL_LENGTH = 256
USERNAME_LENGTH = 255
SECRET_LENGTH = 3_050
LABEL_LENGTH = 128
RULE_NAME_LENGTH = 256
#: The most retention rules of a project (goharbor.io, create-tag-retention-rules).
RETENTION_RULES = 15
#: Removes the CA of an endpoint; without a value Harbor keeps the one that it has.
NO_CA = "none"
#: A hundred years: Harbor counts nanoseconds in 64 bits, which hold less than 300 years.
RETENTION_DAYS = 36_500
RETENTION_COUNT = 2**31 - 1
#: Harbor accepts 10 workers, its provider 5.
GC_WORKERS = 5
#: Harbor answers 400 to a longer retention of the audit log (measured).
AUDIT_HOURS = 240_000


def _secret(value: SecretStr | None) -> SecretStr | None:
    # Secrets in JSON may have line breaks.
    if value is not None and not value.get_secret_value().lstrip().startswith("{"):
        trimmed(value.get_secret_value())
    return value


def _ca_certificate(value: str) -> str:
    return "" if value == NO_CA else read_authorities(value)


def _path(value: str) -> str:
    if value and not all(PATH_COMPONENT.fullmatch(component) for component in value.split("/")):
        raise ValueError("is not a path: use lower case letters and digits, separated by . _ __ or hyphens, and /")
    return value


def _tag_filter(value: object) -> object:
    return {"matches": value} if isinstance(value, str | list) else value


Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), BeforeValidator(one_or_many)]
Operation = Literal["create", "delete", "pull", "other"]


class ExistingHarbor(Section):
    """An existing Harbor, used instead of a host."""

    url: BaseUrl = Field(examples=["https://harbor.example.com"])
    """Base URL."""
    username: Name = Field("admin", min_length=1, examples=["admin"])
    """A system administrator; its password is the secret `harborPassword`."""
    restrict_project_creation: bool | None = Field(None, examples=[True])
    """Lets only administrators create projects, in the whole Harbor. The provider then resets Harbor's other system
    settings (read-only, robot prefix and lifetime, quota) to defaults. `false` accepts that everybody who can log in,
    the pull robot included, can create projects; without a value the preview warns of that."""


class TagFilter(Section):
    """Harbor's tag filter: globs that a tag must match, or must not."""

    matches: Globs = Field(default=(), examples=["1.2*"])
    """Globs; a tag must match at least one."""
    excludes: Globs = Field(default=(), examples=["*-rc*"])
    """Globs; a tag must not match any."""


class RuleTags(TagFilter):
    """Which tags a rule copies: Harbor's globs, or an expression that `mirrorctl resolve` turns into globs."""

    semver: str | None = Field(default=None, min_length=1, examples=[">=1.25 <2"])
    """Version range: comparisons such as `>=1.25`, `^1.2`, `~1.2.3`, `1.x`, joined by spaces or `||`."""
    regex: str | None = Field(default=None, min_length=1, examples=[r"^v1\.3[2-4]\.\d+$"])
    """Regular expression that a tag must contain; use `^` and `$` to match the whole tag."""
    latest: int | None = Field(default=None, ge=1, examples=[5])
    """How many of the newest versions in each repository, of those that the other keys leave."""
    suffix: str = Field(default="", examples=["-alpine"])
    """Text that a tag must end with; it is not part of the version."""

    @property
    def is_expression(self) -> bool:
        """Whether these tags must be resolved to globs before Harbor can take them."""
        return bool(self.semver or self.regex or self.latest or self.suffix)


class RetentionRule(Section):
    """A retention rule: exactly one of the counts and periods, or `always`."""

    repositories: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(
        default_factory=TagFilter, examples=["library/**"]
    )
    """Repositories, without the project's name: a glob, a list, `{matches: …}` or `{excludes: …}`; by default all."""
    tags: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(default_factory=TagFilter, examples=["v*"])
    """Tags: a glob, a list, `{matches: …}` or `{excludes: …}`; by default all."""
    untagged: bool = Field(True, examples=[True])
    """Keeps artifacts without a tag, too; a moved tag leaves one behind."""
    most_recently_pushed: int | None = Field(None, ge=1, le=RETENTION_COUNT, examples=[10])
    """Keeps this many artifacts of a repository, the most recently pushed."""
    most_recently_pulled: int | None = Field(None, ge=1, le=RETENTION_COUNT, examples=[10])
    """Keeps this many artifacts of a repository, the most recently pulled."""
    pushed_within_days: int | None = Field(None, ge=1, le=RETENTION_DAYS, examples=[30])
    """Keeps artifacts that were pushed within this many days."""
    pulled_within_days: int | None = Field(None, ge=1, le=RETENTION_DAYS, examples=[30])
    """Keeps artifacts that were pulled within this many days."""
    always: bool = Field(False, examples=[True])
    """Keeps every artifact that the patterns match."""


class Retention(Section):
    """Harbor's tag retention: deletes artifacts that no rule keeps, in repositories that a rule matches."""

    keep: tuple[RetentionRule, ...] = Field(
        min_length=1, max_length=RETENTION_RULES, examples=[[{"mostRecentlyPushed": 10}]]
    )
    """Rules; an artifact stays if at least one of them keeps it."""
    schedule: str = Field("daily", min_length=1, examples=["daily"])
    """When Harbor deletes: like a rule's schedule; `manual` to start it by hand only."""


class ImmutableTags(Section):
    """Tags that nobody can overwrite or delete."""

    repositories: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(
        default_factory=TagFilter, examples=["library/**"]
    )
    """Repositories, without the project's name: a glob, a list, `{matches: …}` or `{excludes: …}`; by default all."""
    tags: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(default_factory=TagFilter, examples=["v*"])
    """Tags: a glob, a list, `{matches: …}` or `{excludes: …}`; by default all."""


class Project(Section):
    """A project in Harbor, the destination of rules. What protects it is only changed by keys that are set."""

    public: bool = Field(False, examples=[False])
    """Lets everybody pull without credentials."""
    quota_gb: int | None = Field(None, ge=1, le=1024 * 1024, examples=[100])
    """Storage limit in GB; by default unlimited. Harbor rejects more than 1024 TB."""
    vulnerability_scanning: bool = Field(True, examples=[True])
    """Scans images as they arrive."""
    force_destroy: bool = Field(False, examples=[False])
    """Deletes the project with its images when it is removed from the configuration; by default it stays in Harbor."""
    retention: Retention | None = Field(None, examples=[{"keep": [{"mostRecentlyPushed": 10}]}])
    """Deletes old images; by default all are kept."""
    proxy_cache: str | None = Field(None, min_length=1, examples=["docker-hub"])
    """Key of an endpoint: Harbor fetches its images when they are pulled. No rule can copy into such a project."""
    prevent_vulnerable: Gate | None = Field(None, examples=["high"])
    """Harbor refuses pulls of images with a vulnerability of this severity or higher; `false` turns that off."""
    cve_allowlist: AllowlistForm = Field(None, examples=[["CVE-2024-45337"]])
    """Vulnerabilities that the gate does not count: a list, or a map."""
    cosign: bool | None = Field(None, examples=[True])
    """Harbor refuses pulls of images without a cosign signature."""
    sbom: bool | None = Field(None, examples=[True])
    """Harbor generates an SBOM of each image as it arrives; Harbor 2.11 and later."""
    immutable_tags: tuple[ImmutableTags, ...] = Field((), max_length=15, examples=[[{"tags": "v*"}]])
    """Tags that nobody can overwrite or delete, rules included."""
    webhooks: Mapping[str, Webhook] = Field(
        default_factory=dict, examples=[{"ops": {"type": "slack", "url": "https://hooks.slack.com/services/…"}}]
    )
    """Messages about events, such as a failed replication, by name."""
    members: Members = Field(default_factory=Members, examples=[{"users": {"alice": "developer"}}])
    """Users and groups with a role in the project."""


class RuleSettings(Section):
    """What a rule and its defaults can say."""

    tags: Annotated[RuleTags, BeforeValidator(_tag_filter)] = Field(default_factory=RuleTags, examples=["1.2*"])
    """Tag glob, a list of them, or a map; every tag without it."""
    signatures: bool = Field(False, examples=[True])
    """Also copies the signatures, attestations and SBOMs that cosign keeps as tags (`sha256-*`): those of all images in
    these repositories, so count them in `expectedTags`."""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH)], ...] = Field((), examples=[["release"]])
    """Labels that an artifact must have; only Harbor sources have labels."""
    resource: Literal["image", "artifact"] | None = Field(None, examples=["image"])
    """Kind of artifact: container images only, or any artifact."""
    path: Annotated[str, AfterValidator(_path)] = Field("", examples=["hub"])
    """Path below the project under which the images are stored."""
    flatten: int = Field(0, ge=-1, le=MOST_COMPONENTS, examples=[0])
    """Leading components removed from the source path: 0 keeps all, -1 the last (dest_namespace_replace_count)."""
    schedule: str = Field("manual", min_length=1, examples=["0 0 */6 * * *"])
    """`manual`, `hourly`, `daily`, `weekly` or Harbor's cron: six fields, UTC; `H` spreads rules over time."""
    allow_frequent: bool = Field(False, examples=[True])
    """Allows schedules that run more often than every five minutes."""
    override: bool = Field(True, examples=[True])
    """Replaces a tag in Harbor when it has moved at the source."""
    enabled: bool = Field(True, examples=[True])
    """A disabled rule does not run and can't be started."""
    deletion: bool = Field(False, examples=[False])
    """Deletes images that were deleted at the source. Has no effect: no source reports deletions to pull rules."""
    copy_by_chunk: bool = Field(False, examples=[False])
    """Transfers layers in chunks; for unreliable networks."""
    speed_kbps: int = Field(-1, ge=-1, le=2**31 - 1, examples=[10240])
    """Bandwidth limit of each task in KB/s; -1 is unlimited."""
    single_active: bool | None = Field(None, examples=[True])
    """Skips a run while the previous one is still running; Harbor 2.13 and later. `false` turns it off again."""
    description: FreeText = Field("", examples=["Base images of the web team"])
    """Free text shown in Harbor."""
    expected_tags: int | None = Field(None, ge=1, examples=[40])
    """Number of tags that match, for the request budget; not needed for exact names."""
    listed_tags: int | None = Field(None, ge=1, examples=[17400])
    """Number of all tags in these repositories, for the request budget: Harbor lists them in each run."""


class EndpointDefaults(RuleSettings):
    """Values for the rules of one endpoint that do not set them."""

    project: str | None = Field(None, min_length=1, examples=["mirror"])
    """Key of the destination under `projects`."""


class RuleDefaults(EndpointDefaults):
    """Values for all rules that do not set them, of the stack or of a rule file."""

    endpoint: str | None = Field(None, min_length=1, examples=["docker-hub"])
    """Key of the source under `endpoints`."""


class Rule(RuleSettings):
    """One pull replication policy."""

    endpoint: str = Field(min_length=1, examples=["docker-hub"])
    """Key of the source under `endpoints`."""
    repositories: Globs = Field(min_length=1, examples=["library/nginx"])
    """Repository glob (`*` within a path component, `**` across, `?`, `{a,b}`) or a list of them."""
    project: str = Field(min_length=1, examples=["mirror"])
    """Key of the destination under `projects`."""

    @property
    def namespace(self) -> str:
        """Return Harbor's destination namespace: the project and the path below it."""
        return f"{self.project}/{self.path}" if self.path else self.project


class Endpoint(Section):
    """A source registry as Harbor knows it (Administration > Registries)."""

    type: EndpointType = Field(examples=["docker-hub"])
    """Type of the registry, as Harbor calls it."""
    url: HttpUrl | None = Field(None, examples=["https://registry.example.com"])
    """Endpoint URL; types with a fixed address need none."""
    # Endpoints that were made in Harbor may end with a space, and are adopted as they are.
    name: Annotated[str, AfterValidator(one_line)] | None = Field(None, min_length=1, examples=["hub-docker-hub"])
    """Name in Harbor; by default `<key>-<type>`, so that a change of type converges in one `up`."""
    username: Name | None = Field(None, min_length=1, max_length=USERNAME_LENGTH, examples=["acme-bot"])
    """Access ID; not set for anonymous access."""
    secret: Annotated[SecretStr | None, AfterValidator(_secret)] = Field(None, examples=["{secure: v1:…}"])
    """Access secret; set it with `pulumi config set --path --secret 'endpoints["NAME"].secret'`."""
    description: FreeText = Field("", examples=["Docker Hub, paid account"])
    """Free text shown in Harbor."""
    insecure: bool = Field(False, examples=[False])
    """Accepts any certificate of the source."""
    ca_certificate: Annotated[str, AfterValidator(_ca_certificate)] | None = Field(None, examples=[EXAMPLE_AUTHORITY])
    """PEM certificate of the authority of the source's certificate, if it is not a public one; `none` removes the one
    that Harbor has. Harbor 2.15 and later."""
    plan: Plan | None = Field(None, examples=["personal"])
    """Docker Hub's plan, whose limit the pulls of the rules must not exceed; by default `anonymous`, or `personal` with
    an account."""
    defaults: EndpointDefaults | None = Field(None, examples=[{"project": "mirror", "path": "hub"}])
    """Values for the rules of this endpoint that do not set them."""


class GarbageCollection(Section):
    """Frees the disk space of deleted images. A global setting of Harbor."""

    schedule: str = Field("0 30 3 * * 6", min_length=1, examples=["0 30 3 * * SAT"])
    """Like a rule's schedule; `manual` to start it by hand only."""
    delete_untagged: bool = Field(False, examples=[False])
    """Deletes artifacts without a tag, too: a moved tag leaves one behind, and deployments may pin it by digest."""
    workers: int = Field(1, ge=1, le=GC_WORKERS, examples=[1])
    """Number of parallel deletions."""


class AuditPurge(Section):
    """Deletes old entries of the audit log. A global setting of Harbor."""

    schedule: str = Field("0 30 2 * * *", min_length=1, examples=["0 30 2 * * *"])
    """Like a rule's schedule; `manual` to start it by hand only."""
    retention_hours: int = Field(90 * 24, ge=1, le=AUDIT_HOURS, examples=[2160])
    """Keeps entries that are younger than this."""
    operations: tuple[Operation, ...] = Field(("create", "delete", "pull"), min_length=1, examples=[["pull"]])
    """Entries to delete: artifacts created, deleted and pulled; `other` is logins, users, projects, settings."""


class Maintenance(Section):
    """Harbor's maintenance: on by default with `host`, and only if set on an existing Harbor."""

    garbage_collection: GarbageCollection | None = Field(default=None, examples=[{"schedule": "weekly"}])
    """Garbage collection; `{}` for the defaults."""
    audit_purge: AuditPurge | None = Field(default=None, examples=[{"retentionHours": 720}])
    """Purge of the audit log; `{}` for the defaults."""


class Configuration(Section):
    """The configuration of a stack."""

    host: Host | None = None
    """The Linode host that runs Harbor; set this, `cluster` or `harbor`."""
    cluster: Cluster | None = None
    """The Kubernetes cluster that runs Harbor; set this, `host` or `harbor`."""
    harbor: ExistingHarbor | None = None
    """An existing Harbor; set this, `host` or `cluster`."""
    harbor_password: SecretStr | None = None
    """Password of Harbor's administrator: for an existing Harbor, or after a rotation on a host."""
    endpoints: Mapping[str, Endpoint] = Field(default_factory=dict)
    """Source registries by name."""
    projects: Mapping[str, Project] = Field(default_factory=dict)
    """Destination projects by name."""
    rules: Mapping[str, Rule] = Field(default_factory=dict)
    """Pull replication rules by name."""
    robots: Mapping[str, Robot] = Field(default_factory=dict)
    """Robot accounts of teams by name; their passwords are the output `robots`."""
    defaults: RuleDefaults | None = Field(None, examples=[{"endpoint": "docker-hub", "schedule": "daily"}])
    """Values for rules that do not set them. A rule's own value comes first, then its file's, its endpoint's, these."""
    rules_dir: str | None = Field(None, examples=["mirrors/prod"])
    """Directory with YAML files of more `rules`, one for each team, relative to Pulumi.yaml."""
    maintenance: Maintenance = Field(default_factory=Maintenance)
    """Harbor's maintenance."""
    strict: bool = Field(False, examples=[True])
    """Rejects rules that exceed a source's request budget; by default they are warnings."""

    @property
    def url(self) -> str:
        """Return the base URL of Harbor; empty without host, cluster and harbor."""
        target = self.host or self.cluster or self.harbor
        return target.url if target else ""

    @property
    def owns_harbor(self) -> bool:
        """Return whether the stack itself runs Harbor, on a host or a cluster."""
        return self.host is not None or self.cluster is not None

    @property
    def harbor_version(self) -> str | None:
        """Return the version of the Harbor that the stack runs; None for an existing one."""
        server = self.host or self.cluster
        return server.version if server else None

    @property
    def registry_host(self) -> str:
        """Return the host in image references, with the port unless it is the default."""
        return urlsplit(self.url).netloc

    @property
    def admin_username(self) -> str:
        """Return the name of Harbor's administrator."""
        return self.harbor.username if self.harbor else "admin"

    @property
    def restricts_project_creation(self) -> bool:
        """Return whether only administrators may create projects: always if the stack runs Harbor, else if set."""
        return bool(self.harbor.restrict_project_creation) if self.harbor else True

    @property
    def garbage_collection(self) -> GarbageCollection | None:
        """Return the garbage collection to set: always if the stack runs Harbor, else if set."""
        default: GarbageCollection | None = GarbageCollection.read({}) if self.owns_harbor else None
        return self.maintenance.garbage_collection or default

    @property
    def audit_purge(self) -> AuditPurge | None:
        """Return the audit log purge to set: always if the stack runs Harbor, else if set."""
        default: AuditPurge | None = AuditPurge.read({}) if self.owns_harbor else None
        return self.maintenance.audit_purge or default
