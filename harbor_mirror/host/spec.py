"""What a host is made of: `HostSpec` for the life of a server, `HostSettings` for what may change on it.

The line between the two is the promise of rotation without replacement: nothing of `HostSettings` gets into user
data once the stack has a settings bucket (`HostSpec.settings_source`), so changing it cannot replace the server.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from harbor_mirror.host.versions import release

#: Values pass unquoted through docker compose env files (`$x` vanishes, ` #` cuts) and Harbor's own templates.
SECRET = re.compile(r"[A-Za-z0-9._-]{8,128}")
#: Object Storage keys land unquoted in the registry's YAML: a lone number would change its type there.
STORAGE_KEY = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._/+=-]{7,}")
#: Linode's rule for volume labels; the device on the host is named after it.
VOLUME_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
#: Names that public DNS does not resolve (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`).
PRIVATE_DOMAINS = frozenset({"home.arpa", "internal", "lan", "local", "localhost", "test"})
#: What Pulumi prints in place of a value that it does not know yet.
UNRESOLVED = re.compile(r"Calling __str__ on an Output|<pulumi\.output\.Output|Output<|\$\{.*\}")
#: Published for both kinds of installer next to the installer itself.
RELEASES_URL = "https://github.com/goharbor/harbor/releases/download"


class SpecError(ValueError):
    """Every fault of a spec, one a line: field, reason, example. Never shows a value, since it may be secret."""


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(what)
        return value

    return AfterValidator(check)


def _pem(value: str) -> str:
    if value and not re.match(r"\s*-----BEGIN [A-Z ]+-----", value):
        raise ValueError("is not PEM. Example: -----BEGIN CERTIFICATE-----")
    return value.strip() + "\n" if value else ""


def _url(value: str) -> str:
    parts = urlsplit(value)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not (parts.scheme == "https" or (parts.scheme == "http" and local)) or not parts.hostname or parts.query:
        raise ValueError("is not an https URL. Example: https://us-east-1.linodeobjects.com")
    return value.rstrip("/")


def _version(value: str) -> str:
    release(value)
    return value


Secret = Annotated[
    str, _matching(SECRET, "must be 8 to 128 of A-Z a-z 0-9 . _ - (other characters get lost on the way)")
]
StorageKey = Annotated[
    str, _matching(STORAGE_KEY, "is not a key Harbor can pass on: 8 or more of A-Z a-z 0-9 . _ / + = -")
]
Hostname = Annotated[str, _matching(HOSTNAME, "is not a host name. Example: harbor.example.com")]
Name = Annotated[str, _matching(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "must be of A-Z a-z 0-9 . _ -")]
Pem = Annotated[str, AfterValidator(_pem)]
Url = Annotated[str, AfterValidator(_url)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Part(BaseModel):
    """Frozen, keyword-only, types never guessed, values never in error text."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, item['loc'])) or type(self).__name__}: {_reason(item)}" for item in error.errors()
            ]
            raise SpecError("\n".join(lines)) from None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unresolved(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, str) and UNRESOLVED.search(value):
                raise ValueError(f"{name} is an unresolved Output; build the spec inside `apply`")
        return values


def _reason(item: Any) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def is_private(hostname: str) -> bool:
    """Whether a host name can only mean something inside one network; such a host may go without TLS."""
    try:
        return ipaddress.ip_address(hostname).is_private
    except ValueError:
        return "." not in hostname or hostname.endswith(tuple(f".{domain}" for domain in PRIVATE_DOMAINS))


class Bucket(Part):
    """An Object Storage bucket and the key that opens it."""

    name: Name
    endpoint: Url
    """`https://` and the bucket's S3 endpoint, without the bucket's name."""
    region: Name
    access_key: StorageKey
    secret_key: StorageKey


class ExternalDatabase(Part):
    """A PostgreSQL (12 or later) elsewhere; the database must exist and, at first boot, be empty."""

    host: Hostname
    port: Port = 5432
    name: Name = "registry"
    username: Name
    password: Secret
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    max_open_conns: Annotated[int, Field(ge=10, le=900)] = 100
    """Harbor's own default is unlimited, which managed PostgreSQL answers with refused connections."""


class ExternalRedis(Part):
    """A Redis or Valkey elsewhere. TLS needs Harbor 2.13: before, Harbor ignores it and speaks in clear."""

    host: Hostname
    port: Port = 6379
    username: str = ""
    password: Secret
    tls: bool = True


