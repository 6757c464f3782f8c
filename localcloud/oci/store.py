"""A registry's storage: blobs by digest, and repositories of manifests and tags. In memory and thread-safe."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
MANIFEST_TYPES = frozenset({*INDEX_TYPES, OCI_MANIFEST, DOCKER_MANIFEST})

# Docker's "foreign" layers stay at the URL in their descriptor: registries neither store nor copy them.
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as it was pushed; `digest` is the sha256 of `body`."""

    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True)
class Descriptor:
    """A manifest's descriptor of a child: a blob (config, layer) or, in an index, another manifest."""

    media_type: str
    digest: str
    size: int
    platform: dict[str, str] | None = None

    @property
    def is_manifest(self) -> bool:
        return self.media_type in MANIFEST_TYPES


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(reference: str) -> bool:
    """Return whether this is a digest: `sha256:<64 hex digits>`."""
    return _DIGEST.fullmatch(reference) is not None


def references(body: bytes) -> list[Descriptor]:
    """Return the direct children of a manifest: config then layers, or an index's manifests.

    Raise ValueError if `body` is not a JSON object with well-formed descriptors.
    """
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("a manifest is a JSON object")
    try:
        entries: list[Any] = [document["config"]] if "config" in document else []
        entries += (document.get("layers") or []) + (document.get("manifests") or [])
        return [
            Descriptor(
                str(entry["mediaType"]),
                str(entry["digest"]),
                int(entry["size"]),
                entry.get("platform"),
            )
            for entry in entries
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"bad descriptor: {error}") from error


@dataclass
class _Repository:
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)
    ever_tagged: bool = False


class ImageStore:
    """Blobs are shared by all repositories; a repository may serve only the blobs that were pushed or mounted there."""

    references = staticmethod(references)

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blobs: dict[str, bytes] = {}
        self._repositories: dict[str, _Repository] = {}

    # Blobs

    def put_blob(self, data: bytes, repository: str | None = None) -> str:
        """Store `data`, in `repository` if given, and return its digest."""
        digest = digest_of(data)
        with self._lock:
            self._blobs.setdefault(digest, data)
            if repository is not None:
                self._repository(repository).blobs.add(digest)
        return digest

    def blob(self, digest: str, repository: str | None = None) -> bytes | None:
        """Return the blob, or None if it does not exist (in `repository`, if given)."""
        with self._lock:
            if repository is not None and digest not in self._get(repository).blobs:
                return None
            return self._blobs.get(digest)

    def mount_blob(self, digest: str, repository: str) -> bool:
        """Make a blob of another repository available in `repository`; return False if no repository has it."""
        with self._lock:
            if digest not in self._blobs:
                return False
            self._repository(repository).blobs.add(digest)
            return True

    def repositories_with_blob(self, digest: str) -> list[str]:
        """Return the repositories from which the blob can be mounted, the newest repository first."""
        with self._lock:
            if digest not in self._blobs:
                return []
            names = [name for name, repository in self._repositories.items() if digest in repository.blobs]
            return names[::-1]

    # Manifests and tags

    def put_manifest(self, repository: str, reference: str | None, body: bytes, media_type: str) -> str:
        """Store a manifest and return its digest; a tag as `reference` is set or moved to it.

        The blobs it names become the repository's. Raise ValueError if `body` is not a manifest, or if `reference` is
        a digest other than the body's.
        """
        digest = digest_of(body)
        if reference is not None and is_digest(reference) and reference != digest:
            raise ValueError(f"the manifest's digest is {digest}, not {reference}")
        children = references(body)
        with self._lock:
            target = self._repository(repository)
            target.blobs.update(c.digest for c in children if not c.is_manifest and c.digest in self._blobs)
            target.manifests[digest] = Manifest(digest, media_type, body)
            if reference is not None and reference != digest:
                target.tags[reference] = digest
                target.ever_tagged = True
        return digest

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """Return the manifest under a tag or a digest."""
        with self._lock:
            known = self._get(repository)
            return known.manifests.get(known.tags.get(reference, reference))

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of the manifests whose `subject` has this digest."""
        with self._lock:
            manifests = list(self._get(repository).manifests.values())
        found = []
        for manifest in manifests:
            document = json.loads(manifest.body)
            if (document.get("subject") or {}).get("digest") == digest:
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
                size = len(manifest.body)
                found.append(
                    {"mediaType": manifest.media_type, "digest": manifest.digest, "size": size, "artifactType": kind}
                )
        return found

    def missing_references(self, repository: str, body: bytes) -> list[Descriptor]:
        """Return the children of `body` that `repository` does not hold; foreign layers are never missing."""
        with self._lock:
            known = self._get(repository)
            return [
                child
                for child in references(body)
                if child.media_type != FOREIGN_LAYER
                and child.digest not in (known.manifests if child.is_manifest else known.blobs & self._blobs.keys())
            ]

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag, but not its manifest; return False if it does not exist."""
        with self._lock:
            known = self._get(repository)
            return known.tags.pop(tag, None) is not None

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Remove a manifest and its tags, but not its children; return False if it does not exist."""
        with self._lock:
            known = self._get(repository)
            if known.manifests.pop(digest, None) is None:
                return False
            for tag in [tag for tag, target in known.tags.items() if target == digest]:
                self.delete_tag(repository, tag)
            return True

    def delete_repository(self, repository: str) -> bool:
        with self._lock:
            return self._repositories.pop(repository, None) is not None

    # Contents

    def repositories(self) -> list[str]:
        """Return all names, in the order of distribution's catalog: path part by path part."""
        with self._lock:
            return sorted(self._repositories, key=catalog_key)

    def __contains__(self, repository: str) -> bool:
        with self._lock:
            return repository in self._repositories

    def ever_tagged(self, repository: str) -> bool:
        """Return whether the repository has or had a tag: only then does a registry list its tags."""
        with self._lock:
            return self._get(repository).ever_tagged

    def tags(self, repository: str) -> dict[str, str]:
        """Tag -> digest, sorted by tag; empty for an unknown repository."""
        with self._lock:
            return dict(sorted(self._get(repository).tags.items()))

    def digests(self, repository: str) -> list[str]:
        """Return the digests of all manifests, untagged ones and children included, in the order they came."""
        with self._lock:
            return list(self._get(repository).manifests)

    # Sizes and cleaning

    def size(self, repository: str, reference: str) -> int:
        """Return the bytes of a manifest, its config, layers and children; 0 if it does not exist."""
        manifest = self.manifest(repository, reference)
        if manifest is None:
            return 0
        return len(manifest.body) + sum(
            self.size(repository, child.digest) if child.is_manifest else child.size
            for child in references(manifest.body)
        )

    def stored_bytes(self, repositories: Iterable[str]) -> int:
        """Return the bytes of all manifests and blobs of these repositories; each digest counts once."""
        with self._lock:
            sizes: dict[str, int] = {}
            for name in repositories:
                known = self._get(name)
                sizes.update({digest: len(manifest.body) for digest, manifest in known.manifests.items()})
                sizes.update({digest: len(self._blobs[digest]) for digest in known.blobs if digest in self._blobs})
            return sum(sizes.values())

    def _get(self, repository: str) -> _Repository:
        return self._repositories.get(repository) or _Repository()

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())


def catalog_key(repository: str) -> str:
    """Return a sort key that orders `a/b` before `a-b`, as distribution's directories are."""
    return repository.replace("/", "\0")
