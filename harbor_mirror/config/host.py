"""Harbor on one server: the section `host`, a Linode instance with its volume, address, firewall and DNS record."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.fields import (
    EXAMPLE_SHA256,
    HOSTNAME,
    BucketName,
    Cidr,
    Email,
    Hostname,
    HttpUrl,
    Name,
    Section,
    Sha256,
    TimeOfDay,
    base_url,
    one_line,
)
from harbor_mirror.config.harbor_releases import release
from harbor_mirror.config.services import Database, Redis, Service, authority_faults, service_authorities

HTTP_PORT = 80
HTTPS_PORT = 443
EXAMPLE_RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
#: Passwords pass unquoted through Docker compose's env files (which drop `$x` and cut at ` #`) and Harbor's templates.
PASSWORD = re.compile(r"[A-Za-z0-9._-]{8,128}")
#: Storage keys are written unquoted into the registry's YAML, where digits alone would become a number.
STORAGE_KEY = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._/+=-]{7,}")
#: Names of databases and users pass through the same files.
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: An age X25519 public key; age itself verifies its checksum.
AGE_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
#: Names that public DNS does not resolve (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`).
PRIVATE_DOMAINS = ("home.arpa", "internal", "lan", "local", "localhost", "test")
#: Harbor before this version ignores that Redis has TLS.
REDIS_TLS_SINCE = (2, 13)


def _known_version(value: str) -> str:
    release(value)
    return value


def _https_url(value: str) -> str:
    local = urlsplit(value).hostname in {"127.0.0.1", "::1", "localhost"}
    if not value.startswith("https://") and not local:
        raise ValueError("is not an https URL")
    return value.rstrip("/")


def _proxy_url(value: str) -> str:
    if "@" in value:
        raise ValueError("has credentials; they belong in username and password, which is encrypted")
    if urlsplit(base_url(value)).port is None:
        raise ValueError("has no port, and programs differ in the one they assume")
    return base_url(value)


def _without_proxy(value: str) -> str:
    name = value.lower().removeprefix(".")
    try:
        return str(ipaddress.ip_network(name))
    except ValueError:
        if HOSTNAME.fullmatch(name) is None:
            raise ValueError("is not a host, a domain, an address or a network") from None
    return value.lower()


def _pem(value: str) -> str:
    if not re.match(r"\s*-----BEGIN [A-Z ]+-----", value):
        raise ValueError("is not PEM")
    return value.strip() + "\n"


def _secret_pem(value: SecretStr | None) -> SecretStr | None:
    return None if value is None else SecretStr(_pem(value.get_secret_value()))


def _storage_key(value: str) -> str:
    if not STORAGE_KEY.fullmatch(value):
        raise ValueError("is not a storage key that Harbor can use: 8 or more of A-Z a-z 0-9 . _ / + = -")
    return value


def _secret_storage_key(value: SecretStr) -> SecretStr:
    return SecretStr(_storage_key(value.get_secret_value()))


def _identifier(value: str) -> str:
    if not IDENTIFIER.fullmatch(value):
        raise ValueError("must be letters, digits, dots, hyphens and underscores")
    return value


def _backup_directory(value: str) -> str:
    inside = value == "/mnt/harbor" or value.startswith("/mnt/harbor/") or ".." in value.split("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", value) or inside:
        raise ValueError("must be an absolute directory outside /mnt/harbor, on a file system of its own")
    return value


def _age_recipient(value: str) -> str:
    if not AGE_RECIPIENT.fullmatch(value):
        raise ValueError("is not an age public key; `age-keygen` prints one")
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        raise ValueError("is not an image digest: sha256: and 64 hexadecimal digits, lower case")
    return value


def _server_password(value: SecretStr) -> SecretStr:
    if not PASSWORD.fullmatch(value.get_secret_value()):
        raise ValueError("must be 8 to 128 of A-Z a-z 0-9 . _ -, because Harbor's files lose other characters")
    return value


ServerPassword = Annotated[SecretStr, AfterValidator(_server_password)]


class ObjectStorage(Section):
    """Buckets in Linode Object Storage that the stack creates, each with access keys limited to it."""

    region: str | None = Field(None, min_length=1, examples=["sg-sin-2"])
    """Region of the buckets; default: the host's region."""
    blobs: bool = Field(False, examples=[True])
    """Stores image layers in a bucket instead of on the volume; decide before the first image."""


