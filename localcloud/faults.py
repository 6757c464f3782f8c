"""Injects faults into a simulator: wrong statuses, broken bodies, closed connections, silence. Records every request.

A `FaultInjector` wraps an ASGI application and is served in its place:

    simulator.faults.add(Fault("/replication/policies", method="POST", skip=2, status=503))

answers the third POST to that path with 503, once. `FAULTS` lists the usual ones by name, for tests that try each:

    for name, fault in FAULTS.items():
        simulator.faults.add(replace(fault, path="/replication/policies", method="POST"))
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localcloud.oci.auth import decode_basic

#: Seconds between two looks for whether the client of a silent server has gone.
_SILENCE_STEP = 0.05
#: Bodies longer than this are not kept in the log of requests: layers of images.
MAX_RECORDED_BYTES = 256 * 1024
_REASONS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    409: "conflict",
    412: "precondition failed",
    429: "too many requests",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable",
}
ErrorBody = Callable[[int, str], str]


@dataclass
class Fault:
    """One way to misbehave, and the requests that meet it.

    It applies to requests of `method` ("" means any) whose path matches the regular expression `path` anywhere. The
    first `skip` of them are answered normally, the next `times` meet the fault (None means all).

    `delay`: seconds of silence first. `status`: answered instead of the real answer, with `headers` and `body`; a None
    body means an error in the server's own format, with `reason` as its message. `close`: the connection is closed
    "before" any answer or "during" one (a long JSON document that breaks off). `takes_effect`: the application handles
    the request all the same, and only its answer is lost. With `delay` alone the real answer follows.
    """

    path: str = ""
    status: int | None = None
    body: str | bytes | None = None
    method: str = ""
    skip: int = 0
    times: int | None = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    delay: float = 0.0
    close: Literal["", "before", "during"] = ""
    takes_effect: bool = False
    matched: int = field(default=0, init=False)

    @property
    def fired(self) -> int:
        """How many requests have met the fault."""
        after_skip = max(0, self.matched - self.skip)
        return after_skip if self.times is None else min(after_skip, self.times)

    def meets(self, method: str, path: str) -> bool:
        """Count this request if it matches, and return whether it meets the fault."""
        if self.method not in ("", method) or not re.search(self.path, path):
            return False
        if self.times is not None and self.matched >= self.skip + self.times:
            return False
        self.matched += 1
        return self.matched > self.skip


def redirect(url: str) -> Fault:
    """Return a fault that redirects to another server."""
    return Fault(status=307, body="", headers={"Location": url})


def gzip_bomb(megabytes: int) -> Fault:
    """Return a fault that answers with a small compressed body which expands to `megabytes`."""
    packed = gzip.compress(b"[" + b" " * (megabytes * 1024 * 1024) + b"]", compresslevel=9)
    return Fault(status=200, body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


#: The usual faults by name; give them a path, a method and a position with `dataclasses.replace`.
FAULTS: dict[str, Fault] = {
    **{str(status): Fault(status=status) for status in (401, 403, 404, 409, 412, 429, 500)},
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "1"}),
    # A proxy in front of the server answers these, with a page of its own.
    "502": Fault(status=502, body="<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "503": Fault(status=503, body="<html><body><h1>503 Service Unavailable</h1></body></html>"),
    "closed connection": Fault(close="before"),
    "closed connection, request done": Fault(close="before", takes_effect=True),
    "truncated JSON": Fault(status=200, body='[{"id": 1, "name": "broken'),
    "broken off in the middle": Fault(close="during"),
    "silence": Fault(delay=30.0, close="before"),
    "redirect to another server": redirect("http://127.0.0.2:1/elsewhere"),
    "page instead of JSON": Fault(status=200, body="<html><body>Welcome</body></html>"),
}


@dataclass
class Exchange:
    """One request as it arrived and the status of its answer: None without an answer."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    status: int | None = None

    @property
    def json(self) -> Any:
        """The body as JSON, as text if it isn't JSON, None if there is none."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return self.body.decode(errors="replace")

    @property
    def username(self) -> str | None:
        """The user name of its Basic credentials, right or wrong; None without."""
        credentials = decode_basic(self.headers.get("authorization", ""))
        return credentials[0] if credentials else None


class FaultInjector:
    """An ASGI application in front of another: records each request, and answers as the first matching fault says.

    `error_body(status, reason)` is an error in the format of the server behind it. `is_closing` ends silences early.
    `before` and `after` are called with each request, before it is handled and before its answer is sent.
    """

    before: Callable[[Exchange], None] | None = None
    after: Callable[[Exchange], None] | None = None

    def __init__(self, app: ASGIApp, error_body: ErrorBody, is_closing: Callable[[], bool] = lambda: False) -> None:
        self._app, self._error_body, self._is_closing = app, error_body, is_closing
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.requests: list[Exchange] = []

    def add(self, *faults: Fault) -> Fault:
        """Put faults in force, in this order; return the last one."""
        with self._lock:
            self._faults += faults
        return faults[-1]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def calls(self) -> list[tuple[str, str]]:
        """Return method and path of every request."""
        return [(request.method, request.path) for request in self.requests]

    def _match(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._faults if fault.meets(method, path)), None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(
            scope["method"], scope["path"], scope["query_string"].decode(), headers, body[:MAX_RECORDED_BYTES]
        )
        self.requests.append(exchange)

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                if self.after is not None:
                    self.after(exchange)
            await send(message)

        if self.before is not None:
            self.before(exchange)
        fault = self._match(exchange.method, exchange.path)
        if fault is not None and fault.delay:
            await self._stay_silent(fault.delay, receive)
        if fault is not None and fault.takes_effect:
            await self._app(scope, _replay(body, receive), _discard)
        if fault is not None and fault.close:
            await _close(receive, recording_send, send, midway=fault.close == "during")
        elif fault is not None and (fault.status is not None or fault.takes_effect):
            await self._response(fault)(scope, receive, recording_send)
        else:
            await self._app(scope, _replay(body, receive), recording_send)

    def _response(self, fault: Fault) -> Response:
        status = fault.status or 500
        body = fault.body
        if body is None:
            body = self._error_body(status, fault.reason or _REASONS.get(status, "injected fault"))
        text = body if isinstance(body, str) else ""
        media_type = "text/html" if text.startswith("<") else "application/json"
        return Response(body, status, dict(fault.headers), None if "Content-Type" in fault.headers else media_type)

    async def _stay_silent(self, seconds: float, receive: Receive) -> None:
        """Wait, unless the client goes away or the server closes."""
        disconnected = asyncio.ensure_future(receive())
        until = time.monotonic() + seconds
        while not disconnected.done() and not self._is_closing() and time.monotonic() < until:
            await asyncio.sleep(_SILENCE_STEP)
        disconnected.cancel()


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which was read already, and then what the client does next."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _discard(_message: Message) -> None:
    """Lose an answer."""


async def _close(receive: Receive, record: Send, send: Send, *, midway: bool) -> None:
    """Close the client's connection, with an answer that breaks off if `midway`."""
    # ASGI has no message for this: uvicorn's `send` is a method of the object that has the transport.
    transport = send.__self__.transport  # type: ignore[attr-defined]
    if midway:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
        await record({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'[{"id": 1', "more_body": True})
        transport.close()
    else:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
