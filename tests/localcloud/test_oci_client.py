"""The registry client of the Harbor simulator, with every kind of credentials."""

from __future__ import annotations

from collections.abc import Iterator

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
from localcloud.oci.images import push_image
from localcloud.oci.store import FOREIGN_LAYER, Descriptor, ImageStore, digest_of
from localcloud.registry import RegistrySimulator


@pytest.fixture(scope="module")
def source() -> Iterator[tuple[RegistrySimulator, Remote]]:
    registry = RegistrySimulator(page_size=100)
    registry.seed()
    with serve(registry.app) as server, Remote(server.url) as remote:
        yield registry, remote


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


@pytest.mark.parametrize(
    "body", ["", "<html>", "null", "[]", "[1", '"text"', "7", '{"repositories": "library", "tags": 1}']
)
def test_an_answer_that_is_no_list_is_an_error_with_its_text(body: str) -> None:
    registry = RegistrySimulator()
    with serve(registry.app) as server, Remote(server.url) as remote:
        for ask in (remote.catalog, lambda: remote.tags("library/nginx")):
            registry.faults.add(Fault(r"/_catalog|/tags/list", status=200, body=body))
            with pytest.raises(RegistryError) as caught:
                ask()
            assert str(caught.value) == f"http status code: 200, body: {body}"


@pytest.mark.parametrize("body", ["", "<html>", "null", "[]", "[1", '"text"', "7"])
def test_a_token_that_cannot_be_read_is_an_error_with_its_text(body: str) -> None:
    registry = RegistrySimulator("bot", "secret", token_flow=True)
    with serve(registry.app) as server, Remote(server.url, "bot", "secret") as remote:
        registry.faults.add(Fault("/token", status=200, body=body))
        with pytest.raises(RegistryError) as caught:
            remote.ping()
        assert str(caught.value) == f"http status code: 200, body: {body}"


def test_a_challenge_without_a_usable_realm_is_no_answer() -> None:
    for realm in ('service="x"', 'realm="nowhere"', 'realm="http://["', 'realm="http://a:b"'):
        registry = RegistrySimulator("bot", "secret")
        challenge = {"WWW-Authenticate": f"Bearer {realm}"}
        registry.faults.add(Fault("/v2/", status=401, headers=challenge, times=None))
        with (
            serve(registry.app) as server,
            Remote(server.url, "bot", "secret") as remote,
            pytest.raises(RegistryUnreachable),
        ):
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


def test_each_step_is_reported_and_no_blob_is_copied_twice(source: tuple[RegistrySimulator, Remote]) -> None:
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


class Stopped(Exception):
    pass


def test_a_foreign_layer_is_not_copied(source: tuple[RegistrySimulator, Remote]) -> None:
    steps: list[Step] = []
    layer = Descriptor(FOREIGN_LAYER, digest_of(b"windows"), 7)
    store = ImageStore()
    assert copy_blob(source[1], "library/nginx", layer, store, "m", steps.append) == 0
    assert kinds(steps) == ["foreign"]
    assert store.blob(layer.digest) is None


def lying_registry(store: ImageStore) -> Starlette:
    """Serve the store's manifests, but wrong bytes for every blob."""

    def answer(request: Request) -> Response:
        if "/manifests/" not in request.url.path:
            return Response(b"other bytes")
        manifest = store.manifest("a", request.url.path.rpartition("/")[2])
        assert manifest is not None
        return Response(manifest.body, media_type=manifest.media_type)

    return Starlette(routes=[Route("/{path:path}", answer)])


def test_changed_content_is_rejected() -> None:
    store, honest = ImageStore(), ImageStore()
    push_image(honest, "a", "1", "x")
    with (
        serve(lying_registry(honest)) as server,
        Remote(server.url) as remote,
        pytest.raises(ValueError, match=digest_of(b"other bytes")),
    ):
        copy_image(remote, "a", "1", store, "m/a", "1")
    assert store.tags("m/a") == {}
