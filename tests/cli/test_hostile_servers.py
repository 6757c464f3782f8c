"""The clients against servers that redirect credentials elsewhere, or whose responses never end: real sockets."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from harbor_mirror import http
from harbor_mirror.harbor.client import Harbor, HarborError
from harbor_mirror.http import Retry
from harbor_mirror.registry import distribution
from harbor_mirror.registry.credentials import Credentials
from harbor_mirror.registry.distribution import Registry, RegistryError
from harbor_mirror.registry.docker_hub import DockerHub
from localcloud.http import Server, serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator

PASSWORD, REFRESH_TOKEN = "Alice-Secret-1", "Refresh-Token-1"
CREDENTIALS = {"password": Credentials("alice", PASSWORD), "refresh token": Credentials("", "", REFRESH_TOKEN)}
ONCE = Retry(attempts=1)
Answer = Callable[[Request], Response]


class Recorder:
    """A server that answers with `answer` and keeps the credentials of every request."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.credentials: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = (await request.body()).decode()
        self.paths.append(scope["path"])
        sent = request.headers.get("Authorization"), request.headers.get("Cookie"), body
        self.credentials += [text for text in sent if text]
        await self.answer(request)(scope, receive, send)


def challenge(text: str) -> Response:
    return JSONResponse({"errors": [{"message": "log in"}]}, 401, headers={"WWW-Authenticate": text})


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        hosts = (f"127.0.0.{number}" for number in itertools.count(2))
        yield lambda app, **options: stack.enter_context(serve(app, host=next(hosts), **options))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.2", "127.0.0.3").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


# Credentials


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_redirect_target_gets_no_credentials(start: Callable[..., Server], scheme: str, kind: str) -> None:
    """Its challenge names a realm of its own; neither it nor the realm sees anything."""
    thief = Recorder(lambda request: challenge(f'{scheme} realm="http://{request.headers["host"]}/token"'))
    there = start(thief)
    front = start(Recorder(lambda request: RedirectResponse(f"{there.url}{request.url.path}", 307)))
    with Registry(front.url, CREDENTIALS[kind]) as client, pytest.raises(RegistryError) as caught:
        client.tags("app")
    assert str(caught.value) == (
        f"{front.address}: redirects to {there.url}/, which wants credentials; credentials go to {front.address} only"
    )
    assert thief.paths == ["/v2/app/tags/list"]
    assert thief.credentials == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_token_service_that_redirects_is_refused(start: Callable[..., Server], kind: str, status: int) -> None:
    thief = Recorder(lambda _: JSONResponse({"token": "given"}))
    there = start(thief)
    tokens = start(Recorder(lambda _: RedirectResponse(f"{there.url}/token", status)))
    front = start(Recorder(lambda _: challenge(f'Bearer realm="{tokens.url}/token"')))
    with Registry(front.url, CREDENTIALS[kind]) as client, pytest.raises(RegistryError) as caught:
        client.tags("app")
    assert str(caught.value) == (
        f"{front.address}: its token service {tokens.url}/token redirects to {there.url}/token; refused"
    )
    assert thief.paths == []


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_token_service_on_another_host_gets_the_credentials(start: Callable[..., Server], kind: str) -> None:
    """As Docker Hub's auth.docker.io: the registry itself names it."""
    tokens = Recorder(lambda _: JSONResponse({"token": "given"}))
    there = start(tokens)

    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") == "Bearer given":
            return JSONResponse({"tags": ["1"]})
        return challenge(f'Bearer realm="{there.url}/token",service="registry"')

    with Registry(start(Recorder(answer)).url, CREDENTIALS[kind]) as client:
        assert client.tags("app") == ["1"]
    expected = CREDENTIALS[kind].basic if kind == "password" else REFRESH_TOKEN
    assert expected in "".join(tokens.credentials)


@pytest.mark.parametrize("realm", ["http://127.0.0.3:1/token", "ftp://127.0.0.3/token", "http://["])
@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_token_service_without_tls(start: Callable[..., Server], certificate: Path, realm: str, kind: str) -> None:
    """A registry with https must name a token service with https, else nothing is sent."""
    front = Recorder(lambda _: challenge(f'Bearer realm="{realm}"'))
    server = start(front, certificate=certificate)
    with Registry(server.url, CREDENTIALS[kind], verify=False, retry=ONCE) as client, pytest.raises(RegistryError):
        client.tags("app")
    assert front.credentials == []


def test_a_redirect_from_https_to_http_is_refused(start: Callable[..., Server], certificate: Path) -> None:
    plain = Recorder(lambda _: JSONResponse({"tags": ["forged"]}))
    there = start(plain)
    front = start(Recorder(lambda request: RedirectResponse(f"{there.url}{request.url.path}")), certificate=certificate)
    with Registry(front.url, verify=False) as client, pytest.raises(RegistryError, match=r"redirects to .*; refused"):
        client.tags("app")
    assert plain.paths == []


def test_content_from_another_host_works_without_credentials(start: Callable[..., Server]) -> None:
    source = RegistrySimulator()
    push_image(source.store, "app", "1", "app")
    there = start(source.app)

    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") == CREDENTIALS["password"].basic:
            return RedirectResponse(f"{there.url}{request.url.path}", 307)
        return challenge('Basic realm="front"')

    with Registry(start(Recorder(answer)).url, CREDENTIALS["password"]) as client:
        digest = source.store.tags("app")["1"]
        assert client.digest("app", "1") == digest
        assert client.manifest("app", "1").digest == digest


