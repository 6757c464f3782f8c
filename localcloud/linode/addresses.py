"""IPv4 addresses: ephemeral ones, deleted with their instance, and reserved ones; reverse DNS."""

from __future__ import annotations

import ipaddress
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode.errors import invalid, not_found
from localcloud.linode.routing import Call, Json, Operation

if TYPE_CHECKING:
    from localcloud.linode.machine import Instance
    from localcloud.linode.state import Cloud

# Documentation networks (RFC 5737), which lead nowhere.
_POOL = [str(host) for net in ("198.51.100.0/24", "203.0.113.0/24") for host in ipaddress.ip_network(net).hosts()]
_HOSTNAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.I)


@dataclass
class Address:
    """One public IPv4 address of the account; `linode_id` None: reserved and not in use."""

    address: str
    region: str
    linode_id: int | None = None
    reserved: bool = False
    rdns: str | None = None
    tags: list[str] = field(default_factory=list)

    def json(self, cloud: Cloud) -> Json:
        owner = cloud.instances.get(self.linode_id or 0)
        default = f"{self.address.replace('.', '-')}.ip.linodeusercontent.com" if owner else None
        return {
            "address": self.address,
            "gateway": f"{self.address.rpartition('.')[0]}.1",
            "subnet_mask": "255.255.255.0",
            "prefix": 24,
            "type": "ipv4",
            "public": True,
            "rdns": self.rdns or default,
            "linode_id": self.linode_id,
            "interface_id": None,
            "region": self.region,
            "vpc_nat_1_1": None,
            "reserved": self.reserved,
            "assigned_entity": owner.entity.json() if owner else None,
            "tags": self.tags,
        }


def allocate(cloud: Cloud, region: str, *, reserved: bool = False, linode_id: int | None = None) -> Address:
    """Return a new address; released addresses are not reused soon, as at Linode."""
    free = next(candidate for candidate in itertools.islice(cloud.pool, len(_POOL)) if candidate not in cloud.addresses)
    address = cloud.addresses[free] = Address(free, region, linode_id, reserved)
    return address


def pool() -> itertools.cycle[str]:
    """Return all usable addresses in a cycle, without gateways."""
    return itertools.cycle(address for address in _POOL if not address.endswith(".1"))


def release(cloud: Cloud, linode_id: int) -> None:
    """Release an instance's addresses: reserved ones stay in the account, others are deleted."""
    for address in [address for address in cloud.addresses.values() if address.linode_id == linode_id]:
        _unassign(cloud, address)


def reserved_for(cloud: Cloud, wanted: Any, region: str) -> Address:
    """Return the reserved address that an instance requests at creation. Raise ApiError (400) as the real API does."""
    address = cloud.addresses.get(wanted[0]) if isinstance(wanted, list) and len(wanted) == 1 else None
    if address is None or not (address.reserved or address.linode_id):
        raise invalid("Must provide a single valid reserved ipv4 address", "ipv4")
    if address.linode_id is not None:
        raise invalid("Address must be currently unassigned.", "ipv4")
    if address.region != region:
        raise invalid("Address must belong to same region as linode.", "ipv4")
    return address


def of_instance(cloud: Cloud, linode_id: int) -> list[Address]:
    """Return the instance's public addresses, the first one first."""
    return [address for address in cloud.addresses.values() if address.linode_id == linode_id]


def set_rdns(cloud: Cloud, address: Address, name: str | None) -> None:
    """Set reverse DNS; None restores the default. Raise ApiError (400) if the name does not resolve to the address.

    The real API resolves the name; the simulator can only check names in zones of this account.
    """
    if name is not None:
        if not _HOSTNAME.fullmatch(name):
            raise invalid("Domain is not valid.", "rdns")
        zone = next((domain for domain in cloud.domains.values() if domain.holds(name)), None)
        if zone is not None and not zone.resolves(name, address.address):
            raise invalid(f"We were unable to perform a lookup for '{name}' at this time.", "rdns")
    address.rdns = name


def _unassign(cloud: Cloud, address: Address) -> None:
    if address.reserved:
        address.linode_id = None
    else:
        del cloud.addresses[address.address]


def _address(call: Call) -> Address:
    address = call.cloud.addresses.get(call.params["address"])
    if address is None or ("id" in call.params and address.linode_id != call.id):
        raise not_found()
    return address


def _reserved(call: Call) -> Address:
    address = _address(call)
    if not address.reserved:
        raise not_found()
    return address


def _instance(call: Call) -> Instance:
    instance = call.cloud.instances.get(call.id)
    if instance is None:
        raise not_found()
    return instance


def _list(call: Call) -> Json:
    return call.page([address.json(call.cloud) for address in call.cloud.addresses.values()])


