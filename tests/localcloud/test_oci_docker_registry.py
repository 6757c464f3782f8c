"""The registry simulator answers as Debian's docker-registry: the same requests to both, all answers compared.

Left out: an upper-case repository (the real one answers 500), and pages of tags (it has none).
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.http import free_port, serve
from localcloud.oci.auth import BasicAuth
from localcloud.oci.client import RegistryError, Remote, copy_image
from localcloud.oci.images import push_image, push_index, push_multi_arch
from localcloud.oci.server import distribution_app
from localcloud.oci.store import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    ImageStore,
    digest_of,
)
from tests.programs import program

ALL = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_MANIFEST_LIST}, {DOCKER_MANIFEST}"
HTPASSWD = "robot:$2b$04$0e2TKf2KY.R87MdSIblDguyzwzS6UOAgEvFKOqbdxIE9DiOqkq.nC\n"  # password: pw
OCTETS = {"Content-Type": "application/octet-stream"}
NOWHERE = digest_of(b"nowhere")
HELLO = digest_of(b"hello")

COMPARED = (
    "content-length",
    "content-type",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "link",
    "location",
    "range",
    "www-authenticate",
)


@dataclass(frozen=True)
class Ask:
    """One request. `{upload}` in the path is the newest upload's address, `{first}` the one it began with."""

    what: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def sample() -> ImageStore:
    store = ImageStore()
    for tag in ("1.0", "1.1", "latest"):
        push_image(store, "library/nginx", tag, f"nginx-{tag}")
    push_image(store, "library/redis", "7", "redis", docker=True)
    push_multi_arch(store, "library/redis", "multi", "redis", docker=True)
    linux = push_multi_arch(store, "library/alpine", "3", "alpine")
    push_index(store, "library/alpine", "nested", [linux])
    push_image(store, "library-x/y", "1", "y")
    return store


SAMPLE = sample()


def digest(repository: str, tag: str) -> str:
    manifest = SAMPLE.manifest(repository, tag)
    assert manifest is not None
    return manifest.digest


def layer(repository: str, tag: str) -> str:
    manifest = SAMPLE.manifest(repository, tag)
    assert manifest is not None
    return SAMPLE.references(manifest.body)[-1].digest


NGINX = digest("library/nginx", "1.0")
ALPINE = digest("library/alpine", "3")
LAYER = layer("library/nginx", "1.0")


def manifest_of(config: str, media_type: str = OCI_MANIFEST, **more: Any) -> bytes:
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 5}
    document = {"schemaVersion": 2, "mediaType": media_type, "config": descriptor, "layers": []}
    return json.dumps(document | more).encode()


def index_of(child: str) -> bytes:
    descriptor = {"mediaType": OCI_MANIFEST, "digest": child, "size": 5}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).encode()


def put(what: str, reference: str, body: bytes, media_type: str = OCI_MANIFEST) -> Ask:
    return Ask(what, "PUT", f"/v2/new/image/manifests/{reference}", {"Content-Type": media_type}, body)


def get(what: str, path: str, accept: str = "*/*", **headers: str) -> Ask:
    return Ask(what, "GET", path, {"Accept": accept, **headers})


def upload(what: str, method: str, path: str, body: bytes = b"") -> Ask:
    return Ask(what, method, path, OCTETS, body)


HELLO_MANIFEST = manifest_of(HELLO)

