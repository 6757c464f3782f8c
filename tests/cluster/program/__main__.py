"""A cluster's parts at Linode, without what runs in it: needs no Kubernetes."""

from __future__ import annotations

import pulumi

from components.cluster.address import ClusterAddress
from components.cluster.database import ClusterDatabase
from components.cluster.engine import KubernetesEngine
from harbor_mirror.config.cluster import Cluster

cluster = Cluster.read(pulumi.Config("harbor-mirror").require_object("cluster"))
label = f"part-{pulumi.get_stack()}"
engine = KubernetesEngine("engine", label, cluster)
address = ClusterAddress("address", label, cluster, zone_id=None)
database = ClusterDatabase("database", f"{label}-db", cluster, engine.node_cidrs)
pulumi.export("kubeconfig", engine.kubeconfig)
pulumi.export("ip", address.ip)
pulumi.export("nodes", engine.node_cidrs)
pulumi.export("database", database.address.apply(lambda found: found.host))