def _create(call: Call) -> Json:
    reserve, region, linode_id = call.body.get("reserved", False), call.body.get("region"), call.body.get("linode_id")
    if call.body.get("type") != "ipv4":
        raise invalid("Only addresses of type ipv4 are currently supported.")
    if not call.body.get("public", True):
        raise invalid("Cannot reserve a private address.", "public")
    if linode_id is None and not reserve:
        raise invalid("Linode is a required argument when not reserving an IP address.", "linode_id")
    if linode_id is None and region is None:
        raise invalid("A datacenter or a Linode must be provided when reserving an address.")
    if linode_id is None:
        return _reserve(call)
    instance = call.cloud.instances.get(linode_id)
    if instance is None:
        raise invalid("Linode is not active", "linode_id")
    if region not in (None, instance.region):
        raise invalid("Region passed in must match Linode's region.", "region")
    return allocate(call.cloud, instance.region, reserved=reserve, linode_id=linode_id).json(call.cloud)


def _reserve(call: Call) -> Json:
    if call.body.get("region") not in call.cloud.regions:
        raise invalid("region is not valid", "region")
    address = allocate(call.cloud, call.body["region"], reserved=True)
    address.tags = list(call.body.get("tags") or [])
    return address.json(call.cloud)


def _update(call: Call) -> Json:
    address = _address(call)
    if "rdns" in call.body:
        set_rdns(call.cloud, address, call.body["rdns"])
    answer = address.json(call.cloud)
    if "reserved" in call.body:
        address.reserved = bool(call.body["reserved"])
        answer = address.json(call.cloud)
        if not address.reserved and address.linode_id is None:
            _unassign(call.cloud, address)
    return answer


def _delete_reserved(call: Call) -> Json:
    address = _reserved(call)
    address.reserved = False
    if address.linode_id is None:
        _unassign(call.cloud, address)
    return {}


def _add_to_instance(call: Call) -> Json:
    instance, body = _instance(call), call.body
    if "address" not in body:
        return allocate(call.cloud, instance.region, linode_id=instance.id).json(call.cloud)
    try:
        ipaddress.IPv4Address(body["address"])
    except ValueError:
        raise invalid("Must provide a valid reserved address", "address") from None
    if body.get("type") != "ipv4":
        raise invalid("Only addresses of type ipv4 are currently supported.")
    if not body.get("public"):
        raise invalid("Cannot reserve a private address.", "address")
    address = call.cloud.addresses.get(body["address"])
    if address is None or not address.reserved or address.linode_id is not None:
        raise invalid("Address must be reserved and must be currently unassigned.", "address")
    if address.region != instance.region:
        raise invalid("Address must belong to same region as linode.", "address")
    address.linode_id = instance.id
    return address.json(call.cloud)


def _remove_from_instance(call: Call) -> Json:
    address = _address(call)
    if len(of_instance(call.cloud, call.id)) == 1:
        raise invalid("Linodes must have at least one public IP address.", "address")
    _unassign(call.cloud, address)
    return {}


def _list_of_instance(call: Call) -> Json:
    instance = _instance(call)
    v6: Json = {"gateway": "fe80::1", "subnet_mask": "ffff:ffff:ffff:ffff::", "type": "ipv6", "rdns": None}
    v6 |= {"linode_id": instance.id, "region": instance.region, "prefix": 64}
    return {
        "ipv4": {
            "public": [address.json(call.cloud) for address in of_instance(call.cloud, instance.id)],
            "private": [],
            "shared": [],
            "reserved": [],
            "vpc": [],
        },
        "ipv6": {
            "slaac": v6 | {"address": instance.ipv6.partition("/")[0], "public": True},
            "link_local": v6 | {"address": "fe80::1", "public": False},
            "global": [],
            "vpc": [],
        },
    }


OPERATIONS = [
    Operation("GET", "/networking/ips", _list),
    Operation("POST", "/networking/ips", _create),
    Operation("GET", "/networking/ips/{address}", lambda call: _address(call).json(call.cloud)),
    Operation("PUT", "/networking/ips/{address}", _update),
    Operation("GET", "/networking/reserved/ips/{address}", lambda call: _reserved(call).json(call.cloud)),
    Operation("DELETE", "/networking/reserved/ips/{address}", _delete_reserved),
    Operation("GET", "/linode/instances/{id:int}/ips", _list_of_instance),
    Operation("POST", "/linode/instances/{id:int}/ips", _add_to_instance),
    Operation("GET", "/linode/instances/{id:int}/ips/{address}", lambda call: _address(call).json(call.cloud)),
    Operation("PUT", "/linode/instances/{id:int}/ips/{address}", _update),
    Operation("DELETE", "/linode/instances/{id:int}/ips/{address}", _remove_from_instance),
]
