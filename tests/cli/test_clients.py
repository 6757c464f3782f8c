"""Tests of the HTTP clients: health gate, retries, registries of every kind, stored credentials."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from harbor_mirror.harbor.client import (
    Harbor,
    HarborError,
    NotHealthy,
    WrongCredentials,
    check_credentials,
    wait_until_healthy,
)
from harbor_mirror.http import Retry, retry_after
from harbor_mirror.registry.credentials import Credentials, stored_credentials
from harbor_mirror.registry.distribution import NoSuchName, RateLimited, Registry, RegistryError
from harbor_mirror.registry.docker_hub import DockerHub
from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.oci.images import push_image, push_multi_arch
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from tests.cli.harbor_fixture import ADMIN, PASSWORD, HarborFixture

Answer = Callable[[Request], Response]


class Scripted:
    """A server that sends the given responses in order, and repeats the last one."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.requests.append(Request(scope))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await answer(scope, receive, send)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# The health gate


def health(status: str, **components: str) -> Response:
    parts = [{"name": name, "status": state} for name, state in components.items()]
    return JSONResponse({"status": status, "components": parts})


def test_the_health_gate_waits_through_a_boot() -> None:
    """A proxy without Harbor, another server, an unhealthy Harbor, a healthy one."""
    server = Scripted(
        PlainTextResponse("Bad Gateway", 502),
        PlainTextResponse("404 page not found", 404),
        PlainTextResponse("Welcome"),
        health("unhealthy", core="healthy", jobservice="unhealthy", registry="unhealthy"),
        health("unhealthy", core="healthy", jobservice="unhealthy", registry="unhealthy"),
        health("healthy", core="healthy"),
    )
    said: list[str] = []
    clock = Clock()
    with serve(server) as running:
        wait_until_healthy(
            running.url, timeout_seconds=60, interval_seconds=2, report=said.append, clock=clock, sleep=clock.sleep
        )
    states = ["its core is not", "HTTP 404", "not the health of a Harbor", "unhealthy: jobservice, registry"]
    assert len(said) == 5
    for text, state in zip(said, states, strict=False):
        assert state in text
    assert "is healthy after 10 s" in said[-1]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (PlainTextResponse("Bad Gateway", 502), "HTTP 502"),
        (health("unhealthy", core="unhealthy"), "unhealthy: core"),
        (JSONResponse([]), "not the health of a Harbor"),
    ],
)
def test_the_health_gate_reports_the_last_state_at_its_time_limit(answer: Response, state: str) -> None:
    clock = Clock()
    with serve(Scripted(answer)) as server, pytest.raises(NotHealthy) as caught:
        wait_until_healthy(
            server.url, timeout_seconds=9, interval_seconds=2, report=print, clock=clock, sleep=clock.sleep
        )
    assert state in str(caught.value)
    assert "not ready after 8 s" in str(caught.value)


def test_the_health_gate_reports_an_unreachable_server() -> None:
    with pytest.raises(NotHealthy, match="connection refused"):
        wait_until_healthy("http://127.0.0.1:1", timeout_seconds=0, interval_seconds=1, report=print)
    with pytest.raises(NotHealthy, match="does not resolve"):
        wait_until_healthy("http://no-such-host.invalid", timeout_seconds=0, interval_seconds=1, report=print)


def test_the_health_gate_waits_for_no_other_certificate_of_a_harbor_that_exists_already(harbor: HarborFixture) -> None:
    clock = Clock()
    with trust("localhost") as files, serve(harbor.app, certificate=files.certificate) as server:
        url = f"https://localhost:{server.port}"
        wait = partial(wait_until_healthy, url, timeout_seconds=9, interval_seconds=2, report=print)
        with pytest.raises(NotHealthy, match=r"certificate is not accepted .* set SSL_CERT_FILE"):
            wait(is_new=False, clock=clock, sleep=clock.sleep)
        assert clock() == 0
        with pytest.raises(NotHealthy, match=r"not ready after 8 s.* certificate is not accepted"):
            wait(clock=clock, sleep=clock.sleep)


def test_credentials(harbor: HarborFixture) -> None:
    check_credentials(harbor.url, ADMIN, PASSWORD)
    check_credentials(harbor.url, "robot$puller", "Robot-Secret-1")
    with pytest.raises(WrongCredentials) as caught:
        check_credentials(harbor.url, ADMIN, "Wrong-Secret-1")
    assert "rejects the password of admin" in str(caught.value)
    assert "Wrong-Secret-1" not in str(caught.value)
    with pytest.raises(WrongCredentials, match="The robot's secret was changed"):
        check_credentials(harbor.url, "robot$puller", "Wrong-Secret-1")


