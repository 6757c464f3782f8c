"""Object storage over S3: objects in the account's buckets, for access keys. Paths are /BUCKET/KEY."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud import signatures
from localcloud.linode.objects import Bucket, Key, Stored

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

READING = {"GET", "HEAD"}
DEFAULT_TYPE = "application/octet-stream"


def application(cloud: Cloud) -> Starlette:
    """Return an application for GET, HEAD, PUT and DELETE of single objects."""

    async def answer(request: Request) -> Response:
        body = await request.body()
        with cloud.lock:
            return _answer(cloud, request, body)

    methods = [*READING, "PUT", "DELETE"]
    return Starlette(routes=[Route("/{bucket}/{key:path}", answer, methods=methods)])


def _answer(cloud: Cloud, request: Request, body: bytes) -> Response:
    name, path = request.path_params["bucket"], request.path_params["key"]
    key = next(
        (
            candidate
            for candidate in cloud.keys.values()
            if candidate.access_key == signatures.access_key(request.headers)
        ),
        None,
    )
    if key is None:
        return _refused(403, "InvalidAccessKeyId")
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"https://{request.headers['host']}{request.scope['raw_path'].decode()}{query}"
    if not signatures.is_genuine(request.method, url, request.headers, body, key.secret_key):
        return _refused(403, "SignatureDoesNotMatch")
    bucket = next((candidate for (_, label), candidate in cloud.buckets.items() if label == name), None)
    if bucket is None:
        return _refused(404, "NoSuchBucket")
    if not _may(key, bucket, request.method):
        return _refused(403, "AccessDenied")
    if request.method == "PUT":
        bucket.objects[path] = Stored(body, request.headers.get("content-type", DEFAULT_TYPE))
    elif request.method == "DELETE":
        bucket.objects.pop(path, None)
        return Response(status_code=204)
    elif path not in bucket.objects:
        return _refused(404, "NoSuchKey")
    found = bucket.objects[path]
    headers = {"ETag": f'"{hashlib.md5(found.content, usedforsecurity=False).hexdigest()}"'}
    if request.method == "PUT":
        return Response(headers=headers)
    return Response(found.content, headers={**headers, "Content-Type": found.content_type})


def _may(key: Key, bucket: Bucket, method: str) -> bool:
    if key.access is None:
        return True
    granted = [grant["permissions"] for grant in key.access if grant["bucket_name"] == bucket.label]
    return "read_write" in granted or (method in READING and "read_only" in granted)


def _refused(status: int, code: str) -> Response:
    return Response(f"<Error><Code>{code}</Code></Error>", status_code=status, media_type="application/xml")
