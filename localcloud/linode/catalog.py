"""Linode's catalogue: regions, instance types, images, object storage endpoints (as of 2026)."""

from __future__ import annotations

from typing import Any

from localcloud.linode.errors import not_found
from localcloud.linode.routing import Json, Operation

Catalog = dict[str, dict[str, Any]]

# Capabilities that every core region has; the third column below adds to them.
_EVERYWHERE = (
    "Linodes",
    "Disk Encryption",
    "Backups",
    "NodeBalancers",
    "Block Storage",
    "Kubernetes",
    "Cloud Firewall",
    "Vlans",
    "VPCs",
    "Managed Databases",
    "Metadata",
    "Placement Group",
    "StackScripts",
    "Linode Interfaces",
)
_NEWER = ("Block Storage Encryption", "Premium Plans", "Maintenance Policy")

# id, label, country, further capabilities, object storage cluster (None: no object storage there)
_REGIONS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, str] | None], ...] = (
    ("us-east", "Newark, NJ", "us", ("Block Storage Encryption",), ("us-east-1", "E0")),
    ("us-central", "Dallas, TX", "us", (), None),
    ("us-west", "Fremont, CA", "us", (), None),
    ("us-southeast", "Atlanta, GA", "us", ("Block Storage Encryption",), ("us-southeast-1", "E0")),
    ("us-ord", "Chicago, IL", "us", _NEWER, ("us-ord-1", "E1")),
    ("us-sea", "Seattle, WA", "us", _NEWER, ("us-sea-1", "E1")),
    ("eu-central", "Frankfurt, DE", "de", (), ("eu-central-1", "E0")),
    ("eu-west", "London, UK", "gb", (), None),
    ("de-fra-2", "Frankfurt 2, DE", "de", _NEWER, ("de-fra-1", "E3")),
    ("fr-par", "Paris, FR", "fr", _NEWER, ("fr-par-1", "E1")),
    ("nl-ams", "Amsterdam, NL", "nl", _NEWER, ("nl-ams-1", "E1")),
    ("gb-lon", "London 2, UK", "gb", _NEWER, ("gb-lon-1", "E3")),
    ("sg-sin-2", "Singapore 2, SG", "sg", _NEWER, ("sg-sin-1", "E3")),
    ("ap-south", "Singapore, SG", "sg", (), ("ap-south-1", "E0")),
    ("jp-osa", "Osaka, JP", "jp", _NEWER, ("jp-osa-1", "E1")),
    ("au-mel", "Melbourne, AU", "au", _NEWER, ("au-mel-1", "E2")),
)

# id, label, class, disk MB, memory MB, vcpus, transfer GB, network out Mbit/s, USD a month, backups USD a month
_TYPES: tuple[tuple[str, str, str, int, int, int, int, int, float, float], ...] = (
    ("g6-nanode-1", "Nanode 1GB", "nanode", 25600, 1024, 1, 1000, 1000, 5.0, 2.0),
    ("g6-standard-1", "Linode 2GB", "standard", 51200, 2048, 1, 2000, 2000, 12.0, 2.5),
    ("g6-standard-2", "Linode 4GB", "standard", 81920, 4096, 2, 4000, 4000, 24.0, 5.0),
    ("g6-standard-4", "Linode 8GB", "standard", 163840, 8192, 4, 5000, 5000, 48.0, 10.0),
    ("g6-standard-6", "Linode 16GB", "standard", 327680, 16384, 6, 8000, 6000, 96.0, 20.0),
    ("g6-standard-8", "Linode 32GB", "standard", 655360, 32768, 8, 16000, 7000, 192.0, 40.0),
    ("g6-standard-16", "Linode 64GB", "standard", 1310720, 65536, 16, 20000, 9000, 384.0, 80.0),
    ("g7-highmem-1", "Linode 24GB", "highmem", 20480, 24576, 2, 5000, 5000, 60.0, 5.0),
    ("g7-highmem-2", "Linode 48GB", "highmem", 40960, 49152, 2, 6000, 6000, 120.0, 10.0),
    ("g6-dedicated-2", "Dedicated 4GB", "dedicated", 81920, 4096, 2, 4000, 4000, 36.0, 5.0),
    ("g6-dedicated-4", "Dedicated 8GB", "dedicated", 163840, 8192, 4, 5000, 5000, 72.0, 10.0),
    ("g6-dedicated-8", "Dedicated 16GB", "dedicated", 327680, 16384, 8, 6000, 6000, 144.0, 20.0),
    ("g6-dedicated-16", "Dedicated 32GB", "dedicated", 655360, 32768, 16, 7000, 7000, 288.0, 40.0),
    ("g6-dedicated-32", "Dedicated 64GB", "dedicated", 1310720, 65536, 32, 8000, 8000, 576.0, 80.0),
    ("g7-premium-2", "Premium 4GB", "premium", 81920, 4096, 2, 4000, 4000, 43.0, 5.0),
    ("g7-premium-4", "Premium 8GB", "premium", 163840, 8192, 4, 5000, 5000, 86.0, 10.0),
)

