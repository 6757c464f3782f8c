"""The stack configuration: the product's face, as frozen models.

Keys are camelCase in YAML and snake_case here. Every field's description and example serve the error messages,
the JSON Schema for editors and the reference in docs/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from harbor_mirror.config.cluster import Cluster
from harbor_mirror.config.fields import (
    EXAMPLE_SHA256,
    BaseUrl,
    BucketName,
    Cidr,
    Email,
    FreeText,
    Hostname,
    HttpUrl,
    Name,
    Section,
    Sha256,
    TimeOfDay,
    Version,
    one_line,
    trimmed,
)
from harbor_mirror.config.services import Database, Redis, Service

#: Docker Hub's plans, which differ in their pull limits.
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

#: Harbor 2.15 takes lower case letters and digits, separated by single `.`, `_` or `-`, at most 255 characters
#: (measured: a longer one is answered 422, any other form 400).
PROJECT_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
PROJECT_NAME_LENGTH = 255
#: Our own keys: they become Pulumi logical names and, for rules and endpoints, names in Harbor.
KEY = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
#: Harbor refuses an endpoint's name beyond 64 characters, a rule's beyond 256 (measured: 400 and 500).
ENDPOINT_NAME_LENGTH = 64
RULE_NAME_LENGTH = 256
HTTP_PORT = 80
HTTPS_PORT = 443
#: Harbor takes no more retention rules in a project (goharbor.io, create-tag-retention-rules).
RETENTION_RULES = 15
#: A hundred years: Harbor counts in nanoseconds, and 64 bits of them are less than 300 years.
RETENTION_DAYS = 36_500
RETENTION_COUNT = 2**31 - 1
#: Harbor takes 10 workers, its provider 5.
GC_WORKERS = 5
#: Harbor refuses a longer retention of the audit log (100 years).
AUDIT_HOURS = 876_000


def _secret(value: SecretStr | None) -> SecretStr | None:
    # JSON is read, not sent as it is.
    if value is not None and not value.get_secret_value().lstrip().startswith("{"):
        trimmed(value.get_secret_value())
    return value


def _path(value: str) -> str:
    if value and not all(PROJECT_NAME.fullmatch(component) for component in value.split("/")):
        raise ValueError("is no path: lower case letters and digits, separated by single . _ or -, in /")
    return value


def _one_or_many(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _tag_filter(value: object) -> object:
    return {"matches": value} if isinstance(value, str | list) else value


Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), BeforeValidator(_one_or_many)]
Operation = Literal["create", "delete", "pull", "other"]


class ObjectStorage(Section):
    """Buckets of this stack's own in Linode Object Storage, each with keys that open nothing else."""

    region: str | None = Field(None, min_length=1, examples=["sg-sin-2"])
    """Where the buckets are; the host's region without it."""
    blobs: bool = Field(False, examples=[True])
    """Keeps image layers in a bucket instead of on the volume; to be decided before the first image."""


class BackupBucket(Section):
    """A bucket of any S3, made elsewhere."""

    name: BucketName = Field(examples=["harbor-backups"])
    """The bucket's name."""
    endpoint: HttpUrl = Field(examples=["https://us-east-1.linodeobjects.com"])
    """The S3's https URL, without the bucket's name."""
    region: str = Field(min_length=1, examples=["us-east-1"])
    """The S3's region."""
    access_key: str = Field(min_length=1, examples=["EXAMPLEACCESSKEY0001"])
    """Access key."""
    secret_key: SecretStr = Field(examples=["{secure: v1:…}"])
    """Secret key; set it with `pulumi config set --path --secret host.backup.bucket.secretKey`."""


class Backup(Section):
    """The nightly backup. Without `bucket` and `directory` it goes to a bucket of this stack's own."""

    at: TimeOfDay = Field("03:15", examples=["03:15"])
    """Time of day, UTC."""
    keep: int = Field(14, ge=1, le=365, examples=[14])
    """How many backups are kept."""
    bucket: BackupBucket | None = Field(None, examples=[{"name": "harbor-backups"}])
    """A bucket made elsewhere."""
    directory: str | None = Field(None, examples=["/mnt/backup"])
    """A directory on the server, where you mount something that outlives it."""


