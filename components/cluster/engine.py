"""Linode Kubernetes Engine: the control plane, who may reach it, and the nodes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_linode as linode

from harbor_mirror.config.cluster import Cluster

from ..hooks.cluster import explain_creation


class KubernetesEngine(pulumi.ComponentResource):
    """Creates the cluster. `kubeconfig` is secret; `node_cidrs` are the nodes' addresses at the time of this update."""

    lke: linode.LkeCluster
    kubeconfig: pulumi.Output[str]
    node_cidrs: pulumi.Output[list[str]]

    def __init__(self, name: str, label: str, cluster: Cluster, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:cluster:KubernetesEngine", name, {}, opts)
        pool = cluster.pool
        autoscaler = None
        if pool.autoscaler is not None:
            autoscaler = linode.LkeClusterPoolAutoscalerArgs(min=pool.autoscaler.min, max=pool.autoscaler.max)
        self.lke = linode.LkeCluster(
            name,
            label=label,
            region=cluster.region,
            k8s_version=cluster.kubernetes_version,
            tags=list(cluster.tags),
            control_plane=linode.LkeClusterControlPlaneArgs(
                high_availability=cluster.high_availability,
                acl=linode.LkeClusterControlPlaneAclArgs(
                    enabled=True,
                    addresses=[_by_family(cluster.admin_cidrs, linode.LkeClusterControlPlaneAclAddressArgs)],
                ),
            ),
            pools=[
                linode.LkeClusterPoolArgs(
                    type=pool.type,
                    count=pool.count,
                    tags=list(cluster.tags) or None,
                    autoscaler=autoscaler,
                )
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=cluster.protect,
                retain_on_delete=cluster.protect,
                # The autoscaler changes it.
                ignore_changes=["pools[0].count"] if pool.autoscaler else [],
                hooks=explain_creation(name, "Kubernetes cluster", label, self),
            ),
        )
        self.kubeconfig = pulumi.Output.secret(self.lke.kubeconfig.apply(_decode))
        self.node_cidrs = self._node_cidrs()
        self.register_outputs({"id": self.lke.id})

    def _node_cidrs(self) -> pulumi.Output[list[str]]:
        def addresses(pools: Sequence[linode.outputs.LkeClusterPool] | None) -> pulumi.Output[list[str]]:
            ids = [str(node.instance_id) for pool in pools or () for node in pool.nodes or ()]
            by_id = linode.GetInstancesFilterArgs(name="id", values=ids)
            found = linode.get_instances_output(filters=[by_id], opts=pulumi.InvokeOutputOptions(parent=self))
            return found.instances.apply(
                lambda instances: sorted(f"{instance.ip_address}/32" for instance in instances or [])
            )

        return self.lke.pools.apply(addresses)


def _decode(kubeconfig: str) -> str:
    return base64.b64decode(kubeconfig).decode()


def _by_family(networks: Sequence[str], make: Any) -> Any:
    # None instead of []: the provider rejects empty lists.
    return make(
        ipv4s=[network for network in networks if ":" not in network] or None,
        ipv6s=[network for network in networks if ":" in network] or None,
    )