SCRIPT = [
    get("base", "/v2/"),
    get("catalog", "/v2/_catalog"),
    get("catalog, first page", "/v2/_catalog?n=2"),
    get("catalog, second page", "/v2/_catalog?n=2&last=library%2Falpine"),
    get("catalog, last is not a repository", "/v2/_catalog?last=library/b"),
    get("catalog, n zero", "/v2/_catalog?n=0"),
    get("catalog, n too large", "/v2/_catalog?n=1001"),
    get("tags", "/v2/library/nginx/tags/list"),
    get("tags of no repository", "/v2/library/nosuch/tags/list"),
    get("tags of a parent path", "/v2/library/tags/list"),
    get("tags, blank in the name", "/v2/a%20b/tags/list"),
    get("tags, name ends in a dash", "/v2/a-/tags/list"),
    get("manifest by tag", "/v2/library/nginx/manifests/1.0", ALL),
    Ask("manifest by tag, HEAD", "HEAD", "/v2/library/nginx/manifests/1.0", {"Accept": ALL}),
    get("manifest by digest", f"/v2/library/nginx/manifests/{NGINX}", ALL),
    get("OCI manifest, any type accepted", "/v2/library/nginx/manifests/1.0"),
    get("OCI manifest, only Docker's accepted", f"/v2/library/nginx/manifests/{NGINX}", DOCKER_MANIFEST),
    get("index", "/v2/library/alpine/manifests/3", ALL),
    get("index by digest", f"/v2/library/alpine/manifests/{ALPINE}", ALL),
    get("index, only manifests accepted", "/v2/library/alpine/manifests/3", OCI_MANIFEST),
    get("Docker manifest", "/v2/library/redis/manifests/7", DOCKER_MANIFEST),
    get("Docker manifest list", "/v2/library/redis/manifests/multi", ALL),
    get("unknown tag", "/v2/library/nginx/manifests/nosuch", ALL),
    Ask("unknown tag, HEAD", "HEAD", "/v2/library/nginx/manifests/nosuch", {"Accept": ALL}),
    get("unknown digest", f"/v2/library/nginx/manifests/{NOWHERE}", ALL),
    get("digest of another repository", f"/v2/library/redis/manifests/{NGINX}", ALL),
    get("manifest, no reference", "/v2/library/nginx/manifests/", ALL),
    get("blob", f"/v2/library/nginx/blobs/{LAYER}"),
    Ask("blob, HEAD", "HEAD", f"/v2/library/nginx/blobs/{LAYER}"),
    get("blob of another repository", f"/v2/library-x/y/blobs/{LAYER}"),
    get("blob, no digest", "/v2/library/nginx/blobs/sha256:zz"),
    get("referrers", f"/v2/library/nginx/referrers/{NGINX}"),
    get("no such path", "/nosuch"),
    upload("upload", "POST", "/v2/new/image/blobs/uploads/"),
    upload("upload, first part", "PATCH", "{upload}", b"hel"),
    upload("upload, last part", "PATCH", "{upload}", b"lo"),
    upload("upload, finished", "PUT", "{upload}&digest=" + HELLO),
    upload("upload, finished twice", "PUT", "{upload}&digest=" + HELLO),
    get("blob just uploaded", f"/v2/new/image/blobs/{HELLO}"),
    upload("upload 2", "POST", "/v2/new/image/blobs/uploads/"),
    upload("upload 2, in one PUT", "PUT", "{upload}&digest=" + HELLO, b"hello"),
    upload("upload 3", "POST", "/v2/new/image/blobs/uploads/"),
    upload("upload 3, wrong digest", "PUT", "{upload}&digest=" + NOWHERE, b"hello"),
    upload("upload 4", "POST", "/v2/new/image/blobs/uploads/"),
    upload("upload 4, no digest", "PUT", "{upload}", b"hello"),
    upload("upload 5", "POST", "/v2/new/image/blobs/uploads/"),
    upload("upload 5, garbled digest", "PUT", "{upload}&digest=sha256:zz", b"hello"),
    upload("unknown upload", "PUT", f"/v2/new/image/blobs/uploads/nosuch?digest={HELLO}", b"hello"),
    upload("mount", "POST", f"/v2/new/other/blobs/uploads/?mount={HELLO}&from=new/image"),
    upload("mount, unknown blob", "POST", f"/v2/new/other/blobs/uploads/?mount={NOWHERE}&from=new/image"),
    upload("mount, blob of another repository", "POST", f"/v2/new/other/blobs/uploads/?mount={LAYER}&from=new/image"),
    get("tags, only blobs so far", "/v2/new/other/tags/list"),
    get("catalog, only blobs so far", "/v2/_catalog?last=library/redis"),
    put("push, config missing", "1", manifest_of(NOWHERE)),
    put("push, child missing", "1", index_of(NOWHERE), OCI_INDEX),
    put("push, wrong type", "1", HELLO_MANIFEST, "text/plain"),
    put("push, other type than the body says", "1", HELLO_MANIFEST, DOCKER_MANIFEST),
    put("push, other digest", NOWHERE, HELLO_MANIFEST),
    put("push by digest", digest_of(HELLO_MANIFEST), HELLO_MANIFEST),
    get("tags, nothing tagged so far", "/v2/new/image/tags/list"),
    put("push", "1", HELLO_MANIFEST),
    put("push another tag", "2", HELLO_MANIFEST),
    put("push an index", "index", index_of(digest_of(HELLO_MANIFEST)), OCI_INDEX),
    put("push, the same tag moved", "2", manifest_of(HELLO, annotations={"moved": "yes"})),
    get("tags after the pushes", "/v2/new/image/tags/list"),
    get("moved tag", "/v2/new/image/manifests/2", ALL),
    Ask("delete a tag", "DELETE", "/v2/new/image/manifests/1"),
    Ask("delete unknown digest", "DELETE", f"/v2/new/image/manifests/{NOWHERE}"),
    Ask("delete", "DELETE", f"/v2/new/image/manifests/{digest_of(HELLO_MANIFEST)}"),
    Ask("delete twice", "DELETE", f"/v2/new/image/manifests/{digest_of(HELLO_MANIFEST)}"),
    get("deleted, by digest", f"/v2/new/image/manifests/{digest_of(HELLO_MANIFEST)}", ALL),
    get("deleted, by tag", "/v2/new/image/manifests/1", ALL),
    get("tags after the deletion", "/v2/new/image/tags/list"),
    Ask("delete the last of a repository", "DELETE", f"/v2/library-x/y/manifests/{digest('library-x/y', '1')}"),
    get("tags, none left", "/v2/library-x/y/tags/list"),
    get("catalog at the end", "/v2/_catalog"),
]

