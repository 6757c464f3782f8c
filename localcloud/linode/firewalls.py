"""Cloud firewalls: rules, devices, and which connections they allow."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode import labels
from localcloud.linode.errors import Problems, invalid, not_found
from localcloud.linode.events import Entity
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.machine import Instance
    from localcloud.linode.state import Cloud

# techdocs.akamai.com/linode-api/reference/post-firewalls
LABEL_LENGTHS = range(3, 33)
MAX_RULES = 25
MAX_ADDRESSES = 255
_PORTS = re.compile(r"\d{1,5}(-\d{1,5})?(,\s*\d{1,5}(-\d{1,5})?){0,14}")
_EVERYONE = ("0.0.0.0/0", "::/0")


@dataclass
class Device:
    """The assignment of a firewall to an instance."""

    id: int
    linode_id: int
    created: str


@dataclass
class Firewall:
    """A firewall; `rules` as the API takes them (inbound, inbound_policy, outbound, outbound_policy)."""

    id: int
    label: str
    rules: Json
    tags: list[str]
    created: str
    updated: str
    status: str = "enabled"
    version: int = 1
    devices: dict[int, Device] = field(default_factory=dict)

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "firewall", self.label, f"/v4/networking/firewalls/{self.id}")

    def rules_json(self) -> Json:
        fingerprint = hashlib.sha256(json.dumps(self.rules, sort_keys=True).encode()).hexdigest()[:8]
        return self.rules | {"version": self.version, "fingerprint": fingerprint}

    def json(self, cloud: Cloud) -> Json:
        return {
            "id": self.id,
            "label": self.label,
            "created": self.created,
            "updated": self.updated,
            "status": self.status,
            "rules": self.rules_json(),
            "tags": self.tags,
            "entities": [_device_json(cloud, device)["entity"] for device in self.devices.values()],
        }

    def guards(self, linode_id: int) -> bool:
        return any(device.linode_id == linode_id for device in self.devices.values())

    def allows(self, port: int, source: str | None = None) -> bool:
        """Return whether TCP connections to `port` are allowed from `source` (None: from anywhere)."""
        if self.status != "enabled":
            return True
        for rule in self.rules["inbound"]:
            if rule["protocol"] == "TCP" and _covers(rule.get("ports"), port) and _meant(rule, source):
                return bool(rule["action"] == "ACCEPT")
        return bool(self.rules["inbound_policy"] == "ACCEPT")


def attach(cloud: Cloud, firewall: Firewall, linode_id: int) -> Device:
    """Put an instance behind the firewall."""
    device = Device(cloud.next_id(), linode_id, now())
    firewall.devices[device.id] = device
    return device


def forget(cloud: Cloud, linode_id: int) -> None:
    """Remove the devices of a deleted instance."""
    for firewall in cloud.firewalls.values():
        firewall.devices = {id: device for id, device in firewall.devices.items() if device.linode_id != linode_id}


def _covers(ports: str | None, port: int) -> bool:
    if not ports:
        return True
    spans = (part.strip().partition("-") for part in ports.split(","))
    return any(int(low) <= port <= int(high or low) for low, _, high in spans)


def _meant(rule: Json, source: str | None) -> bool:
    networks = [network for addresses in (rule.get("addresses") or {}).values() for network in addresses or []]
    if source is None:
        return rule["action"] == "ACCEPT" or any(network in _EVERYONE for network in networks)
    wanted = ipaddress.ip_address(source)
    return any(wanted in ipaddress.ip_network(network, strict=False) for network in networks)


def _checked_rules(rules: Any) -> Json:
    if not isinstance(rules, dict):
        raise invalid("rules is required", "rules")
    problems = Problems()
    checked: Json = {}
    for way in ("inbound", "outbound"):
        policy, listed = rules.get(f"{way}_policy"), rules.get(way) or []
        problems.unless(policy in ("ACCEPT", "DROP"), "Must be one of ACCEPT, DROP", f"rules.{way}_policy")
        problems.unless(len(listed) <= MAX_RULES, f"Must not have more than {MAX_RULES} rules", f"rules.{way}")
        for number, rule in enumerate(listed):
            _check_rule(problems, rule, f"rules.{way}[{number}]")
        checked |= {way: listed, f"{way}_policy": policy}
    problems.check()
    return checked


def _check_rule(problems: Problems, rule: Json, at: str) -> None:
    problems.unless(rule.get("action") in ("ACCEPT", "DROP"), "Must be one of ACCEPT, DROP", f"{at}.action")
    protocol, ports = rule.get("protocol"), rule.get("ports")
    known = ("TCP", "UDP", "ICMP", "IPENCAP")
    problems.unless(protocol in known, f"Must be one of {', '.join(known)}", f"{at}.protocol")
    if protocol in ("TCP", "UDP"):
        fits = ports is None or (isinstance(ports, str) and _PORTS.fullmatch(ports))
        problems.unless(fits, "Ports must be single ports or ranges, separated by commas", f"{at}.ports")
    elif protocol in known:
        problems.unless(not ports, f"ports is not allowed with protocol {protocol}", f"{at}.ports")
    label = rule.get("label")
    problems.unless(label is None or len(label) in LABEL_LENGTHS, "Length must be 3-32 characters", f"{at}.label")
    addresses = rule.get("addresses") or {}
    networks = [*(addresses.get("ipv4") or []), *(addresses.get("ipv6") or [])]
    problems.unless(0 < len(networks) <= MAX_ADDRESSES, f"Must have 1-{MAX_ADDRESSES} addresses", f"{at}.addresses")
    for family, parse in (("ipv4", ipaddress.IPv4Network), ("ipv6", ipaddress.IPv6Network)):
        for address in addresses.get(family) or []:
            problems.unless(_parses(parse, address), f"Must be an {family} network", f"{at}.addresses.{family}")


def _parses(parse: Any, text: Any) -> bool:
    try:
        parse(text, strict=False)
    except ValueError:
        return False
    # The API accepts only networks with a mask: 203.0.113.7/32, not 203.0.113.7.
    return "/" in str(text)


def _device_json(cloud: Cloud, device: Device) -> Json:
    owner = cloud.instances[device.linode_id].entity.json() | {"parent_entity": None}
    return {"id": device.id, "created": device.created, "updated": device.created, "entity": owner}


def _firewall(call: Call) -> Firewall:
    if call.id not in call.cloud.firewalls:
        raise not_found()
    return call.cloud.firewalls[call.id]


def _device(call: Call) -> Device:
    device = _firewall(call).devices.get(int(call.params["device"]))
    if device is None:
        raise not_found()
    return device


def _linode(cloud: Cloud, id: Any) -> Instance:
    if id not in cloud.instances:
        raise invalid(f"Invalid Linode ID {id}", "id")
    return cloud.instances[id]


def _list(call: Call) -> Json:
    return call.page([firewall.json(call.cloud) for firewall in call.cloud.firewalls.values()])


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    problems = Problems()
    labels.check(
        problems,
        body.get("label"),
        LABEL_LENGTHS,
        {firewall.label for firewall in cloud.firewalls.values()},
        "Cloud Firewalls",
    )
    problems.check()
    rules = _checked_rules(body.get("rules"))
    linodes = [_linode(cloud, id) for id in (body.get("devices") or {}).get("linodes") or []]
    firewall = Firewall(cloud.next_id(), body["label"], rules, list(body.get("tags") or []), now(), now())
    cloud.firewalls[firewall.id] = firewall
    for instance in linodes:
        attach(cloud, firewall, instance.id)
    cloud.event("firewall_create", firewall.entity, done=True)
    return firewall.json(cloud)


def _update(call: Call) -> Json:
    firewall, body = _firewall(call), call.body
    problems = Problems()
    if "label" in body:
        others = {other.label for other in call.cloud.firewalls.values() if other is not firewall}
        labels.check(problems, body["label"], LABEL_LENGTHS, others, "Cloud Firewalls")
    status = body.get("status", firewall.status)
    problems.unless(status in ("enabled", "disabled"), "Must be one of enabled, disabled", "status")
    problems.check()
    firewall.label, firewall.status = body.get("label", firewall.label), status
    firewall.tags, firewall.updated = list(body.get("tags", firewall.tags)), now()
    call.cloud.event("firewall_update", firewall.entity, done=True)
    return firewall.json(call.cloud)


def _delete(call: Call) -> Json:
    firewall = _firewall(call)
    del call.cloud.firewalls[firewall.id]
    call.cloud.event("firewall_delete", firewall.entity, done=True)
    return {}


def _set_rules(call: Call) -> Json:
    firewall = _firewall(call)
    rules = _checked_rules(call.body)
    if rules != firewall.rules:
        firewall.rules, firewall.version, firewall.updated = rules, firewall.version + 1, now()
        call.cloud.event("firewall_rules_update", firewall.entity, done=True)
    return firewall.rules_json()


def _list_devices(call: Call) -> Json:
    return call.page([_device_json(call.cloud, device) for device in _firewall(call).devices.values()])


def _add_device(call: Call) -> Json:
    firewall = _firewall(call)
    if call.body.get("type") != "linode":
        raise invalid("Must be one of linode", "type")
    instance = _linode(call.cloud, call.body.get("id"))
    if any(firewall.guards(instance.id) for firewall in call.cloud.firewalls.values()):
        raise invalid("Linode is already assigned to a firewall", "id")
    device = attach(call.cloud, firewall, instance.id)
    call.cloud.event("firewall_device_add", firewall.entity, instance.entity, done=True)
    return _device_json(call.cloud, device)


def _remove_device(call: Call) -> Json:
    firewall, device = _firewall(call), _device(call)
    del firewall.devices[device.id]
    call.cloud.event("firewall_device_remove", firewall.entity, done=True)
    return {}


def _list_of_instance(call: Call) -> Json:
    if call.id not in call.cloud.instances:
        raise not_found()
    return call.page(
        [firewall.json(call.cloud) for firewall in call.cloud.firewalls.values() if firewall.guards(call.id)]
    )


OPERATIONS = [
    Operation("GET", "/networking/firewalls", _list),
    Operation("POST", "/networking/firewalls", _create),
    Operation("GET", "/networking/firewalls/{id:int}", lambda call: _firewall(call).json(call.cloud)),
    Operation("PUT", "/networking/firewalls/{id:int}", _update),
    Operation("DELETE", "/networking/firewalls/{id:int}", _delete),
    Operation("GET", "/networking/firewalls/{id:int}/rules", lambda call: _firewall(call).rules_json()),
    Operation("PUT", "/networking/firewalls/{id:int}/rules", _set_rules),
    Operation("GET", "/networking/firewalls/{id:int}/devices", _list_devices),
    Operation("POST", "/networking/firewalls/{id:int}/devices", _add_device),
    Operation(
        "GET",
        "/networking/firewalls/{id:int}/devices/{device:int}",
        lambda call: _device_json(call.cloud, _device(call)),
    ),
    Operation("DELETE", "/networking/firewalls/{id:int}/devices/{device:int}", _remove_device),
    Operation("GET", "/linode/instances/{id:int}/firewalls", _list_of_instance),
]
