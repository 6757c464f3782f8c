"""The store: what is kept, what is shared, what is counted and what garbage collection may take."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from localcloud.oci.images import push_image, push_index, push_multi_arch
from localcloud.oci.store import FOREIGN_LAYER, OCI_MANIFEST, ImageStore, digest_of, references


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def body_of(store: ImageStore, repository: str, reference: str) -> bytes:
    manifest = store.manifest(repository, reference)
    assert manifest is not None
    return manifest.body


def test_a_manifest_is_found_by_tag_and_by_digest_byte_for_byte() -> None:
    store = ImageStore()
    image = push_image(store, "a/b", "1", "x")
    by_tag, by_digest = store.manifest("a/b", "1"), store.manifest("a/b", image.digest)
    assert by_tag is not None
    assert by_tag == by_digest
    assert digest_of(by_tag.body) == image.digest
    assert by_tag.media_type == OCI_MANIFEST
    assert store.manifest("a/b", "2") is None
    assert store.manifest("other", image.digest) is None


def test_blobs_are_shared_but_served_only_where_they_were_pushed_or_mounted() -> None:
    store = ImageStore()
    digest = store.put_blob(b"data", "one")
    assert store.blob(digest) == store.blob(digest, "one") == b"data"
    assert store.blob(digest, "two") is None
    assert store.mount_blob(digest, "two")
    assert store.blob(digest, "two") == b"data"
    assert store.repositories_with_blob(digest) == ["two", "one"]
    assert not store.mount_blob(digest_of(b"nothing"), "two")


def test_a_manifest_under_the_wrong_digest_is_refused() -> None:
    store = ImageStore()
    body = body_of_image()
    with pytest.raises(ValueError, match=digest_of(body)):
        store.put_manifest("a", digest_of(b"other"), body, OCI_MANIFEST)
    assert store.digests("a") == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"layers":[{}]}', b'{"config":7}', b'{"config":{"mediaType":1}}'])
def test_a_body_that_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ImageStore().put_manifest("a", "1", body, OCI_MANIFEST)


def body_of_image() -> bytes:
    other = ImageStore()
    return body_of(other, "a", push_image(other, "a", None, "x").digest)


def test_missing_references_names_what_the_repository_lacks() -> None:
    store, other = ImageStore(), ImageStore()
    body = body_of(other, "a", push_image(other, "a", "1", "x").digest)
    assert store.missing_references("a", body) == references(body)
    for child in references(body):
        store.put_blob(other.blob(child.digest) or b"", "elsewhere")
    assert store.missing_references("a", body) == references(body)
    for child in references(body):
        store.mount_blob(child.digest, "a")
    assert store.missing_references("a", body) == []


def test_a_foreign_layer_is_never_missing() -> None:
    layer = {"mediaType": FOREIGN_LAYER, "digest": digest_of(b"windows"), "size": 7}
    assert ImageStore().missing_references("a", json.dumps({"layers": [layer]}).encode()) == []


def test_a_moved_tag_leaves_the_old_image_untagged() -> None:
    store = ImageStore(Clock())
    old = push_image(store, "a", "latest", "old").digest
    first = store.pushed_at("a", "latest")
    new = push_image(store, "a", "latest", "new").digest
    assert store.tags("a") == {"latest": new}
    assert set(store.digests("a")) == {old, new}
    moved = store.pushed_at("a", "latest")
    assert first is not None
    assert moved is not None
    assert moved > first


def test_pushing_the_same_again_keeps_the_push_times() -> None:
    store = ImageStore(Clock())
    digest = push_image(store, "a", "1", "x").digest
    times = store.pushed_at("a", "1"), store.pushed_at("a", digest)
    push_image(store, "a", "1", "x")
    assert (store.pushed_at("a", "1"), store.pushed_at("a", digest)) == times


def test_deletions() -> None:
    store = ImageStore()
    digest = push_image(store, "a", "1", "x").digest
    push_image(store, "a", "2", "x")
    assert store.delete_tag("a", "1")
    assert not store.delete_tag("a", "1")
    assert store.tags("a") == {"2": digest}
    assert store.delete_manifest("a", digest)
    assert not store.delete_manifest("a", digest)
    assert store.tags("a") == {}
    assert store.pushed_at("a", "2") is None
    assert store.ever_tagged("a")
    assert store.repositories() == ["a"]
    assert store.delete_repository("a")
    assert not store.delete_repository("a")
    assert "a" not in store
    assert not store.ever_tagged("a")


def test_asking_for_an_unknown_repository_does_not_create_it() -> None:
    store = ImageStore()
    assert store.tags("a") == {}
    assert store.digests("a") == []
    assert not store.delete_tag("a", "1")
    assert store.size("a", "1") == 0
    assert store.repositories() == []


def test_repositories_come_path_part_by_path_part() -> None:
    store = ImageStore()
    for name in ("a-b", "a/b", "a", "a/b-c", "a/b/c"):
        store.put_blob(b"x", name)
    assert store.repositories() == ["a", "a/b", "a/b/c", "a/b-c", "a-b"]


def test_size_is_manifest_config_and_layers_and_children_of_an_index() -> None:
    store = ImageStore()
    image = push_image(store, "a", "1", "x")
    own = image.size + sum(len(store.blob(c.digest) or b"") for c in references(body_of(store, "a", "1")))
    assert store.size("a", "1") == store.size("a", image.digest) == own
    index = push_index(store, "a", "two", [image, image])
    assert store.size("a", "two") == index.size + 2 * own


def test_stored_bytes_counts_each_digest_once() -> None:
    store = ImageStore()
    push_image(store, "p/a", "1", "x")
    once = store.stored_bytes(["p/a"])
    push_image(store, "p/b", "1", "x")
    assert store.stored_bytes(["p/a", "p/b"]) == once
    push_image(store, "p/b", "2", "y")
    assert once < store.stored_bytes(["p/a", "p/b"]) < 2 * once
    assert store.stored_bytes([]) == 0


def test_garbage_collection_takes_only_what_no_manifest_names() -> None:
    store = ImageStore()
    index = push_multi_arch(store, "a", "multi", "x")
    lost = push_image(store, "a", "lost", "lost")
    lost_blobs = {child.digest for child in references(body_of(store, "a", "lost"))}
    loose = store.put_blob(b"loose", "b")
    assert set(store.collect_garbage()) == {loose}
    store.delete_manifest("a", lost.digest)
    freed = store.collect_garbage()
    # The base layer is the multi-arch image's too.
    assert set(freed) < lost_blobs
    assert len(freed) == 2
    assert all(store.blob(digest) is None for digest in freed)
    for child in references(body_of(store, "a", index.digest)):
        assert store.missing_references("a", body_of(store, "a", child.digest)) == []
    assert store.collect_garbage() == {}


@pytest.mark.parametrize("again", [copy.deepcopy, lambda store: pickle.loads(pickle.dumps(store))])
def test_a_kept_store_comes_back_whole_and_independent(again: object) -> None:
    store = ImageStore()
    push_image(store, "a", "1", "x")
    assert callable(again)
    kept = again(store)
    push_image(store, "a", "2", "y")
    assert list(kept.tags("a")) == ["1"]
    assert kept.manifest("a", "1") == store.manifest("a", "1")
    push_image(kept, "b", "1", "z")
    assert store.repositories() == ["a"]


def test_many_threads_lose_nothing() -> None:
    store = ImageStore()

    def work(number: int) -> None:
        push_image(store, "shared", f"t{number}", f"content-{number}")
        push_image(store, f"own/{number}", "1", f"content-{number}")
        store.repositories()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(100)))
    assert len(store.tags("shared")) == len(store.digests("shared")) == 100
    assert len(store.repositories()) == 101
