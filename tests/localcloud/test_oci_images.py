"""The sample images: stable digests, and content that real tools accept."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from localcloud.oci.images import BUILDS, NGINX_VERSIONS, move_tag, push_image, seed
from localcloud.oci.store import (
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageStore,
    digest_of,
    references,
)


@pytest.fixture(scope="module")
def store() -> ImageStore:
    store = ImageStore()
    seed(store)
    return store


def children(store: ImageStore, repository: str, reference: str) -> list[Descriptor]:
    manifest = store.manifest(repository, reference)
    assert manifest is not None
    return references(manifest.body)


def test_the_digests_never_change() -> None:
    assert push_image(ImageStore(), "any/name", None, "nginx-1.27.2").digest == (
        "sha256:d8b22a8993e67f0e86e4a2dd64cdeabc0c9552345cf0ddbdce851c4756cfedf3"
    )
    assert push_image(ImageStore(), "x", None, "redis", docker=True).digest == (
        "sha256:90abc863854b80ff697f6087fc0daf58642b7606614a74202e0de4adb8e202f5"
    )


def test_seeding_twice_gives_the_same(store: ImageStore) -> None:
    other = ImageStore()
    seed(other)
    assert {name: other.tags(name) for name in other.repositories()} == {
        name: store.tags(name) for name in store.repositories()
    }


def test_the_set_has_every_form_that_a_mirror_meets(store: ImageStore) -> None:
    nginx = store.tags("library/nginx")
    assert set(nginx) == {*NGINX_VERSIONS, "stable", "latest"}
    assert nginx["stable"] == nginx["1.26.2"]
    assert nginx["latest"] == nginx["1.27.2"]
    assert len(store.tags("ci/builds")) == BUILDS
    assert {"team/app/web", "team/app/api", "other/web", "tool"} <= set(store.repositories())
    assert store.tags("team/app/web")["1.0.0"] != store.tags("other/web")["1.0.0"]

    alpine = children(store, "library/alpine", "latest")
    assert [child.platform for child in alpine if child.media_type == OCI_MANIFEST] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    redis = store.manifest("library/redis", "latest")
    assert redis is not None
    assert redis.media_type == DOCKER_MANIFEST_LIST
    assert [child.media_type for child in children(store, "team/nested", "1.0.0")] == [OCI_INDEX, OCI_MANIFEST]


def test_every_image_is_complete_and_its_layers_match_its_config(store: ImageStore) -> None:
    images = 0
    for repository in store.repositories():
        for digest in store.digests(repository):
            manifest = store.manifest(repository, digest)
            assert manifest is not None
            assert store.missing_references(repository, manifest.body) == []
            assert json.loads(manifest.body)["mediaType"] == manifest.media_type
            if "config" not in json.loads(manifest.body):
                continue
            images += 1
            blobs = {child.digest: store.blob(child.digest) or b"" for child in references(manifest.body)}
            assert [len(data) for data in blobs.values()] == [c.size for c in references(manifest.body)]
            config, *layers = blobs.values()
            tars = [gzip.decompress(layer) for layer in layers]
            assert json.loads(config)["rootfs"]["diff_ids"] == [digest_of(tar) for tar in tars]
            for tar in tars:
                with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                    assert [member.size for member in archive] == [4096]
    assert images > 30


def test_a_moved_tag_points_to_a_new_image() -> None:
    store = ImageStore()
    seed(store)
    before = store.tags("library/nginx")
    digest = move_tag(store, "library/nginx", "latest", "nginx-1.28.0")
    assert store.tags("library/nginx") == before | {"latest": digest}
    assert digest not in before.values()