class Host(Section):
    """The Linode instance, its volume, address, firewall and DNS record, and what boots Harbor on it."""

    region: Name = Field(min_length=1, examples=["sg-sin-2"])
    """Linode region close to the deployments; it must offer the Metadata service."""
    type: Name = Field("g6-standard-4", min_length=1, examples=["g6-standard-4"])
    """Linode plan; Harbor needs 2 CPUs and 4 GB at the least."""
    hostname: Hostname = Field(examples=["harbor.dev.example.com"])
    """The name clients use for Harbor, without scheme and port."""
    dns_zone: Hostname | None = Field(None, examples=["example.com"])
    """Zone managed by Linode in which the A record of `hostname` is made; without it DNS is yours."""
    tls: Literal["letsencrypt", "provided", "none"] = Field("letsencrypt", examples=["letsencrypt"])
    """`letsencrypt`, `provided` (certificate and key from secrets) or `none` (private networks)."""
    certificate: str | None = Field(None, examples=["-----BEGIN CERTIFICATE-----…"])
    """PEM chain for `tls: provided`."""
    certificate_key: SecretStr | None = Field(None, examples=["{secure: v1:…}"])
    """PEM key for `tls: provided`; set it with `pulumi config set --path --secret host.certificateKey`."""
    acme_email: Email | None = Field(None, examples=["ops@example.com"])
    """Where Let's Encrypt writes to when a certificate is about to expire."""
    http_port: int = Field(HTTP_PORT, ge=1, le=65535, examples=[80])
    """Port that Harbor serves with `tls: none`."""
    version: Version = Field("2.15.1", examples=["2.15.1"])
    """Harbor version."""
    installer_sha256: Sha256 | None = Field(None, examples=[EXAMPLE_SHA256])
    """Pins the installer's download; without it the release's own checksum file is used."""
    image: Name = Field("linode/debian13", min_length=1, examples=["linode/debian13"])
    """Linode image; it must have the capability cloud-init."""
    volume_gb: int = Field(200, ge=10, le=16384, examples=[200])
    """Size of the data volume in GB; it can grow, never shrink."""
    require_data: bool = Field(False, examples=[True])
    """Refuses a blank volume: for a server that must find its data again."""
    swap_mb: int = Field(2048, ge=0, le=16384, examples=[2048])
    """Swap: turns a scan that is out of memory into a slow one. 0 for none."""
    admin_cidrs: tuple[Cidr, ...] = Field((), examples=[["203.0.113.0/24"]])
    """Networks that may reach SSH; none by default."""
    web_cidrs: tuple[Cidr, ...] = Field(("0.0.0.0/0", "::/0"), examples=[["10.0.0.0/8"]])
    """Networks that may reach Harbor."""
    authorized_keys: tuple[str, ...] = Field((), examples=[["ssh-ed25519 AAAA… ops@example.com"]])
    """SSH public keys of root; taken at creation, and changed later with `objectStorage` only."""
    tags: tuple[str, ...] = Field((), examples=[["team-platform"]])
    """Linode tags of the instance, volume and firewall."""
    protect: bool = Field(False, examples=[True])
    """Keeps volume, buckets and address from being deleted and the server from being replaced."""
    service: Service = Field(default_factory=Service, examples=[{"workers": 8, "metrics": True}])
    """How Harbor runs on the server."""
    object_storage: ObjectStorage | None = Field(None, examples=[{"blobs": True}])
    """Makes a bucket from which the server reads its settings, so that changing them does not replace it; `{}` is
    enough. On request, buckets for layers and backups."""
    backup: Backup | None = Field(None, examples=[{"at": "03:15", "keep": 14}])
    """The nightly backup; `{}` for a bucket of this stack's own. None without it."""
    database: Database | None = Field(None, examples=[{"host": "pg.example.com"}])
    """A PostgreSQL elsewhere instead of Harbor's own."""
    redis: Redis | None = Field(None, examples=[{"host": "redis.example.com"}])
    """A Redis elsewhere instead of Harbor's own."""

    @property
    def bucket_region(self) -> str:
        """Where this host's own buckets are."""
        return (self.object_storage and self.object_storage.region) or self.region

    @property
    def rotating(self) -> tuple[str, ...]:
        """Keys whose secrets must be changed from time to time, and so may not be in user data."""
        asked = {
            "tls": self.tls == "provided",
            "objectStorage.blobs": self.object_storage is not None and self.object_storage.blobs,
            "backup": self.backup is not None and self.backup.directory is None,
            "database": self.database is not None,
            "redis": self.redis is not None,
        }
        return tuple(key for key, is_so in asked.items() if is_so)

    @property
    def url(self) -> str:
        """Base URL of the Harbor that runs here."""
        if self.tls != "none":
            return f"https://{self.hostname}"
        port = "" if self.http_port == HTTP_PORT else f":{self.http_port}"
        return f"http://{self.hostname}{port}"