def test_a_redirect_within_the_registry_keeps_the_credentials(start: Callable[..., Server]) -> None:
    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") != CREDENTIALS["password"].basic:
            return challenge('Basic realm="front"')
        moved = request.url.path.startswith("/moved")
        return JSONResponse({"tags": ["1"]}) if moved else RedirectResponse(f"/moved{request.url.path}")

    with Registry(start(Recorder(answer)).url, CREDENTIALS["password"]) as client:
        assert client.tags("app") == ["1"]


def test_redirects_in_a_circle(start: Callable[..., Server]) -> None:
    server = start(Recorder(lambda request: RedirectResponse(request.url.path)))
    with Registry(server.url) as client, pytest.raises(RegistryError, match="more than 5 redirects"):
        client.tags("app")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_harbor_that_redirects_is_refused(start: Callable[..., Server], status: int) -> None:
    """Also a write: followed, it would take the session along; taken for success, it would be lost."""
    thief = Recorder(lambda _: JSONResponse({"username": "admin"}))
    there = start(thief)
    server = start(Recorder(lambda request: RedirectResponse(f"{there.url}{request.url.path}", status)))
    with Harbor(server.url, "admin", PASSWORD) as client, pytest.raises(HarborError, match="use Harbor's own address"):
        client.stop(1)
    assert thief.paths == []


def test_docker_hubs_next_page_stays_at_docker_hub(start: Callable[..., Server]) -> None:
    thief = Recorder(lambda _: JSONResponse({"results": []}))
    there = start(thief)

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse({"token": "given"})
        following = None if "page=2" in str(request.url) else f"{there.url}{request.url.path}?page=2"
        return JSONResponse({"results": [{"name": "app"}], "next": following})

    client = DockerHub(CREDENTIALS["password"], url=start(Recorder(answer)).url)
    assert client.repositories("acme") == ["acme/app", "acme/app"]
    assert thief.paths == []


# Responses without end


def serve_raw(start: bytes, drip: bytes, seconds: float) -> str:
    """Serve `start`, and then `drip` for ever, one every `seconds`, to every connection; return the URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(65536)
            connection.sendall(start)
            while True:
                connection.sendall(drip)
                time.sleep(seconds)
        except OSError:
            connection.close()

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["headers", "body", "chunks"],
)
def test_an_endless_drip(monkeypatch: pytest.MonkeyPatch, start: bytes, drip: bytes) -> None:
    """One byte now and then, sooner than any limit between two bytes, and no second try."""
    monkeypatch.setattr(http, "REQUEST_SECONDS", 1.0)
    url = serve_raw(start, drip, 0.05)
    with Registry(url) as client, pytest.raises(RegistryError, match="is not complete after 1 s"):
        client.tags("app")
    with Harbor(url, "admin", PASSWORD) as harbor, pytest.raises(HarborError, match="is not complete after 1 s"):
        harbor.health()


def bomb() -> bytes:
    """150 KB that become 150 MB."""
    return gzip.compress(b" " * 150 * 2**20)


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (bomb, "gzip", "is larger than 32 MB"),
        (lambda: gzip.compress(bomb()), "gzip, gzip", "content encoding 'gzip, gzip'"),
        (lambda: b"x", "br", "content encoding 'br'"),
        (lambda: b" " * 33 * 2**20, "identity", "is larger than 32 MB"),
    ],
    ids=["bomb", "bomb in a bomb", "not requested", "large"],
)
def test_a_response_that_is_too_large(body: Callable[[], bytes], encoding: str, message: str) -> None:
    content = body()
    sent = 0

    def answer(_: Request) -> Response:
        nonlocal sent
        sent += 1
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        return Response(content, headers=headers)

    with serve(Recorder(answer)) as server:
        tracemalloc.start()
        try:
            with Registry(server.url) as client, pytest.raises(RegistryError, match=message):
                client.tags("app")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sent == 1
    assert peak < 150 * 2**20


def test_compressed_responses_are_read() -> None:
    body = gzip.compress(json.dumps({"tags": ["1"]}).encode())
    with serve(Recorder(lambda _: Response(body, headers={"Content-Encoding": "gzip"}))) as server:
        assert Registry(server.url).tags("app") == ["1"]


def test_endless_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without end, and pages that are large and many."""
    pages = Recorder(lambda request: page(request, ["name"] * 100))

    def page(request: Request, names: list[str]) -> Response:
        number = int(request.query_params.get("page", 1))
        following = f"{request.url.path}?page={number + 1}"
        body = {"tags": names, "results": [{"name": name} for name in names], "next": following}
        return JSONResponse(body, headers={"Link": f'<{following}>; rel="next"'})

    with serve(pages) as server:
        monkeypatch.setattr(distribution, "MAX_NAMES", 1000)
        with Registry(server.url) as client, pytest.raises(RegistryError, match="has more than 1,000 names"):
            client.tags("app")
        assert len(pages.paths) == 11
        monkeypatch.undo()
        monkeypatch.setattr(distribution, "MAX_PAGES", 20)
        monkeypatch.setattr("harbor_mirror.registry.docker_hub.MAX_PAGES", 20)
        with Registry(server.url) as client, pytest.raises(RegistryError, match="does not end after 20 pages"):
            client.tags("app")
        with pytest.raises(RegistryError, match="does not end after 20 pages"):
            DockerHub(url=server.url).repositories("acme")


@pytest.mark.parametrize("total", ["100001", "9" * 12])
def test_a_harbor_with_endless_pages(total: str) -> None:
    def answer(request: Request) -> Response:
        body: Any = {"username": "admin"} if request.url.path.endswith("current") else [{"id": 1}] * 100
        return JSONResponse(body, headers={"X-Total-Count": total})

    with (
        serve(Recorder(answer)) as server,
        Harbor(server.url, "admin", PASSWORD) as client,
        pytest.raises(HarborError, match=f"has {total} items; at most 100000 can be read"),
    ):
        client.policies()
