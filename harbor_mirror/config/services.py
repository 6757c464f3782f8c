"""How Harbor runs and what it uses elsewhere: the sections that a host and a cluster share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, SecretStr

from harbor_mirror.config.certificates import EXAMPLE_AUTHORITY, Authorities
from harbor_mirror.config.faults import Fault
from harbor_mirror.config.fields import Hostname, Section


class Service(Section):
    """How Harbor runs."""

    workers: int | None = Field(default=None, ge=1, le=100, examples=[8])
    """Jobs that Harbor runs at a time; without it 10, or 4 on a server below 7 GB of memory. In a cluster: of each
    jobservice pod."""
    trivy: bool = Field(default=True, examples=[False])
    """Runs the vulnerability scanner; it wants memory."""
    metrics: bool = Field(default=False, examples=[True])
    """Serves Prometheus metrics: on a host at port 9090, which the firewall keeps closed; in a cluster at port 8001 of
    each pod, for namespaces with the label `harbor-mirror.dev/reads-metrics: "true"`."""
    log_level: Literal["debug", "info", "warning", "error", "fatal"] = Field(default="info", examples=["warning"])
    """What Harbor's services write to their logs."""


class Database(Section):
    """A PostgreSQL (12 or later) elsewhere; the database must exist and, at first boot, be empty."""

    host: Hostname = Field(examples=["pg.example.com"])
    """Its host name."""
    port: int = Field(5432, ge=1, le=65535, examples=[5432])
    """Its port."""
    name: str = Field("registry", min_length=1, examples=["registry"])
    """The database's name."""
    username: str = Field(min_length=1, examples=["harbor"])
    """A user that owns it."""
    password: SecretStr = Field(examples=["{secure: v1:…}"])
    """Its password, a secret: `pulumi config set --path --secret host.database.password` (or `cluster.…`)."""
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = Field("require", examples=["verify-full"])
    """How the connection is secured. Only `verify-ca` and `verify-full` verify the server's certificate."""
    ca_certificate: Authorities | None = Field(None, examples=[EXAMPLE_AUTHORITY])
    """PEM certificate of the authority that `sslMode` verifies against, if it is not a public one."""
    max_open_conns: int = Field(100, ge=10, le=900, examples=[100])
    """Connections that each of Harbor's services opens at most."""


class Redis(Section):
    """A Redis or Valkey elsewhere."""

    host: Hostname = Field(examples=["redis.example.com"])
    """Its host name."""
    port: int = Field(6379, ge=1, le=65535, examples=[6379])
    """Its port."""
    username: str = Field("", examples=["harbor"])
    """A user, where it has users."""
    password: SecretStr = Field(examples=["{secure: v1:…}"])
    """Its password, a secret: `pulumi config set --path --secret host.redis.password` (or `cluster.…`)."""
    tls: bool = Field(True, examples=[True])
    """Speaks TLS, from Harbor 2.13 on."""
    ca_certificate: Authorities | None = Field(None, examples=[EXAMPLE_AUTHORITY])
    """PEM certificate of the authority of the server's certificate, if it is not a public one."""


def service_authorities(database: Database | None, redis: Redis | None) -> str:
    """Return the certificates of authorities that Harbor's services must trust for these connections, in PEM."""
    certificates = [service.ca_certificate for service in (database, redis) if service is not None]
    return "".join(dict.fromkeys(certificate for certificate in certificates if certificate))


def authority_faults(database: Database | None, redis: Redis | None) -> Iterator[Fault]:
    """Yield certificates of authorities that the connection does not use, with paths below `host` or `cluster`."""
    if database is not None and database.ca_certificate and not database.ssl_mode.startswith("verify-"):
        reason = f"is not used with sslMode: {database.ssl_mode}, which accepts every certificate"
        yield Fault("database.caCertificate", None, reason, "sslMode: verify-full")
    if redis is not None and redis.ca_certificate and not redis.tls:
        yield Fault("redis.caCertificate", None, "is not used with tls: false", "tls: true")