class ExistingHarbor(Section):
    """A Harbor that is there already, instead of a host."""

    url: BaseUrl = Field(examples=["https://harbor.example.com"])
    """Base URL."""
    username: Name = Field("admin", min_length=1, examples=["admin"])
    """A system administrator; its password is the secret `harborPassword`."""
    restrict_project_creation: bool = Field(False, examples=[True])
    """Lets only administrators create projects: a setting of the whole Harbor, so asked for and not assumed. The
    provider then sets Harbor's other system settings (read-only, robots' prefix and lifetime, quota) to defaults."""


class Endpoint(Section):
    """A source registry as Harbor knows it (Administration > Registries)."""

    type: EndpointType = Field(examples=["docker-hub"])
    """Kind of registry, in Harbor's own words."""
    url: HttpUrl | None = Field(None, examples=["https://registry.example.com"])
    """Endpoint URL; kinds with one fixed address need none."""
    # Others made in Harbor may end in a blank, and are taken over as they are.
    name: Annotated[str, AfterValidator(one_line)] | None = Field(
        None, min_length=1, max_length=ENDPOINT_NAME_LENGTH, examples=["hub-docker-hub"]
    )
    """Name in Harbor; `<key>-<type>` without it, so that a change of type converges in one `up`."""
    username: Name | None = Field(None, min_length=1, examples=["acme-bot"])
    """Access ID; none for anonymous."""
    secret: Annotated[SecretStr | None, AfterValidator(_secret)] = Field(None, examples=["{secure: v1:…}"])
    """Access secret; set it with `pulumi config set --path --secret 'endpoints.NAME.secret'`."""
    description: FreeText = Field("", examples=["Docker Hub, paid account"])
    """Free text shown in Harbor."""
    insecure: bool = Field(False, examples=[False])
    """Accepts any certificate of the source."""
    plan: Plan | None = Field(None, examples=["personal"])
    """Docker Hub's plan, against which the rules' pulls are counted; without it `anonymous`, or `personal` with an
    account."""


class TagFilter(Section):
    """Harbor's tag filter: globs that a tag must match, or must not."""

    matches: Globs = Field(default=(), examples=["1.2*"])
    """Globs of which a tag must match one."""
    excludes: Globs = Field(default=(), examples=["*-rc*"])
    """Globs of which a tag must match none."""


class RuleTags(TagFilter):
    """Which tags a rule copies: Harbor's globs, or an expression that `mirrorctl resolve` turns into globs."""

    semver: str | None = Field(default=None, min_length=1, examples=[">=1.25 <2"])
    """Version range: comparisons such as `>=1.25`, `^1.2`, `~1.2.3`, `1.x`, joined by blanks or `||`."""
    regex: str | None = Field(default=None, min_length=1, examples=[r"^v1\.3[2-4]\.\d+$"])
    """Regular expression that must be found in a tag; write `^` and `$` for the whole of it."""
    latest: int | None = Field(default=None, ge=1, examples=[5])
    """How many of the newest versions in each repository, of those that the other keys leave."""
    suffix: str = Field(default="", examples=["-alpine"])
    """Text that a tag must end in, and that is no part of its version."""

    @property
    def is_expression(self) -> bool:
        """Whether these tags must be resolved to globs before Harbor can take them."""
        return bool(self.semver or self.regex or self.latest or self.suffix)


class RetentionRule(Section):
    """What a retention rule keeps: exactly one of the counts and periods, or `always`."""

    repositories: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(
        default_factory=TagFilter, examples=["library/**"]
    )
    """Repositories, without the project's name: a glob, a list, `{matches: …}` or `{excludes: …}`; all without it."""
    tags: Annotated[TagFilter, BeforeValidator(_tag_filter)] = Field(default_factory=TagFilter, examples=["v*"])
    """Tags: a glob, a list, `{matches: …}` or `{excludes: …}`; all without it."""
    untagged: bool = Field(True, examples=[True])
    """Whether artifacts without a tag are kept, too; a moved tag leaves one behind."""
    most_recently_pushed: int | None = Field(None, ge=1, le=RETENTION_COUNT, examples=[10])
    """Keeps the artifacts of a repository that were pushed last: this many."""
    most_recently_pulled: int | None = Field(None, ge=1, le=RETENTION_COUNT, examples=[10])
    """Keeps the artifacts of a repository that were pulled last: this many."""
    pushed_within_days: int | None = Field(None, ge=1, le=RETENTION_DAYS, examples=[30])
    """Keeps what was pushed within this many days."""
    pulled_within_days: int | None = Field(None, ge=1, le=RETENTION_DAYS, examples=[30])
    """Keeps what was pulled within this many days."""
    always: bool = Field(False, examples=[True])
    """Keeps everything that the patterns select."""


