"""NodeBalancers: each has its own address and a firewall. The cluster behind them decides what they balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.linode import addresses, labels
from localcloud.linode.errors import Problems, not_found
from localcloud.linode.events import Entity
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

# techdocs.akamai.com/linode-api/reference/post-node-balancer
LABEL_LENGTHS = range(3, 33)


@dataclass
class NodeBalancer:
    """A balancer."""

    id: int
    label: str
    region: str
    address: str
    firewall_id: int | None
    tags: list[str]
    created: str
    throttle: int = 0

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "nodebalancer", self.label, f"/v4/nodebalancers/{self.id}")

    def json(self) -> Json:
        return {
            "id": self.id,
            "label": self.label,
            "region": self.region,
            "type": "common",
            "hostname": f"{self.address.replace('.', '-')}.ip.linodeusercontent.com",
            "ipv4": self.address,
            "ipv6": f"2001:db8:1::{self.id & 0xFFFF:x}",
            "client_conn_throttle": self.throttle,
            "client_udp_sess_throttle": 0,
            "tags": self.tags,
            "transfer": {"in": 0.0, "out": 0.0, "total": 0.0},
            "created": self.created,
            "updated": self.created,
        }


def _balancer(call: Call) -> NodeBalancer:
    if call.id not in call.cloud.nodebalancers:
        raise not_found()
    return call.cloud.nodebalancers[call.id]


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    problems = Problems()
    taken = {balancer.label for balancer in cloud.nodebalancers.values()}
    labels.check(problems, body.get("label"), LABEL_LENGTHS, taken, "NodeBalancers")
    problems.unless(body.get("region") in cloud.regions, "region is not valid", "region")
    firewall = body.get("firewall_id")
    problems.unless(firewall is None or firewall in cloud.firewalls, "firewall_id is not valid", "firewall_id")
    problems.check()
    address = addresses.allocate(cloud, body["region"]).address
    balancer = NodeBalancer(
        cloud.next_id(), body["label"], body["region"], address, firewall, list(body.get("tags") or []), now()
    )
    cloud.nodebalancers[balancer.id] = balancer
    cloud.event("nodebalancer_create", balancer.entity, done=True)
    return balancer.json()


def _update(call: Call) -> Json:
    balancer, body = _balancer(call), call.body
    balancer.label = body.get("label", balancer.label)
    balancer.throttle = body.get("client_conn_throttle", balancer.throttle)
    balancer.tags = list(body.get("tags", balancer.tags))
    return balancer.json()


def _delete(call: Call) -> Json:
    balancer = _balancer(call)
    del call.cloud.nodebalancers[balancer.id]
    del call.cloud.addresses[balancer.address]
    call.cloud.event("nodebalancer_delete", balancer.entity, done=True)
    return {}


def _firewalls(call: Call) -> Json:
    cloud: Cloud = call.cloud
    found = cloud.firewalls.get(_balancer(call).firewall_id or 0)
    return call.page([found.json(cloud)] if found else [])


def _no_vpcs(call: Call) -> Json:
    _balancer(call)
    return call.page([])


OPERATIONS = [
    Operation(
        "GET",
        "/nodebalancers",
        lambda call: call.page([balancer.json() for balancer in call.cloud.nodebalancers.values()]),
    ),
    Operation("POST", "/nodebalancers", _create),
    Operation("GET", "/nodebalancers/{id:int}", lambda call: _balancer(call).json()),
    Operation("PUT", "/nodebalancers/{id:int}", _update),
    Operation("DELETE", "/nodebalancers/{id:int}", _delete),
    Operation("GET", "/nodebalancers/{id:int}/firewalls", _firewalls),
    Operation("GET", "/nodebalancers/{id:int}/vpcs", _no_vpcs),
]
