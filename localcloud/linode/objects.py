"""Object storage in the API: endpoints, buckets and their access, keys. Objects are in s3.py."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.linode.errors import invalid, not_found, refused
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

ACLS = ("private", "public-read", "authenticated-read", "public-read-write")
_LABEL = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REDACTED = "[REDACTED]"
# The newer endpoints have no cluster id, and no CORS setting in this API.
_NEWER = ("E2", "E3")


def _cluster(endpoint: Json) -> str:
    return "" if endpoint["endpoint_type"] in _NEWER else str(endpoint["s3_endpoint"]).partition(".")[0]


@dataclass(frozen=True)
class Stored:
    """An object and its content type."""

    content: bytes
    content_type: str


@dataclass
class Bucket:
    """A bucket; `cors`: whether CORS is on (the default); `objects` by key."""

    label: str
    region: str
    created: str
    acl: str = "private"
    cors: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)

    def json(self, cloud: Cloud) -> Json:
        endpoint = cloud.endpoints[self.region]
        host = cloud.s3_host or endpoint["s3_endpoint"]
        return {
            "label": self.label,
            "cluster": _cluster(endpoint),
            "region": self.region,
            "created": self.created,
            "hostname": f"{self.label}.{host}",
            "objects": len(self.objects),
            "size": sum(len(item.content) for item in self.objects.values()),
            "s3_endpoint": host,
            "endpoint_type": endpoint["endpoint_type"],
        }


@dataclass
class Key:
    """An access key; the secret is shown once, in the answer to its creation."""

    id: int
    label: str
    access_key: str
    secret_key: str
    access: list[Json] | None
    regions: list[str]

    def json(self, cloud: Cloud, secret: str = _REDACTED) -> Json:
        known = [cloud.endpoints[region] for region in self.regions]
        return {
            "id": self.id,
            "label": self.label,
            "access_key": self.access_key,
            "secret_key": secret,
            "limited": self.access is not None,
            "bucket_access": self.access,
            "regions": [
                {
                    "id": endpoint["region"],
                    "s3_endpoint": endpoint["s3_endpoint"],
                    "endpoint_type": endpoint["endpoint_type"],
                }
                for endpoint in known
            ],
        }


def _bucket(call: Call) -> Bucket:
    region, label = call.params["region"], call.params["label"]
    if region not in call.cloud.endpoints:
        raise refused(404, "The specified region was not found or does not support Object Storage.")
    if (region, label) not in call.cloud.buckets:
        raise not_found()
    return call.cloud.buckets[region, label]


def _key(call: Call) -> Key:
    if call.id not in call.cloud.keys:
        raise refused(404, "The specified access key was not found.")
    return call.cloud.keys[call.id]


def _create_bucket(call: Call) -> Json:
    region, label, cloud = call.body.get("region"), call.body.get("label"), call.cloud
    if region not in cloud.endpoints:
        raise invalid("The specified region was not found or does not support Object Storage.", "region")
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise invalid("Bucket names are 3-63 lowercase letters, digits, dots and dashes", "label")
    if (region, label) in cloud.buckets:
        raise invalid("The bucket already exists", "label")
    bucket = Bucket(label, region, now(), cors=call.body.get("cors_enabled", True))
    _set_acl(bucket, call.body)
    cloud.buckets[region, label] = bucket
    return bucket.json(cloud)


def _set_acl(bucket: Bucket, body: Json) -> None:
    if body.get("acl") is not None:
        if body["acl"] not in ACLS:
            raise invalid(f"Must be one of {', '.join(ACLS)}", "acl")
        bucket.acl = body["acl"]
    if body.get("cors_enabled") is not None:
        bucket.cors = bool(body["cors_enabled"])


def _set_access(call: Call) -> Json:
    _set_acl(_bucket(call), call.body)
    return {}


def _access(call: Call) -> Json:
    bucket = _bucket(call)
    settable = call.cloud.endpoints[bucket.region]["endpoint_type"] not in _NEWER
    return {
        "acl": bucket.acl,
        "acl_xml": "<AccessControlPolicy/>",
        "cors_enabled": bucket.cors if settable else None,
        "cors_xml": "<CORSConfiguration/>" if settable and bucket.cors else None,
    }


def _delete_bucket(call: Call) -> Json:
    bucket = _bucket(call)
    if bucket.objects:
        raise invalid("Bucket is not empty. Please delete all objects before attempting to delete the bucket.")
    del call.cloud.buckets[bucket.region, bucket.label]
    return {}


def _create_key(call: Call) -> Json:
    cloud, label, access = call.cloud, call.body.get("label"), call.body.get("bucket_access")
    if not isinstance(label, str) or not 1 <= len(label) <= 50:
        raise invalid("Length must be 1-50 characters", "label")
    for grant in access or []:
        if (grant.get("region"), grant.get("bucket_name")) not in cloud.buckets:
            raise invalid("The specified bucket was not found", "bucket_access")
        if grant.get("permissions") not in ("read_only", "read_write"):
            raise invalid("Must be one of read_only, read_write", "bucket_access")
    regions = list(call.body.get("regions") or [grant["region"] for grant in access or []] or cloud.endpoints)
    id = cloud.next_id()
    named = [
        {
            "cluster": _cluster(cloud.endpoints[grant["region"]]),
            "region": grant["region"],
            "bucket_name": grant["bucket_name"],
            "permissions": grant["permissions"],
        }
        for grant in access or []
    ]
    key = Key(id, label, f"LOCAL{id:015d}", f"local-secret-{id:027d}", named or None, list(dict.fromkeys(regions)))
    cloud.keys[id] = key
    return key.json(cloud, key.secret_key)


def _update_key(call: Call) -> Json:
    key = _key(call)
    key.label = call.body.get("label", key.label)
    key.regions = list(call.body.get("regions", key.regions))
    return key.json(call.cloud)


def _delete_key(call: Call) -> Json:
    del call.cloud.keys[_key(call).id]
    return {}


def _list_buckets(call: Call) -> Json:
    region = call.params.get("region")
    mine = [bucket for bucket in call.cloud.buckets.values() if region in (None, bucket.region)]
    return call.page([bucket.json(call.cloud) for bucket in mine])


OPERATIONS = [
    Operation("GET", "/object-storage/endpoints", lambda call: call.page(list(call.cloud.endpoints.values()))),
    Operation("GET", "/object-storage/buckets", _list_buckets),
    Operation("POST", "/object-storage/buckets", _create_bucket),
    Operation("GET", "/object-storage/buckets/{region}", _list_buckets),
    Operation("GET", "/object-storage/buckets/{region}/{label}", lambda call: _bucket(call).json(call.cloud)),
    Operation("DELETE", "/object-storage/buckets/{region}/{label}", _delete_bucket),
    Operation("GET", "/object-storage/buckets/{region}/{label}/access", _access),
    Operation("POST", "/object-storage/buckets/{region}/{label}/access", _set_access),
    Operation("PUT", "/object-storage/buckets/{region}/{label}/access", _set_access),
    Operation(
        "GET",
        "/object-storage/keys",
        lambda call: call.page([key.json(call.cloud) for key in call.cloud.keys.values()]),
    ),
    Operation("POST", "/object-storage/keys", _create_key),
    Operation("GET", "/object-storage/keys/{id:int}", lambda call: _key(call).json(call.cloud)),
    Operation("PUT", "/object-storage/keys/{id:int}", _update_key),
    Operation("DELETE", "/object-storage/keys/{id:int}", _delete_key),
]
