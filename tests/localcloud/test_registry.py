"""The registry simulator: rate limits, rotated credentials, the token flow, and its log."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from localcloud.http import serve
from localcloud.oci.store import OCI_MANIFEST
from localcloud.registry import RATE_WINDOW_SECONDS, RegistrySimulator

NGINX = "/v2/library/nginx/manifests/latest"
ACCEPT = {"Accept": OCI_MANIFEST}


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=ACCEPT, trust_env=False, timeout=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> RegistrySimulator:
    source = RegistrySimulator()
    source.seed()
    return source


@pytest.fixture
def http(source: RegistrySimulator) -> Iterator[httpx.Client]:
    with serve(source.app) as server, client(server.url) as http:
        yield http


def remaining(answer: httpx.Response) -> str | None:
    value: str | None = answer.headers.get("ratelimit-remaining")
    return value


def test_rate_limit_counts_manifest_pulls_until_the_window_ends() -> None:
    clock = Clock()
    source = RegistrySimulator(rate_limit=2, clock=clock)
    source.seed()
    with serve(source.app) as server, client(server.url) as http:
        assert remaining(http.head(NGINX)) == "2;w=21600"
        first = http.get(NGINX)
        assert (first.headers["ratelimit-limit"], remaining(first)) == ("2;w=21600", "1;w=21600")
        assert remaining(http.get("/v2/library/nginx/manifests/nosuch")) == "1;w=21600"
        assert remaining(http.get("/v2/library/nginx/tags/list")) is None
        assert remaining(http.get(NGINX)) == "0;w=21600"

        refused = http.get(NGINX)
        assert (refused.status_code, remaining(refused)) == (429, "0;w=21600")
        assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
        assert source.pulls == 2
        # Looking is free, and blobs never count.
        assert http.head(NGINX).status_code == 200
        assert http.get("/v2/library/nginx/tags/list").status_code == 200

        clock.now += RATE_WINDOW_SECONDS - 1
        assert http.get(NGINX).status_code == 429
        clock.now += 1
        assert remaining(http.get(NGINX)) == "1;w=21600"
        assert source.pulls == 1


def test_only_who_may_pull_uses_up_the_limit() -> None:
    source = RegistrySimulator("bot", "pw", rate_limit=1)
    source.seed()
    with serve(source.app) as server, client(server.url) as http:
        assert [http.get(NGINX).status_code for _ in range(3)] == [401, 401, 401]
        assert [http.get(NGINX, auth=("bot", "pw")).status_code for _ in range(2)] == [200, 429]


def test_rotated_credentials() -> None:
    source = RegistrySimulator("bot", "old")
    with serve(source.app) as server, client(server.url) as http:
        assert http.get("/v2/", auth=("bot", "old")).status_code == 200
        source.set_credentials("bot", "new")
        assert http.get("/v2/", auth=("bot", "old")).status_code == 401
        assert http.get("/v2/", auth=("bot", "new")).status_code == 200


def test_open_token_flow_gives_tokens_to_anybody() -> None:
    source = RegistrySimulator(token_flow=True)
    source.seed()
    with serve(source.app) as server, client(server.url) as http:
        assert http.get(NGINX).status_code == 401
        token = http.get("/token", params={"scope": "repository:library/nginx:pull"}).json()["token"]
        assert http.get(NGINX, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_log_names_request_answer_and_user_but_no_password() -> None:
    source = RegistrySimulator("bot", "s3cret")
    source.seed()
    with serve(source.app) as server, client(server.url) as http:
        http.get("/v2/")
        http.get("/v2/_catalog?n=1", auth=("bot", "s3cret"))
    assert [(seen.method, seen.path, seen.query, seen.status, seen.username) for seen in source.requests] == [
        ("GET", "/v2/", "", 401, None),
        ("GET", "/v2/_catalog", "n=1", 200, "bot"),
    ]
    assert "s3cret" not in repr(source.requests)