class Retention(Section):
    """Harbor's tag retention: in a repository that some rule selects, what no rule keeps is deleted."""

    keep: tuple[RetentionRule, ...] = Field(
        min_length=1, max_length=RETENTION_RULES, examples=[[{"mostRecentlyPushed": 10}]]
    )
    """Rules, joined by OR: an artifact stays if one of them keeps it."""
    schedule: str = Field("daily", min_length=1, examples=["daily"])
    """When Harbor deletes: as a rule's schedule; `manual` for never by itself."""


class Project(Section):
    """Where a rule's images land."""

    public: bool = Field(False, examples=[False])
    """Lets anybody pull without credentials."""
    quota_gb: int | None = Field(None, ge=1, le=1024 * 1024, examples=[100])
    """Storage limit in GB; unlimited without it. Harbor refuses more than 1024 TB."""
    vulnerability_scanning: bool = Field(True, examples=[True])
    """Scans images as they arrive."""
    force_destroy: bool = Field(False, examples=[False])
    """Deletes the project with its images when it leaves the configuration; by default it stays in Harbor."""
    retention: Retention | None = Field(None, examples=[{"keep": [{"mostRecentlyPushed": 10}]}])
    """Deletes old images; without it all stay."""


class Rule(Section):
    """One pull replication policy."""

    endpoint: str = Field(min_length=1, examples=["docker-hub"])
    """Key of the source under `endpoints`."""
    repositories: Globs = Field(min_length=1, examples=["library/nginx"])
    """Repository glob (`*` within a path component, `**` across, `?`, `{a,b}`) or a list of them."""
    tags: Annotated[RuleTags, BeforeValidator(_tag_filter)] = Field(default_factory=RuleTags, examples=["1.2*"])
    """Tag glob, a list of them, or a map; every tag without it."""
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), examples=[["release"]])
    """Labels that an artifact must carry; only Harbor sources have them."""
    resource: Literal["image", "artifact"] | None = Field(None, examples=["image"])
    """Kind of artifact: container images only, or any artifact."""
    project: str = Field(min_length=1, examples=["mirror"])
    """Key of the destination under `projects`."""
    path: Annotated[str, AfterValidator(_path)] = Field("", examples=["hub"])
    """Path below the project that the images land under."""
    flatten: int = Field(0, ge=-1, le=3, examples=[0])
    """Leading components cut from the source path: 0 keeps all, -1 leaves the last (dest_namespace_replace_count)."""
    schedule: str = Field("manual", min_length=1, examples=["0 0 */6 * * *"])
    """`manual`, `hourly`, `daily`, `weekly` or Harbor's cron: six fields, UTC; `H` spreads rules out."""
    allow_frequent: bool = Field(False, examples=[True])
    """Allows schedules that fire more often than every five minutes."""
    override: bool = Field(True, examples=[True])
    """Replaces a tag in Harbor when it moved at the source."""
    enabled: bool = Field(True, examples=[True])
    """A disabled rule neither fires nor can be started."""
    deletion: bool = Field(False, examples=[False])
    """Deletes in Harbor what was deleted at the source; only Harbor sources report deletions."""
    copy_by_chunk: bool = Field(False, examples=[False])
    """Transfers layers in chunks; for unsteady networks."""
    speed_kbps: int = Field(-1, ge=-1, le=2**31 - 1, examples=[10240])
    """Bandwidth limit of each task in KB/s; -1 is unlimited."""
    single_active: bool | None = Field(None, examples=[True])
    """Skips a run while the previous one is still running; Harbor 2.13 and later. `false` turns it off again."""
    description: FreeText = Field("", examples=["Base images of the web team"])
    """Free text shown in Harbor."""
    expected_tags: int | None = Field(None, ge=1, examples=[40])
    """How many tags match in all, for the request budget; exact names need no hint."""
    listed_tags: int | None = Field(None, ge=1, examples=[17400])
    """How many tags the source has in these repositories, for the request budget: Harbor lists them all in each run."""

    @property
    def namespace(self) -> str:
        """Harbor's destination namespace: the project and the path below it."""
        return f"{self.project}/{self.path}" if self.path else self.project


