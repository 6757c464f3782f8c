"""The `cluster` section: Harbor on Linode Kubernetes Engine with managed PostgreSQL and object storage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr

from harbor_mirror.config.faults import HIDDEN, Fault
from harbor_mirror.config.fields import (
    EXAMPLE_SHA256,
    Cidr,
    Email,
    Hostname,
    HttpUrl,
    Name,
    Section,
    Sha256,
    Version,
)
from harbor_mirror.config.services import Database, Redis, Service, authority_faults, service_authorities

HTTPS_PORT = 443
#: Harbor reads exactly this many characters.
ENCRYPTION_KEY_LENGTH = 16
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = get_args(Day)


def _kubernetes_version(value: str) -> str:
    if not re.fullmatch(r"[0-9]+\.[0-9]+", value):
        raise ValueError("is not a Kubernetes version of two numbers")
    return value


def _major_version(value: str) -> str:
    if not re.fullmatch(r"[0-9]+", value):
        raise ValueError("is not a PostgreSQL major version")
    return value


class Autoscaler(Section):
    """How far Linode may shrink and grow the node pool by itself."""

    min: int = Field(ge=1, le=100, examples=[3])
    """Fewest nodes."""
    max: int = Field(ge=1, le=100, examples=[6])
    """Most nodes."""


class Pool(Section):
    """The machines that Harbor runs on."""

    type: Name = Field(default="g6-standard-4", min_length=1, examples=["g6-standard-4"])
    """Linode plan of each node. Linode replaces the whole pool when it changes: see docs/cluster-operations.md."""
    count: int = Field(default=3, ge=1, le=100, examples=[3])
    """Number of nodes. With fewer than three, the loss of one stops Redis from electing a new primary."""
    autoscaler: Autoscaler | None = Field(default=None, examples=[{"min": 3, "max": 6}])
    """Lets Linode change the number of nodes; needs `managedDatabase.allowCidrs` or a `database` elsewhere."""


class Replicas(Section):
    """How many pods of each part of Harbor run."""

    core: int = Field(default=2, ge=1, le=20, examples=[3])
    """API, authentication and manifests: every pull asks it."""
    portal: int = Field(default=2, ge=1, le=20, examples=[2])
    """Web interface."""
    registry: int = Field(default=2, ge=1, le=20, examples=[3])
    """Blobs."""
    jobservice: int = Field(default=2, ge=1, le=20, examples=[3])
    """Replications, scans and garbage collection; each pod runs `service.workers` jobs."""
    trivy: int = Field(default=2, ge=1, le=20, examples=[2])
    """Vulnerability scanner."""


class Maintenance(Section):
    """When Linode may update the database's nodes; one with standby nodes fails over in seconds."""

    day: Day = Field(default="sunday", examples=["sunday"])
    """Day of the week."""
    hour: int = Field(default=3, ge=0, le=23, examples=[3])
    """Hour of the day, UTC."""
    duration: int = Field(default=4, ge=1, le=24, examples=[4])
    """Length of the window in hours."""


class ManagedDatabase(Section):
    """Linode's managed PostgreSQL, which is made unless `database` names one elsewhere."""

    type: Name = Field(default="g6-dedicated-2", min_length=1, examples=["g6-dedicated-2"])
    """Linode plan of each database node."""
    nodes: Literal[1, 3] = Field(default=3, examples=[3])
    """1, or 3: a primary and two standby nodes."""
    version: Annotated[str, AfterValidator(_major_version)] = Field(default="16", examples=["16"])
    """PostgreSQL major version; Harbor 2.15 needs 12 or later."""
    maintenance: Maintenance = Field(default_factory=Maintenance, examples=[{"day": "sunday", "hour": 3}])
    """When Linode may update it."""
    allow_cidrs: tuple[Cidr, ...] = Field(default=(), examples=[["203.0.113.0/24"]])
    """Networks that may reach it. Without it exactly the cluster's nodes, as of the last `pulumi up`."""


class ClusterStorage(Section):
    """The bucket for image layers, in Linode Object Storage."""

    region: Name | None = Field(default=None, min_length=1, examples=["sg-sin-2"])
    """Where it is; the cluster's region without it."""
    redirect: bool = Field(default=True, examples=[False])
    """Sends clients to the bucket for layers, so that these do not pass through the cluster. Clients must reach
    `*.linodeobjects.com`."""


