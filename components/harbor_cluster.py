"""The cluster: Harbor on Linode Kubernetes Engine, with a managed database, buckets, an address and DNS records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

from harbor_mirror.cluster.backends import external_database, redis_address
from harbor_mirror.config.cluster import Cluster
from harbor_mirror.plan.charts import harbor_chart

from .arguments import encrypt
from .cluster.address import ClusterAddress
from .cluster.checks import look_up
from .cluster.database import ClusterDatabase
from .cluster.engine import KubernetesEngine
from .cluster.secrets import GeneratedSecrets
from .own_bucket import OwnBucket, OwnBucketArgs

try:
    from .cluster.release import HarborRelease, HarborReleaseArgs, provider
except ModuleNotFoundError as error:
    if error.name != "pulumi_kubernetes":
        raise
    text = "a stack with `cluster` needs pulumi-kubernetes: pip install -r requirements-cluster.txt"
    raise pulumi.RunError(text) from None

#: Firewalls, clusters and NodeBalancers have labels of at most 32 characters.
LABEL_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class HarborClusterArgs:
    """Arguments of HarborCluster.

    `label`: name of all resources in Linode (3 to 32 characters, unique in the account). `admin_password`: the
    administrator's password after a rotation; without it the generated one applies. `secrets`: the configuration's
    secrets, by path below `cluster`.
    """

    label: str
    cluster: Cluster
    admin_password: pulumi.Output[str] | None = None
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)

    @classmethod
    def from_configuration(
        cls, cluster: Cluster, stack: str, admin_password: pulumi.Output[str] | None
    ) -> HarborClusterArgs:
        """Return the arguments for the configuration's `cluster` in a stack."""
        label = re.sub(r"[^a-z0-9]+", "-", f"harbor-{stack.lower()}")[:LABEL_LENGTH].rstrip("-")
        return cls(label=label, cluster=cluster, admin_password=admin_password, secrets=encrypt(cluster.secrets))


class HarborCluster(pulumi.ComponentResource):
    """Creates a Kubernetes cluster with Harbor. Database, buckets and address survive a replacement of the cluster."""

    ip: pulumi.Output[str] | None
    id: pulumi.Output[str] | None
    database_id: pulumi.Output[str] | None
    admin_password: pulumi.Output[str]

    def __init__(self, name: str, args: HarborClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:cluster:HarborCluster", name, {}, opts)
        cluster, children = args.cluster, pulumi.ResourceOptions(parent=self)
        chart = harbor_chart(cluster)
        if chart is None:
            raise ValueError(f"no chart is known for Harbor {cluster.version}; the configuration's checks reject it")
        zone_id = look_up(cluster, pulumi.InvokeOptions(parent=self))
        engine = None if cluster.existing else KubernetesEngine(f"{name}-engine", args.label, cluster, children)
        address = (
            ClusterAddress(f"{name}-address", args.label, cluster, zone_id, children) if cluster.owns_edge else None
        )
        managed = None
        if cluster.database is None:
            nodes: pulumi.Input[list[str]] = engine.node_cidrs if engine else []
            managed = ClusterDatabase(f"{name}-database", f"{args.label}-db"[:LABEL_LENGTH], cluster, nodes, children)
        blobs, backups = (
            self._bucket(f"{name}-{kind}", f"{args.label}-{kind}", cluster) for kind in ("blobs", "backups")
        )
        generated = GeneratedSecrets(f"{name}-secrets", protect=cluster.protect, opts=children)
        secrets = {**generated.values, **_read_secrets(args)}
        if managed is not None:
            secrets["database"] = managed.password
        kubeconfig = engine.kubeconfig if engine else args.secrets["existing.kubeconfig"]
        inside = provider(
            f"{name}-kubernetes",
            kubeconfig,
            engine.lke.id if engine else args.label,
            own=engine is not None,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=engine.lke if engine else None),
        )
        HarborRelease(
            f"{name}-release",
            HarborReleaseArgs(
                cluster=cluster,
                chart=chart,
                database=managed.address if managed else pulumi.Output.from_input(external_database(cluster)),
                authorities=_authorities(cluster, managed),
                blobs=blobs.access,
                backups=backups.access,
                redis=redis_address(cluster),
                secrets=secrets,
                certificate_key=args.secrets.get("certificateKey"),
                nodebalancer_id=address.nodebalancer_id if address else None,
                lives_in=engine.lke if engine else None,
            ),
            pulumi.ResourceOptions(parent=self, providers={"kubernetes": inside}),
        )
        self.ip = address.ip if address else None
        self.id = engine.lke.id if engine else None
        self.database_id = managed.id if managed else None
        self.admin_password = generated.values["admin"] if args.admin_password is None else args.admin_password
        self.register_outputs({"ip": self.ip, "id": self.id, "databaseId": self.database_id})

    def stack_output(self) -> dict[str, Any]:
        """Return the output `cluster` of a stack."""
        return {"cluster": {"ip": self.ip, "id": self.id, "databaseId": self.database_id}}

    def _bucket(self, name: str, label: str, cluster: Cluster) -> OwnBucket:
        return OwnBucket(
            name,
            OwnBucketArgs(label=label, region=cluster.bucket_region, permissions="read_write", protect=cluster.protect),
            pulumi.ResourceOptions(parent=self),
        )


def _read_secrets(args: HarborClusterArgs) -> dict[str, pulumi.Output[str]]:
    """Return the configuration's secrets, by use."""
    uses = {"database": "database.password", "redis": "redis.password", "encryption": "encryptionKey"}
    return {use: args.secrets[path] for use, path in uses.items() if path in args.secrets}


def _authorities(cluster: Cluster, managed: ClusterDatabase | None) -> pulumi.Output[str] | None:
    """Return the certificates of authorities that Harbor must trust besides the public ones, or None."""
    configured = cluster.authorities
    if managed is not None:
        return managed.authority.apply(lambda pem: f"{pem.rstrip()}\n{configured}") if configured else managed.authority
    return pulumi.Output.from_input(configured) if configured else None