class GarbageCollection(Section):
    """Frees the disk space of deleted images. A global setting of Harbor."""

    schedule: str = Field("0 30 3 * * 6", min_length=1, examples=["0 30 3 * * SAT"])
    """As a rule's schedule; `manual` for never by itself."""
    delete_untagged: bool = Field(False, examples=[False])
    """Deletes artifacts without a tag, too: what a moved tag left behind, and what deployments may pin by digest."""
    workers: int = Field(1, ge=1, le=GC_WORKERS, examples=[1])
    """How many deletions run side by side."""


class AuditPurge(Section):
    """Deletes old entries of the audit log. A global setting of Harbor."""

    schedule: str = Field("0 30 2 * * *", min_length=1, examples=["0 30 2 * * *"])
    """As a rule's schedule; `manual` for never by itself."""
    retention_hours: int = Field(90 * 24, ge=1, le=AUDIT_HOURS, examples=[2160])
    """Entries younger than this stay."""
    operations: tuple[Operation, ...] = Field(("create", "delete", "pull"), min_length=1, examples=[["pull"]])
    """Entries to delete: of artifacts created, deleted and pulled; `other` is log-ins, users, projects, settings."""


class Maintenance(Section):
    """Harbor's own housekeeping: on a host of ours with these defaults, on another Harbor only if it is asked for."""

    garbage_collection: GarbageCollection | None = Field(default=None, examples=[{"schedule": "weekly"}])
    """When garbage is collected; `{}` for the defaults."""
    audit_purge: AuditPurge | None = Field(default=None, examples=[{"retentionHours": 720}])
    """When the audit log is purged; `{}` for the defaults."""


class Configuration(Section):
    """A stack, whole."""

    host: Host | None = None
    """The Linode host that runs Harbor; or else `cluster` or `harbor`."""
    cluster: Cluster | None = None
    """The Kubernetes cluster that runs Harbor; or else `host` or `harbor`."""
    harbor: ExistingHarbor | None = None
    """A Harbor that exists already; or else `host` or `cluster`."""
    harbor_password: SecretStr | None = None
    """Password of Harbor's administrator: of an existing Harbor, or after a rotation on ours."""
    endpoints: Mapping[str, Endpoint] = Field(default_factory=dict)
    """Source registries by name."""
    projects: Mapping[str, Project] = Field(default_factory=dict)
    """Destination projects by name."""
    rules: Mapping[str, Rule] = Field(default_factory=dict)
    """Pull replication rules by name."""
    rules_dir: str | None = Field(None, examples=["mirrors/prod"])
    """Directory of YAML files with further `rules`, one for each team, seen from Pulumi.yaml."""
    maintenance: Maintenance = Field(default_factory=Maintenance)
    """Harbor's own housekeeping."""
    strict: bool = Field(False, examples=[True])
    """Refuses what exceeds a source's request budget instead of warning of it."""

    @property
    def url(self) -> str:
        """Base URL of Harbor; empty without host, cluster and harbor."""
        target = self.host or self.cluster or self.harbor
        return target.url if target else ""

    @property
    def owns_harbor(self) -> bool:
        """Whether the stack itself runs Harbor, on a host or a cluster."""
        return self.host is not None or self.cluster is not None

    @property
    def registry_host(self) -> str:
        """What stands in front of image references: host, and port where it is not the scheme's own."""
        return urlsplit(self.url).netloc

    @property
    def admin_username(self) -> str:
        """Harbor's administrator."""
        return self.harbor.username if self.harbor else "admin"

    @property
    def restricts_project_creation(self) -> bool:
        """Whether only administrators may create projects: always on a Harbor of ours, on another if asked for."""
        return self.harbor.restrict_project_creation if self.harbor else True

    @property
    def garbage_collection(self) -> GarbageCollection | None:
        """Garbage collection to set: on a Harbor of ours always, on another if it is asked for."""
        default: GarbageCollection | None = GarbageCollection.read({}) if self.owns_harbor else None
        return self.maintenance.garbage_collection or default

    @property
    def audit_purge(self) -> AuditPurge | None:
        """Audit log purge to set: on a Harbor of ours always, on another if it is asked for."""
        default: AuditPurge | None = AuditPurge.read({}) if self.owns_harbor else None
        return self.maintenance.audit_purge or default