class Chart(Section):
    """A release of Harbor's chart that is not in the product's own table."""

    version: Version = Field(examples=["1.19.1"])
    """Version of the chart, whose Harbor is `version`."""
    sha256: Sha256 = Field(examples=[EXAMPLE_SHA256])
    """SHA-256 of the chart's archive."""


class ExistingCluster(Section):
    """A Kubernetes cluster that exists already."""

    kubeconfig: SecretStr = Field(examples=["{secure: v1:…}"])
    """Its kubeconfig; set it with `pulumi config set --path --secret cluster.existing.kubeconfig < kubeconfig.yaml`."""
    ingress_class: Name | None = Field(None, min_length=1, examples=["traefik"])
    """Ingress class that serves Harbor. Without it, which needs Linode Kubernetes Engine, Traefik is installed behind a
    NodeBalancer."""
    cluster_issuer: Name | None = Field(None, min_length=1, examples=["letsencrypt"])
    """cert-manager's ClusterIssuer for `tls: letsencrypt`; without it cert-manager is installed."""


class Cluster(Section):
    """Harbor on Linode Kubernetes Engine."""

    region: Name = Field(min_length=1, examples=["sg-sin-2"])
    """Linode region of the cluster, its database and its bucket."""
    hostname: Hostname = Field(examples=["harbor.example.com"])
    """The name clients use for Harbor, without scheme and port."""
    dns_zone: Hostname | None = Field(None, examples=["example.com"])
    """Zone managed by Linode in which the records of `hostname` are made; without it DNS is yours."""
    https_port: int = Field(HTTPS_PORT, ge=1, le=65535, examples=[443])
    """Port on which clients reach Harbor."""
    tls: Literal["letsencrypt", "provided"] = Field("letsencrypt", examples=["letsencrypt"])
    """`letsencrypt` (by cert-manager) or `provided` (certificate and key from secrets)."""
    certificate: str | None = Field(None, examples=["-----BEGIN CERTIFICATE-----…"])
    """PEM chain for `tls: provided`."""
    certificate_key: SecretStr | None = Field(None, examples=["{secure: v1:…}"])
    """PEM key for `tls: provided`; set it with `pulumi config set --path --secret cluster.certificateKey`."""
    acme_email: Email | None = Field(None, examples=["ops@example.com"])
    """Where Let's Encrypt writes to when a certificate is about to expire."""
    version: Version = Field("2.15.1", examples=["2.15.1"])
    """Harbor version."""
    restored_from: Version | None = Field(None, examples=["2.16.0"])
    """The version that `version` goes back from once its database is restored; otherwise older ones are rejected."""
    chart: Chart | None = Field(None, examples=[{"version": "1.19.1", "sha256": EXAMPLE_SHA256}])
    """Harbor's chart for a `version` that the product does not know."""
    charts: HttpUrl | None = Field(None, examples=["https://charts.example.com"])
    """A chart repository with copies of every chart that is installed, for networks without access to the originals."""
    kubernetes_version: Annotated[str, AfterValidator(_kubernetes_version)] = Field("1.34", examples=["1.34"])
    """Kubernetes version."""
    high_availability: bool = Field(True, examples=[True])
    """Runs the control plane on several machines; Linode cannot turn it off again."""
    admin_cidrs: tuple[Cidr, ...] = Field((), examples=[["203.0.113.0/24"]])
    """Networks that may reach the Kubernetes API: those of everybody and every pipeline that runs `pulumi`."""
    web_cidrs: tuple[Cidr, ...] = Field(("0.0.0.0/0", "::/0"), examples=[["10.0.0.0/8"]])
    """Networks that may reach Harbor."""
    pool: Pool = Field(default_factory=Pool, examples=[{"type": "g6-standard-4", "count": 3}])
    """The machines that Harbor runs on."""
    replicas: Replicas = Field(default_factory=Replicas, examples=[{"core": 3, "registry": 3}])
    """How many pods of each part run."""
    managed_database: ManagedDatabase = Field(default_factory=ManagedDatabase, examples=[{"nodes": 3}])
    """Linode's managed PostgreSQL."""
    database: Database | None = Field(None, examples=[{"host": "pg.example.com"}])
    """A PostgreSQL elsewhere instead of Linode's managed one."""
    redis: Redis | None = Field(None, examples=[{"host": "redis.example.com"}])
    """A Redis elsewhere instead of one with three nodes in the cluster."""
    object_storage: ClusterStorage = Field(default_factory=ClusterStorage, examples=[{"redirect": False}])
    """The bucket for image layers."""
    service: Service = Field(default_factory=Service, examples=[{"workers": 8, "metrics": True}])
    """How Harbor runs."""
    encryption_key: SecretStr | None = Field(None, examples=["{secure: v1:…}"])
    """Key of a Harbor whose database was moved here, from `/data/secret/keys/secretkey` of its host; generated without
    it. Set it with `pulumi config set --path --secret cluster.encryptionKey`."""
    existing: ExistingCluster | None = Field(None, examples=[{"ingressClass": "traefik"}])
    """A Kubernetes cluster that exists already, instead of a new one."""
    protect: bool = Field(False, examples=[True])
    """Keeps database, buckets, address and cluster from being deleted or replaced."""
    tags: tuple[str, ...] = Field((), examples=[["team-platform"]])
    """Linode tags of the cluster, its nodes, its address and its firewall."""

    @property
    def url(self) -> str:
        """Base URL of the Harbor that runs here."""
        port = "" if self.https_port == HTTPS_PORT else f":{self.https_port}"
        return f"https://{self.hostname}{port}"

    @property
    def bucket_region(self) -> str:
        """Where the buckets are."""
        return self.object_storage.region or self.region

    @property
    def owns_edge(self) -> bool:
        """Whether the stack makes the NodeBalancer and the ingress controller behind it."""
        return self.existing is None or self.existing.ingress_class is None

    @property
    def authorities(self) -> str:
        """Certificates of authorities of the external database and Redis, in PEM."""
        return service_authorities(self.database, self.redis)

    @property
    def secrets(self) -> dict[str, SecretStr]:
        """The secrets that are set, by their path below `cluster`."""
        found = {
            "certificateKey": self.certificate_key,
            "encryptionKey": self.encryption_key,
            "database.password": self.database.password if self.database else None,
            "redis.password": self.redis.password if self.redis else None,
            "existing.kubeconfig": self.existing.kubeconfig if self.existing else None,
        }
        return {path: secret for path, secret in found.items() if secret is not None}

    def faults(self) -> Iterator[Fault]:
        """Yield what does not go together, with paths below `cluster`."""
        existing, pool, managed = self.existing, self.pool, self.managed_database
        yield from authority_faults(self.database, self.redis)
        if self.encryption_key is not None and len(self.encryption_key.get_secret_value()) != ENCRYPTION_KEY_LENGTH:
            reason = f"is not {ENCRYPTION_KEY_LENGTH} characters long, as Harbor's keys are"
            yield Fault("encryptionKey", HIDDEN, reason, "pulumi config set --path --secret cluster.encryptionKey")
        if existing is None and not self.admin_cidrs:
            reason = "is missing; the Kubernetes API admits nobody without it, and `pulumi` needs it"
            yield Fault("adminCidrs", None, reason, "adminCidrs: [203.0.113.0/24]")
        if self.tls == "letsencrypt" and self.https_port != HTTPS_PORT:
            reason = "does not go with tls: letsencrypt, which calls back on the usual ports"
            yield Fault("httpsPort", self.https_port, reason, f"{HTTPS_PORT}, or tls: provided")
        if pool.autoscaler is not None and not pool.autoscaler.min <= pool.count <= pool.autoscaler.max:
            reason = f"is not between the autoscaler's {pool.autoscaler.min} and {pool.autoscaler.max}"
            yield Fault("pool.count", pool.count, reason, str(pool.autoscaler.min))
        if pool.autoscaler is not None and self.database is None and not managed.allow_cidrs:
            reason = (
                "is missing with pool.autoscaler: the database would refuse a node that is added between two updates"
            )
            yield Fault("managedDatabase.allowCidrs", None, reason, 'allowCidrs: ["0.0.0.0/0"]')
        if existing is None:
            return
        if self.database is None and not managed.allow_cidrs:
            reason = "is missing with existing: the addresses of its nodes are not known here"
            yield Fault("managedDatabase.allowCidrs", None, reason, 'allowCidrs: ["203.0.113.0/24"]')
        for key in ("pool", "admin_cidrs"):
            if key in self.model_fields_set:
                name = type(self).model_fields[key].alias or key
                yield Fault(name, None, "has no use with existing: that cluster has its own", "")
        if existing.ingress_class is not None and self.dns_zone is not None:
            reason = "has no use with existing.ingressClass, whose address is not known here"
            yield Fault("dnsZone", self.dns_zone, reason, "")
        if existing.cluster_issuer is not None and self.tls != "letsencrypt":
            reason = f"has no use with tls: {self.tls}"
            yield Fault("existing.clusterIssuer", existing.cluster_issuer, reason, "tls: letsencrypt")
