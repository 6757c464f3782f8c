"""Sample images of every form, whose bytes and digests depend on their names alone.

They do not run, but real clients accept them: configs are valid image configs, layers are valid gzipped tars.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

from localcloud.oci.store import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageStore,
    digest_of,
)

_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

_COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
_COSIGN_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"

_CREATED = "2024-01-01T00:00:00Z"
_LAYER_BYTES = 4096

AMD64 = {"architecture": "amd64", "os": "linux"}
ARM64 = {"architecture": "arm64", "os": "linux", "variant": "v8"}
ARMV7 = {"architecture": "arm", "os": "linux", "variant": "v7"}

NGINX_VERSIONS = (
    *("1.24.0", "1.25.0", "1.25.1", "1.25.2", "1.25.3", "1.25.4", "1.25.5"),
    *("1.26.0", "1.26.1", "1.26.2", "1.27.0", "1.27.1", "1.27.2"),
)
BUILDS = 250  # tags of `ci/builds`: more than any registry gives on one page of 100


def push_image(
    store: ImageStore,
    repository: str,
    tag: str | None,
    content: str,
    *,
    base: str = "debian",
    platform: dict[str, str] = AMD64,
    docker: bool = False,
) -> Descriptor:
    """Push an image of two layers, one derived from `base` and one from `content`, as `tag` (None: untagged).

    The same arguments always give the same digest. `docker` chooses Docker's media types instead of OCI's.
    """
    config_type, layer_type, manifest_type = (
        (_DOCKER_CONFIG, _DOCKER_LAYER, DOCKER_MANIFEST) if docker else (_OCI_CONFIG, _OCI_LAYER, OCI_MANIFEST)
    )
    tars = [_tar(f"{name}-{platform['architecture']}") for name in (base, content)]
    # Level 0 stores the bytes as they are: no zlib version can change the digest.
    layers = [gzip.compress(tar, compresslevel=0, mtime=0) for tar in tars]
    config = _json(
        {
            "created": _CREATED,
            **platform,
            "config": {"Cmd": ["/bin/true"], "Labels": {"content": content}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
            "history": [{"created": _CREATED, "created_by": name} for name in (base, content)],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": _blob(store, repository, config_type, config),
        "layers": [_blob(store, repository, layer_type, layer) for layer in layers],
    }
    return _push(store, repository, tag, manifest_type, manifest, platform)


def push_index(
    store: ImageStore, repository: str, tag: str | None, children: Iterable[Descriptor], *, docker: bool = False
) -> Descriptor:
    """Push an OCI index, or with `docker` a manifest list, of manifests in `repository`."""
    media_type = DOCKER_MANIFEST_LIST if docker else OCI_INDEX
    manifests = [
        {"mediaType": child.media_type, "digest": child.digest, "size": child.size}
        | ({"platform": child.platform} if child.platform else {})
        for child in children
    ]
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
    return _push(store, repository, tag, media_type, index, None)


def push_multi_arch(
    store: ImageStore, repository: str, tag: str | None, content: str, *, docker: bool = False
) -> Descriptor:
    """Push an index of three untagged images: linux on amd64, arm64 and arm v7."""
    images = [
        push_image(store, repository, None, content, platform=platform, docker=docker)
        for platform in (AMD64, ARM64, ARMV7)
    ]
    return push_index(store, repository, tag, images, docker=docker)


def sign(store: ImageStore, repository: str, digest: str, *, kind: str = "sig") -> Descriptor:
    """Push what cosign pushes beside an image: a signature (`sig`), an attestation (`att`) or an SBOM (`sbom`)."""
    return _push(
        store,
        repository,
        f"{digest.replace(':', '-')}.{kind}",
        OCI_MANIFEST,
        _signature(store, repository, digest),
        None,
    )


def sign_as_referrer(store: ImageStore, repository: str, image: Descriptor) -> Descriptor:
    """Push a signature as an OCI referrer without a tag, as cosign 3 and Notation do."""
    subject = {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
    manifest = {**_signature(store, repository, image.digest), "artifactType": _COSIGN_ARTIFACT, "subject": subject}
    return _push(store, repository, None, OCI_MANIFEST, manifest, None)


def _signature(store: ImageStore, repository: str, digest: str) -> dict[str, Any]:
    payload = _json({"critical": {"image": {"docker-manifest-digest": digest}}})
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _blob(store, repository, _OCI_CONFIG, _json({"rootfs": {"type": "layers", "diff_ids": []}})),
        "layers": [_blob(store, repository, _COSIGN_LAYER, payload)],
    }


def move_tag(store: ImageStore, repository: str, tag: str, content: str) -> str:
    """Set `tag` to a new image made from `content`, as a publisher's new release does; return its digest."""
    return push_image(store, repository, tag, content).digest


def seed(store: ImageStore) -> None:
    """Push all sample images: every form that a mirror meets, in 10 repositories.

    `team/app/web` and `other/web` have different images with the same last name and tag: flattening all of the
    path makes them collide.
    """
    nginx = {v: push_image(store, "library/nginx", v, f"nginx-{v}") for v in NGINX_VERSIONS}
    _retag(store, "library/nginx", "stable", nginx["1.26.2"])
    _retag(store, "library/nginx", "latest", nginx["1.27.2"])

    for version in ("6.2.14", "7.2.5", "7.4.0"):
        push_image(store, "library/redis", version, f"redis-{version}", docker=True)
    redis = push_multi_arch(store, "library/redis", "7.4.1", "redis-7.4.1", docker=True)
    _retag(store, "library/redis", "latest", redis)

    push_multi_arch(store, "library/alpine", "3.19", "alpine-3.19")
    alpine = push_multi_arch(store, "library/alpine", "3.20", "alpine-3.20")
    _retag(store, "library/alpine", "latest", alpine)

    for repository in ("team/app/web", "team/app/api", "other/web"):
        for version in ("1.0.0", "1.1.0", "latest"):
            push_image(store, repository, version, f"{repository}-{version}")

    linux = push_multi_arch(store, "team/nested", None, "nested-linux")
    extra = push_image(store, "team/nested", None, "nested-extra")
    push_index(store, "team/nested", "1.0.0", [linux, extra])

    build = push_image(store, "ci/builds", None, "build")
    for number in range(BUILDS):
        _retag(store, "ci/builds", f"build-{number:04}", build)

    push_image(store, "a-b/c.d_e/tool", "v1", "tool-v1")
    push_image(store, "tool", "v1", "tool-v1")


def _retag(store: ImageStore, repository: str, tag: str, image: Descriptor) -> None:
    manifest = store.manifest(repository, image.digest)
    if manifest is None:
        raise LookupError(f"{repository} has no {image.digest}")
    store.put_manifest(repository, tag, manifest.body, manifest.media_type)


def _push(
    store: ImageStore,
    repository: str,
    tag: str | None,
    media_type: str,
    document: dict[str, Any],
    platform: dict[str, str] | None,
) -> Descriptor:
    body = _json(document)
    return Descriptor(media_type, store.put_manifest(repository, tag, body, media_type), len(body), platform)


def _blob(store: ImageStore, repository: str, media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": store.put_blob(data, repository), "size": len(data)}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tar(name: str) -> bytes:
    """Return a tar of one file that is named and filled after `name`."""
    data = hashlib.shake_256(name.encode()).digest(_LAYER_BYTES)
    entry = tarfile.TarInfo(f"usr/share/{name.replace('/', '-')}")
    entry.size = len(data)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
