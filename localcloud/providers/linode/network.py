"""Firewalls, addresses, and reverse DNS."""

from __future__ import annotations

import time

from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.linode.common import (
    CREATE_SECONDS,
    FrameworkResource,
    among,
    between,
    numeric_id,
    same_words,
    some,
    told,
    tolerant,
    utc,
)
from localcloud.providers.resource import Draft
from localcloud.providers.schema import (
    Field,
    bag,
    flag,
    listing,
    number,
    optional_record,
    out,
    properties,
    record,
    text,
)
from localcloud.providers.values import UNKNOWN, Values, sparse

_RULE = record(
    action=text(required=True, check=among("action", "ACCEPT", "DROP")),
    description=text(computed=True, default=""),
    ipv4s=listing(text(), check=some("ipv4")),
    ipv6s=listing(text(), check=some("ipv6")),
    label=text(required=True, check=between("label", 3, 32)),
    ports=text(),
    protocol=text(required=True, check=among("protocol", "TCP", "UDP", "ICMP", "IPENCAP")),
)


#: Property -> the API's name of a kind of device.
_KINDS = {"linodes": "linode", "nodebalancers": "nodebalancer", "interfaces": "linode_interface"}


class Firewall(FrameworkResource):
    fields = properties(
        created=out(text()),
        devices=out(
            listing(record(entityId=number(), id=number(), label=text(), type=text(), url=text())),
        ),
        disabled=flag(computed=True, default=False),
        inboundPolicy=text(required=True, check=among("inbound_policy", "ACCEPT", "DROP")),
        inbounds=listing(_RULE),
        interfaces=bag(number(), computed=True, keep_order=True),
        label=text(required=True, check=between("label", 3, 32)),
        linodes=bag(number(), computed=True, keep_order=True),
        nodebalancers=bag(number(), computed=True, keep_order=True),
        outboundPolicy=text(required=True, check=among("outbound_policy", "ACCEPT", "DROP")),
        outbounds=listing(_RULE),
        status=out(text()),
        tags=bag(text(), computed=True, default=[], same=same_words, keep_order=True),
        updated=Field("string", output_only=True, computed=True, keep_known=False),
    )

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        for name in ("inbounds", "outbounds"):
            rules = planned.get(name)
            if isinstance(rules, list):
                planned[name] = [{**rule, "description": rule["description"] or ""} for rule in rules]
            elif rules is None:
                planned[name] = []

    def create(self, api: Linode, draft: Draft) -> None:
        wanted = {name: draft[name] for name in _KINDS}
        body = {
            "label": draft["label"],
            "rules": self._rules(draft),
            "tags": draft["tags"],
            "devices": sparse(wanted),
        }
        made = told("Failed to Create Firewall", lambda: api.post("/networking/firewalls", body))
        path = f"/networking/firewalls/{made['id']}"
        if draft["disabled"]:
            made = told("Failed to Disable Fireall", lambda: api.put(path, {"status": "disabled"}))
        draft.complete(**self._state(made))
        devices = told(f"Failed to Get Devices for Firewall {made['id']}", lambda: api.listing(f"{path}/devices"))
        draft.complete(**self._device_state(devices))
        told(f"Failed to Get Rules for Firewall {made['id']}", lambda: api.get(f"{path}/rules"))
        draft.id = numeric_id(made)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft.id}"
        found = told(f"Failed to Get Firewall {draft.id}", lambda: api.find(path))
        if found is None:
            draft.id = ""
            return
        rules = told(f"Failed to Get Rules for Firewall {draft.id}", lambda: api.get(f"{path}/rules"))
        devices = told(f"Failed to Get Devices for Firewall {draft.id}", lambda: api.listing(f"{path}/devices"))
        draft.set(
            **self._state(found),
            **self._device_state(devices),
            inbounds=[_rule_state(rule) for rule in rules.get("inbound") or []],
            outbounds=[_rule_state(rule) for rule in rules.get("outbound") or []],
        )

    def update(self, api: Linode, draft: Draft) -> None:
        path = f"/networking/firewalls/{draft.id}"
        changes: Values = {name: draft[name] for name in ("label", "tags") if draft.changed(name)}
        if draft.changed("disabled"):
            changes["status"] = "disabled" if draft["disabled"] else "enabled"
        if changes:
            found = told(f"Failed to Update Firewall {draft.id}", lambda: api.put(path, changes))
            draft.complete(**self._state(found))
        if any(draft.changed(name) for name in ("inbounds", "outbounds", "inboundPolicy", "outboundPolicy")):
            rules = self._rules(draft)
            told(f"Failed to Update Rules for Firewall {draft.id}", lambda: api.put(f"{path}/rules", rules))
        if any(draft.changed(name) for name in _KINDS):
            told(f"Failed to Update Devices for Firewall {draft.id}", lambda: self._update_devices(api, draft, path))
        draft.complete(**{name: draft.old.get(name) for name in self.fields})

    def delete(self, api: Linode, draft: Draft) -> None:
        told(f"Failed to Delete Firewall {draft.id}", lambda: api.delete(f"/networking/firewalls/{draft.id}"))

    def _update_devices(self, api: Linode, draft: Draft, path: str) -> None:
        present = {
            (device["entity"]["type"], device["entity"]["id"]): device["id"]
            for device in api.listing(f"{path}/devices")
        }
        for name, kind in _KINDS.items():
            for entity in draft[name]:
                if present.pop((kind, entity), None) is None:
                    api.post(f"{path}/devices", {"id": entity, "type": kind})
        for device in present.values():
            api.delete(f"{path}/devices/{device}")

    @staticmethod
    def _rules(draft: Draft) -> Values:
        def rules(name: str) -> list[Values]:
            return [
                {
                    **sparse({"action": rule["action"], "label": rule["label"], "description": rule["description"]}),
                    **sparse({"ports": rule["ports"]}),
                    "protocol": rule["protocol"],
                    "addresses": sparse({"ipv4": rule["ipv4s"], "ipv6": rule["ipv6s"]}),
                }
                for rule in draft[name]
            ]

        return {
            "inbound": rules("inbounds"),
            "inbound_policy": draft["inboundPolicy"],
            "outbound": rules("outbounds"),
            "outbound_policy": draft["outboundPolicy"],
        }

    @staticmethod
    def _state(found: Values) -> Values:
        rules = found.get("rules") or {}
        return {
            "label": found["label"],
            "tags": found.get("tags") or [],
            "disabled": found["status"] == "disabled",
            "inboundPolicy": rules.get("inbound_policy", ""),
            "outboundPolicy": rules.get("outbound_policy", ""),
            "status": found["status"],
            "created": utc(found.get("created")),
            "updated": utc(found.get("updated")),
        }

    def _device_state(self, devices: list[Values]) -> Values:
        def ids(kind: str) -> list[int]:
            return [device["entity"]["id"] for device in devices if device["entity"]["type"] == kind]

        return {
            **{name: ids(kind) for name, kind in _KINDS.items()},
            "devices": [
                {
                    "id": device["id"],
                    "entityId": device["entity"]["id"],
                    "type": device["entity"]["type"],
                    "label": device["entity"].get("label") or "",
                    "url": device["entity"].get("url") or "",
                }
                for device in devices
            ],
        }


