"""What stands before the API: the request log, and the faults that a test wants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localcloud.linode.faults import Fault, Faults, Seen
from localcloud.linode.routing import error_response

# How often a hanging request looks whether its client has gone, seconds.
_HANG_STEP = 0.05


class FrontDoor:
    """An ASGI application that logs each request to `log`, then hands it to `api` or does what a fault says."""

    def __init__(self, api: ASGIApp, faults: Faults, log: list[Seen], closing: Callable[[], bool]) -> None:
        self._api, self._faults, self._log, self._closing = api, faults, log, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        seen = Seen(scope["method"], scope["path"], query, headers.get("x-filter"), _parsed(body))
        self._log.append(seen)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        fault = self._faults.take(seen.method, seen.path)
        if fault is None:
            await self._api(scope, _replay(body), answer)
        else:
            await self._misbehave(fault, scope, receive, body, answer)
            if fault.drop:
                await _cut(receive, send)

    async def _misbehave(self, fault: Fault, scope: Scope, receive: Receive, body: bytes, answer: Send) -> None:
        if fault.hang:
            gone = asyncio.ensure_future(receive())
            until = time.monotonic() + fault.hang
            while not gone.done() and not self._closing() and time.monotonic() < until:
                await asyncio.sleep(_HANG_STEP)
            gone.cancel()
        if fault.but_do_it:
            await self._api(scope, _replay(body), _nowhere)
        if fault.drop:
            return
        if fault.status is None:
            await self._api(scope, _replay(body), answer)
        else:
            refusal = error_response(fault.status, [{"reason": fault.reason}], fault.headers)
            await refusal(scope, receive, answer)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _nowhere(_: Message) -> None:
    """Where the answer of a request goes that took effect and was never answered."""


async def _cut(receive: Receive, send: Send) -> None:
    # ASGI has no word for cutting a connection; uvicorn's `send` belongs to the object that holds it.
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
