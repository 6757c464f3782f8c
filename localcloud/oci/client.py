"""A registry client that behaves as Harbor's docker-registry adapter and its replication do.

Error messages are those of Harbor's `status_text` and task logs.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import certifi
import httpx

from localcloud.oci.store import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    FOREIGN_LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageStore,
    Manifest,
    digest_of,
    references,
)

TIMEOUT_SECONDS = 30.0  # a local registry answers at once: only a hanging test takes longer
CATALOG_PAGE = 1000  # what Harbor asks for
ACCEPT = ", ".join([OCI_INDEX, DOCKER_MANIFEST_LIST, OCI_MANIFEST, DOCKER_MANIFEST])
_TOKEN_SECONDS = 60  # the token specification's default when `expires_in` is missing
_EARLY_SECONDS = 10  # a token is renewed this long before it ends


class RegistryError(Exception):
    """An error response: `status`, and `code` and `message` of its first error ("" without one)."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"http status code: {status}, body: {body}")
        self.status = status
        self.body = body
        try:
            error = json.loads(body)["errors"][0]
            self.code, self.message = str(error["code"]), str(error["message"])
        except (ValueError, LookupError, TypeError):
            self.code = self.message = ""


class RegistryUnreachable(Exception):
    """No response: refused, closed, unknown host or timed out; with the message of Go's HTTP client."""


def _trusting(certificates: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_verify_locations(cadata=certificates)
    return context


class Remote:
    """A client of one registry; it detects whether the registry needs no, Basic or Bearer credentials.

    Without a scheme, `url` is http, as in Harbor. A `ca_certificate` is trusted besides the
    public authorities, and `insecure` has no effect beside it. All calls raise
    RegistryError and RegistryUnreachable.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        insecure: bool = False,
        timeout: float = TIMEOUT_SECONDS,
        ca_certificate: str = "",
    ) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self._basic = httpx.BasicAuth(username or "", password or "") if username or password else None
        self._challenge: tuple[str, dict[str, str]] | None = None
        self._tokens: dict[str, tuple[str, float]] = {}
        self._http = httpx.Client(
            verify=_trusting(ca_certificate) if ca_certificate else not insecure,
            timeout=timeout,
            follow_redirects=True,
            trust_env=False,
            headers={"User-Agent": "harbor-registry-client"},
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self) -> None:
        """Request /v2/ with the credentials; RegistryError 401 means that they are missing or wrong."""
        self._request("GET", "/v2/", "")

    def catalog(self) -> list[str]:
        """Return all repositories, page by page."""
        path = f"/v2/_catalog?n={CATALOG_PAGE}"
        return [str(name) for name in self._pages(path, "registry:catalog:*", "repositories")]

    def tags(self, repository: str) -> list[str]:
        """Return all tags, page by page, in the registry's order."""
        path = f"/v2/{repository}/tags/list"
        return [str(tag) for tag in self._pages(path, _pull(repository), "tags")]

    def manifest(self, repository: str, reference: str) -> Manifest:
        """Return the manifest under a tag or digest, of whatever kind, with the digest of its bytes."""
        response = self._request("GET", f"/v2/{repository}/manifests/{reference}", _pull(repository), accept=ACCEPT)
        return Manifest(digest_of(response.content), _media_type(response), response.content)

    def head_manifest(self, repository: str, reference: str) -> Descriptor | None:
        """Return media type, digest and size without the body; None if it does not exist."""
        try:
            response = self._request(
                "HEAD", f"/v2/{repository}/manifests/{reference}", _pull(repository), accept=ACCEPT
            )
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
        return Descriptor(
            _media_type(response),
            response.headers.get("Docker-Content-Digest", ""),
            int(response.headers.get("Content-Length", 0)),
        )

    def referrers(self, repository: str, digest: str) -> list[str]:
        """Return the digests of the manifests that refer to this one."""
        path = f"/v2/{repository}/referrers/{digest}"
        return [str(entry["digest"]) for entry in self._pages(path, _pull(repository), "manifests")]

    def blob(self, repository: str, digest: str) -> bytes:
        return self._request("GET", f"/v2/{repository}/blobs/{digest}", _pull(repository)).content

    def _pages(self, path: str, scope: str, key: str) -> Iterator[Any]:
        """Return the items of a list, page by page."""
        next_page: str | None = path
        while next_page:
            response = self._request("GET", next_page, scope)
            items = _document(response).get(key) or []
            if not isinstance(items, list):
                raise RegistryError(response.status_code, response.text)
            yield from items
            next_page = response.links.get("next", {}).get("url")

    def _request(self, method: str, path: str, scope: str, accept: str = "*/*") -> httpx.Response:
        if self._challenge is None:
            self._challenge = _challenge(self._send("GET", f"{self.url}/v2/", {}))
        url = path if "://" in path else self.url + path
        response = self._send(method, url, {"Accept": accept}, self._authorization(scope))
        if not response.is_success:
            raise RegistryError(response.status_code, response.text)
        return response

    def _authorization(self, scope: str) -> httpx.Auth | None:
        scheme, parameters = self._challenge or ("", {})
        if scheme == "basic":
            return self._basic
        if scheme == "bearer":
            return _Bearer(self._token(parameters, scope))
        return None

    def _token(self, parameters: dict[str, str], scope: str) -> str:
        token, ends = self._tokens.get(scope, ("", 0.0))
        if time.monotonic() < ends - _EARLY_SECONDS:
            return token
        query = {"service": parameters.get("service", "")} | ({"scope": scope} if scope else {})
        response = self._send("GET", parameters.get("realm", ""), {}, self._basic, query)
        if response.status_code != 200:
            raise RegistryError(response.status_code, response.text)
        answer = _document(response)
        token, seconds = str(answer.get("token") or answer.get("access_token") or ""), answer.get("expires_in")
        if not isinstance(seconds, int | float) or not seconds:
            seconds = _TOKEN_SECONDS
        self._tokens[scope] = (token, time.monotonic() + seconds)
        return token

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        auth: httpx.Auth | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(method, httpx.URL(url).copy_merge_params(query or {}), headers=headers, auth=auth)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryUnreachable(f'{method.capitalize()} "{url}": {_reason(url, error)}') from error


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _challenge(response: httpx.Response) -> tuple[str, dict[str, str]]:
    if response.status_code != 401:
        return "", {}
    scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
    return scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest))


