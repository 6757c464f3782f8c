"""Linode Kubernetes Engine: clusters, node pools and their nodes. The kubeconfig is that of an API server elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode import addresses, labels
from localcloud.linode.errors import Problems, not_found
from localcloud.linode.events import Entity
from localcloud.linode.machine import Instance
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

# techdocs.akamai.com/linode-api/reference/post-lke-cluster
LABEL_LENGTHS = range(1, 33)
NODES = range(1, 101)
VERSIONS = ("1.33", "1.34")


@dataclass
class Pool:
    """Machines of one plan."""

    id: int
    type: str
    tags: list[str]
    autoscaler: Json
    nodes: list[int] = field(default_factory=list)

    def json(self) -> Json:
        return {
            "id": self.id,
            "type": self.type,
            "count": len(self.nodes),
            "label": "",
            "tags": self.tags,
            "labels": {},
            "taints": [],
            "disks": [],
            "disk_encryption": "enabled",
            "autoscaler": self.autoscaler,
            "nodes": [{"id": f"{self.id}-{node:x}", "instance_id": node, "status": "ready"} for node in self.nodes],
        }


@dataclass
class Cluster:
    """A cluster; `acl` as the API takes it."""

    id: int
    label: str
    region: str
    version: str
    tags: list[str]
    high_availability: bool
    acl: Json
    created: str
    pools: dict[int, Pool] = field(default_factory=dict)

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "lkecluster", self.label, f"/v4/lke/clusters/{self.id}")

    def json(self) -> Json:
        return {
            "id": self.id,
            "label": self.label,
            "region": self.region,
            "k8s_version": self.version,
            "status": "ready",
            "tags": self.tags,
            "tier": "standard",
            "apl_enabled": False,
            "control_plane": {"high_availability": self.high_availability, "audit_logs_enabled": False},
            "created": self.created,
            "updated": self.created,
            "vpc_id": None,
            "subnet_id": None,
            "stack_type": "ipv4",
        }


def _cluster(call: Call) -> Cluster:
    if call.id not in call.cloud.clusters:
        raise not_found()
    return call.cloud.clusters[call.id]


def _pool(call: Call) -> Pool:
    pool = _cluster(call).pools.get(int(call.params["pool"]))
    if pool is None:
        raise not_found()
    return pool


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    problems = Problems()
    taken = {cluster.label for cluster in cloud.clusters.values()}
    labels.check(problems, body.get("label"), LABEL_LENGTHS, taken, "Kubernetes clusters")
    problems.unless(body.get("region") in cloud.regions, "region is not valid", "region")
    problems.unless(body.get("k8s_version") in VERSIONS, "k8s_version is not valid", "k8s_version")
    pools = body.get("node_pools") or []
    problems.unless(pools, "node_pools is required", "node_pools")
    for number, pool in enumerate(pools):
        _check_pool(problems, cloud, pool, f"node_pools[{number}]")
    problems.check()
    plane = body.get("control_plane") or {}
    acl = plane.get("acl") or {"enabled": False, "addresses": {}}
    cluster = Cluster(
        cloud.next_id(),
        body["label"],
        body["region"],
        body["k8s_version"],
        list(body.get("tags") or []),
        bool(plane.get("high_availability")),
        acl,
        now(),
    )
    cloud.clusters[cluster.id] = cluster
    for pool in pools:
        _add_pool(cloud, cluster, pool)
    cloud.event("lke_cluster_create", cluster.entity, done=True)
    return cluster.json()


def _check_pool(problems: Problems, cloud: Cloud, pool: Json, at: str) -> None:
    problems.unless(pool.get("type") in cloud.types, "A valid plan type by that ID was not found", f"{at}.type")
    problems.unless(pool.get("count") in NODES, f"Must be {NODES.start}-{NODES.stop - 1}", f"{at}.count")


def _add_pool(cloud: Cloud, cluster: Cluster, body: Json) -> Pool:
    scaler = body.get("autoscaler") or {"enabled": False, "min": body["count"], "max": body["count"]}
    pool = Pool(cloud.next_id(), body["type"], list(body.get("tags") or []), scaler)
    cluster.pools[pool.id] = pool
    scale(cloud, cluster, pool, body["count"])
    return pool


def scale(cloud: Cloud, cluster: Cluster, pool: Pool, count: int) -> None:
    """Give a pool `count` nodes; the newest go first."""
    while len(pool.nodes) > count:
        _remove_node(cloud, pool.nodes.pop())
    while len(pool.nodes) < count:
        id = cloud.next_id()
        label, created = f"lke{cluster.id}-{pool.id}-{id:x}", now()
        node = Instance(cloud, id, label, cluster.region, pool.type, None, created, created, status="running")
        cloud.instances[id] = node
        addresses.allocate(cloud, cluster.region, linode_id=id)
        pool.nodes.append(id)


def _remove_node(cloud: Cloud, id: int) -> None:
    addresses.release(cloud, id)
    del cloud.instances[id]


def _update(call: Call) -> Json:
    cluster, body = _cluster(call), call.body
    problems = Problems()
    version = body.get("k8s_version", cluster.version)
    problems.unless(version in (cluster.version, *VERSIONS), "k8s_version is not valid", "k8s_version")
    plane = body.get("control_plane") or {}
    lowered = cluster.high_availability and plane.get("high_availability") is False
    problems.unless(not lowered, "High availability cannot be disabled", "control_plane.high_availability")
    problems.check()
    cluster.label, cluster.version = body.get("label", cluster.label), version
    cluster.tags = list(body.get("tags", cluster.tags))
    cluster.high_availability = bool(plane.get("high_availability", cluster.high_availability))
    cluster.acl = plane.get("acl") or cluster.acl
    return cluster.json()


def _delete(call: Call) -> Json:
    cluster = _cluster(call)
    for pool in cluster.pools.values():
        scale(call.cloud, cluster, pool, 0)
    del call.cloud.clusters[cluster.id]
    call.cloud.event("lke_cluster_delete", cluster.entity, done=True)
    return {}


def _create_pool(call: Call) -> Json:
    problems = Problems()
    _check_pool(problems, call.cloud, call.body, "pool")
    problems.check()
    return _add_pool(call.cloud, _cluster(call), call.body).json()


def _update_pool(call: Call) -> Json:
    cluster, pool, body = _cluster(call), _pool(call), call.body
    pool.tags = list(body.get("tags", pool.tags))
    pool.autoscaler = body.get("autoscaler", pool.autoscaler)
    if body.get("count"):
        scale(call.cloud, cluster, pool, body["count"])
    return pool.json()


def _delete_pool(call: Call) -> Json:
    cluster, pool = _cluster(call), _pool(call)
    scale(call.cloud, cluster, pool, 0)
    del cluster.pools[pool.id]
    return {}


def _list_pools(call: Call) -> Json:
    return call.page([pool.json() for pool in _cluster(call).pools.values()])


def _kubeconfig(call: Call) -> Json:
    _cluster(call)
    return {"kubeconfig": base64.b64encode(call.cloud.kubeconfig.encode()).decode()}


def _endpoints(call: Call) -> Json:
    return call.page([{"endpoint": f"https://{_cluster(call).id}.{_cluster(call).region}-1.linodelke.net:443"}])


def _dashboard(call: Call) -> Json:
    return {"url": f"https://{_cluster(call).id}.dashboard.linodelke.net"}


def _acl(call: Call) -> Json:
    return {"acl": _cluster(call).acl}


def _set_acl(call: Call) -> Json:
    cluster = _cluster(call)
    cluster.acl = call.body.get("acl") or cluster.acl
    return {"acl": cluster.acl}


def _versions(call: Call) -> Json:
    versions: list[dict[str, Any]] = [{"id": version} for version in VERSIONS]
    return call.page(versions)


_ONE = "/lke/clusters/{id:int}"
OPERATIONS = [
    Operation("GET", "/lke/versions", _versions, public=True),
    Operation(
        "GET", "/lke/clusters", lambda call: call.page([cluster.json() for cluster in call.cloud.clusters.values()])
    ),
    Operation("POST", "/lke/clusters", _create),
    Operation("GET", _ONE, lambda call: _cluster(call).json()),
    Operation("PUT", _ONE, _update),
    Operation("DELETE", _ONE, _delete),
    Operation("GET", f"{_ONE}/pools", _list_pools),
    Operation("POST", f"{_ONE}/pools", _create_pool),
    Operation("GET", f"{_ONE}/pools/{{pool:int}}", lambda call: _pool(call).json()),
    Operation("PUT", f"{_ONE}/pools/{{pool:int}}", _update_pool),
    Operation("DELETE", f"{_ONE}/pools/{{pool:int}}", _delete_pool),
    Operation("GET", f"{_ONE}/kubeconfig", _kubeconfig),
    Operation("GET", f"{_ONE}/api-endpoints", _endpoints),
    Operation("GET", f"{_ONE}/dashboard", _dashboard),
    Operation("GET", f"{_ONE}/control_plane_acl", _acl),
    Operation("PUT", f"{_ONE}/control_plane_acl", _set_acl),
]
