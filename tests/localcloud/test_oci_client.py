"""The client that stands for Harbor's: against our registry and Debian's, with every kind of credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.oci.client import (
    RegistryError,
    RegistryUnreachable,
    Remote,
    Step,
    copy_blob,
    copy_image,
)
from localcloud.oci.images import move_tag, push_image
from localcloud.oci.store import FOREIGN_LAYER, OCI_INDEX, Descriptor, ImageStore, digest_of, references
from localcloud.registry import RegistrySimulator


@pytest.fixture(scope="module")
def source() -> Iterator[tuple[RegistrySimulator, Remote]]:
    registry = RegistrySimulator(page_size=100)
    registry.seed()
    with serve(registry.app) as server, Remote(server.url) as remote:
        yield registry, remote


def test_reads_all_pages(source: tuple[RegistrySimulator, Remote]) -> None:
    registry, remote = source
    assert remote.catalog() == registry.store.repositories()
    before = len(registry.requests)
    assert remote.tags("ci/builds") == list(registry.store.tags("ci/builds"))
    assert [r.query for r in registry.requests[before:]] == ["", "last=build-0099&n=100", "last=build-0199&n=100"]


def test_reads_manifests_of_every_kind(source: tuple[RegistrySimulator, Remote]) -> None:
    registry, remote = source
    for repository, tag in (("library/nginx", "stable"), ("library/alpine", "latest"), ("library/redis", "latest")):
        manifest = remote.manifest(repository, tag)
        assert manifest == registry.store.manifest(repository, tag)
        head = remote.head_manifest(repository, manifest.digest)
        assert head == Descriptor(manifest.media_type, manifest.digest, len(manifest.body))
    assert remote.head_manifest("library/nginx", "nosuch") is None


@pytest.mark.parametrize(
    ("repository", "text"),
    [
        # Harbor 2.15.2's words, measured with such filters on a docker-registry source.
        (
            "library/nosuch",
            'http status code: 404, body: {"errors":[{"code":"NAME_UNKNOWN",'
            '"message":"repository name not known to registry","detail":{"name":"library/nosuch"}}]}\n',
        ),
        (
            "Library/nginx",
            'http status code: 404, body: {"errors":[{"code":"NAME_UNKNOWN",'
            '"message":"repository name not known to registry","detail":{"name":"Library/nginx"}}]}\n',
        ),
        ("team/app/ api", "http status code: 404, body: 404 page not found\n"),
        (" ", "http status code: 404, body: 404 page not found\n"),
    ],
)
def test_errors_read_as_in_harbor(source: tuple[RegistrySimulator, Remote], repository: str, text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        source[1].tags(repository)
    assert str(caught.value) == text
    assert caught.value.status == 404
    assert caught.value.code == ("NAME_UNKNOWN" if "NAME_UNKNOWN" in text else "")


@pytest.mark.parametrize("token_flow", [False, True])
def test_credentials(token_flow: bool) -> None:
    registry = RegistrySimulator("bot", "pass:word", token_flow=token_flow)
    registry.seed()
    with serve(registry.app) as server:
        with Remote(server.url, "bot", "pass:word") as remote:
            remote.ping()
            assert remote.catalog() == registry.store.repositories()
            digest = remote.manifest("team/app/web", "1.0.0").digest
            assert digest == registry.store.tags("team/app/web")["1.0.0"]
        with Remote(server.url) as anonymous:
            with pytest.raises(RegistryError) as caught:
                anonymous.tags("team/app/web")
            assert str(caught.value) == (
                'http status code: 401, body: {"errors":[{"code":"UNAUTHORIZED",'
                '"message":"authentication required","detail":[{"Type":"repository","Class":"",'
                '"Name":"team/app/web","Action":"pull"}]}]}\n'
            )
            with pytest.raises(RegistryError, match=r'"Type":"registry","Class":"","Name":"catalog","Action":"\*"'):
                anonymous.catalog()
        with Remote(server.url, "bot", "wrong") as wrong, pytest.raises(RegistryError) as caught:
            wrong.ping()
        assert caught.value.status == 401


def test_a_token_is_asked_for_once_per_scope() -> None:
    registry = RegistrySimulator("bot", "pw", token_flow=True)
    registry.seed()
    with serve(registry.app) as server, Remote(server.url, "bot", "pw") as remote:
        for _ in range(3):
            remote.tags("library/nginx")
            remote.tags("library/redis")
    tokens = [logged for logged in registry.requests if logged.path == "/token"]
    assert len(tokens) == 2
    assert all("scope=repository%3Alibrary%2F" in logged.query for logged in tokens)
    assert {logged.username for logged in registry.requests if logged.path != "/token"} == {None}


def test_an_address_without_scheme_is_http(source: tuple[RegistrySimulator, Remote]) -> None:
    with Remote(source[1].url.removeprefix("http://") + "/") as remote:
        remote.ping()


def test_a_dead_registry_reads_as_in_harbor() -> None:
    server = serve(RegistrySimulator().app)
    server.close()
    with Remote(server.url) as remote, pytest.raises(RegistryUnreachable) as caught:
        remote.tags("library/nginx")
    assert str(caught.value) == (
        f'Get "{server.url}/v2/": dial tcp 127.0.0.1:{server.port}: connect: connection refused'
    )


def test_an_unknown_host_and_a_cut_connection() -> None:
    with Remote("http://registry.invalid") as remote, pytest.raises(RegistryUnreachable, match="no such host"):
        remote.ping()
    registry = RegistrySimulator()
    registry.faults.add(Fault(close="before"))
    with serve(registry.app) as server, Remote(server.url) as remote:
        with pytest.raises(RegistryUnreachable, match=r'^Get "http://127.0.0.1:\d+/v2/": EOF$'):
            remote.ping()
        remote.ping()


def test_the_password_stays_out_of_errors() -> None:
    with Remote("http://127.0.0.1:1", "bot", "s3cret") as remote, pytest.raises(RegistryUnreachable) as caught:
        remote.ping()
    assert "s3cret" not in str(caught.value)


# Copying


def test_copies_a_nested_index_whole(source: tuple[RegistrySimulator, Remote]) -> None:
    registry, remote = source
    store = ImageStore()
    copied = copy_image(remote, "team/nested", "1.0.0", store, "mirror/nested", "1.0.0")
    assert store.tags("mirror/nested") == registry.store.tags("team/nested")
    assert set(store.digests("mirror/nested")) == set(registry.store.digests("team/nested"))
    for digest in store.digests("mirror/nested"):
        manifest = store.manifest("mirror/nested", digest)
        assert manifest is not None
        assert store.missing_references("mirror/nested", manifest.body) == []
    assert copied == store.stored_bytes(["mirror/nested"])


def kinds(steps: list[Step]) -> list[str]:
    return [step.kind for step in steps]


def test_tells_each_step_and_moves_no_blob_twice(source: tuple[RegistrySimulator, Remote]) -> None:
    registry, remote = source
    store = ImageStore()
    steps: list[Step] = []
    first = copy_image(remote, "library/nginx", "1.25.0", store, "m/nginx", "1.25.0", on_step=steps.append)
    blob = ["blob", "blob-copied", "blob-done"]
    assert kinds(steps) == ["copying", "pulling", "pulled", *blob * 3, "pushing", "pushed", "copied"]
    assert first == registry.store.size("library/nginx", "1.25.0")

    steps.clear()
    # The same again under another name: everything is mounted, from the newest repository that has it.
    again = copy_image(remote, "library/nginx", "1.25.0", store, "m/other", "1.25.0", on_step=steps.append)
    assert kinds(steps).count("blob-mounted") == 3
    assert {step.mounted_from for step in steps if step.kind == "blob-mounted"} == {"m/nginx"}
    assert again == len(remote.manifest("library/nginx", "1.25.0").body)

    steps.clear()
    copy_image(remote, "library/nginx", "1.25.1", store, "m/nginx", "1.25.1", on_step=steps.append)
    assert [kinds(steps).count(kind) for kind in ("blob-exists", "blob-mounted", "blob-copied")] == [1, 0, 2]

    steps.clear()
    assert copy_image(remote, "library/nginx", "1.25.1", store, "m/nginx", "1.25.1", on_step=steps.append) == 0
    assert kinds(steps) == ["copying", "pulling", "pulled", "same"]


def test_a_moved_tag_is_followed_only_with_override() -> None:
    registry = RegistrySimulator()
    old = push_image(registry.store, "a", "latest", "old").digest
    store = ImageStore()
    steps: list[Step] = []
    with serve(registry.app) as server, Remote(server.url) as remote:
        copy_image(remote, "a", "latest", store, "m/a", "latest")
        new = move_tag(registry.store, "a", "latest", "new")
        copy_image(remote, "a", "latest", store, "m/a", "latest", override=False, on_step=steps.append)
        assert kinds(steps)[-1] == "kept"
        assert store.tags("m/a") == {"latest": old}
        copy_image(remote, "a", "latest", store, "m/a", "latest", on_step=steps.append)
    assert "replacing" in kinds(steps)
    assert store.tags("m/a") == {"latest": new}
    assert old in store.digests("m/a")


class Stopped(Exception):
    pass


def test_what_a_watcher_raises_ends_the_copy(source: tuple[RegistrySimulator, Remote]) -> None:
    store = ImageStore()

    def stop(step: Step) -> None:
        if step.kind == "pushing":
            raise Stopped

    with pytest.raises(Stopped):
        copy_image(source[1], "library/nginx", "1.25.0", store, "m/nginx", "1.25.0", on_step=stop)
    assert store.tags("m/nginx") == {}


def test_a_mover_of_blobs_can_be_put_in_between(source: tuple[RegistrySimulator, Remote]) -> None:
    tries: list[str] = []

    def with_retry(remote: Remote, repository: str, blob: Descriptor, *rest: object) -> int:
        tries.append(blob.digest)
        return copy_blob(remote, repository, blob, *rest)  # type: ignore[arg-type]

    copy_image(source[1], "library/alpine", "3.19", ImageStore(), "m/a", "1", move_blob=with_retry)
    assert len(tries) == 9


def test_a_foreign_layer_is_left_where_it_is(source: tuple[RegistrySimulator, Remote]) -> None:
    steps: list[Step] = []
    layer = Descriptor(FOREIGN_LAYER, digest_of(b"windows"), 7)
    store = ImageStore()
    assert copy_blob(source[1], "library/nginx", layer, store, "m", steps.append) == 0
    assert kinds(steps) == ["foreign"]
    assert store.blob(layer.digest) is None


def lying_registry(store: ImageStore) -> Starlette:
    """Serves the store's manifests, and for every blob other bytes than its digest says."""

    def answer(request: Request) -> Response:
        if "/manifests/" not in request.url.path:
            return Response(b"other bytes")
        manifest = store.manifest("a", request.url.path.rpartition("/")[2])
        assert manifest is not None
        return Response(manifest.body, media_type=manifest.media_type)

    return Starlette(routes=[Route("/{path:path}", answer)])


