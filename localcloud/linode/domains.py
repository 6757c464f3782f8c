"""DNS zones and their records."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.linode.errors import invalid, not_found
from localcloud.linode.events import Entity
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

RECORD_TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT")
# The TTLs Linode's name servers know; others are rounded to the nearest (0 is the zone's default).
TTLS = (0, 30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200)


@dataclass
class Domain:
    """A zone; `records` by id, each as the API shows it."""

    id: int
    domain: str
    created: str
    soa_email: str = "admin@example.com"
    tags: list[str] = field(default_factory=list)
    records: dict[int, Json] = field(default_factory=dict)

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "domain", self.domain, f"/v4/domains/{self.id}")

    def json(self) -> Json:
        numbers = dict.fromkeys(("retry_sec", "expire_sec", "refresh_sec", "ttl_sec"), 0)
        return {
            "id": self.id,
            "type": "master",
            "domain": self.domain,
            "tags": self.tags,
            "group": "",
            "status": "active",
            "errors": "",
            "description": "",
            "soa_email": self.soa_email,
            "master_ips": [],
            "axfr_ips": [],
            "created": self.created,
            "updated": self.created,
        } | numbers

    def holds(self, name: str) -> bool:
        """Return whether `name` lies in this zone."""
        return f".{name}".lower().endswith(f".{self.domain}")

    def resolves(self, name: str, address: str) -> bool:
        """Return whether an A record leads from `name` to `address`."""
        short = self.relative(name)
        return any(r["type"] == "A" and r["name"] == short and r["target"] == address for r in self.records.values())

    def relative(self, name: str) -> str:
        """Return `name` without the zone, as records have it; empty for the zone itself."""
        name = name.lower().removesuffix(".")
        return name.removesuffix(self.domain).removesuffix(".") if self.holds(name) else name


def seed(cloud: Cloud, domain: str) -> Domain:
    """Add an initial zone."""
    zone = Domain(cloud.next_id(), domain, now())
    cloud.domains[zone.id] = zone
    return zone


def _domain(call: Call) -> Domain:
    if call.id not in call.cloud.domains:
        raise not_found()
    return call.cloud.domains[call.id]


def _record(call: Call) -> Json:
    record = _domain(call).records.get(int(call.params["record"]))
    if record is None:
        raise not_found()
    return record


def _list_records(call: Call) -> Json:
    return call.page(list(_domain(call).records.values()))


def _create_record(call: Call) -> Json:
    zone = _domain(call)
    if call.body.get("type") not in RECORD_TYPES:
        raise invalid(f"Must be one of {', '.join(RECORD_TYPES)}", "type")
    record: Json = {"id": call.cloud.next_id(), "type": call.body["type"], "name": "", "target": ""}
    record |= {"priority": 0, "weight": 0, "port": 0, "service": None, "protocol": None, "ttl_sec": 0, "tag": None}
    record |= {"created": now(), "updated": now()}
    record |= _read_changes(zone, record, call.body)
    zone.records[record["id"]] = record
    call.cloud.event("domain_record_create", zone.entity, done=True)
    return record


def _update_record(call: Call) -> Json:
    zone, record = _domain(call), _record(call)
    record |= _read_changes(zone, record, call.body) | {"updated": now()}
    call.cloud.event("domain_record_update", zone.entity, done=True)
    return record


def _delete_record(call: Call) -> Json:
    zone, record = _domain(call), _record(call)
    del zone.records[record["id"]]
    call.cloud.event("domain_record_delete", zone.entity, done=True)
    return {}


def _read_changes(zone: Domain, record: Json, body: Json) -> dict[str, Any]:
    fields = ("name", "target", "priority", "weight", "port", "service", "protocol", "ttl_sec", "tag")
    changes = {key: body[key] for key in fields if key in body}
    target = changes.get("target", record["target"])
    if not target:
        raise invalid("Target is required", "target")
    if record["type"] in ("A", "AAAA"):
        family = ipaddress.IPv4Address if record["type"] == "A" else ipaddress.IPv6Address
        try:
            family(target)
        except ValueError:
            raise invalid(f"Invalid {record['type']} target: must be an IP address", "target") from None
    if "name" in changes:
        changes["name"] = zone.relative(changes["name"] or "")
    if "ttl_sec" in changes:
        changes["ttl_sec"] = min(TTLS, key=lambda ttl: abs(ttl - int(changes["ttl_sec"] or 0)))
    return changes


OPERATIONS = [
    Operation("GET", "/domains", lambda call: call.page([domain.json() for domain in call.cloud.domains.values()])),
    Operation("GET", "/domains/{id:int}", lambda call: _domain(call).json()),
    Operation("GET", "/domains/{id:int}/records", _list_records),
    Operation("POST", "/domains/{id:int}/records", _create_record),
    Operation("GET", "/domains/{id:int}/records/{record:int}", _record),
    Operation("PUT", "/domains/{id:int}/records/{record:int}", _update_record),
    Operation("DELETE", "/domains/{id:int}/records/{record:int}", _delete_record),
]
