"""Functions that look up regions, types, images, domains, volumes, instances and Kubernetes versions."""

from __future__ import annotations

from typing import Any

from localcloud.providers.linode.client import Linode
from localcloud.providers.linode.common import told
from localcloud.providers.resource import Failed
from localcloud.providers.values import Values


def _region(found: Values) -> Values:
    limits, monitors = found.get("placement_group_limits"), found.get("monitors") or {}
    resolvers = found.get("resolvers") or {}
    return {
        **{name: found.get(name) for name in ("id", "label", "country", "status", "capabilities")},
        "siteType": found.get("site_type"),
        "resolvers": [{"ipv4": resolvers.get("ipv4", ""), "ipv6": resolvers.get("ipv6", "")}],
        "monitors": {"alerts": monitors.get("alerts") or [], "metrics": monitors.get("metrics") or []},
        "placementGroupLimits": []
        if limits is None
        else [
            {
                "maximumPgsPerCustomer": limits.get("maximum_pgs_per_customer") or 0,
                "maximumLinodesPerPg": limits.get("maximum_linodes_per_pg") or 0,
            }
        ],
    }


def get_region(api: Linode, arguments: Values) -> Values:
    return _region(told("Failed to get Region", lambda: api.get(f"/regions/{arguments['id']}")))


def _prices(entries: Any) -> list[Values]:
    return [{"hourly": entry.get("hourly"), "monthly": entry.get("monthly")} for entry in entries if entry]


def _regional(entries: Any) -> list[Values]:
    return [{key: entry.get(key) for key in ("id", "hourly", "monthly")} for entry in entries or []]


def _type(found: Values) -> Values:
    backups = (found.get("addons") or {}).get("backups") or {}
    return {
        **{name: found.get(name) for name in ("id", "label", "disk", "class", "memory", "transfer", "vcpus")},
        "networkOut": found.get("network_out"),
        "acceleratedDevices": found.get("accelerated_devices", 0),
        "prices": _prices([found.get("price")]),
        "regionPrices": _regional(found.get("region_prices")),
        "addons": [
            {
                "backups": [
                    {
                        "prices": _prices([backups.get("price")]),
                        "regionPrices": _regional(backups.get("region_prices")),
                    }
                ]
            }
        ],
    }


def get_instance_type(api: Linode, arguments: Values) -> Values:
    name = arguments["id"]
    return _type(told(f"Failed to get Linode Type {name}", lambda: api.linode_type(name)))


def _image(found: Values) -> Values:
    names = ("id", "label", "capabilities", "created", "deprecated", "description", "expiry", "size", "status", "tags")
    return {
        **{name: found.get(name) for name in (*names, "type", "vendor")},
        "createdBy": found.get("created_by"),
        "isPublic": found.get("is_public"),
        "isShared": found.get("is_shared"),
        "totalSize": found.get("total_size"),
        "replications": found.get("regions") or [],
    }


def get_image(api: Linode, arguments: Values) -> Values:
    return _image(told("Failed to get Image", lambda: api.get(f"/images/{arguments['id']}")))


def get_volumes(api: Linode, arguments: Values) -> Values:
    wanted = [entry for entry in arguments.get("filters") or [] if entry.get("matchBy", "exact") == "exact"]
    by_api = [{"+or": [{entry["name"]: value} for value in entry["values"]]} for entry in wanted]
    order = arguments.get("order") or "desc"
    ask: Values = {"+and": by_api, "+order": order}
    found = told("Failed to list volumes", lambda: api.listing("/volumes", ask))
    volumes = [_volume(entry) for entry in found]
    chosen = _filtered(volumes, arguments)
    return {"id": "volumes", "filters": arguments.get("filters"), "order": arguments.get("order"), "volumes": chosen}


def _volume(found: Values) -> Values:
    names = ("id", "label", "region", "size", "status", "tags", "created", "updated", "encryption")
    return {
        **{name: found.get(name) for name in names},
        "filesystemPath": found.get("filesystem_path", ""),
        "ioReady": bool(found.get("io_ready")),
        "linodeId": found.get("linode_id") or 0,
    }


def get_instances(api: Linode, arguments: Values) -> Values:
    wanted = arguments.get("filters") or []
    by_api = [
        {"+or": [{entry["name"]: int(value) if entry["name"] == "id" else value} for value in entry["values"]]}
        for entry in wanted
    ]
    found = told("failed to get instances", lambda: api.listing("/linode/instances", {"+and": by_api}))
    instances = [
        {
            **{name: entry.get(name) for name in ("id", "label", "region", "type", "status", "tags")},
            "ipAddress": next(iter(entry["ipv4"]), ""),
            "ipv4s": entry["ipv4"],
        }
        for entry in found
    ]
    return {"id": "instances", "filters": wanted, "instances": instances}


def get_lke_versions(api: Linode, arguments: Values) -> Values:
    found = told("Failed to list LKE versions", lambda: api.listing("/lke/versions"))
    versions = [{"id": entry["id"], "tier": entry.get("tier", "")} for entry in found]
    return {"id": "versions", "tier": arguments.get("tier"), "versions": versions}


def _filtered(items: list[Values], arguments: Values) -> list[Values]:
    """Return the items that meet the program's filters (exact values; a list property matches if it contains one)."""

    def meets(item: Values, wanted: Values) -> bool:
        key = "".join(part if index == 0 else part.capitalize() for index, part in enumerate(wanted["name"].split("_")))
        value = item.get(key)
        present = [str(entry) for entry in value] if isinstance(value, list) else [str(value)]
        how = wanted.get("matchBy", "exact")
        if how == "substring":
            return any(text_wanted in entry for text_wanted in wanted["values"] for entry in present)
        return any(text_wanted in present for text_wanted in wanted["values"])

    return [item for item in items if all(meets(item, wanted) for wanted in arguments.get("filters") or [])]


def get_domain(api: Linode, arguments: Values) -> Values:
    if (number_given := arguments.get("id")) is not None:
        found = told(f"Failed to get Domain with id {number_given}", lambda: api.get(f"/domains/{number_given}"))
    else:
        name = arguments.get("domain", "")
        matches = told("Failed to list matching domains", lambda: api.listing("/domains", {"domain": name}))
        if len(matches) != 1 or matches[0]["domain"] != name:
            raise Failed(f"Failed to retrieve Linode Domain: Domain {name} was not found in list result")
        found = matches[0]
    return {
        **{name: found.get(name) for name in ("id", "domain", "type", "status", "description", "tags")},
        "soaEmail": found.get("soa_email"),
        "axfrIps": found.get("axfr_ips") or [],
        "masterIps": found.get("master_ips") or [],
        **{f"{name}Sec": found.get(f"{name}_sec") for name in ("expire", "refresh", "retry", "ttl")},
    }