def _rule_state(rule: Values) -> Values:
    addresses = rule.get("addresses") or {}
    return {
        "action": rule["action"],
        "label": rule["label"],
        "protocol": rule["protocol"],
        "description": rule.get("description") or "",
        "ports": rule.get("ports") or None,
        "ipv4s": addresses.get("ipv4"),
        "ipv6s": addresses.get("ipv6"),
    }


class NetworkingIp(FrameworkResource):
    """An address, reserved or ephemeral; its id is the address itself."""

    fields = properties(
        address=out(text()),
        gateway=out(text()),
        linodeId=number(computed=True),
        prefix=out(number()),
        public=flag(computed=True),
        rdns=out(text()),
        region=text(computed=True),
        reserved=flag(computed=True),
        subnetMask=out(text()),
        type=text(computed=True, default="ipv4"),
        vpcNat11=Field(
            "object",
            output_only=True,
            computed=True,
            fields={"address": text(), "subnetId": number(), "vpcId": number()},
        ),
    )

    def replaced_by(self, old: Values, planned: Values) -> list[str]:
        moved = planned.get("linodeId") not in (old.get("linodeId"), UNKNOWN)
        return ["linodeId"] if moved and not planned.get("reserved") else []

    def create(self, api: Linode, draft: Draft) -> None:
        body = {
            "type": draft["type"],
            "public": draft["public"],
            **sparse({"reserved": draft["reserved"], "region": draft["region"], "linode_id": draft["linodeId"]}),
        }
        made = told("Error creating IP Address: Could not create IP address", lambda: api.post("/networking/ips", body))
        draft.id = made["address"]
        draft.set(**_address_state(made))

    def read(self, api: Linode, draft: Draft) -> None:
        addresses = told(
            "Error reading IP Addresses: Could not list IP addresses", lambda: api.listing("/networking/ips")
        )
        found = next((entry for entry in addresses if entry["address"] == draft.id), None)
        if found is None:
            draft.id = ""
        else:
            draft.set(**_address_state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("reserved"):
            told(
                "Failed to Update IP Address: Could not update reserved status of IP address",
                lambda: api.put(f"/networking/ips/{draft.id}", {"reserved": draft["reserved"]}),
            )
        if not draft.changed("linodeId"):
            return
        if before := draft.before("linodeId"):
            told(
                "Failed to unassign reserved IP from Linode",
                lambda: api.delete(f"/linode/instances/{before}/ips/{draft.id}"),
            )
        if linode := draft["linodeId"]:
            body = {"type": draft.before("type"), "public": draft.before("public"), "address": draft.id}
            told("Failed to assign reserved IP to Linode", lambda: api.post(f"/linode/instances/{linode}/ips", body))

    def delete(self, api: Linode, draft: Draft) -> None:
        if draft["reserved"]:
            told("Failed to delete Reserved IP", lambda: api.delete(f"/networking/reserved/ips/{draft.id}"))
        else:
            path = f"/linode/instances/{draft['linodeId']}/ips/{draft.id}"
            told("Failed to Delete Ephemeral IP", lambda: tolerant(lambda: api.delete(path)))


def _address_state(found: Values) -> Values:
    nat = found.get("vpc_nat_1_1")
    return {
        **{name: found.get(name) for name in ("address", "gateway", "prefix", "public", "rdns", "region", "type")},
        "linodeId": found.get("linode_id") or None,
        "reserved": bool(found.get("reserved")),
        "subnetMask": found.get("subnet_mask"),
        "vpcNat11": nat and {"address": nat["address"], "subnetId": nat["subnet_id"], "vpcId": nat["vpc_id"]},
    }


class Rdns(FrameworkResource):
    fields = properties(
        address=text(required=True, new=True),
        rdns=text(required=True, check=between("rdns", 3, 254)),
        timeouts=optional_record({"create": text(), "update": text()}),
        waitForAvailable=flag(computed=True, default=False),
    )
    #: Seconds between two tries of a name that does not resolve yet.
    _retry_seconds = 5

    def create(self, api: Linode, draft: Draft) -> None:
        address = draft["address"]
        told("Failed to get the ip address associated with this RDNS", lambda: api.get(f"/networking/ips/{address}"))
        told("Failed to create Linode RDNS", lambda: self._write(api, draft))
        draft.id = address

    def read(self, api: Linode, draft: Draft) -> None:
        found = told("Failed to read the Linode RDNS", lambda: api.find(f"/networking/ips/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(address=found["address"], rdns=found.get("rdns") or "")

    def update(self, api: Linode, draft: Draft) -> None:
        if draft.changed("rdns"):
            told("Failed to update the Linode RDNS", lambda: self._write(api, draft))

    def delete(self, api: Linode, draft: Draft) -> None:
        told(
            "Unable to delete the Linode IP address RDNS: Error deleting the Linode IP address RDNS",
            lambda: tolerant(lambda: api.put(f"/networking/ips/{draft['address']}", {"rdns": None})),
        )

    def _write(self, api: Linode, draft: Draft) -> None:
        deadline = time.monotonic() + (draft.timeout or CREATE_SECONDS)
        while True:
            if draft["waitForAvailable"]:
                api.pause(self._retry_seconds)
            try:
                api.put(f"/networking/ips/{draft['address']}", {"rdns": draft["rdns"]})
                return
            except Refused as error:
                if not draft["waitForAvailable"] or error.status != 400 or time.monotonic() > deadline:
                    raise