class BackupBucket(Section):
    """An existing bucket in any S3 store."""

    name: BucketName = Field(examples=["harbor-backups"])
    """The bucket's name."""
    endpoint: Annotated[HttpUrl, AfterValidator(_https_url)] = Field(examples=["https://us-east-1.linodeobjects.com"])
    """https URL of the S3 store, without the bucket's name."""
    region: Annotated[str, AfterValidator(_identifier)] = Field(examples=["us-east-1"])
    """Region of the S3 store."""
    access_key: Annotated[str, AfterValidator(_storage_key)] = Field(examples=["EXAMPLEACCESSKEY0001"])
    """Access key."""
    secret_key: Annotated[SecretStr, AfterValidator(_secret_storage_key)] = Field(examples=["{secure: v1:…}"])
    """Secret key; set it with `pulumi config set --path --secret host.backup.bucket.secretKey`."""


class Backup(Section):
    """The nightly backup. Without `bucket` and `directory` it goes to a bucket that the stack creates."""

    at: TimeOfDay = Field("03:15", examples=["03:15"])
    """Time of day, UTC."""
    keep: int = Field(14, ge=1, le=365, examples=[14])
    """How many backups are kept."""
    bucket: BackupBucket | None = Field(None, examples=[{"name": "harbor-backups"}])
    """An existing bucket."""
    directory: Annotated[str, AfterValidator(_backup_directory)] | None = Field(None, examples=["/mnt/backup"])
    """A directory on the server where you mount a file system that outlives it; the backup fails if none is mounted."""
    recipient: Annotated[str, AfterValidator(_age_recipient)] | None = Field(None, examples=[EXAMPLE_RECIPIENT])
    """age public key that database, keys and `harbor.yml` are encrypted to; keep the private key off the server.
    Image layers are not encrypted. Unencrypted without it."""
    versioned: bool = Field(False, examples=[True])
    """Turns on the bucket's versioning at each backup, so that deleted backups can be brought back; buckets only."""


class HostDatabase(Database):
    """A PostgreSQL (12 or later) elsewhere; the database must exist and, at first boot, be empty."""

    # Narrower than a cluster's: these values pass through files of Harbor that do not quote them.
    name: Annotated[str, AfterValidator(_identifier)] = Field("registry", examples=["registry"])
    """The database's name."""
    username: Annotated[str, AfterValidator(_identifier)] = Field(examples=["harbor"])
    """A user that owns it."""
    password: ServerPassword = Field(examples=["{secure: v1:…}"])
    """Its password; set it with `pulumi config set --path --secret host.database.password`."""


class HostRedis(Redis):
    """A Redis or Valkey elsewhere."""

    password: ServerPassword = Field(examples=["{secure: v1:…}"])
    """Its password; set it with `pulumi config set --path --secret host.redis.password`."""


class Proxy(Section):
    """An HTTP proxy for everything that the server and Harbor fetch from outside."""

    url: Annotated[str, AfterValidator(_proxy_url)] = Field(examples=["http://proxy.example.com:3128"])
    """Address of the proxy, with its port and without credentials. It is used for http and for https."""
    username: Name | None = Field(None, min_length=1, examples=["harbor"])
    """User name at the proxy."""
    password: SecretStr | None = Field(None, min_length=1, examples=["{secure: v1:…}"])
    """Its password; set it with `pulumi config set --path --secret host.proxy.password`."""
    no_proxy: tuple[Annotated[str, AfterValidator(_without_proxy)], ...] = Field((), examples=[["10.0.0.0/8"]])
    """Hosts, domains (`.example.com`), addresses and networks that are reached directly, besides Harbor's own names."""
    components: tuple[Literal["core", "jobservice", "trivy"], ...] = Field(
        ("core", "jobservice", "trivy"), examples=[["core", "jobservice"]]
    )
    """Parts of Harbor that use the proxy. Replication and proxy caches need `core` and `jobservice`."""

    def address(self, password: str | None) -> str:
        """Return the URL with the credentials, if there are any."""
        if self.username is None or password is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{quote(self.username, safe='')}:{quote(password, safe='')}@{rest}"


class MaintenanceWindow(Section):
    """When the server may install updates of Docker, containerd and the kernel and reboot. Harbor is down meanwhile."""

    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "sunday", examples=["sunday"]
    )
    """Day of the week, UTC."""
    hour: int = Field(4, ge=0, le=23, examples=[4])
    """Hour of the day at which the window begins, UTC."""