# Retries


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def retry(naps: list[float]) -> Retry:
    return Retry(sleep=naps.append)


def test_reads_are_retried_with_growing_pauses(harbor: HarborFixture, retry: Retry, naps: list[float]) -> None:
    harbor.faults.add(Fault("/replication/policies", 503, times=3))
    with Harbor(harbor.url, ADMIN, PASSWORD, retry=retry) as client:
        assert client.policies() == []
    assert len(naps) == 3
    assert 0.5 <= naps[0] <= 1
    assert 2 <= naps[2] <= 2.5


def test_writes_are_not_retried_after_a_response(mirrored: HarborFixture, retry: Retry) -> None:
    mirrored.faults.add(Fault("/replication/executions", 502, "<html>", method="POST", times=9))
    with Harbor(mirrored.url, ADMIN, PASSWORD, retry=retry) as client, pytest.raises(HarborError):
        client.start(1)
    assert mirrored.calls().count(("POST", "/api/v2.0/replication/executions")) == 1


def test_a_rate_limited_write_is_retried(mirrored: HarborFixture, retry: Retry, naps: list[float]) -> None:
    mirrored.faults.add(Fault("/replication/executions", 429, method="POST", headers={"Retry-After": "7"}))
    with Harbor(mirrored.url, ADMIN, PASSWORD, retry=retry) as client:
        assert client.start(1) == 1
    assert naps == [7]


def test_a_long_retry_after_is_not_waited_for(harbor: HarborFixture, retry: Retry, naps: list[float]) -> None:
    harbor.faults.add(Fault("/replication/policies", 429, headers={"Retry-After": "3600"}, times=9))
    with Harbor(harbor.url, ADMIN, PASSWORD, retry=retry) as client, pytest.raises(HarborError):
        client.policies()
    assert naps == []


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = retry_after(httpx.Response(429, headers={"Retry-After": later}))
    assert found is not None
    assert 0 < found <= 100
    assert retry_after(httpx.Response(429, headers={"Retry-After": "soon"})) is None


def test_every_page_of_a_list_is_read(mirrored: HarborFixture) -> None:
    for number in range(250):
        mirrored.add_policy(f"rule-{number}", 1)
    with Harbor(mirrored.url, ADMIN, PASSWORD) as client:
        names = [policy["name"] for policy in client.policies()]
    assert sorted(names) == sorted(policy.name for policy in mirrored.policies)


# Registries


@pytest.fixture(params=["open", "basic", "token", "open token"])
def registry(request: pytest.FixtureRequest) -> Iterator[tuple[RegistrySimulator, Registry]]:
    secret = ("alice", "Alice-Secret-1") if request.param in ("basic", "token") else ()
    source = RegistrySimulator(*secret, token_flow="token" in request.param, page_size=7)
    source.seed()
    with serve(source.app) as server, Registry(server.url, Credentials(*secret) if secret else None) as client:
        yield source, client


def test_every_kind_of_registry_authentication(registry: tuple[RegistrySimulator, Registry]) -> None:
    source, client = registry
    assert client.catalog() == sorted(source.store.repositories())
    assert sorted(client.tags("ci/builds")) == sorted(source.store.tags("ci/builds"))
    for tag, digest in source.store.tags("library/alpine").items():
        assert client.digest("library/alpine", tag) == digest
        manifest = client.manifest("library/alpine", tag)
        assert manifest.digest == digest
        assert len(manifest.children) == 3
    assert client.digest("library/alpine", "no-such-tag") is None
    with pytest.raises(NoSuchName):
        client.tags("no/such/repository")
    assert all("Alice-Secret-1" not in entry.query for entry in source.requests)


def test_one_challenge_for_many_repositories() -> None:
    source = RegistrySimulator(token_flow=True)
    source.seed()
    with serve(source.app) as server, Registry(server.url) as client:
        for repository in source.store.repositories():
            client.tags(repository)
    assert [entry.status for entry in source.requests].count(401) == 1


def test_a_token_is_renewed_before_it_expires() -> None:
    clock = Clock()
    source = RegistrySimulator(token_flow=True, clock=clock)
    source.seed()
    with serve(source.app) as server, Registry(server.url, clock=clock) as client:
        client.tags("library/nginx")
        clock.now += 100_000
        client.tags("library/nginx")
    assert [entry.status for entry in source.requests].count(401) == 1


def test_wrong_credentials_are_reported_without_the_password() -> None:
    source = RegistrySimulator("alice", "Alice-Secret-1", token_flow=True)
    source.seed()
    with serve(source.app) as server:
        for credentials in (None, Credentials("alice", "Wrong-Secret-1")):
            with Registry(server.url, credentials) as client, pytest.raises(RegistryError) as caught:
                client.tags("library/nginx")
            assert caught.value.status == 401
            assert "Wrong-Secret-1" not in str(caught.value)


