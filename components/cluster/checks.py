"""Checks of the Linode account that a cluster needs, made at every preview before any resource is registered."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
import pulumi_linode as linode

from harbor_mirror.config.cluster import Cluster
from harbor_mirror.config.faults import ConfigurationError, Fault

from ..host_checks import ask_linode

#: A node must fit the largest pod and for Kubernetes' own pods.
MINIMUM_CPUS, MINIMUM_MEMORY_MB = 2, 4096


def look_up(cluster: Cluster, opts: pulumi.InvokeOptions) -> int | None:
    """Return the ID of the DNS zone, or None if there is no zone.

    Raise pulumi.RunError with a line for each value that Linode does not offer, and also if Linode does not answer.
    """
    faults = [*_region(cluster, opts), *_bucket_region(cluster, opts)]
    if cluster.existing is None:
        faults += _type(cluster, opts)
        _warn_of_version(cluster, opts)
    zone_id = None
    if cluster.dns_zone is not None:
        zone = ask_linode(lambda: linode.get_domain(domain=cluster.dns_zone, opts=opts))
        if zone is None:
            faults.append(Fault("cluster.dnsZone", cluster.dns_zone, "is not a zone of this Linode account", ""))
        else:
            zone_id = zone.id
    if faults:
        raise pulumi.RunError(str(ConfigurationError(faults)))
    return zone_id


def _region(cluster: Cluster, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    needed = {
        "Kubernetes": cluster.existing is None,
        "NodeBalancers": cluster.owns_edge,
        "Managed Databases": cluster.database is None,
    }
    region = ask_linode(lambda: linode.get_region(id=cluster.region, opts=opts))
    if region is None:
        yield Fault("cluster.region", cluster.region, "is not a Linode region", "sg-sin-2")
        return
    for capability in (capability for capability, is_needed in needed.items() if is_needed):
        if capability not in region.capabilities:
            yield Fault("cluster.region", cluster.region, f"lacks {capability}; take another region", "")


def _bucket_region(cluster: Cluster, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    name = cluster.bucket_region
    region = ask_linode(lambda: linode.get_region(id=name, opts=opts))
    if region is None or "Object Storage" not in region.capabilities:
        yield Fault("cluster.objectStorage.region", name, "has no Object Storage; take another region", "us-ord")


def _type(cluster: Cluster, opts: pulumi.InvokeOptions) -> Iterator[Fault]:
    name = cluster.pool.type
    plan = ask_linode(lambda: linode.get_instance_type(id=name, opts=opts))
    if plan is None:
        yield Fault("cluster.pool.type", name, "is not a Linode plan", "g6-standard-4")
    elif plan.vcpus < MINIMUM_CPUS or plan.memory < MINIMUM_MEMORY_MB:
        reason = f"has {plan.vcpus} CPU and {plan.memory} MB, and a node needs {MINIMUM_CPUS} and {MINIMUM_MEMORY_MB}"
        yield Fault("cluster.pool.type", name, reason, "g6-standard-4")


def _warn_of_version(cluster: Cluster, opts: pulumi.InvokeOptions) -> None:
    """Warn only, because Linode stops offering versions that existing clusters still run."""
    wanted = cluster.kubernetes_version
    offered = ask_linode(lambda: linode.get_lke_versions(opts=opts))
    versions = [version.id for version in (offered and offered.versions) or ()]
    if pulumi.runtime.is_dry_run() and versions and wanted not in versions:
        pulumi.log.warn(
            f"cluster.kubernetesVersion: Linode offers {', '.join(versions)} for new clusters, not {wanted}"
        )
