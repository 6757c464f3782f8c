"""A source registry to mirror from: open, with credentials, or with the token flow; it can also limit and fail.

Served with `localcloud.http.serve(source.app)`. It stands for Docker Hub and its like.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localcloud.oci import images
from localcloud.oci.auth import (
    Authorizer,
    BasicAuth,
    TokenService,
    allow_all,
    basic_credentials,
    registry_error,
)
from localcloud.oci.server import distribution_app
from localcloud.oci.store import ImageStore

RATE_WINDOW_SECONDS = 21600  # Docker Hub counts pulls per six hours
_TOO_MANY = "You have reached your pull rate limit."


@dataclass(frozen=True)
class Logged:
    """A request as it was answered; `status` is 0 if the connection was cut instead."""

    method: str
    path: str
    query: str
    status: int
    username: str | None  # of Basic credentials, right or wrong


class SourceRegistry:
    """A registry with images of its own; `.app` serves it, `.store` holds the images, `.requests` is its log.

    Without `username` and `password` it is open, with them it asks for Basic credentials, and with `token_flow` for
    tokens (given to anybody if there are no credentials). `rate_limit` is how many manifests may be pulled per
    six hours (a successful GET counts, HEAD doesn't, as on Docker Hub); then 429 TOOMANYREQUESTS. `page_size` caps
    the pages of catalog and tags. `clock` gives seconds.
    """

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        token_flow: bool = False,
        rate_limit: int | None = None,
        page_size: int | None = None,
        store: ImageStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store or ImageStore()
        self.requests: list[Logged] = []
        self.delay = 0.0  # seconds before each answer; may be changed at any time
        self._credentials = None if username is None else (username, password or "")
        self._limit = None if rate_limit is None else _RateLimit(rate_limit, clock)
        self._faults: list[tuple[str, int | None]] = []  # part of the path, and a status or None for a cut
        self._lock = threading.Lock()

        routes: list[Route | Mount] = []
        authorize: Authorizer = allow_all
        if token_flow:
            tokens = TokenService("source-registry", self._principal, self._grant, clock=clock)
            routes.append(Route("/token", tokens.endpoint))
            authorize = tokens
        elif self._credentials is not None:
            authorize = BasicAuth(self._check)
        routes.append(Mount("/", distribution_app(self.store, authorize, page_size=page_size)))
        self.app = Starlette(routes=routes, middleware=[Middleware(_Front, source=self)])

    def seed(self) -> None:
        """Fills the registry with the sample images."""
        images.seed(self.store)

    def fail_next(self, count: int, status: int = 503, path: str = "") -> None:
        """Answers the next `count` requests whose path contains `path` with `status`."""
        with self._lock:
            self._faults += [(path, status)] * count

    def drop_next(self, count: int, path: str = "") -> None:
        """Cuts the connection of the next `count` requests whose path contains `path`, without an answer."""
        with self._lock:
            self._faults += [(path, None)] * count

    def set_credentials(self, username: str, password: str) -> None:
        """Rotates the credentials of a registry that has some; tokens already given stay valid until they end."""
        self._credentials = (username, password)

    @property
    def pulls(self) -> int:
        """The manifest pulls counted in the present window; 0 without a rate limit."""
        return self._limit.used() if self._limit else 0

    def _check(self, username: str, password: str) -> bool:
        return self._credentials is not None and all(
            secrets.compare_digest(given.encode(), wanted.encode())
            for given, wanted in zip((username, password), self._credentials, strict=True)
        )

    def _principal(self, username: str | None, password: str | None) -> str | None:
        # Anonymous clients get a token that grants nothing, and so hear 401 from the registry, as on Docker Hub.
        if self._credentials is None or username is None:
            return username or ""
        return username if self._check(username, password or "") else None

    def _grant(self, username: str, _kind: str, _name: str, actions: Collection[str]) -> Collection[str]:
        return actions if username or self._credentials is None else ()

    def _take_fault(self, path: str) -> tuple[str, int | None] | None:
        with self._lock:
            fault = next((fault for fault in self._faults if fault[0] in path), None)
            if fault is not None:
                self._faults.remove(fault)
            return fault


class _RateLimit:
    """Counts pulls in a window that begins with the first pull."""

    def __init__(self, maximum: int, clock: Callable[[], float]) -> None:
        self._maximum = maximum
        self._clock = clock
        self._used = 0
        self._ends = 0.0

    def used(self) -> int:
        return self._used if self._clock() < self._ends else 0

    def take(self) -> bool:
        """Counts one pull; False if none is left."""
        if self.used() >= self._maximum:
            return False
        if self.used() == 0:
            self._used, self._ends = 0, self._clock() + RATE_WINDOW_SECONDS
        self._used += 1
        return True

    def headers(self) -> list[tuple[bytes, bytes]]:
        values = {"ratelimit-limit": self._maximum, "ratelimit-remaining": self._maximum - self.used()}
        return [(name.encode(), f"{value};w={RATE_WINDOW_SECONDS}".encode()) for name, value in values.items()]


class _Front:
    """What stands before the registry: the log, the planned faults, the delay and the rate limit."""

    def __init__(self, app: ASGIApp, source: SourceRegistry) -> None:
        self._app = app
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source, limit = self._source, self._source._limit
        request = Request(scope)
        path = request.url.path
        manifest = limit is not None and "/manifests/" in path

        def log(status: int) -> None:
            username, _ = basic_credentials(request) or (None, None)
            source.requests.append(Logged(request.method, path, request.url.query, status, username))

        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                log(message["status"])
                if manifest and limit is not None:
                    message["headers"] = [*message["headers"], *limit.headers()]
            await send(message)

        refused = False

        async def limited(message: Message) -> None:
            # The registry has decided first: only a pull that would have succeeded counts.
            nonlocal refused
            start = message["type"] == "http.response.start"
            if start and request.method == "GET" and message["status"] == 200 and limit and not limit.take():
                refused = True
                await registry_error(429, "TOOMANYREQUESTS", _TOO_MANY)(scope, receive, finish)
            elif not refused:
                await finish(message)

        if source.delay:
            await asyncio.sleep(source.delay)
        fault = source._take_fault(path)
        if fault is None:
            await self._app(scope, receive, limited if manifest else finish)
        elif fault[1] is None:
            log(0)
            await _cut(receive)
        else:
            await registry_error(fault[1], "UNKNOWN", "fault injected by a test")(scope, receive, finish)


async def _cut(receive: Receive) -> None:
    """Closes the client's connection; ASGI has no word for it, so it goes to uvicorn's transport behind `receive`."""
    cycle: Any = getattr(receive, "__self__", None)
    cycle.transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
