"""The OCI distribution API over an `ImageStore`, with the answers of Debian's docker-registry (distribution 2.8.2).

It differs where OCI distribution 1.1 or other registries go further: one POST with `?digest=` and a body completes an
upload, and tags/list is paged. It leaves out what no client here uses: ranges of blobs, conditional requests, deleting
blobs, status and cancellation of uploads, and other forms of a Docker manifest or list than the pushed one.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from localcloud.oci.auth import (
    API_VERSION,
    Action,
    Authorizer,
    absolute_url,
    allow_all,
    json_response,
    registry_error,
    registry_errors,
)
from localcloud.oci.store import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageStore,
    catalog_key,
    digest_of,
    is_digest,
    references,
)

CATALOG_PAGE = 100  # distribution 2.8.2 without `n`
CATALOG_MAXIMUM = 1000  # distribution 2.8.2 refuses a larger `n`

_COMPONENT = r"[A-Za-z0-9]+(?:(?:\.|_{1,2}|-+)[A-Za-z0-9]+)*"
_NAME = rf"(?P<name>{_COMPONENT}(?:/{_COMPONENT})*)"
_REFERENCE = r"(?P<reference>sha256:[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127})"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

# Errors for clients that request a manifest with a wrong Accept header.
_NOT_ACCEPTED = {
    OCI_MANIFEST: "OCI manifest found, but accept header does not support OCI manifests",
    OCI_INDEX: "OCI index found, but accept header does not support OCI indexes",
}


@dataclass(frozen=True)
class Event:
    """A manifest was served (GET), pushed or deleted; told after it happened."""

    action: Literal["pull", "push", "delete"]
    request: Request
    repository: str
    reference: str
    digest: str


@dataclass
class _Upload:
    repository: str
    data: bytearray = field(default_factory=bytearray)


#: Returns the response for a missing repository (reference None) or manifest.
Missing = Callable[[str, str | None], Response]


def distribution_app(
    store: ImageStore,
    authorize: Authorizer = allow_all,
    *,
    page_size: int | None = None,
    observe: Callable[[Event], None] | None = None,
    missing: Missing | None = None,
    referrers: bool = False,
) -> Starlette:
    """Return the API under /v2/, at the root of a server or mounted at `/` or `/v2` of another application.

    `page_size` caps every page of the catalog and of tags/list, also for a client that asks for no `n`; None pages
    the catalog as distribution does and tags/list only on demand. `authorize` and `observe` run in worker threads.
    `missing` returns the response for a missing repository or manifest; None means distribution's own. `referrers`
    adds the referrers API of OCI distribution 1.1, which distribution itself lacks.
    """
    handler = _Registry(store, authorize, page_size, observe, missing or _missing, referrers=referrers)
    return Starlette(routes=[Route("/{path:path}", handler.dispatch, methods=_METHODS)])


class _Registry:
    def __init__(
        self,
        store: ImageStore,
        authorize: Authorizer,
        page_size: int | None,
        observe: Callable[[Event], None] | None,
        missing: Missing,
        *,
        referrers: bool,
    ) -> None:
        self._store = store
        self._authorize = authorize
        self._page_size = page_size
        self._observe = observe
        self._missing = missing
        self._uploads: dict[str, _Upload] = {}
        Handler = Callable[..., Awaitable[Response]]
        self._routes: list[tuple[re.Pattern[str], dict[str, Handler]]] = [
            (re.compile(r"/v2/_catalog"), {"GET": self._catalog}),
            (re.compile(rf"/v2/{_NAME}/tags/list"), {"GET": self._tags}),
            (
                re.compile(rf"/v2/{_NAME}/manifests/{_REFERENCE}"),
                {
                    "DELETE": self._delete_manifest,
                    "GET": self._get_manifest,
                    "HEAD": self._get_manifest,
                    "PUT": self._put_manifest,
                },
            ),
            (re.compile(rf"/v2/{_NAME}/blobs/uploads/"), {"POST": self._start_upload}),
            (
                re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<upload_id>[A-Za-z0-9._=-]+)"),
                {
                    "PATCH": self._append,
                    "PUT": self._finish_upload,
                },
            ),
            (
                re.compile(rf"/v2/{_NAME}/blobs/(?P<digest>sha256:[^/]+)"),
                {"GET": self._get_blob, "HEAD": self._get_blob},
            ),
        ]
        if referrers:
            path = re.compile(rf"/v2/{_NAME}/referrers/(?P<digest>sha256:[0-9a-f]{{64}})")
            self._routes.append((path, {"GET": self._referrers}))

    async def dispatch(self, request: Request) -> Response:
        path = request.url.path
        if path == "/v2" or path.endswith("/blobs/uploads"):
            return RedirectResponse(f"{path}/", 301, API_VERSION)
        if path == "/v2/":
            refusal = await self._refusal(request, None, "base")
            return refusal or Response("{}", 200, API_VERSION, "application/json; charset=utf-8")
        for pattern, handlers in self._routes:
            if match := pattern.fullmatch(path):
                handler = handlers.get(request.method)
                if handler is None:
                    return _plain(405, "Method not allowed\n")
                refusal = await self._refusal(request, match.groupdict().get("name"), _action(request))
                return refusal or await handler(request, **match.groupdict())
        return _plain(404, "404 page not found\n")

    async def _refusal(self, request: Request, repository: str | None, action: Action) -> Response | None:
        if repository is None and action != "base":
            action = "catalog"
        return await run_in_threadpool(self._authorize, request, repository, action)

    async def _tell(
        self, action: Literal["pull", "push", "delete"], request: Request, name: str, reference: str, digest: str
    ) -> None:
        if self._observe is not None:
            await run_in_threadpool(self._observe, Event(action, request, name, reference, digest))

    # Lists

    async def _catalog(self, request: Request) -> Response:
        n = request.query_params.get("n", "")
        count = int(n) if n.isdecimal() else CATALOG_PAGE
        if count > CATALOG_MAXIMUM:
            return _bad_page({"n": count})
        page, more = _page(request, self._store.repositories(), self._limit(count), catalog_key)
        return json_response({"repositories": page}, headers=_link(request, page, more))

    async def _tags(self, request: Request, name: str) -> Response:
        if not self._store.ever_tagged(name):
            return self._missing(name, None)
        n = request.query_params.get("n")
        if n is not None and not n.isdecimal():
            return _bad_page({"n": n})
        page, more = _page(request, list(self._store.tags(name)), self._limit(None if n is None else int(n)), str)
        return json_response({"name": name, "tags": page or None}, headers=_link(request, page, more))

    def _limit(self, count: int | None) -> int | None:
        limits = [limit for limit in (count, self._page_size) if limit is not None]
        return min(limits, default=None)

    # Manifests

    async def _get_manifest(self, request: Request, name: str, reference: str) -> Response:
        manifest = self._store.manifest(name, reference)
        if manifest is None:
            return self._missing(name, reference)
        accepted = _accepted(request)
        if manifest.media_type in _NOT_ACCEPTED and manifest.media_type not in accepted:
            return _manifest_unknown(_NOT_ACCEPTED[manifest.media_type])
        if request.method == "GET":
            await self._tell("pull", request, name, reference, manifest.digest)
        headers = {**API_VERSION, "Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
        return Response(manifest.body, 200, headers, manifest.media_type)

    async def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        body = await request.body()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if not _well_formed(body, media_type):
            return registry_error(400, "MANIFEST_INVALID", "manifest invalid", {})
        if is_digest(reference) and reference != digest_of(body):
            return _digest_invalid()
        missing = self._store.missing_references(name, body)
        if missing:
            return registry_errors(
                400,
                [
                    {
                        "code": "MANIFEST_BLOB_UNKNOWN",
                        "message": "blob unknown to registry",
                        "detail": child.digest,
                    }
                    for child in missing
                ],
            )
        digest = self._store.put_manifest(name, reference, body, media_type)
        await self._tell("push", request, name, reference, digest)
        return _created(request, f"/v2/{name}/manifests/{digest}", digest)

    async def _referrers(self, _request: Request, name: str, digest: str) -> Response:
        """Return what refers to a manifest: an empty list for one that nothing refers to, or that does not exist."""
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self._store.referrers(name, digest)}
        return Response(json.dumps(index), 200, API_VERSION, OCI_INDEX)

    async def _delete_manifest(self, request: Request, name: str, reference: str) -> Response:
        if not is_digest(reference):
            return _digest_invalid()
        if not self._store.delete_manifest(name, reference):
            return _manifest_unknown("manifest unknown")
        await self._tell("delete", request, name, reference, reference)
        return Response(None, 202, API_VERSION)

    # Blobs

    async def _get_blob(self, _request: Request, name: str, digest: str) -> Response:
        if not is_digest(digest):
            return _digest_invalid({})
        data = self._store.blob(digest, name)
        if data is None:
            return registry_error(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)
        headers = {
            **API_VERSION,
            "Cache-Control": "max-age=31536000",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
        }
        return Response(data, 200, headers, "application/octet-stream")

    # Uploads

    async def _start_upload(self, request: Request, name: str) -> Response:
        query = request.query_params
        source, mount = query.get("from"), query.get("mount")
        if source and mount:
            refusal = await self._refusal(request, source, "pull")
            if refusal is not None:
                return refusal
            if self._store.blob(mount, source) is not None and self._store.mount_blob(mount, name):
                return _created(request, f"/v2/{name}/blobs/{mount}", mount)
        body = await request.body()
        if "digest" in query and body:
            return self._keep(request, name, body)
        upload_id = str(uuid.uuid4())
        self._uploads[upload_id] = _Upload(name)
        return self._progress(request, upload_id, 202)

    async def _append(self, request: Request, name: str, upload_id: str) -> Response:
        refusal = self._upload_refusal(request, name, upload_id)
        if refusal is None:
            self._uploads[upload_id].data += await request.body()
        return refusal or self._progress(request, upload_id, 202)

    async def _finish_upload(self, request: Request, name: str, upload_id: str) -> Response:
        refusal = self._upload_refusal(request, name, upload_id)
        if refusal is not None:
            return refusal
        body = await request.body()
        return self._keep(request, name, bytes(self._uploads.pop(upload_id).data) + body)

    def _keep(self, request: Request, name: str, data: bytes) -> Response:
        digest = request.query_params.get("digest")
        if not digest:
            return _digest_invalid("digest missing")
        if not is_digest(digest):
            return _digest_invalid("digest parsing failed")
        if digest_of(data) != digest:
            return _digest_invalid({"Digest": digest, "Reason": {}})
        self._store.put_blob(data, name)
        return _created(request, f"/v2/{name}/blobs/{digest}", digest)

    def _upload_refusal(self, request: Request, name: str, upload_id: str) -> Response | None:
        """Return the error unless the upload exists and the request uses its newest URL."""
        state = request.query_params.get("_state")
        if state is None:
            return registry_error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid", {})
        upload = self._uploads.get(upload_id)
        if upload is None or upload.repository != name:
            return registry_error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", {})
        if state != str(len(upload.data)):
            return registry_error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        return None

    def _progress(self, request: Request, upload_id: str, status: int) -> Response:
        upload = self._uploads[upload_id]
        size = len(upload.data)
        path = f"/v2/{upload.repository}/blobs/uploads/{upload_id}"
        headers = {
            **API_VERSION,
            "Docker-Upload-UUID": upload_id,
            "Location": absolute_url(request, path, urlencode({"_state": size})),
            "Range": f"0-{max(size - 1, 0)}",
        }
        return Response(None, status, headers)


def _action(request: Request) -> Action:
    if request.method in ("GET", "HEAD"):
        return "pull"
    return "delete" if request.method == "DELETE" else "push"


def _accepted(request: Request) -> set[str]:
    values = ",".join(request.headers.getlist("accept")).split(",")
    return {value.partition(";")[0].strip() for value in values}


def _well_formed(body: bytes, media_type: str) -> bool:
    if media_type not in MANIFEST_TYPES:
        return False
    try:
        references(body)
    except ValueError:
        return False
    document = json.loads(body)
    # mediaType is required in Docker's types and optional in OCI's.
    if document.get("mediaType", media_type if media_type in _NOT_ACCEPTED else None) != media_type:
        return False
    wanted, unwanted = ("manifests", "layers") if media_type in INDEX_TYPES else ("config", "manifests")
    return document.get("schemaVersion") == 2 and wanted in document and unwanted not in document


def _page(request: Request, names: list[str], limit: int | None, key: Callable[[str], str]) -> tuple[list[str], bool]:
    """Return the part of the sorted names after `last`, and whether more follow."""
    last = request.query_params.get("last", "")
    rest = [name for name in names if key(name) > key(last)]
    page = rest if limit is None else rest[:limit]
    return page, bool(page) and len(rest) > len(page)


def _link(request: Request, page: list[str], more: bool) -> dict[str, str]:
    if not more:
        return {}
    query = urlencode({"last": page[-1], "n": len(page)})
    return {"Link": f'<{request.url.path}?{query}>; rel="next"'}


def _created(request: Request, path: str, digest: str) -> Response:
    headers = {**API_VERSION, "Docker-Content-Digest": digest, "Location": absolute_url(request, path)}
    return Response(None, 201, headers)


def _plain(status: int, text: str) -> Response:
    return Response(text, status, API_VERSION, "text/plain; charset=utf-8")


def _bad_page(detail: dict[str, Any]) -> Response:
    return registry_error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", detail)


def _digest_invalid(*detail: Any) -> Response:
    return registry_error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", *detail)


def _missing(name: str, reference: str | None) -> Response:
    if reference is None:
        return registry_error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": name})
    detail = {"Name": name, "Revision": reference} if is_digest(reference) else {"Tag": reference}
    return _manifest_unknown("manifest unknown", detail)


def _manifest_unknown(message: str, *detail: Any) -> Response:
    return registry_error(404, "MANIFEST_UNKNOWN", message, *detail)
