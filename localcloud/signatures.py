"""Signatures of S3 requests, version 4, made and checked with botocore."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

#: The region that the real provider signs for; Linode accepts any.
REGION = "auto"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)


def sign(method: str, url: str, body: bytes, key: str, secret: str) -> dict[str, str]:
    """Return the headers that authenticate a request."""
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
    request = AWSRequest(method, url, headers, body)
    S3SigV4Auth(Credentials(key, secret), "s3", REGION).add_auth(request)
    return dict(request.headers.items())


def access_key(headers: Mapping[str, str]) -> str | None:
    """Return the access key that a request names."""
    claim = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    return claim["key"] if claim else None


def is_genuine(method: str, url: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Return whether a request was signed with `secret` and its body is the one that was signed."""
    claim = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    content = headers.get("x-amz-content-sha256", "")
    if claim is None or content not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return False
    signed = {name: headers.get(name, "") for name in claim["headers"].split(";")}
    request = AWSRequest(method, url, signed)
    request.context["timestamp"] = headers.get("x-amz-date", "")
    auth = S3SigV4Auth(Credentials(claim["key"], secret), "s3", claim["region"])
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return hmac.compare_digest(expected, claim["signature"])
