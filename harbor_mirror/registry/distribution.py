"""A client of the OCI distribution API: tags, digests and manifests of any registry.

Digests are read with HEAD, which Docker Hub does not count as a pull; GET is used only if a registry leaves the digest
out. The client answers the registry's challenge, Basic or Bearer, with these limits:

- Only the registry itself gets credentials. A server that it redirects to gets none, and its challenge is ignored.
- A token service gets credentials only if the registry itself names it, with https if the registry uses https.
- A request for a token follows no redirect.

    RegistryError      any error response or failure
    ├── RateLimited    the registry asks for a longer pause than a command can make
    └── NoSuchName     no such repository or manifest
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from harbor_mirror.http import TIMEOUT, Retry, describe_error, new_client, origin, retry_after, send
from harbor_mirror.registry.credentials import Credentials
from harbor_mirror.secret_texts import Secrets

#: Every media type that Harbor copies. A registry may convert to a type in this list, so the list decides the digest.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = frozenset(MANIFESTS[:2])
#: The largest page that the reference registry gives by default; others give fewer and say where to go on.
PAGE_SIZE = 1000
#: Limits for a registry whose pages never end.
MAX_PAGES = 1000
MAX_NAMES = 1_000_000
#: The most redirects that one request follows.
MAX_REDIRECTS = 5
#: Responses to HEAD after which GET is used.
NO_HEAD = frozenset({405, 501})
#: Responses of registries that lack the referrers API of OCI distribution 1.1.
NO_REFERRERS = frozenset({400, 404, 405, 501})
#: A token without `expires_in` lives this long (OCI distribution's token specification).
TOKEN_SECONDS = 60.0
#: Tokens are renewed this early, so that none expires while a request is under way.
TOKEN_MARGIN_SECONDS = 10.0


class RegistryError(Exception):
    """An error response or a failure; `status` is the HTTP status, or None without a response."""

    def __init__(self, registry: str, status: int | None, message: str) -> None:
        self.registry = registry
        self.status = status
        self.message = message
        super().__init__(f"{registry}: {message}")


class RateLimited(RegistryError):
    """Too many requests; `retry_seconds` is how long the registry asks to wait, or None."""

    def __init__(self, registry: str, message: str, retry_seconds: float | None) -> None:
        super().__init__(registry, 429, message)
        self.retry_seconds = retry_seconds


class NoSuchName(RegistryError):
    """The repository or manifest does not exist, or the credentials may not read it."""


@dataclass(frozen=True)
class RateLimit:
    """The pull limit from headers such as `ratelimit-limit: 100;w=21600`."""

    limit: int | None
    remaining: int
    window_seconds: int | None


@dataclass(frozen=True)
class Manifest:
    """A manifest as served; `digest` is computed from the body, not copied from a header."""

    digest: str
    media_type: str
    body: bytes

    @property
    def children(self) -> tuple[str, ...]:
        """Return the digests of an index's manifests; none for an image."""
        listed = json.loads(self.body).get("manifests") or [] if self.media_type in INDEXES else []
        return tuple(child["digest"] for child in listed)


@dataclass(frozen=True)
class Referrer:
    """A manifest that belongs to another one, such as a signature."""

    digest: str
    artifact_type: str


