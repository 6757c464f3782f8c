"""A simulated registry such as Docker Hub: open, with credentials or the token flow, with a rate limit."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localcloud.faults import Exchange, FaultInjector
from localcloud.oci import images
from localcloud.oci.auth import (
    Authorizer,
    BasicAuth,
    TokenService,
    allow_all,
    registry_error,
)
from localcloud.oci.server import distribution_app
from localcloud.oci.store import ImageStore

RATE_WINDOW_SECONDS = 21600  # Docker Hub counts pulls per six hours
_TOO_MANY = "You have reached your pull rate limit."


class RegistrySimulator:
    """A simulated registry: serve `app`; `store` has the images, `faults` makes it misbehave, `requests` is its log.

    Without `username` and `password` it is open, with them it asks for Basic credentials, and with `token_flow` for
    tokens (given to anybody if there are no credentials). `rate_limit` is how many manifests may be pulled per
    six hours (a successful GET counts, HEAD doesn't, as on Docker Hub); then 429 TOOMANYREQUESTS. `page_size` caps
    the pages of catalog and tags. `referrers` adds the referrers API, which not every registry has. `clock` gives
    seconds.
    """

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        token_flow: bool = False,
        rate_limit: int | None = None,
        page_size: int | None = None,
        referrers: bool = False,
        store: ImageStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store or ImageStore()
        self._credentials = None if username is None else (username, password or "")
        self._limit = None if rate_limit is None else _RateLimit(rate_limit, clock)
        routes: list[Route | Mount] = []
        authorize: Authorizer = allow_all
        if token_flow:
            tokens = TokenService("source-registry", self._principal, self._grant, clock=clock)
            routes.append(Route("/token", tokens.endpoint))
            authorize = tokens
        elif self._credentials is not None:
            authorize = BasicAuth(self._check)
        routes.append(Mount("/", distribution_app(self.store, authorize, page_size=page_size, referrers=referrers)))
        app: ASGIApp = Starlette(routes=routes)
        if self._limit:
            app = _RateLimited(app, self._limit)
        self.app = self.faults = FaultInjector(app, _error_body)

    @property
    def requests(self) -> list[Exchange]:
        """Every request so far."""
        return self.faults.requests

    def seed(self) -> None:
        """Fill the registry with the sample images."""
        images.seed(self.store)

    def set_credentials(self, username: str, password: str) -> None:
        """Change the credentials; issued tokens stay valid until they expire."""
        self._credentials = (username, password)

    @property
    def pulls(self) -> int:
        """The manifest pulls in the current window; 0 without a rate limit."""
        return self._limit.used() if self._limit else 0

    def _check(self, username: str, password: str) -> bool:
        return self._credentials is not None and all(
            secrets.compare_digest(given.encode(), wanted.encode())
            for given, wanted in zip((username, password), self._credentials, strict=True)
        )

    def _principal(self, username: str | None, password: str | None) -> str | None:
        # Anonymous clients get a token without permissions, and then 401 from the registry, as on Docker Hub.
        if self._credentials is None or username is None:
            return username or ""
        return username if self._check(username, password or "") else None

    def _grant(self, username: str, _kind: str, _name: str, actions: Collection[str]) -> Collection[str]:
        return actions if username or self._credentials is None else ()


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
        """Count one pull; return False if the limit is reached."""
        if self.used() >= self._maximum:
            return False
        if self.used() == 0:
            self._used, self._ends = 0, self._clock() + RATE_WINDOW_SECONDS
        self._used += 1
        return True

    def headers(self) -> list[tuple[bytes, bytes]]:
        values = {"ratelimit-limit": self._maximum, "ratelimit-remaining": self._maximum - self.used()}
        return [(name.encode(), f"{value};w={RATE_WINDOW_SECONDS}".encode()) for name, value in values.items()]


class _RateLimited:
    """Refuses manifest pulls above the limit; only pulls that the registry accepts count."""

    def __init__(self, app: ASGIApp, limit: _RateLimit) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "/manifests/" not in scope["path"]:
            await self._app(scope, receive, send)
            return
        limit, refused = self._limit, False

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *limit.headers()]
            await send(message)

        async def limited(message: Message) -> None:
            nonlocal refused
            is_pull = message["type"] == "http.response.start" and scope["method"] == "GET" and message["status"] == 200
            if is_pull and not limit.take():
                refused = True
                await registry_error(429, "TOOMANYREQUESTS", _TOO_MANY)(scope, receive, with_headers)
            elif not refused:
                await with_headers(message)

        await self._app(scope, receive, limited)


def _error_body(_status: int, reason: str) -> str:
    return json.dumps({"errors": [{"code": "UNKNOWN", "message": reason}]})