class Host(Section):
    """A Linode instance that runs Harbor, with its volume, address, firewall and DNS record."""

    region: Name = Field(min_length=1, examples=["sg-sin-2"])
    """Linode region close to the deployments; it must offer the Metadata service."""
    type: Name = Field("g6-standard-4", min_length=1, examples=["g6-standard-4"])
    """Linode plan; Harbor needs at least 2 CPUs and 4 GB."""
    hostname: Hostname = Field(examples=["harbor.dev.example.com"])
    """The name clients use for Harbor, without scheme and port."""
    dns_zone: Hostname | None = Field(None, examples=["example.com"])
    """Zone managed by Linode in which the A record of `hostname` is created; without it you create the record."""
    tls: Literal["letsencrypt", "provided", "none"] = Field("letsencrypt", examples=["letsencrypt"])
    """`letsencrypt`, `provided` (certificate and key from secrets) or `none` (private networks)."""
    certificate: Annotated[str, AfterValidator(_pem)] | None = Field(None, examples=["-----BEGIN CERTIFICATE-----…"])
    """PEM chain for `tls: provided`."""
    certificate_key: Annotated[SecretStr | None, AfterValidator(_secret_pem)] = Field(None, examples=["{secure: v1:…}"])
    """PEM key for `tls: provided`; set it with `pulumi config set --path --secret host.certificateKey`."""
    acme_email: Email | None = Field(None, examples=["ops@example.com"])
    """E-mail address for Let's Encrypt's expiry warnings."""
    http_port: int = Field(HTTP_PORT, ge=1, le=65535, examples=[80])
    """Port that Harbor serves with `tls: none`."""
    version: Annotated[str, AfterValidator(_known_version)] = Field("2.15.1", examples=["2.15.1"])
    """Harbor version."""
    installer_sha256: Sha256 | None = Field(None, examples=[EXAMPLE_SHA256])
    """Pins the installer's download; without it the release's own checksum file is used."""
    image_digests: Mapping[str, Annotated[str, AfterValidator(_digest)]] = Field(
        default_factory=dict, examples=[{"goharbor/harbor-core": f"sha256:{EXAMPLE_SHA256}"}]
    )
    """Pins Harbor's images: repository to digest, for every image of `version`. The server starts no other image."""
    image: Name = Field("linode/debian13", min_length=1, examples=["linode/debian13"])
    """Linode image; it must have the capability cloud-init."""
    volume_gb: int = Field(200, ge=10, le=16384, examples=[200])
    """Size of the data volume in GB; it can grow, never shrink."""
    require_data: bool = Field(False, examples=[True])
    """Refuses to start with a blank volume: for a server that must find existing data."""
    swap_mb: int = Field(2048, ge=0, le=16384, examples=[2048])
    """Swap in MB; without enough memory, scans then become slow instead of failing. 0 for none."""
    admin_cidrs: tuple[Cidr, ...] = Field((), examples=[["203.0.113.0/24"]])
    """Networks that may reach SSH; none by default."""
    web_cidrs: tuple[Cidr, ...] = Field(("0.0.0.0/0", "::/0"), examples=[["10.0.0.0/8"]])
    """Networks that may reach Harbor."""
    authorized_keys: tuple[Annotated[str, AfterValidator(one_line)], ...] = Field(
        (), examples=[["ssh-ed25519 AAAA… ops@example.com"]]
    )
    """SSH public keys of root. With `objectStorage` the list is authoritative at all times, without it at creation."""
    tags: tuple[str, ...] = Field((), examples=[["team-platform"]])
    """Linode tags of the instance, volume and firewall."""
    protect: bool = Field(False, examples=[True])
    """Prevents deletion of volume, buckets and address, and replacement of the server."""
    service: Service = Field(default_factory=Service, examples=[{"workers": 8, "metrics": True}])
    """How Harbor runs on the server."""
    object_storage: ObjectStorage | None = Field(None, examples=[{"blobs": True}])
    """Creates a bucket from which the server reads its settings, so that changing them does not replace it; `{}` is
    enough. On request, also buckets for layers and backups."""
    backup: Backup | None = Field(None, examples=[{"at": "03:15", "keep": 14}])
    """The nightly backup; `{}` for a bucket that the stack creates. No backup without it."""
    database: HostDatabase | None = Field(None, examples=[{"host": "pg.example.com"}])
    """An external PostgreSQL instead of Harbor's own."""
    redis: HostRedis | None = Field(None, examples=[{"host": "redis.example.com"}])
    """An external Redis instead of Harbor's own."""
    proxy: Proxy | None = Field(None, examples=[{"url": "http://proxy.example.com:3128"}])
    """An HTTP proxy for servers that may not reach the internet directly."""
    maintenance_window: MaintenanceWindow | None = Field(None, examples=[{"day": "sunday", "hour": 4}])
    """Weekly window for updates of Docker, containerd and the kernel, with a reboot; `{}` for the defaults. Without it
    these stay unpatched until you update them."""

    @property
    def bucket_region(self) -> str:
        """Region of the buckets that the stack creates for this host."""
        return (self.object_storage and self.object_storage.region) or self.region

    @property
    def own_buckets(self) -> tuple[str, ...]:
        """Which buckets the stack creates for this host besides that of the settings: `blobs`, `backup`."""
        backup = self.backup
        wanted = {
            "blobs": self.object_storage is not None and self.object_storage.blobs,
            "backup": backup is not None and backup.bucket is None and backup.directory is None,
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    @property
    def authorities(self) -> str:
        """Certificates of authorities that Harbor trusts besides the public ones, in PEM."""
        return service_authorities(self.database, self.redis)

    @property
    def secrets(self) -> dict[str, SecretStr]:
        """The secrets that are set, by their path below `host`."""
        bucket = self.backup.bucket if self.backup else None
        secrets = {
            "certificateKey": self.certificate_key,
            "database.password": self.database.password if self.database else None,
            "redis.password": self.redis.password if self.redis else None,
            "backup.bucket.secretKey": bucket.secret_key if bucket else None,
            "proxy.password": self.proxy.password if self.proxy else None,
        }
        return {path: secret for path, secret in secrets.items() if secret is not None}

    @property
    def has_private_name(self) -> bool:
        """Whether `hostname` can be resolved or reached inside one network only."""
        try:
            return ipaddress.ip_address(self.hostname).is_private
        except ValueError:
            private = tuple(f".{domain}" for domain in PRIVATE_DOMAINS)
            return "." not in self.hostname or self.hostname.endswith(private)

    @property
    def rotating(self) -> tuple[str, ...]:
        """Keys whose secrets have to be rotated, and therefore must not be in user data."""
        is_rotated = {
            "tls": self.tls == "provided",
            "objectStorage.blobs": self.object_storage is not None and self.object_storage.blobs,
            "backup": self.backup is not None and self.backup.directory is None,
            "database": self.database is not None,
            "redis": self.redis is not None,
        }
        return tuple(key for key, rotated in is_rotated.items() if rotated)

    @property
    def url(self) -> str:
        """Base URL of the Harbor that runs here."""
        if self.tls != "none":
            return f"https://{self.hostname}"
        port = "" if self.http_port == HTTP_PORT else f":{self.http_port}"
        return f"http://{self.hostname}{port}"

    def faults(self) -> Iterator[Fault]:
        """Yield what does not go together, with paths below `host`."""
        yield from self._backup_faults()
        yield from self._network_faults()
        yield from self._service_faults()
        if self.object_storage is None:
            for key in self.rotating:
                reason = (
                    "has secrets that have to be rotated: without a bucket from which the server reads them, each "
                    "change would replace the server"
                )
                yield Fault(key, None, reason, "objectStorage: {}")

    def _backup_faults(self) -> Iterator[Fault]:
        backup = self.backup
        if backup is not None and backup.directory is not None:
            if backup.bucket is not None:
                yield Fault("backup", None, "has both bucket and directory; it goes to one place", "backup: {keep: 14}")
            if backup.versioned:
                yield Fault("backup.versioned", True, "has no use with a directory", "versioned: false")

    def _network_faults(self) -> Iterator[Fault]:
        if self.tls == "none" and not self.has_private_name:
            reason = (
                "sends passwords unencrypted, so it needs a private hostname: a private address, or a name that ends "
                f"in {', '.join(PRIVATE_DOMAINS)}"
            )
            yield Fault("tls", self.tls, reason, "tls: letsencrypt")
        if self.tls != "none" and self.http_port != HTTP_PORT:
            yield Fault("httpPort", self.http_port, f"has no use with tls: {self.tls}", str(HTTP_PORT))
        if self.tls == "letsencrypt" and all(ipaddress.ip_network(network).is_private for network in self.web_cidrs):
            reason = (
                "admits private networks only, and Let's Encrypt must reach port 80 or 443 to issue the certificate"
            )
            yield Fault("webCidrs", self.web_cidrs, reason, "tls: provided")

    def _service_faults(self) -> Iterator[Fault]:
        yield from authority_faults(self.database, self.redis)
        if self.proxy is not None and (self.proxy.username is None) != (self.proxy.password is None):
            key = "username" if self.proxy.username is None else "password"
            example = {
                "username": "username: harbor",
                "password": "pulumi config set --path --secret host.proxy.password",
            }
            yield Fault(f"proxy.{key}", None, "is missing; a proxy needs both or neither of them", example[key])
        if self.redis is not None and self.redis.tls and release(self.version).minor < REDIS_TLS_SINCE:
            reason = "is ignored by Harbor before 2.13, which connects unencrypted"
            yield Fault("redis.tls", True, reason, "version: 2.13.5")