class Registry:
    """A client of the registry at `url` (scheme and host), anonymous without credentials. Thread-safe.

    It trusts `authorities`, certificates in PEM, besides the public ones.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        verify: bool = True,
        authorities: str = "",
        timeout: httpx.Timeout = TIMEOUT,
        retry: Retry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(self.url).netloc
        self.rate_limit: RateLimit | None = None
        self._credentials = credentials
        self._secrets = Secrets()
        if credentials:
            self._secrets.add(credentials.password, credentials.identity_token)
        self._client = new_client(verify=verify, timeout=timeout, authorities=authorities)
        self._retry = retry or Retry()
        self._clock = clock
        self._basic = False
        self._bearer: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of a tag (or of a digest, if it exists), or None. One HEAD request."""
        try:
            response = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", repository)
        except NoSuchName:
            return None
        except RegistryError as error:
            # Some registries don't support HEAD.
            if error.status not in NO_HEAD:
                raise
            return self.manifest(repository, reference).digest
        return response.headers.get("Docker-Content-Digest") or self.manifest(repository, reference).digest

    def manifest(self, repository: str, reference: str) -> Manifest:
        """Return a whole manifest. One GET request, which registries with pull limits count.

        Raise NoSuchName, or RateLimited if the limit is used up: more pulls would take from everybody who shares it.
        """
        if self.rate_limit and self.rate_limit.remaining <= 0:
            raise RateLimited(self.host, f"the pull limit is used up ({self.rate_limit.limit or '?'})", None)
        response = self._ask("GET", f"/v2/{repository}/manifests/{reference}", repository)
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        return Manifest(digest, response.headers.get("Content-Type", "").partition(";")[0].strip(), response.content)

    def referrers(self, repository: str, digest: str) -> list[Referrer] | None:
        """Return what refers to a manifest, without further pages; None if the registry has no referrers API."""
        try:
            response = self._ask("GET", f"/v2/{repository}/referrers/{digest}", repository)
        except RegistryError as error:
            if error.status not in NO_REFERRERS:
                raise
            return None
        try:
            listed = response.json()["manifests"]
            return [Referrer(str(entry["digest"]), str(entry.get("artifactType") or "")) for entry in listed]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def tags(self, repository: str) -> list[str]:
        """Return every tag of a repository. Raise NoSuchName."""
        return self._list(f"/v2/{repository}/tags/list", repository, "tags")

    def catalog(self) -> list[str]:
        """Return every repository; many registries refuse this, or show only some."""
        return self._list("/v2/_catalog", None, "repositories")

    def _list(self, path: str, repository: str | None, key: str) -> list[str]:
        names: list[str] = []
        address = f"{self.url}{path}?n={PAGE_SIZE}"
        for _ in range(MAX_PAGES):
            response = self._ask("GET", address.removeprefix(self.url), repository)
            names += self._names(response, path, key)
            if len(names) > MAX_NAMES:
                raise RegistryError(self.host, None, f"{path} has more than {MAX_NAMES:,} names")
            following = response.links.get("next", {}).get("url")
            if not following:
                return names
            address = urljoin(address, following)
            if not address.startswith(f"{self.url}/"):
                raise RegistryError(self.host, response.status_code, f"the next page of {path} is at another server")
        raise RegistryError(self.host, None, f"{path} does not end after {MAX_PAGES} pages")

    def _names(self, response: httpx.Response, path: str, key: str) -> list[str]:
        try:
            names = response.json().get(key) or []
        except (ValueError, AttributeError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RegistryError(self.host, response.status_code, f"no list at {path}: {response.text[:80]!r}")
        return names

    def _ask(self, method: str, path: str, repository: str | None) -> httpx.Response:
        scope = f"repository:{repository}:pull" if repository else "registry:catalog:*"
        if self._bearer:
            # After the first challenge, get the token first: that saves a 401 for each repository.
            self._renew(scope, None)
        used = self._authorization(scope)
        response = self._exchange(method, path, used)
        if response.status_code == 401 and self._answer_challenge(response, scope, used):
            response = self._exchange(method, path, self._authorization(scope))
        if response.status_code < 300:
            return response
        raise self._error(response, repository or "the list of repositories")

    def _exchange(self, method: str, path: str, authorization: str | None) -> httpx.Response:
        """Send a request and follow its redirects, without the authorization where they leave the registry."""
        headers = {"Accept": ", ".join(MANIFESTS) if "/manifests/" in path else "application/json"}
        home = url = httpx.URL(f"{self.url}{path}")
        for _ in range(MAX_REDIRECTS + 1):
            own = {"Authorization": authorization} if authorization and origin(url) == origin(home) else {}
            response = self._send(partial(self._client.build_request, method, url, headers={**headers, **own}))
            if not response.has_redirect_location:
                break
            url = self._redirect_target(response)
        else:
            raise RegistryError(self.host, response.status_code, f"more than {MAX_REDIRECTS} redirects")
        self.rate_limit = rate_limit(response) or self.rate_limit
        return response

    def _send(self, build: Callable[[], httpx.Request]) -> httpx.Response:
        try:
            return send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise RegistryError(self.host, None, self._secrets.hide(describe_error(error))) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(self.host, None, self._secrets.hide(str(error))) from None

    def _redirect_target(self, response: httpx.Response) -> httpx.URL:
        """Return where a redirect leads. Some registries serve manifests from elsewhere, as registry.k8s.io does."""
        try:
            target = response.url.join(response.headers["Location"])
        except httpx.InvalidURL:
            target = httpx.URL()
        # A path without TLS lets anybody on it choose the response.
        if target.scheme not in {"https", response.url.scheme} or not target.host:
            raise RegistryError(self.host, response.status_code, f"redirects to {_show(target)}; refused")
        return target

    def _error(self, response: httpx.Response, what: str) -> RegistryError:
        status, text = response.status_code, self._secrets.hide(_message(response))
        if status == 404:
            return NoSuchName(self.host, 404, f"no {what}: {text}")
        if status == 429:
            wait = retry_after(response)
            when = f"; it asks to wait {wait:.0f} s" if wait else ""
            return RateLimited(self.host, f"too many requests for {what}{when}: {text}", wait)
        if status in {401, 403}:
            whom = "without credentials" if self._credentials is None else f"to {self._credentials.username}"
            return RegistryError(self.host, status, f"{what} is refused {whom}: {text}")
        return RegistryError(self.host, status, f"HTTP {status} for {what}: {text}")

    # Credentials

    def _authorization(self, scope: str) -> str | None:
        if self._basic and self._credentials:
            return self._credentials.basic
        token, ends = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and self._clock() < ends else None

    def _answer_challenge(self, response: httpx.Response, scope: str, used: str | None) -> bool:
        """Do what a challenge asks for; return whether to repeat the request."""
        if origin(response.url) != origin(httpx.URL(self.url)):
            elsewhere = f"redirects to {_show(response.url.copy_with(raw_path=b'/'))}, which wants credentials"
            raise RegistryError(self.host, 401, f"{elsewhere}; credentials go to {self.host} only")
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "basic":
            self._basic = True
            return self._credentials is not None and used is None
        if scheme.lower() != "bearer":
            return False
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        self._bearer = {name: value for name, value in parameters.items() if name in {"realm", "service"}}
        self._renew(scope, used)
        return True

    def _renew(self, scope: str, used: str | None) -> None:
        """Fetch a token unless there is one other than the refused `used`."""
        if self._authorization(scope) not in {None, used}:
            return
        with self._lock:
            # Another thread may have fetched one meanwhile.
            if self._authorization(scope) in {None, used}:
                self._fetch_token(scope)

    def _fetch_token(self, scope: str) -> None:
        response = self._ask_token_service(self._realm(), scope)
        if response.status_code != 200:
            raise self._error(response, "a token")
        token, seconds = _token(response)
        if not token:
            service = _show(response.url.copy_with(query=None))
            raise RegistryError(self.host, response.status_code, f"its token service {service} gives no token")
        self._secrets.add(token)
        self._tokens = {**self._tokens, scope: (token, self._clock() + seconds)}

    def _realm(self) -> httpx.URL:
        """Return the address of the token service. It may be another host: Docker Hub's is auth.docker.io."""
        text = self._bearer.get("realm", "")
        try:
            realm = httpx.URL(self.url).join(text).copy_with(userinfo=b"")
        except httpx.InvalidURL:
            realm = httpx.URL()
        if realm.scheme not in {"http", "https"} or not realm.host:
            raise RegistryError(self.host, None, f"names a token service without a usable address: {text[:80]!r}")
        if self._credentials and self.url.startswith("https:") and realm.scheme != "https":
            raise RegistryError(self.host, None, f"wants credentials sent to {_show(realm)} without TLS; refused")
        return realm

    def _ask_token_service(self, realm: httpx.URL, scope: str) -> httpx.Response:
        query = {"scope": scope, **({"service": service} if (service := self._bearer.get("service")) else {})}
        if self._credentials and self._credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": self._credentials.identity_token, **query}
            build = partial(self._client.build_request, "POST", realm, data=form)
        else:
            headers = {"Authorization": self._credentials.basic} if self._credentials else {}
            url = realm.copy_merge_params(query)
            build = partial(self._client.build_request, "GET", url, headers=headers)
        try:
            response = self._send(build)
        except RegistryError as error:
            raise RegistryError(self.host, None, f"its token service {_show(realm)}: {error.message}") from None
        if response.has_redirect_location:
            raise RegistryError(
                self.host,
                response.status_code,
                f"its token service {_show(realm)} redirects to {_show(self._redirect_target(response))}; refused",
            )
        return response


def rate_limit(response: httpx.Response) -> RateLimit | None:
    """Return the pull limit in a response's headers, if any."""
    remaining = re.match(r"(\d+)(?:;w=(\d+))?", response.headers.get("RateLimit-Remaining", ""))
    if remaining is None:
        return None
    limit = re.match(r"(\d+)", response.headers.get("RateLimit-Limit", ""))
    window = remaining[2]
    return RateLimit(int(limit[1]) if limit else None, int(remaining[1]), int(window) if window else None)


def _token(response: httpx.Response) -> tuple[str, float]:
    try:
        body: dict[str, Any] = response.json()
        token = str(body.get("token") or body.get("access_token") or "")
        seconds = float(body.get("expires_in") or TOKEN_SECONDS)
    except (ValueError, AttributeError, TypeError):
        return "", 0.0
    return token, max(seconds - TOKEN_MARGIN_SECONDS, 1.0)


def _message(response: httpx.Response) -> str:
    try:
        errors = response.json()["errors"]
        return "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.reason_phrase


def _show(url: httpx.URL) -> str:
    """Return a URL for messages: without user, query and control characters, cut at 80 characters."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))[:80]
