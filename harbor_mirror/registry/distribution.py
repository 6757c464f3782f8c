"""A client of the OCI distribution API: tags, digests and manifests of any registry.

It asks with HEAD, which Docker Hub does not count as a pull, and takes the digest from the answer; only a registry
that leaves the digest out is asked with GET. Credentials follow the registry's challenge: Basic, or a Bearer token.

    RegistryError      any refusal or failure
    ├── RateLimited    the registry wants a longer pause than a command can make
    └── NoSuchName     no such repository or manifest
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from harbor_mirror.http import TIMEOUT, Retry, Secrets, in_words, new_client, retry_after, send
from harbor_mirror.registry.credentials import Credentials

#: Every kind of manifest Harbor copies; a registry converts to what it finds here, so the list decides the digest.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = frozenset(MANIFESTS[:2])
#: The largest page that the reference registry gives by default; others give fewer and say where to go on.
PAGE_SIZE = 1000
#: A registry whose pages never end is cut off here: a million names.
MOST_PAGES = 1000
#: Answers to HEAD that mean "ask with GET".
NO_HEAD = frozenset({405, 501})
#: A token without `expires_in` lives this long (OCI distribution's token specification).
TOKEN_SECONDS = 60.0
#: Tokens are renewed this early, so that none ends on the way.
TOKEN_MARGIN_SECONDS = 10.0


class RegistryError(Exception):
    """A registry refused or failed; `status` is HTTP's, or None without an answer."""

    def __init__(self, registry: str, status: int | None, message: str) -> None:
        self.registry = registry
        self.status = status
        self.message = message
        super().__init__(f"{registry}: {message}")


class RateLimited(RegistryError):
    """Too many requests; `retry_seconds` is what the registry asks to wait, if it says."""

    def __init__(self, registry: str, message: str, retry_seconds: float | None) -> None:
        super().__init__(registry, 429, message)
        self.retry_seconds = retry_seconds


class NoSuchName(RegistryError):
    """The repository or manifest does not exist (or may not be seen)."""


@dataclass(frozen=True)
class RateLimit:
    """`ratelimit-limit: 100;w=21600` and its kin: pulls allowed, left, and the window in seconds."""

    limit: int | None
    remaining: int
    window_seconds: int | None


@dataclass(frozen=True)
class Manifest:
    """A manifest as served; `digest` is computed from the body, not taken on trust."""

    digest: str
    media_type: str
    body: bytes

    @property
    def children(self) -> tuple[str, ...]:
        """Digests of an index's manifests; none for an image."""
        listed = json.loads(self.body).get("manifests") or [] if self.media_type in INDEXES else []
        return tuple(child["digest"] for child in listed)