def test_the_pull_limit_is_respected(retry: Retry) -> None:
    source = RegistrySimulator(rate_limit=2)
    source.seed()
    with serve(source.app) as server, Registry(server.url, retry=retry) as client:
        client.manifest("library/nginx", "1.25.0")
        assert client.rate_limit is not None
        assert (client.rate_limit.limit, client.rate_limit.remaining, client.rate_limit.window_seconds) == (2, 1, 21600)
        client.manifest("library/nginx", "1.25.1")
        with pytest.raises(RateLimited):
            client.manifest("library/nginx", "1.25.2")
        assert client.digest("library/nginx", "1.25.2")
    assert source.pulls == 2


@pytest.mark.parametrize("status", [405, 501])
def test_a_registry_without_head_requests(status: int) -> None:
    source = RegistrySimulator()
    push_multi_arch(source.store, "app", "1", "app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await Response(status_code=status)(scope, receive, send)
        else:
            await source.app(scope, receive, send)

    with serve(app) as server, Registry(server.url, retry=Retry(attempts=1)) as client:
        assert client.digest("app", "1") == source.store.tags("app")["1"]


def test_a_registry_that_redirects_to_another_host() -> None:
    source = RegistrySimulator()
    push_image(source.store, "app", "1", "app")
    seen: list[str | None] = []

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Request(scope).headers.get("Authorization"))
        await source.app(scope, receive, send)

    with serve(elsewhere, host="127.0.0.2") as there:

        async def front(scope: Any, receive: Any, send: Any) -> None:
            if Request(scope).headers.get("Authorization"):
                await RedirectResponse(f"{there.url}{scope['path']}", 307)(scope, receive, send)
            else:
                challenge = {"WWW-Authenticate": 'Basic realm="front"'}
                await Response(status_code=401, headers=challenge)(scope, receive, send)

        with serve(front) as server, Registry(server.url, Credentials("alice", "Alice-Secret-1")) as client:
            assert client.digest("app", "1") == source.store.tags("app")["1"]
    assert seen == [None]


def test_an_identity_token() -> None:
    """`az acr login` and other browser logins store a refresh token instead of a password."""
    source = RegistrySimulator()
    push_image(source.store, "app", "1", "app")
    forms: list[str] = []

    async def token(request: Request) -> Response:
        forms.append((await request.body()).decode())
        return JSONResponse({"access_token": "good"})

    tokens = Starlette(routes=[Route("/token", token, methods=["POST"])])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        if scope["path"] == "/token":
            await tokens(scope, receive, send)
        elif request.headers.get("Authorization") == "Bearer good":
            await source.app(scope, receive, send)
        else:
            challenge = f'Bearer realm="http://{request.headers["host"]}/token",service="acr"'
            await Response(status_code=401, headers={"WWW-Authenticate": challenge})(scope, receive, send)

    with serve(app) as server, Registry(server.url, Credentials("", "", "Identity-Token-1")) as client:
        assert client.tags("app") == ["1"]
    assert "grant_type=refresh_token" in forms[0]
    assert "refresh_token=Identity-Token-1" in forms[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (PlainTextResponse("<html>", 200), "no list at /v2/app/tags/list"),
        (JSONResponse({"tags": ["1"]}, headers={"Link": '</v2/app/tags/list?last=1>; rel="next"'}), "does not end"),
        (JSONResponse({"tags": ["1"]}, headers={"Link": '<https://elsewhere/x>; rel="next"'}), "at another server"),
        (PlainTextResponse("", 500), "HTTP 500"),
    ],
)
def test_malformed_responses_of_a_registry(answer: Response, message: str, retry: Retry) -> None:
    with (
        serve(Scripted(answer)) as server,
        Registry(server.url, retry=retry) as client,
        pytest.raises(RegistryError, match=message),
    ):
        client.tags("app")


def test_a_registry_that_closes_the_connection(retry: Retry) -> None:
    source = RegistrySimulator()
    source.seed()
    with serve(source.app) as server, Registry(server.url, retry=retry) as client:
        source.faults.add(Fault(close="before", times=2))
        assert client.digest("library/nginx", "1.25.0")
        source.faults.add(Fault(close="before", times=9))
        with pytest.raises(RegistryError, match="broke off"):
            client.digest("library/nginx", "1.25.0")


# Docker Hub


