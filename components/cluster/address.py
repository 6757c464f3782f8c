"""The address of a cluster: a NodeBalancer that outlives the cluster, its firewall, and its DNS records."""

from __future__ import annotations

import pulumi
import pulumi_linode as linode

from harbor_mirror.config.cluster import Cluster

from ..hooks.cluster import explain_creation

#: The port that answers ACME's challenge and redirects to HTTPS.
HTTP_PORT = 80
#: Seconds; short, so that clients use a changed address soon.
DNS_TTL = 300


class ClusterAddress(pulumi.ComponentResource):
    """Creates a NodeBalancer, which the cluster's cloud controller configures instead of creating another one."""

    ip: pulumi.Output[str]
    nodebalancer_id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        label: str,
        cluster: Cluster,
        zone_id: int | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("harbor-mirror:cluster:ClusterAddress", name, {}, opts)
        children = pulumi.ResourceOptions(parent=self)
        firewall = linode.Firewall(
            f"{name}-firewall",
            label=label,
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            inbounds=[
                linode.FirewallInboundArgs(
                    label="web",
                    action="ACCEPT",
                    protocol="TCP",
                    ports=f"{HTTP_PORT},{cluster.https_port}",
                    # None instead of []: the provider rejects empty lists.
                    ipv4s=[network for network in cluster.web_cidrs if ":" not in network] or None,
                    ipv6s=[network for network in cluster.web_cidrs if ":" in network] or None,
                )
            ],
            tags=list(cluster.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Linode attaches it to the balancer, which is read back as one of its devices.
                ignore_changes=["nodebalancers"],
                hooks=explain_creation(f"{name}-firewall", "firewall", label, self),
            ),
        )
        balancer = linode.NodeBalancer(
            f"{name}-balancer",
            label=label,
            region=cluster.region,
            firewall_id=firewall.id.apply(int),
            tags=list(cluster.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=cluster.protect,
                retain_on_delete=cluster.protect,
                # The cloud controller adds the cluster's own.
                ignore_changes=["tags"],
                hooks=explain_creation(f"{name}-balancer", "NodeBalancer", label, self),
            ),
        )
        if zone_id is not None:
            for kind, target in (("A", balancer.ipv4), ("AAAA", balancer.ipv6)):
                linode.DomainRecord(
                    f"{name}-{kind.lower()}",
                    domain_id=zone_id,
                    record_type=kind,
                    name=cluster.hostname.removesuffix(f".{cluster.dns_zone}"),
                    target=target,
                    ttl_sec=DNS_TTL,
                    opts=children,
                )
        self.ip = balancer.ipv4
        self.nodebalancer_id = balancer.id
        self.register_outputs({"ip": self.ip})