def _document(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a response. Raise RegistryError for any other body, as Harbor's adapter does."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RegistryError(response.status_code, response.text)
    return document


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0]


def _reason(url: str, error: Exception) -> str:
    """Return the message of Go's net/http for the same failure."""
    if isinstance(error, httpx.InvalidURL):
        return str(error)
    parts = httpx.URL(url)
    address = f"{parts.host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    text = str(error)
    if isinstance(error, httpx.TimeoutException):
        return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, httpx.ConnectError):
        if "refused" in text:
            return f"dial tcp {address}: connect: connection refused"
        if "name" in text.lower():
            return f"dial tcp: lookup {parts.host}: no such host"
        return f"dial tcp {address}: {text}"
    if isinstance(error, httpx.RemoteProtocolError):
        return "EOF"
    if isinstance(error, httpx.ReadError):
        return f"read tcp {address}: connection reset by peer"
    return text


StepKind = Literal[
    "copying",  # an artifact is begun
    "pulling",  # its manifest is asked for
    "pulled",
    "same",  # the destination has this digest under this reference: nothing to do
    "kept",  # it has another digest, and override is off: nothing done
    "replacing",  # it has another digest, and override is on
    "foreign",  # a layer that stays where it is
    "blob",  # a blob is begun
    "blob-exists",  # the destination repository has it
    "blob-mounted",  # another repository of the destination, `mounted_from`, has it
    "blob-copied",  # its bytes came over the network
    "blob-done",
    "pushing",
    "pushed",
    "copied",  # the artifact is complete
]


@dataclass(frozen=True)
class Step:
    """A step of a copy. For a blob, `reference` is its digest and `size` its bytes."""

    kind: StepKind
    source: str
    reference: str
    destination: str
    destination_reference: str
    size: int = 0
    mounted_from: str = ""


OnStep = Callable[[Step], None]
MoveBlob = Callable[[Remote, str, Descriptor, ImageStore, str, OnStep], int]


def ignore(_step: Step) -> None:
    """Ignore a step."""


def copy_image(
    remote: Remote,
    repository: str,
    reference: str,
    store: ImageStore,
    dest_repository: str,
    dest_tag: str,
    *,
    override: bool = True,
    on_step: OnStep = ignore,
    move_blob: MoveBlob | None = None,
) -> int:
    """Copy a manifest or index with all its references; return the transferred bytes.

    `on_step` gets each step before the next begins; an exception in it (stop, quota) ends the copy. `move_blob`
    takes the place of `copy_blob`, to retry or to refuse. Raise RegistryError, RegistryUnreachable, and ValueError
    for content that does not match its digest.
    """

    def tell(kind: StepKind) -> None:
        on_step(Step(kind, repository, reference, dest_repository, dest_tag))

    tell("copying")
    tell("pulling")
    manifest = remote.manifest(repository, reference)
    tell("pulled")
    present = store.manifest(dest_repository, dest_tag)
    if present is not None:
        if present.digest == manifest.digest:
            tell("same")
            return 0
        if not override:
            tell("kept")
            return 0
        tell("replacing")
    copied = len(manifest.body)
    for child in references(manifest.body):
        if child.is_manifest:
            copied += copy_image(
                remote,
                repository,
                child.digest,
                store,
                dest_repository,
                child.digest,
                on_step=on_step,
                move_blob=move_blob,
            )
        else:
            copied += (move_blob or copy_blob)(remote, repository, child, store, dest_repository, on_step)
    tell("pushing")
    store.put_manifest(dest_repository, dest_tag, manifest.body, manifest.media_type)
    tell("pushed")
    tell("copied")
    return copied


def copy_blob(
    remote: Remote,
    repository: str,
    blob: Descriptor,
    store: ImageStore,
    dest_repository: str,
    on_step: OnStep = ignore,
) -> int:
    """Make one config or layer available in the destination; return the transferred bytes."""
    digest = blob.digest

    def tell(kind: StepKind, mounted_from: str = "") -> None:
        on_step(Step(kind, repository, digest, dest_repository, digest, blob.size, mounted_from))

    if blob.media_type == FOREIGN_LAYER:
        tell("foreign")
        return 0
    tell("blob")
    copied = 0
    holders = store.repositories_with_blob(digest)
    if dest_repository in holders:
        tell("blob-exists")
    elif holders and store.mount_blob(digest, dest_repository):
        tell("blob-mounted", holders[0])
    else:
        data = remote.blob(repository, digest)
        if digest_of(data) != digest:
            raise ValueError(f"the source sent {digest_of(data)} for blob {digest}")
        store.put_blob(data, dest_repository)
        copied = len(data)
        tell("blob-copied")
    tell("blob-done")
    return copied