def test_docker_hubs_catalogue_is_its_api(retry: Retry) -> None:
    async def login(request: Request) -> Response:
        given = await request.json()
        right = given == {"username": "bot", "password": "Hub-Secret-1"}
        return JSONResponse({"token": "good"}) if right else JSONResponse({"detail": "incorrect"}, 401)

    async def repositories(request: Request) -> Response:
        if request.path_params["namespace"] == "nobody":
            return JSONResponse({"message": "object not found"}, 404)
        page = int(request.query_params.get("page", 1))
        names = [f"app-{number}" for number in range(150)][(page - 1) * 100 : page * 100]
        if request.headers.get("Authorization") == "Bearer good":
            names.append(f"private-{page}")
        following = f"https://hub.docker.com{request.url.path}?page={page + 1}&page_size=100" if page == 1 else None
        return JSONResponse({"next": following, "results": [{"name": name} for name in names]})

    app = Starlette(
        routes=[
            Route("/v2/users/login", login, methods=["POST"]),
            Route("/v2/namespaces/{namespace}/repositories", repositories),
        ]
    )
    with serve(app) as server:
        found = DockerHub(url=server.url, retry=retry).repositories("acme")
        assert (len(found), found[0]) == (150, "acme/app-0")
        with pytest.raises(NoSuchName):
            DockerHub(url=server.url, retry=retry).repositories("nobody")
        known = DockerHub(Credentials("bot", "Hub-Secret-1"), url=server.url, retry=retry)
        assert len(known.repositories("acme")) == 152
        with pytest.raises(RegistryError, match="rejects the credentials of bot"):
            DockerHub(Credentials("bot", "Wrong-Secret-1"), url=server.url, retry=retry).repositories("acme")


# Stored credentials


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("registry.example.com", Credentials("alice", "se:cret")),
        ("registry.example.com:5000", Credentials("bob", "secret")),
        ("docker.io", Credentials("hub", "hubsecret")),
        ("registry-1.docker.io", Credentials("hub", "hubsecret")),
        ("acme.azurecr.io", Credentials("00000000-0000-0000-0000-000000000000", "", "identity")),
        ("broken.example.com", None),
        ("other.example.com", None),
    ],
)
def test_credentials_from_dockers_configuration(tmp_path: Path, host: str, expected: Credentials | None) -> None:
    auths = {
        "registry.example.com": {"auth": encoded("alice:se:cret")},
        "https://registry.example.com:5000": {"auth": encoded("bob:secret")},
        "https://index.docker.io/v1/": {"auth": encoded("hub:hubsecret")},
        "acme.azurecr.io": {
            "auth": encoded("00000000-0000-0000-0000-000000000000:"),
            "identitytoken": "identity",
        },
        "broken.example.com": {"auth": "%%%"},
    }
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    assert stored_credentials(host, {"DOCKER_CONFIG": str(tmp_path)}) == expected


def test_podmans_and_skopeos_files_have_precedence(tmp_path: Path) -> None:
    (tmp_path / "containers").mkdir()
    for name, user in (("explicit.json", "one"), ("containers/auth.json", "two"), ("config.json", "three")):
        (tmp_path / name).write_text(json.dumps({"auths": {"r.example.com": {"auth": encoded(f"{user}:x")}}}))
    environment = {
        "REGISTRY_AUTH_FILE": str(tmp_path / "explicit.json"),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "DOCKER_CONFIG": str(tmp_path),
    }
    for name, user in (("REGISTRY_AUTH_FILE", "one"), ("XDG_RUNTIME_DIR", "two"), ("DOCKER_CONFIG", "three")):
        found = stored_credentials("r.example.com", environment)
        assert found is not None
        assert found.username == user
        del environment[name]
    assert stored_credentials("r.example.com", {}) is None


def test_credential_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\nread host\n"
        '[ "$host" = helped.example.com ] && echo \'{"Username": "carol", "Secret": "helped"}\' && exit\n'
        '[ "$host" = token.example.com ] && echo \'{"Username": "<token>", "Secret": "identity"}\' && exit\n'
        "echo credentials not found; exit 1\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    for settings in ({"credHelpers": {"helped.example.com": "test"}}, {"credsStore": "test"}):
        (tmp_path / "config.json").write_text(json.dumps(settings))
        assert stored_credentials("helped.example.com", environment) == Credentials("carol", "helped")
    assert stored_credentials("token.example.com", environment) == Credentials("", "", "identity")
    assert stored_credentials("unknown.example.com", environment) is None
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "not-installed"}))
    assert stored_credentials("helped.example.com", environment) is None


def test_credentials_do_not_show_their_secrets() -> None:
    assert "secret" not in repr(Credentials("alice", "secret", "secret"))
