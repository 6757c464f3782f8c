"""Repositories, artifacts and tags: what Harbor's database knows of the stored images."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import BASE, Call, Endpoint, listing, ok, timestamp
from localcloud.harbor.core import Core
from localcloud.harbor.data import Artifact, HarborData, Project, Repository, Tag
from localcloud.harbor.errors import not_found
from localcloud.harbor.immutability import is_immutable
from localcloud.oci.store import INDEX_TYPES, references

_IMAGE_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
#: The tag that cosign gives to the signature of an artifact.
COSIGN_TAG = re.compile(r"sha256-([0-9a-f]{64})\.sig")
#: Harbor's own icon for images (its source, controller/icon).
IMAGE_ICON = "sha256:0048162a053eef4d4ce3fe7518615bef084403614f8bca43b40ae2e762e11e06"


def record_push(core: Core, repository: str, digest: str, tag: str | None) -> Artifact:
    """Record a stored manifest with its children, and move the tag. The caller holds the lock."""
    data, now = core.data, core.clock()
    project = data.projects.find(name=repository.partition("/")[0])
    row = data.repositories.find(name=repository)
    if row is None:
        row = data.repositories.add(
            Repository(data.repositories.next_id(), repository, project.id if project else 0, now, now)
        )
    row.update_time = now
    artifact = _artifact(core, row, digest)
    if signature := COSIGN_TAG.fullmatch(tag or ""):
        artifact.subject_digest, artifact.accessory_type = f"sha256:{signature[1]}", "signature.cosign"
    if tag is not None:
        old = data.tags.find(repository_id=row.id, name=tag)
        if old is not None and old.artifact_id != artifact.id:
            data.tags.delete(old.id)
            old = None
        if old is None:
            data.tags.add(Tag(data.tags.next_id(), row.id, artifact.id, tag, now))
    return artifact


def _artifact(core: Core, row: Repository, digest: str) -> Artifact:
    data = core.data
    known = data.artifacts.find(repository_id=row.id, digest=digest)
    if known is not None:
        return known
    manifest = data.images.manifest(row.name, digest)
    for child in references(manifest.body) if manifest else ():
        if child.is_manifest:
            _artifact(core, row, child.digest)
    artifact = Artifact(data.artifacts.next_id(), row.id, digest, core.clock())
    body = json.loads(manifest.body) if manifest else {}
    if "subject" in body:
        kind = body.get("artifactType") or body.get("config", {}).get("mediaType", "")
        artifact.subject_digest = body["subject"]["digest"]
        artifact.accessory_type = "signature.cosign" if "cosign" in kind else "subject.accessory"
    return data.artifacts.add(artifact)


def forget_manifest(core: Core, repository: str, digest: str) -> None:
    """Remove an artifact and its tags from the database. The caller holds the lock."""
    data = core.data
    row = data.repositories.find(name=repository)
    artifact = None if row is None else data.artifacts.find(repository_id=row.id, digest=digest)
    if artifact is None:
        return
    for tag in data.tags.where(artifact_id=artifact.id):
        data.tags.delete(tag.id)
    data.artifacts.delete(artifact.id)


def _drop_repository(data: HarborData, row: Repository) -> None:
    for artifact in data.artifacts.where(repository_id=row.id):
        data.artifacts.delete(artifact.id)
    for tag in data.tags.where(repository_id=row.id):
        data.tags.delete(tag.id)
    data.images.delete_repository(row.name)
    data.repositories.delete(row.id)


def _show_repository(data: HarborData, row: Repository) -> dict[str, Any]:
    listed = _listed(data, row)
    return {
        "artifact_count": len(listed),
        "creation_time": timestamp(row.creation_time),
        "id": row.id,
        "name": row.name,
        "project_id": row.project_id,
        "pull_count": row.pull_count,
        "update_time": timestamp(row.update_time),
    }


def _listed(data: HarborData, row: Repository) -> list[Artifact]:
    """Return artifacts as Harbor lists them: without accessories, and without children of an index that have no tag."""
    artifacts = list(data.artifacts.where(repository_id=row.id, subject_digest=""))
    children = {child.digest for artifact in artifacts for child in _children(data, row, artifact)}
    tagged = {tag.artifact_id for tag in data.tags.where(repository_id=row.id)}
    return [artifact for artifact in artifacts if artifact.digest not in children or artifact.id in tagged]


def _children(data: HarborData, row: Repository, artifact: Artifact) -> list[Any]:
    manifest = data.images.manifest(row.name, artifact.digest)
    return [child for child in references(manifest.body) if child.is_manifest] if manifest else []


def _accessories(data: HarborData, row: Repository, subject: Artifact) -> list[dict[str, Any]]:
    return [
        {
            "artifact_id": artifact.id,
            "creation_time": timestamp(artifact.push_time),
            "digest": artifact.digest,
            "icon": "",
            "id": artifact.id,
            "size": data.images.size(row.name, artifact.digest),
            "subject_artifact_digest": subject.digest,
            "subject_artifact_id": subject.id,
            "subject_artifact_repo": row.name,
            "type": artifact.accessory_type,
        }
        for artifact in data.artifacts.where(repository_id=row.id, subject_digest=subject.digest)
    ]


def _show(
    data: HarborData, row: Repository, artifact: Artifact, *, with_tag: bool = True, with_accessory: bool = False
) -> dict[str, Any]:
    manifest = data.images.manifest(row.name, artifact.digest)
    media_type = manifest.media_type if manifest else ""
    body = json.loads(manifest.body) if manifest else {}
    config_type = body.get("config", {}).get("mediaType", "")
    found = []
    for child in _children(data, row, artifact):
        known = data.artifacts.find(repository_id=row.id, digest=child.digest)
        found.append(
            {
                "child_digest": child.digest,
                "child_id": known.id if known else 0,
                "parent_id": artifact.id,
                "platform": child.platform or {"architecture": "", "os": ""},
                "urls": None,
            }
        )
    shown: dict[str, Any] = {
        "accessories": (_accessories(data, row, artifact) or None) if with_accessory else None,
        "addition_links": {},
        "digest": artifact.digest,
        "extra_attrs": {},
        "icon": "",
        "id": artifact.id,
        "labels": [{"name": label} for label in artifact.labels] or None,
        "manifest_media_type": media_type,
        "media_type": media_type if media_type in INDEX_TYPES else config_type,
        "project_id": row.project_id,
        "pull_time": timestamp(artifact.pull_time),
        "push_time": timestamp(artifact.push_time),
        "references": found or None,
        "repository_id": row.id,
        "repository_name": row.name,
        "size": data.images.size(row.name, artifact.digest) if manifest else 0,
        "tags": [_show_tag(data, row, tag) for tag in data.tags.where(artifact_id=artifact.id)] or None
        if with_tag
        else None,
        "type": "IMAGE",
    }
    return shown | (_show_image(data, row, artifact, body) if config_type in _IMAGE_CONFIGS else {})


def _show_image(data: HarborData, row: Repository, artifact: Artifact, body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that only images have."""
    blob = data.images.blob(body["config"]["digest"], row.name)
    config = json.loads(blob) if blob else {}
    project, _, rest = row.name.partition("/")
    where = f"{BASE}/projects/{project}/repositories/{rest.replace('/', '%252F')}/artifacts/{artifact.digest}"
    return {
        "addition_links": {"build_history": {"absolute": False, "href": f"{where}/additions/build_history"}},
        "artifact_type": body["config"]["mediaType"],
        "extra_attrs": {
            "author": config.get("author", ""),
            **{name: config.get(name) for name in ("architecture", "config", "created", "os")},
        },
        "icon": IMAGE_ICON,
    }


def _show_tag(data: HarborData, row: Repository, tag: Tag) -> dict[str, Any]:
    return {
        "artifact_id": tag.artifact_id,
        "id": tag.id,
        "immutable": is_immutable(data, row.name, tag.name),
        "name": tag.name,
        "pull_time": timestamp(tag.pull_time),
        "push_time": timestamp(tag.push_time),
        "repository_id": tag.repository_id,
    }


_REPOSITORY_FIELDS = {
    "name": lambda row: row.name,
    "id": lambda row: row.id,
    "creation_time": lambda row: row.creation_time,
    "update_time": lambda row: row.update_time,
}


def list_repositories(call: Call) -> Response:
    with call.data.lock:
        project = call.require(call.project(), "repository", "list")
        rows = list(call.data.repositories.where(project_id=project.id))
        return listing(call, rows, _REPOSITORY_FIELDS, "-creation_time", lambda row: _show_repository(call.data, row))


def list_all_repositories(call: Call) -> Response:
    with call.data.lock:
        seen = {project.id for project in call.data.projects if call.principal.has_access_to(project)}
        rows = [row for row in call.data.repositories if row.project_id in seen]
        return listing(call, rows, _REPOSITORY_FIELDS, "-creation_time", lambda row: _show_repository(call.data, row))


def _repository(call: Call, action: str, resource: str = "repository") -> tuple[Project, Repository]:
    project = call.require(call.project(), resource, action)
    # Clients encode slashes once or twice; the router has decoded once.
    name = f"{project.name}/{call.params['repository'].replace('%2F', '/').replace('%2f', '/')}"
    row = call.data.repositories.find(name=name)
    if row is None:
        raise not_found(f"repository {name} not found")
    return project, row


def get_repository(call: Call) -> Response:
    with call.data.lock:
        return ok(_show_repository(call.data, _repository(call, "read")[1]))


def delete_repository(call: Call) -> Response:
    with call.data.lock:
        _drop_repository(call.data, _repository(call, "delete")[1])
    return ok()


def list_artifacts(call: Call) -> Response:
    with call.data.lock:
        _, row = _repository(call, "list", "artifact")
        fields = {
            "id": lambda artifact: artifact.id,
            "digest": lambda artifact: artifact.digest,
            "push_time": lambda artifact: artifact.push_time,
            "tags": lambda artifact: next((tag.name for tag in call.data.tags.where(artifact_id=artifact.id)), ""),
        }
        with_tag, with_accessory = call.query_flag("with_tag", True), call.query_flag("with_accessory", False)
        return listing(
            call,
            _listed(call.data, row),
            fields,
            "-push_time",
            lambda artifact: _show(call.data, row, artifact, with_tag=with_tag, with_accessory=with_accessory),
        )


def _find_artifact(call: Call, row: Repository) -> Artifact:
    reference = call.params["reference"]
    artifact = call.data.artifacts.find(repository_id=row.id, digest=reference)
    tag = call.data.tags.find(repository_id=row.id, name=reference)
    artifact = artifact or (call.data.artifacts.get(tag.artifact_id) if tag else None)
    if artifact is None:
        raise not_found(f"artifact {row.name}:{reference} not found")
    return artifact


def get_artifact(call: Call) -> Response:
    with call.data.lock:
        _, row = _repository(call, "read", "artifact")
        with_accessory = call.query_flag("with_accessory", False)
        return ok(_show(call.data, row, _find_artifact(call, row), with_accessory=with_accessory))


def delete_artifact(call: Call) -> Response:
    with call.data.lock:
        _, row = _repository(call, "delete", "artifact")
        artifact = _find_artifact(call, row)
        call.data.images.delete_manifest(row.name, artifact.digest)
        forget_manifest(call.core, row.name, artifact.digest)
    return ok()


def list_accessories(call: Call) -> Response:
    with call.data.lock:
        _, row = _repository(call, "list", "accessory")
        rows = _accessories(call.data, row, _find_artifact(call, row))
        return listing(call, rows, {"id": lambda shown: shown["id"]}, "id", lambda shown: shown)


def list_tags(call: Call) -> Response:
    with call.data.lock:
        _, row = _repository(call, "list", "tag")
        rows = list(call.data.tags.where(artifact_id=_find_artifact(call, row).id))
        fields = {"name": lambda tag: tag.name, "id": lambda tag: tag.id}
        return listing(call, rows, fields, "id", lambda tag: _show_tag(call.data, row, tag))


_REPOSITORY = "/projects/{project}/repositories/{repository}"
ENDPOINTS = [
    Endpoint("GET", "/repositories", list_all_repositories),
    Endpoint("GET", "/projects/{project}/repositories", list_repositories),
    Endpoint("GET", _REPOSITORY, get_repository),
    Endpoint("DELETE", _REPOSITORY, delete_repository),
    Endpoint("GET", f"{_REPOSITORY}/artifacts", list_artifacts),
    Endpoint("GET", f"{_REPOSITORY}/artifacts/{{reference}}", get_artifact),
    Endpoint("DELETE", f"{_REPOSITORY}/artifacts/{{reference}}", delete_artifact),
    Endpoint("GET", f"{_REPOSITORY}/artifacts/{{reference}}/tags", list_tags),
    Endpoint("GET", f"{_REPOSITORY}/artifacts/{{reference}}/accessories", list_accessories),
]