class Backup(Part):
    """Where the nightly backup goes and how many are kept."""

    target: Bucket | str
    """A bucket, or an absolute directory on the server (a mounted file system, never the data volume itself)."""
    at: Annotated[
        str, _matching(re.compile(r"([01]\d|2[0-3]):[0-5]\d"), "is not a time of day, UTC. Example: 03:15")
    ] = "03:15"
    keep: Annotated[int, Field(ge=1, le=365)] = 14

    @model_validator(mode="after")
    def _directory(self) -> Backup:
        if isinstance(self.target, str) and (
            not re.fullmatch(r"/[A-Za-z0-9._/-]+", self.target) or self.target.startswith("/mnt/harbor")
        ):
            raise ValueError("target: must be an absolute directory outside /mnt/harbor. Example: /mnt/backup")
        return self


class HostSettings(Part):
    """What may change while the server lives. Empty strings and None mean: not used."""

    workers: Annotated[int, Field(ge=1, le=100)] | None = None
    """Jobs that Harbor runs at a time; without it 4 on servers below 7 GB of memory and 10 above."""
    trivy: bool = True
    metrics: bool = False
    """Serves Prometheus metrics on port 9090, which the firewall keeps closed unless it is told otherwise."""
    log_level: Literal["debug", "info", "warning", "error", "fatal"] = "info"
    log_megabytes: Annotated[int, Field(ge=1, le=1000)] = 50
    """Size at which a service's log file is rotated; ten files are kept."""
    certificate: Pem = ""
    """PEM chain for tls `provided`, leaf first."""
    private_key: Pem = ""
    authorized_keys: tuple[str, ...] = ()
    """SSH public keys of root; none leaves those of the instance's creation."""
    blobs: Bucket | None = None
    """Where layers live; on the volume without it. Moving them later is a migration (docs/operations.md)."""
    database: ExternalDatabase | None = None
    redis: ExternalRedis | None = None
    backup: Backup | None = None

    @model_validator(mode="after")
    def _pairs(self) -> HostSettings:
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key: give both or neither")
        return self


class HostSpec(Part):
    """A server. Whatever is here, and `settings` if there is no `settings_source`, is in its user data: a change
    of it replaces the server (its volume and address stay)."""

    hostname: Hostname
    """The name clients use for Harbor."""
    version: Annotated[str, AfterValidator(_version)]
    """Harbor's version without a v, one of `versions.RELEASES`."""
    tls: Literal["letsencrypt", "provided", "none"] = "letsencrypt"
    http_port: Port = 80
    """Port that Harbor serves with tls `none`."""
    admin_password: Secret
    """The INITIAL password: Harbor reads it at the first boot on a blank volume and never again."""
    database_password: Secret
    volume_label: Annotated[str, _matching(VOLUME_LABEL, "is not a Linode volume label. Example: harbor-dev")]
    acme_email: Annotated[str, _matching(re.compile(r"([^\s@{}\"#]+@[A-Za-z0-9.-]+)?"), "is not an e-mail address")] = (
        ""
    )
    acme_directory: Annotated[str, _matching(re.compile(r"(https://[^\s{}\"#]+)?"), "is not an https URL")] = ""
    """Another ACME server than Let's Encrypt's, such as its staging one."""
    installer_sha256: Annotated[str, _matching(re.compile(r"([0-9a-f]{64})?"), "must be 64 hexadecimal digits")] = ""
    """Pins the installer; without it the release's own checksum file is trusted over TLS."""
    installer_url: Url = RELEASES_URL
    """Where `v<version>/harbor-online-installer-v<version>.tgz` and `v<version>/md5sum` are found."""
    require_data: bool = False
    """Refuses a volume that is blank: for a server that must find its data again."""
    swap_megabytes: Annotated[int, Field(ge=0, le=16384)] = 2048
    """A scan can take more memory than a small plan has; swap turns a kill into a slow scan."""
    settings: HostSettings = HostSettings()
    settings_source: Bucket | None = None
    """Bucket that holds `SETTINGS_OBJECT`, and a key that may only read it."""

    @model_validator(mode="after")
    def _fits(self) -> HostSpec:
        if self.hostname in {"127.0.0.1", "reg.mydomain.com"}:
            raise ValueError(f"hostname: Harbor's installer refuses {self.hostname}. Example: harbor.example.com")
        if self.tls == "none" and not is_private(self.hostname):
            raise ValueError(
                "tls: none sends passwords in clear, so it is for private networks: a private address, or a name "
                f"ending in {', '.join(sorted(PRIVATE_DOMAINS))}. Example: tls: letsencrypt"
            )
        if self.tls == "provided" and self.settings_source is None and not self.settings.certificate:
            raise ValueError("tls: provided needs settings.certificate and settings.private_key")
        redis = self.settings.redis
        if redis is not None and redis.tls and release(self.version).minor < (2, 13):
            raise ValueError(
                "settings.redis.tls: Harbor before 2.13 ignores it and would speak in clear. Example: tls: false"
            )
        return self
