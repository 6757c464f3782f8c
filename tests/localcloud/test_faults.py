"""The fault injector over real connections."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from localcloud.faults import FAULTS, Fault, FaultInjector, gzip_bomb
from localcloud.http import serve


class Counter:
    """Counts the requests that take effect, and answers with the count and the request's body."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self.count += 1
        await JSONResponse({"count": self.count, "body": body.decode()})(scope, receive, send)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def faults(counter: Counter) -> FaultInjector:
    return FaultInjector(counter, lambda status, reason: f'{{"error": "{status} {reason}"}}')


@pytest.fixture
def http(faults: FaultInjector) -> Iterator[httpx.Client]:
    with serve(faults) as server, httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield client


def test_a_fault_meets_the_requests_of_its_method_and_path_after_those_it_skips(
    http: httpx.Client, faults: FaultInjector, counter: Counter
) -> None:
    fault = faults.add(Fault("/things", method="POST", skip=1, times=2, status=503))
    statuses = [http.post("/things/1").status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert (fault.fired, counter.count) == (2, 2)
    assert [http.request(method, path).status_code for method, path in (("GET", "/things"), ("POST", "/"))] == [200] * 2


def test_errors_are_in_the_servers_own_format(http: httpx.Client, faults: FaultInjector) -> None:
    faults.add(Fault(status=429, headers={"Retry-After": "3"}), Fault(status=400, reason="no"))
    first, second = http.get("/"), http.get("/")
    assert (first.json(), first.headers["Retry-After"]) == ({"error": "429 too many requests"}, "3")
    assert second.json() == {"error": "400 no"}


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_connection_closed_before_the_answer(
    http: httpx.Client, faults: FaultInjector, counter: Counter, takes_effect: bool
) -> None:
    faults.add(Fault(close="before", takes_effect=takes_effect))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.post("/", content="body")
    assert counter.count == takes_effect
    assert http.post("/", content="body").json()["body"] == "body"
    assert [exchange.status for exchange in faults.requests] == [None, 200]


def test_an_answer_that_breaks_off(http: httpx.Client, faults: FaultInjector) -> None:
    faults.add(Fault(close="during"))
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        http.get("/")


def test_silence_and_a_late_answer(http: httpx.Client, faults: FaultInjector) -> None:
    faults.add(Fault(delay=60), Fault(delay=0.3))
    with pytest.raises(httpx.ReadTimeout):
        http.get("/", timeout=0.2)
    before = time.monotonic()
    assert http.get("/").status_code == 200
    assert time.monotonic() - before >= 0.3


def test_a_small_body_that_expands(http: httpx.Client, faults: FaultInjector) -> None:
    faults.add(gzip_bomb(2))
    with http.stream("GET", "/") as answer:
        assert int(answer.headers["Content-Length"]) < 10_000
        assert len(answer.read()) > 2_000_000


def test_the_log_has_method_path_query_body_and_user(http: httpx.Client, faults: FaultInjector) -> None:
    http.post("/a?x=1", json={"b": 1}, auth=("alice", "Secret-1"))
    seen = faults.requests[-1]
    assert (seen.method, seen.path, seen.query, seen.json, seen.username, seen.status) == (
        *("POST", "/a", "x=1", {"b": 1}, "alice", 200),
    )
    assert "Secret-1" not in repr(seen)


@pytest.mark.parametrize("name", FAULTS)
def test_every_named_fault_shows_and_passes(http: httpx.Client, faults: FaultInjector, name: str) -> None:
    fault = replace(FAULTS[name], path="/api", method="GET", delay=min(FAULTS[name].delay, 0.1))
    faults.add(fault)
    try:
        answer: Response | httpx.Response | None = http.get("/api/x")
    except httpx.TransportError:
        answer = None
    if isinstance(answer, httpx.Response) and answer.status_code == 200:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            answer.json()
    assert http.get("/api/x").json()["count"]
