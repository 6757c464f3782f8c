"""Where the registry simulator goes beyond Debian's docker-registry."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from localcloud.http import serve
from localcloud.oci.auth import TOKEN_SECONDS, TokenService, registry_error
from localcloud.oci.images import push_image, sign_as_referrer
from localcloud.oci.server import distribution_app
from localcloud.oci.store import OCI_INDEX, OCI_MANIFEST, ImageStore, digest_of

ACCEPT = {"Accept": OCI_MANIFEST}


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=60)


@pytest.fixture
def store() -> ImageStore:
    store = ImageStore()
    for number in range(5):
        push_image(store, "p/a", f"t{number}", "x")
    return store


@pytest.fixture
def http(store: ImageStore) -> Iterator[httpx.Client]:
    with serve(distribution_app(store)) as server, client(server.url) as http:
        yield http


@pytest.mark.parametrize(
    ("query", "tags", "link"),
    [
        ("", ["t0", "t1", "t2", "t3", "t4"], None),
        ("?n=2", ["t0", "t1"], '</v2/p/a/tags/list?last=t1&n=2>; rel="next"'),
        ("?n=2&last=t1", ["t2", "t3"], '</v2/p/a/tags/list?last=t3&n=2>; rel="next"'),
        ("?n=2&last=t3", ["t4"], None),
        ("?n=5", ["t0", "t1", "t2", "t3", "t4"], None),
        ("?n=0", None, None),
        ("?last=t3", ["t4"], None),
        ("?last=zz", None, None),
    ],
)
def test_tags_are_paged_on_demand(http: httpx.Client, query: str, tags: list[str] | None, link: str | None) -> None:
    answer = http.get(f"/v2/p/a/tags/list{query}")
    assert answer.json() == {"name": "p/a", "tags": tags}
    assert answer.headers.get("link") == link


def test_a_page_size_caps_every_page(store: ImageStore) -> None:
    push_image(store, "p/b", "1", "x")
    with serve(distribution_app(store, page_size=1)) as server, client(server.url) as http:
        assert http.get("/v2/_catalog?n=100").json() == {"repositories": ["p/a"]}
        assert http.get("/v2/_catalog?n=100").headers["link"] == '</v2/_catalog?last=p%2Fa&n=1>; rel="next"'
        assert http.get("/v2/p/a/tags/list").json()["tags"] == ["t0"]


def test_an_upload_in_one_post(http: httpx.Client) -> None:
    digest = digest_of(b"data")
    answer = http.post(f"/v2/p/a/blobs/uploads/?digest={digest}", content=b"data")
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"/v2/p/a/blobs/{digest}")
    assert http.get(f"/v2/p/a/blobs/{digest}").content == b"data"
    wrong = http.post(f"/v2/p/a/blobs/uploads/?digest={digest}", content=b"other")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


def test_addresses_keep_the_scheme_that_a_proxy_names(http: httpx.Client) -> None:
    answer = http.post("/v2/p/a/blobs/uploads/", headers={"X-Forwarded-Proto": "https", "Host": "harbor.example"})
    assert answer.headers["location"].startswith("https://harbor.example/v2/p/a/blobs/uploads/")


def test_the_authorizer_decides_each_request_by_repository_and_action(store: ImageStore) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def authorize(request: Request, repository: str | None, action: str) -> Response | None:
        asked.append((request.method, repository, action))
        return registry_error(403, "DENIED", "no") if repository == "secret/x" else None

    blob = digest_of(b"data")
    store.put_blob(b"data", "secret/x")
    with serve(distribution_app(store, authorize)) as server, client(server.url) as http:
        http.get("/v2/")
        http.get("/v2/_catalog")
        http.get("/v2/p/a/tags/list")
        http.head("/v2/p/a/manifests/t0")
        http.put("/v2/p/a/manifests/t0")
        http.delete(f"/v2/p/a/manifests/{blob}")
        assert http.get(f"/v2/secret/x/blobs/{blob}").status_code == 403
        # Mounting reads the other repository too.
        assert http.post(f"/v2/p/a/blobs/uploads/?mount={blob}&from=secret/x").status_code == 403
        assert store.blob(blob, "p/a") is None
        http.get("/v2/p/a")  # no address of the API: nobody is asked
    assert asked == [
        ("GET", None, "base"),
        ("GET", None, "catalog"),
        ("GET", "p/a", "pull"),
        ("HEAD", "p/a", "pull"),
        ("PUT", "p/a", "push"),
        ("DELETE", "p/a", "delete"),
        ("GET", "secret/x", "pull"),
        ("POST", "p/a", "push"),
        ("POST", "secret/x", "pull"),
    ]


# The token flow


class Tokens:
    """A registry where `writer` may do everything in p/a, others only pull there."""

    def __init__(self, store: ImageStore) -> None:
        self.now = 1000.0
        service = TokenService("test", self.authenticate, self.grant, clock=lambda: self.now)
        routes = [Route("/token", service.endpoint), Mount("/", distribution_app(store, service))]
        self.app = Starlette(routes=routes)

    def authenticate(self, username: str | None, password: str | None) -> str | None:
        if username is None:
            return "anonymous"
        return username if password == "pw" else None

    def grant(self, principal: str, kind: str, name: str, actions: Collection[str]) -> Collection[str]:
        if (kind, name) != ("repository", "p/a"):
            return ()
        return actions if principal == "writer" else set(actions) & {"pull"}


@pytest.fixture
def tokens(store: ImageStore) -> Tokens:
    return Tokens(store)


@pytest.fixture
def guarded(tokens: Tokens) -> Iterator[httpx.Client]:
    with serve(tokens.app) as server, client(server.url) as http:
        yield http


def bearer(http: httpx.Client, scope: str, username: str | None = None) -> dict[str, str]:
    auth = None if username is None else (username, "pw")
    answer = http.get("/token", params={"service": "test", "scope": scope}, auth=auth).json()
    assert answer["expires_in"] == TOKEN_SECONDS
    assert answer["access_token"] == answer["token"]
    return {"Authorization": f"Bearer {answer['token']}"}


def test_the_challenge_names_realm_service_and_scope(guarded: httpx.Client) -> None:
    realm = f'Bearer realm="{str(guarded.base_url).rstrip("/")}/token",service="test"'
    challenge = guarded.get("/v2/").headers["www-authenticate"]
    assert challenge == realm
    challenge = guarded.get("/v2/p/a/tags/list").headers["www-authenticate"]
    assert challenge == f'{realm},scope="repository:p/a:pull"'
    challenge = guarded.post("/v2/p/a/blobs/uploads/").headers["www-authenticate"]
    assert challenge == f'{realm},scope="repository:p/a:pull,push"'
    challenge = guarded.get("/v2/_catalog").headers["www-authenticate"]
    assert challenge == f'{realm},scope="registry:catalog:*"'


def test_a_token_grants_only_the_requested_access(guarded: httpx.Client, store: ImageStore) -> None:
    push_image(store, "p/b", "1", "x")
    reader = bearer(guarded, "repository:p/a:pull,push")
    assert guarded.get("/v2/", headers=reader).status_code == 200
    assert guarded.get("/v2/p/a/tags/list", headers=reader).status_code == 200
    refused = guarded.post("/v2/p/a/blobs/uploads/", headers=reader)
    assert refused.status_code == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert guarded.get("/v2/p/b/tags/list", headers=reader).status_code == 401

    writer = bearer(guarded, "repository:p/a:pull,push", "writer")
    assert guarded.post("/v2/p/a/blobs/uploads/", headers=writer).status_code == 202
    digest = store.tags("p/a")["t0"]
    assert guarded.delete(f"/v2/p/a/manifests/{digest}", headers=writer).status_code == 401
    everything = bearer(guarded, "repository:p/a:*", "writer")
    assert guarded.delete(f"/v2/p/a/manifests/{digest}", headers=everything).status_code == 202


def test_a_token_expires(guarded: httpx.Client, tokens: Tokens) -> None:
    reader = bearer(guarded, "repository:p/a:pull")
    tokens.now += TOKEN_SECONDS - 1
    assert guarded.get("/v2/p/a/tags/list", headers=reader).status_code == 200
    tokens.now += 1
    refused = guarded.get("/v2/p/a/tags/list", headers=reader)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_referrers_are_listed_where_the_registry_has_that_api(store: ImageStore) -> None:
    image = push_image(store, "p/a", "signed", "signed")
    signature = sign_as_referrer(store, "p/a", image)
    path = f"/v2/p/a/referrers/{image.digest}"
    with serve(distribution_app(store, referrers=True)) as server, client(server.url) as http:
        answer = http.get(path)
        assert answer.headers["content-type"] == OCI_INDEX
        (listed,) = answer.json()["manifests"]
        assert (listed["digest"], listed["size"]) == (signature.digest, signature.size)
        assert listed["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
        assert http.get(f"/v2/p/a/referrers/sha256:{'0' * 64}").json()["manifests"] == []
    with serve(distribution_app(store)) as server, client(server.url) as http:
        assert http.get(path).status_code == 404