def test_altered_content_is_refused() -> None:
    store, honest = ImageStore(), ImageStore()
    push_image(honest, "a", "1", "x")
    with (
        serve(lying_registry(honest)) as server,
        Remote(server.url) as remote,
        pytest.raises(ValueError, match=digest_of(b"other bytes")),
    ):
        copy_image(remote, "a", "1", store, "m/a", "1")
    assert store.tags("m/a") == {}


def test_an_altered_child_manifest_is_refused() -> None:
    honest = ImageStore()
    child = push_image(honest, "a", None, "x")
    other = honest.manifest("a", push_image(honest, "a", None, "y").digest)
    assert other is not None

    def answer(request: Request) -> Response:
        if request.url.path.endswith("/1"):
            entry = {"mediaType": child.media_type, "digest": child.digest, "size": child.size}
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
            return Response(json.dumps(index), media_type=OCI_INDEX)
        if "/blobs/" in request.url.path:
            return Response(honest.blob(request.url.path.rpartition("/")[2]))
        return Response(other.body, media_type=other.media_type)

    store = ImageStore()
    with (
        serve(Starlette(routes=[Route("/{path:path}", answer)])) as server,
        Remote(server.url) as remote,
        pytest.raises(ValueError, match=child.digest),
    ):
        copy_image(remote, "a", "1", store, "m/a", "1")
    assert store.tags("m/a") == {}


def test_the_references_of_an_image_come_config_first(source: tuple[RegistrySimulator, Remote]) -> None:
    manifest = source[1].manifest("library/nginx", "latest")
    assert [c.media_type.rpartition(".")[2] for c in references(manifest.body)] == ["v1+json", "tar+gzip", "tar+gzip"]


def test_httpx_alone_sees_the_same(source: tuple[RegistrySimulator, Remote]) -> None:
    """The client and the server agree with each other; a plain request shows that the digest is the body's."""
    url = f"{source[1].url}/v2/library/nginx/manifests/latest"
    answer = httpx.get(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}, trust_env=False)
    assert digest_of(answer.content) == answer.headers["docker-content-digest"]