# id, label, vendor, size MB, capabilities
_IMAGES: tuple[tuple[str, str, str, int, tuple[str, ...]], ...] = (
    ("linode/debian13", "Debian 13", "Debian", 1800, ("cloud-init", "distributed-sites")),
    ("linode/debian12", "Debian 12", "Debian", 1800, ("cloud-init", "distributed-sites")),
    ("linode/ubuntu24.04", "Ubuntu 24.04 LTS", "Ubuntu", 3500, ("cloud-init", "distributed-sites")),
    ("linode/ubuntu22.04", "Ubuntu 22.04 LTS", "Ubuntu", 3500, ("cloud-init", "distributed-sites")),
    ("linode/rocky9", "Rocky Linux 9", "Rocky", 2500, ("cloud-init", "distributed-sites")),
    ("linode/slackware15.0", "Slackware 15.0", "Slackware", 11600, ()),
)

HOURS_A_MONTH = 24 * 28  # Linode bills at most 28 days of hours a month


def regions() -> Catalog:
    """Regions by id, as `GET /regions/{id}` answers; a fresh copy."""
    return {
        id: {
            "id": id,
            "label": label,
            "country": country,
            "capabilities": [*_EVERYWHERE, *more, *(["Object Storage"] if storage else [])],
            "monitors": {"alerts": [], "metrics": []},
            "status": "ok",
            "resolvers": {"ipv4": "192.0.2.1,192.0.2.2", "ipv6": "2001:db8::1"},
            "placement_group_limits": {
                "maximum_pgs_per_customer": None,
                "maximum_linodes_per_pg": 5,
                "maximum_linodes_per_flexible_pg": 5,
            },
            "site_type": "core",
        }
        for id, label, country, more, storage in _REGIONS
    }


def types() -> Catalog:
    """Instance types by id, as `GET /linode/types/{id}` answers; a fresh copy."""
    return {
        id: {
            "id": id,
            "label": label,
            "price": _price(monthly),
            "region_prices": [],
            "addons": {"backups": {"price": _price(backups), "region_prices": []}},
            "memory": memory,
            "disk": disk,
            "transfer": transfer,
            "vcpus": vcpus,
            "gpus": 0,
            "accelerated_devices": 0,
            "network_out": network_out,
            "class": kind,
            "successor": None,
        }
        for id, label, kind, disk, memory, vcpus, transfer, network_out, monthly, backups in _TYPES
    }


def images() -> Catalog:
    """Images by id, as `GET /images/{id}` answers; a fresh copy."""
    return {
        id: {
            "id": id,
            "label": label,
            "description": "",
            "created": "2025-08-12T09:00:00",
            "updated": "2025-08-12T09:00:00",
            "size": size,
            "total_size": 0,
            "created_by": "linode",
            "type": "manual",
            "tags": [],
            "is_public": True,
            "is_shared": False,
            "deprecated": False,
            "vendor": vendor,
            "expiry": None,
            "eol": "2030-06-30T04:00:00",
            "status": "available",
            "capabilities": list(capabilities),
            "regions": [],
        }
        for id, label, vendor, size, capabilities in _IMAGES
    }


def endpoints() -> Catalog:
    """Object storage endpoints by region, as the list `GET /object-storage/endpoints` holds them."""
    return {
        id: {"region": id, "endpoint_type": storage[1], "s3_endpoint": f"{storage[0]}.linodeobjects.com"}
        for id, _, _, _, storage in _REGIONS
        if storage
    }


def _price(monthly: float) -> dict[str, float]:
    return {"hourly": round(monthly / HOURS_A_MONTH, 4), "monthly": monthly}


def _one(catalog: Catalog, id: str) -> Json:
    if id not in catalog:
        raise not_found()
    return catalog[id]


OPERATIONS = [
    Operation("GET", "/regions", lambda call: call.page(list(call.cloud.regions.values())), public=True),
    Operation("GET", "/regions/{id}", lambda call: _one(call.cloud.regions, call.params["id"]), public=True),
    Operation("GET", "/linode/types", lambda call: call.page(list(call.cloud.types.values())), public=True),
    Operation("GET", "/linode/types/{id}", lambda call: _one(call.cloud.types, call.params["id"]), public=True),
    Operation("GET", "/images", lambda call: call.page(list(call.cloud.images.values())), public=True),
    Operation("GET", "/images/{id:path}", lambda call: _one(call.cloud.images, call.params["id"]), public=True),
]
