"""AWS's signature version 4, as S3 uses it: made by the one that asks, made again by the one that is asked."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
#: What the real provider signs for; S3 at Linode takes any region.
REGION = "auto"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[^/]+)/(?P<day>\d+)/(?P<region>[^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)


def sign(method: str, host: str, path: str, body: bytes, key: str, secret: str, now: datetime) -> dict[str, str]:
    """The headers that make a request without a query one of `key`'s."""
    headers = {
        "host": host,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
    }
    signature = _signature(method, path, "", headers, secret, REGION)
    scope = f"{headers['x-amz-date'][:8]}/{REGION}/s3/aws4_request"
    credential = f"Credential={key}/{scope}, SignedHeaders={';'.join(headers)}, Signature={signature}"
    return {**headers, "authorization": f"{ALGORITHM} {credential}"}


def signer(headers: Mapping[str, str]) -> str | None:
    """The access key that a request claims to be of."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    return found["key"] if found else None


def verified(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether a request was signed with `secret` and its body arrived as it was."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    claimed = headers.get("x-amz-content-sha256", "")
    if found is None or claimed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return False
    signed = {name: headers.get(name, "") for name in found["headers"].split(";")}
    given = {**signed, "x-amz-date": headers.get("x-amz-date", ""), "x-amz-content-sha256": claimed}
    expected = _signature(method, path, query, given, secret, found["region"], names=tuple(signed))
    return hmac.compare_digest(expected, found["signature"])


def _signature(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    secret: str,
    region: str,
    names: tuple[str, ...] = (),
) -> str:
    names = names or tuple(headers)
    stamp = headers["x-amz-date"]
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in names]
    ordered = "&".join(sorted(part if "=" in part else f"{part}=" for part in query.split("&") if part))
    request = [
        method,
        quote(path, safe="/-_.~"),
        ordered,
        "".join(lines),
        ";".join(names),
        headers["x-amz-content-sha256"],
    ]
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256("\n".join(request).encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
