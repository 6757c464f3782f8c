"""The account itself, its one user, and tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from localcloud.linode.errors import invalid, not_found
from localcloud.linode.events import USERNAME
from localcloud.linode.instances import TAG_LENGTHS, show
from localcloud.linode.routing import Call, Json, Operation

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

_EMAIL = "local@example.com"


def _account(_: Call) -> Json:
    texts = ("company", "first_name", "last_name", "address_1", "address_2", "city", "state", "zip", "phone", "tax_id")
    return dict.fromkeys(texts, "") | {
        "email": _EMAIL,
        "country": "US",
        "balance": 0.0,
        "balance_uninvoiced": 0.0,
        "billing_source": "linode",
        "credit_card": {"last_four": None, "expiry": None},
        "active_since": "2020-01-01T00:00:00",
        "capabilities": ["Linodes", "Block Storage", "Object Storage", "Cloud Firewall", "Block Storage Encryption"],
        "active_promotions": [],
        "euuid": "00000000-0000-4000-8000-000000000000",
    }


def _profile(_: Call) -> Json:
    return {
        "uid": 1,
        "username": USERNAME,
        "email": _EMAIL,
        "verified_phone_number": None,
        "timezone": "GMT",
        "email_notifications": False,
        "referrals": {"code": "", "url": "", "total": 0, "completed": 0, "pending": 0, "credit": 0},
        "ip_whitelist_enabled": False,
        "lish_auth_method": "password_keys",
        "authorized_keys": None,
        "two_factor_auth": True,
        "restricted": False,
        "authentication_type": "password",
        "user_type": "default",
    }


def _tagged(cloud: Cloud) -> Iterator[tuple[list[str], str, Json]]:
    yield from ((one.tags, "linode", show(one)) for one in cloud.instances.values())
    yield from ((one.tags, "volume", one.json(cloud)) for one in cloud.volumes.values())
    yield from ((one.tags, "domain", one.json()) for one in cloud.domains.values())
    yield from ((one.tags, "reserved_ipv4_address", one.json(cloud)) for one in cloud.addresses.values())


def _known(call: Call) -> str:
    label = str(call.params["label"])
    if label not in call.cloud.tags:
        raise not_found()
    return label


def _create_tag(call: Call) -> Json:
    label = call.body.get("label")
    if not isinstance(label, str) or len(label) not in TAG_LENGTHS:
        raise invalid(f"Length must be {TAG_LENGTHS.start}-{TAG_LENGTHS.stop - 1} characters", "label")
    call.cloud.tags.add(label)
    for kind, owners in (("linodes", call.cloud.instances), ("volumes", call.cloud.volumes)):
        for id in call.body.get(kind) or []:
            if id not in owners:
                raise invalid(f"{kind} is not valid", kind)
            owners[id].tags.append(label)
    return {"label": label}


def _objects(call: Call) -> Json:
    label = _known(call)
    return call.page([{"type": kind, "data": data} for tags, kind, data in _tagged(call.cloud) if label in tags])


def _delete_tag(call: Call) -> Json:
    label = _known(call)
    call.cloud.tags.discard(label)
    for tags, _, _ in _tagged(call.cloud):
        if label in tags:
            tags.remove(label)
    return {}


OPERATIONS = [
    Operation("GET", "/account", _account),
    Operation("GET", "/profile", _profile),
    Operation("GET", "/tags", lambda call: call.page([{"label": label} for label in sorted(call.cloud.tags)])),
    Operation("POST", "/tags", _create_tag),
    Operation("GET", "/tags/{label}", _objects),
    Operation("DELETE", "/tags/{label}", _delete_tag),
]