UNAUTHORIZED = [
    get("base", "/v2/"),
    get("catalog", "/v2/_catalog"),
    get("tags", "/v2/library/nginx/tags/list"),
    get("manifest", "/v2/library/nginx/manifests/1.0"),
    get("blob", f"/v2/library/nginx/blobs/{LAYER}"),
    put("push", "1", HELLO_MANIFEST),
    upload("upload", "POST", "/v2/new/image/blobs/uploads/"),
    Ask("delete", "DELETE", f"/v2/new/image/manifests/{NOWHERE}"),
    get("wrong password", "/v2/", Authorization="Basic cm9ib3Q6d3Jvbmc="),
    get("garbled credentials", "/v2/", Authorization="Basic %%%"),
    get("good password", "/v2/", Authorization="Basic cm9ib3Q6cHc="),
    get("unknown path", "/v2/nosuch"),
]


@contextmanager
def docker_registry(directory: Path, users: str | None = None) -> Iterator[str]:
    """Debian's docker-registry with empty storage in `directory`; yields its URL."""
    registry = program("docker-registry")
    port = free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if users is not None:
        (directory / "htpasswd").write_text(users)
        config["auth"] = {"htpasswd": {"realm": "basic-realm", "path": str(directory / "htpasswd")}}
    (directory / "config.yml").write_text(json.dumps(config))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([registry, "serve", directory / "config.yml"], stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (directory / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def push(http: httpx.Client, store: ImageStore) -> None:
    """Pushes everything in `store`, children before their index."""
    for repository in store.repositories():
        for reference in (*store.digests(repository), *store.tags(repository)):
            manifest = store.manifest(repository, reference)
            assert manifest is not None
            for child in store.references(manifest.body):
                data = store.blob(child.digest)
                if data is not None:
                    upload = http.post(f"/v2/{repository}/blobs/uploads/").headers["location"]
                    url = f"{upload}&digest={child.digest}"
                    assert http.put(url, content=data, headers=OCTETS).status_code == 201
            answer = http.put(
                f"/v2/{repository}/manifests/{reference}",
                content=manifest.body,
                headers={"Content-Type": manifest.media_type},
            )
            assert answer.status_code == 201, answer.text


def comparable(response: httpx.Response, base: str) -> dict[str, Any]:
    headers = {name: response.headers[name] for name in COMPARED if name in response.headers}
    if "location" in headers:
        headers["location"] = re.sub(
            r"uploads/[0-9a-f-]{36}\?_state=.*", "uploads/<id>", headers["location"].replace(base, "<base>")
        )
    body = response.content
    if body.startswith(b'{"name":') and (tags := json.loads(body)["tags"]):
        # The registry lists tags in the order of its directory, which is random.
        body = json.dumps({"tags": sorted(tags)}).encode()
    return {"status": response.status_code, "headers": headers, "body": body}


def ask_all(base: str, script: list[Ask], prepare: Callable[[httpx.Client], None]) -> dict[str, dict[str, Any]]:
    answers = {}
    first = newest = ""
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as http:
        prepare(http)
        for ask in script:
            path = ask.path.replace("{upload}", newest).replace("{first}", first)
            response = http.request(ask.method, path, headers=ask.headers, content=ask.body or None)
            if "/uploads/" in response.headers.get("location", ""):
                newest = response.headers["location"]
                first = newest if ask.method == "POST" else first
            answers[ask.what] = comparable(response, base)
    return answers


@dataclass(frozen=True)
class Both:
    real: dict[str, dict[str, Any]]
    ours: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def open_registries(tmp_path_factory: pytest.TempPathFactory) -> Both:
    def prepare(http: httpx.Client) -> None:
        push(http, SAMPLE)

    with docker_registry(tmp_path_factory.mktemp("open")) as url:
        real = ask_all(url, SCRIPT, prepare)
    with serve(distribution_app(ImageStore())) as server:
        return Both(real, ask_all(server.url, SCRIPT, prepare))


@pytest.fixture(scope="module")
def guarded_registries(tmp_path_factory: pytest.TempPathFactory) -> Both:
    def prepare(_http: httpx.Client) -> None:
        pass

    def check(username: str, password: str) -> bool:
        return (username, password) == ("robot", "pw")

    with docker_registry(tmp_path_factory.mktemp("guarded"), HTPASSWD) as url:
        real = ask_all(url, UNAUTHORIZED, prepare)
    with serve(distribution_app(ImageStore(), BasicAuth(check))) as server:
        return Both(real, ask_all(server.url, UNAUTHORIZED, prepare))


@pytest.mark.parametrize("what", [ask.what for ask in SCRIPT])
def test_answers_as_docker_registry(open_registries: Both, what: str) -> None:
    assert open_registries.ours[what] == open_registries.real[what]


@pytest.mark.parametrize("what", [ask.what for ask in UNAUTHORIZED])
def test_refuses_as_docker_registry(guarded_registries: Both, what: str) -> None:
    assert guarded_registries.ours[what] == guarded_registries.real[what]


def test_our_client_copies_from_docker_registry_with_credentials(tmp_path: Path) -> None:
    store = ImageStore()
    with docker_registry(tmp_path, HTPASSWD) as url:
        with httpx.Client(base_url=url, trust_env=False, timeout=60, auth=("robot", "pw")) as http:
            push(http, SAMPLE)
        with Remote(url, "robot", "pw") as remote:
            remote.ping()
            for repository in remote.catalog():
                for tag in remote.tags(repository):
                    copy_image(remote, repository, tag, store, repository, tag)
        with Remote(url) as anonymous, pytest.raises(RegistryError) as caught:
            anonymous.tags("library/nginx")
    assert str(caught.value) == (
        'http status code: 401, body: {"errors":[{"code":"UNAUTHORIZED","message":"authentication required",'
        '"detail":[{"Type":"repository","Class":"","Name":"library/nginx","Action":"pull"}]}]}\n'
    )
    assert {name: store.tags(name) for name in store.repositories()} == {
        name: SAMPLE.tags(name) for name in SAMPLE.repositories()
    }


def test_the_requests_have_unique_names() -> None:
    assert len({ask.what for ask in SCRIPT}) == len(SCRIPT)
    assert len({ask.what for ask in UNAUTHORIZED}) == len(UNAUTHORIZED)
