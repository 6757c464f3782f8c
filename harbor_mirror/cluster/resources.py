"""What a cluster is made of in Linode, for `explain`: what is billed, and what outlives the stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harbor_mirror.config.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class BilledResource:
    """`outlives`: it stays, with its price, when the stack is destroyed."""

    what: str
    size: str
    outlives: bool


def billed(cluster: Cluster) -> Iterator[BilledResource]:
    """Yield everything that Linode bills for a cluster."""
    if cluster.existing is None:
        control_plane = "highly available" if cluster.high_availability else "on one machine"
        yield BilledResource(what="Kubernetes control plane", size=control_plane, outlives=cluster.protect)
        yield BilledResource(what="Cluster nodes", size=_nodes(cluster), outlives=cluster.protect)
    if cluster.owns_edge:
        yield BilledResource(what="NodeBalancer", size="1, with its address and firewall", outlives=cluster.protect)
    if cluster.database is None:
        managed = cluster.managed_database
        nodes = "1 node" if managed.nodes == 1 else f"{managed.nodes} nodes"
        size = f"{nodes} of {managed.type}, PostgreSQL {managed.version}, with daily backups"
        yield BilledResource(what="Managed database", size=size, outlives=cluster.protect)
    yield BilledResource(what="Object storage", size="2 buckets (layers, database dumps)", outlives=cluster.protect)


def _nodes(cluster: Cluster) -> str:
    pool = cluster.pool
    if pool.autoscaler is None:
        return f"{pool.count} of {pool.type}"
    return f"{pool.autoscaler.min} to {pool.autoscaler.max} of {pool.type}"