class Registry:
    """One registry at `url` (scheme and host). Anonymous without credentials. Thread-safe."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        verify: bool = True,
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
        # Some serve manifests from elsewhere, as registry.k8s.io does.
        self._client = new_client(verify=verify, timeout=timeout, follow_redirects=True)
        self._retry = retry or Retry()
        self._clock = clock
        self._basic = False
        self._bearer: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def digest(self, repository: str, reference: str) -> str | None:
        """Digest of a tag, or of a digest if it is there; None if it is not. One HEAD."""
        try:
            answer = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", repository)
        except NoSuchName:
            return None
        except RegistryError as error:
            # Some registries know no HEAD.
            if error.status not in NO_HEAD:
                raise
            return self.manifest(repository, reference).digest
        return answer.headers.get("Docker-Content-Digest") or self.manifest(repository, reference).digest

    def manifest(self, repository: str, reference: str) -> Manifest:
        """A manifest, whole. One GET: registries with pull limits count it. Raises NoSuchName, or RateLimited when the
        limit is used up: going on would take pulls from everybody who shares it."""
        if self.rate_limit and self.rate_limit.remaining <= 0:
            raise RateLimited(self.host, f"the pull limit is used up ({self.rate_limit.limit or '?'})", None)
        answer = self._ask("GET", f"/v2/{repository}/manifests/{reference}", repository)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        return Manifest(digest, answer.headers.get("Content-Type", "").partition(";")[0].strip(), answer.content)

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository. Raises NoSuchName."""
        return list(self._pages(f"/v2/{repository}/tags/list", repository, "tags"))

    def catalog(self) -> list[str]:
        """Every repository; many registries refuse this, or show only some."""
        return list(self._pages("/v2/_catalog", None, "repositories"))

    def _pages(self, path: str, repository: str | None, key: str) -> Iterator[str]:
        address = f"{self.url}{path}?n={PAGE_SIZE}"
        for _ in range(MOST_PAGES):
            answer = self._ask("GET", address.removeprefix(self.url), repository)
            try:
                names = answer.json().get(key)
            except (ValueError, AttributeError):
                raise RegistryError(self.host, answer.status_code, f"no list at {path}: {answer.text[:80]!r}") from None
            yield from names or ()
            following = answer.links.get("next", {}).get("url")
            if not following:
                return
            address = urljoin(address, following)
            if not address.startswith(f"{self.url}/"):
                raise RegistryError(self.host, answer.status_code, f"the next page of {path} is at another server")
        raise RegistryError(self.host, None, f"{path} does not end after {MOST_PAGES} pages")

    def _ask(self, method: str, path: str, repository: str | None) -> httpx.Response:
        scope = f"repository:{repository}:pull" if repository else "registry:catalog:*"
        if self._bearer:
            # Known from the first challenge: asking for the token first saves a refused request per repository.
            self._renew(scope, None)
        used = self._authorization(scope)
        answer = self._exchange(method, path, used)
        if answer.status_code == 401 and self._answer_challenge(
            answer.headers.get("WWW-Authenticate", ""), scope, used
        ):
            answer = self._exchange(method, path, self._authorization(scope))
        if answer.status_code < 400:
            return answer
        raise self._error(answer, repository or "the list of repositories")

    def _exchange(self, method: str, path: str, authorization: str | None) -> httpx.Response:
        def build() -> httpx.Request:
            headers = {"Accept": ", ".join(MANIFESTS) if "/manifests/" in path else "application/json"}
            if authorization:
                headers["Authorization"] = authorization
            return self._client.build_request(method, f"{self.url}{path}", headers=headers)

        try:
            answer = send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise RegistryError(self.host, None, self._secrets.hide(in_words(error))) from None
        except httpx.HTTPError as error:
            raise RegistryError(self.host, None, self._secrets.hide(str(error))) from None
        self.rate_limit = rate_limit(answer) or self.rate_limit
        return answer

    def _error(self, answer: httpx.Response, what: str) -> RegistryError:
        said = self._secrets.hide(_message(answer))
        if answer.status_code == 404:
            return NoSuchName(self.host, 404, f"no {what}: {said}")
        if answer.status_code == 429:
            wait = retry_after(answer)
            when = f"; it asks to wait {wait:.0f} s" if wait else ""
            return RateLimited(self.host, f"too many requests for {what}{when}: {said}", wait)
        if answer.status_code in {401, 403}:
            whom = "without credentials" if self._credentials is None else f"to {self._credentials.username}"
            return RegistryError(self.host, answer.status_code, f"{what} is refused {whom}: {said}")
        return RegistryError(self.host, answer.status_code, f"HTTP {answer.status_code} for {what}: {said}")

    # Credentials

    def _authorization(self, scope: str) -> str | None:
        if self._basic and self._credentials:
            return self._credentials.basic
        token, ends = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and self._clock() < ends else None

    def _answer_challenge(self, challenge: str, scope: str, used: str | None) -> bool:
        """Whether another try makes sense."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            self._basic = True
            return self._credentials is not None and used is None
        if kind.lower() != "bearer":
            return False
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        self._bearer = {name: value for name, value in parameters.items() if name in {"realm", "service"}}
        self._renew(scope, used)
        return True

    def _renew(self, scope: str, used: str | None) -> None:
        """Fetches a token unless there is one that is not the refused one."""
        if self._authorization(scope) not in {None, used}:
            return
        with self._lock:
            # Another thread may have been quicker.
            if self._authorization(scope) in {None, used}:
                self._fetch_token(scope)

    def _fetch_token(self, scope: str) -> None:
        realm = urljoin(self.url, self._bearer.get("realm", ""))
        if self._credentials and self.url.startswith("https:") and not realm.startswith("https:"):
            message = f"wants credentials sent to {realm} without TLS; refused"
            raise RegistryError(self.host, None, message)
        query = {"scope": scope, **({"service": service} if (service := self._bearer.get("service")) else {})}

        def build() -> httpx.Request:
            if self._credentials and self._credentials.identity_token:
                form = {"grant_type": "refresh_token", "refresh_token": self._credentials.identity_token, **query}
                return self._client.build_request("POST", realm, data=form)
            headers = {"Authorization": self._credentials.basic} if self._credentials else {}
            return self._client.build_request("GET", realm, params=query, headers=headers)

        try:
            answer = send(self._client, build, self._retry)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise RegistryError(self.host, None, f"its token service {realm}: {in_words(error)}") from None
        if answer.status_code != 200:
            raise self._error(answer, "a token")
        token, ends = _token(answer)
        if not token:
            raise RegistryError(self.host, answer.status_code, f"its token service {realm} gives no token")
        self._secrets.add(token)
        self._tokens = {**self._tokens, scope: (token, self._clock() + ends)}


def rate_limit(answer: httpx.Response) -> RateLimit | None:
    """The pull limit that an answer's headers state."""
    remaining = re.match(r"(\d+)(?:;w=(\d+))?", answer.headers.get("RateLimit-Remaining", ""))
    if remaining is None:
        return None
    limit = re.match(r"(\d+)", answer.headers.get("RateLimit-Limit", ""))
    window = remaining[2]
    return RateLimit(int(limit[1]) if limit else None, int(remaining[1]), int(window) if window else None)


def _token(answer: httpx.Response) -> tuple[str, float]:
    try:
        body: dict[str, Any] = answer.json()
        token = str(body.get("token") or body.get("access_token") or "")
        lives = float(body.get("expires_in") or TOKEN_SECONDS)
    except (ValueError, AttributeError, TypeError):
        return "", 0.0
    return token, max(lives - TOKEN_MARGIN_SECONDS, 1.0)


def _message(answer: httpx.Response) -> str:
    try:
        errors = answer.json()["errors"]
        return "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase
