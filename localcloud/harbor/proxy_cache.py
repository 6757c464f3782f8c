"""Proxy-cache projects: a pull through one fetches the image from the project's registry."""

from __future__ import annotations

from localcloud.harbor import registries
from localcloud.harbor.artifacts import record_push
from localcloud.harbor.core import Core
from localcloud.oci.client import RegistryError, RegistryUnreachable, copy_image
from localcloud.oci.store import is_digest


def fetch(core: Core, repository: str, reference: str) -> None:
    """Bring an image of a proxy-cache project up to date; an upstream that fails leaves what is cached."""
    project_name, _, upstream = repository.partition("/")
    project = core.data.projects.find(name=project_name)
    registry = core.data.registries.get(project.registry_id) if project else None
    if registry is None or (is_digest(reference) and core.data.images.manifest(repository, reference) is not None):
        return
    if registry.type == "docker-hub" and "/" not in upstream:
        upstream = f"library/{upstream}"
    with registries.remote(registry) as remote:
        try:
            copy_image(remote, upstream, reference, core.data.images, repository, reference)
        except (RegistryError, RegistryUnreachable, ValueError):
            return
    manifest = core.data.images.manifest(repository, reference)
    if manifest is not None:
        with core.data.lock:
            record_push(core, repository, manifest.digest, None if is_digest(reference) else reference)
