"""A replication: match images at the source, compute destinations, copy; with the lines of Harbor's job logs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from localcloud.harbor import registries
from localcloud.harbor.api import timestamp
from localcloud.harbor.artifacts import COSIGN_TAG, record_push
from localcloud.harbor.auth import ADMIN
from localcloud.harbor.core import Core
from localcloud.harbor.data import UNLIMITED, Execution, Policy, Project, Task
from localcloud.harbor.globs import BadPattern, matches, specific
from localcloud.harbor.immutability import is_immutable, refusal
from localcloud.harbor.projects import add_project, used_storage
from localcloud.harbor.webhooks import notify
from localcloud.oci.client import RegistryError, RegistryUnreachable, Remote, Step, copy_blob, copy_image
from localcloud.oci.store import Descriptor, ImageStore, is_digest

NOTHING = "no resources need to be replicated"
#: Harbor tries a blob five times, with growing pauses. The log has these seconds; the simulator does not wait.
RETRY_SECONDS = (2, 4, 8, 16)
#: Harbor's default size of a chunk.
CHUNK_BYTES = 10 * 1024 * 1024
#: Above these a run fails: the registry's cache key has `docker.io/` before a path whose first part has no dot.
MAX_PATH, MAX_PATH_WITHOUT_DOT = 255, 245
_TRANSFER = "/controller/replication/transfer/image/transfer.go"


class Failed(Exception):
    """The execution fails before it has tasks; the text is its status_text."""


class Stopped(Exception):
    """The execution was stopped by a request."""


class Abandoned(Exception):
    """The job service lost the job."""


@dataclass(frozen=True)
class Resource:
    """A repository at the source with its matching tags and its destination."""

    source: str
    tags: tuple[str, ...]
    destination: str


def resources(core: Core, policy: Policy) -> list[Resource]:
    """Return the resources that the policy copies now. Raise Failed."""
    registry = registries.find_registry(core, policy.src_registry_id)
    remote = registries.remote(registry)
    try:
        found = _matching(remote, policy, with_accessories=registry.type == "harbor")
    except (RegistryError, RegistryUnreachable, BadPattern) as error:
        raise Failed(f"failed to fetch artifacts: {error}") from None
    finally:
        remote.close()
    placed = [Resource(name, tags, destination(name, policy)) for name, tags in found]
    return [resource for resource in placed if not _is_proxy_cache(core, resource.destination)]


def destination(repository: str, policy: Policy) -> str:
    """Return Harbor's mapping of a source repository. Raise Failed."""
    if not policy.dest_namespace:
        return repository
    *leading, name = repository.split("/")
    level = policy.dest_namespace_replace_count
    if level < 0:
        return f"{policy.dest_namespace}/{name}"
    if level > len(leading):
        raise Failed(
            f'the source repository "{repository}" contains only {len(leading)} path components '
            f"[{' '.join(leading)}] excepting the last one, but the destination namespace flattening level is {level}"
        )
    return "/".join([policy.dest_namespace, *leading[level:], name])


def _matching(remote: Remote, policy: Policy, *, with_accessories: bool) -> list[tuple[str, tuple[str, ...]]]:
    patterns = [entry["value"] for entry in policy.filters if entry["type"] == "name"]
    if any(entry["type"] == "label" and entry["value"] for entry in policy.filters):
        return []  # a plain registry has no labels, so nothing matches
    named = specific(patterns[-1]) if patterns else None
    if named is None:
        with suppress(RegistryError):  # only reads the challenge
            remote.ping()
    names = remote.catalog() if named is None else named
    found = []
    for name in names:
        if not all(matches(pattern, name) for pattern in patterns):
            continue
        try:
            listed = _tags(remote, name)
            tags = [tag for tag in listed if _takes_tag(policy, tag)]
            if with_accessories:
                tags = _with_accessories(remote, name, tags, listed)
        except (RegistryError, RegistryUnreachable, BadPattern) as error:
            raise Failed(
                f"failed to fetch artifacts: failed to fetch artifacts: failed to list artifacts of repository {name}: "
                f"{error}"
            ) from None
        if tags:
            found.append((name, tuple(tags)))
    return found


def _with_accessories(remote: Remote, repository: str, chosen: list[str], listed: list[str]) -> list[str]:
    """Return the chosen tags and the accessories of their images: signatures by tag, and by digest without one.

    From another Harbor these follow their image, whatever the filter says about their own tags.
    """
    images = [tag for tag in chosen if not COSIGN_TAG.fullmatch(tag)]
    found = list(images)
    for tag in images:
        head = remote.head_manifest(repository, tag)
        if head is not None:
            signature = f"{head.digest.replace(':', '-')}.sig"
            found += [signature] if signature in listed else []
            found += remote.referrers(repository, head.digest)
    return list(dict.fromkeys(found))


def _tags(remote: Remote, repository: str) -> list[str]:
    try:
        return remote.tags(repository)
    except RegistryError as error:
        # The registry redirects to the clean path, whose tags belong to another name.
        if error.status == 404 and repository.startswith("/"):
            return []
        raise


def _takes_tag(policy: Policy, tag: str) -> bool:
    filters = [entry for entry in policy.filters if entry["type"] == "tag"]
    return all(matches(entry["value"], tag) == (entry.get("decoration") != "excludes") for entry in filters)


def _is_proxy_cache(core: Core, repository: str) -> bool:
    project = core.data.projects.find(name=repository.partition("/")[0])
    return project is not None and project.registry_id != 0


def prepare_project(core: Core, repository: str) -> Project:
    """Return the destination project; create a private one if it is missing. The caller holds the lock."""
    name = repository.partition("/")[0]
    return core.data.projects.find(name=name) or add_project(core, name, {"public": "false"})


class Job:
    """Copies one repository in its own thread, and writes the task's log."""

    def __init__(
        self,
        core: Core,
        policy: Policy,
        execution: Execution,
        task: Task,
        resource: Resource,
        sleep: Callable[[float], Any],
    ) -> None:
        self._core, self._policy, self._execution, self._task = core, policy, execution, task
        self._resource, self._sleep = resource, sleep
        self._lock = threading.Lock()

    def run(self) -> None:
        """Copy everything; set the task's final status."""
        task, resource = self._task, self._resource
        if not self._becomes("InProgress"):
            return
        task.log = []
        registry = registries.find_registry(self._core, self._policy.src_registry_id)
        local = registries.local_registry(self._core)
        for line, side, end in ((140, "source", registry), (150, "destination", local)):
            described = f"[type: {end.type}, URL: {end.url}, insecure: {str(end.insecure).lower()}]"
            self._log(line, f"client for {side} registry {described} created")
        route = f"{resource.source}:[{','.join(resource.tags)}](source registry) to "
        route += f"{resource.destination}:[{','.join(resource.tags)}](destination registry)"
        self._log(183, f"copying {route}...")
        if self._policy.speed > 0:
            self._log(186, f"limit network speed at {self._policy.speed} kb/s")
        remote = registries.remote(registry)
        try:
            self._check_length(resource.destination)
            for tag in resource.tags:
                self._copy(remote, tag)
        except Stopped:
            self._becomes("Stopped")
        except Abandoned:
            return
        except (RegistryError, RegistryUnreachable, ValueError) as error:
            self._log(195, str(error).rstrip(), "ERROR")
            self._log(201, "got error during the whole transfer period, mark the job failure", "ERROR")
            self._becomes("Failed")
        else:
            self._log(205, f"copy {route} completed")
            self._becomes("Succeed")
        finally:
            remote.close()

    def _becomes(self, status: str) -> bool:
        """Set the task's status unless it was stopped; return whether it was set."""
        with self._core.data.lock:
            if self._task.status == "Stopped":
                return False
            self._task.status = status
            if status != "InProgress":
                self._task.end_time = self._core.clock()
        if status in ("Succeed", "Failed"):
            self._notify(status)
        return True

    def _notify(self, status: str) -> None:
        task, policy = self._task, self._policy
        replication = {
            "harbor_hostname": self._core.hostname,
            "job_status": "Success" if status == "Succeed" else status,
            "artifact_type": task.resource_type,
            "override_mode": policy.override,
            "trigger_type": self._execution.trigger.upper(),
            "policy_creator": ADMIN,
            "execution_timestamp": int(self._execution.start_time.timestamp()),
            "src_resource": {"namespace": self._resource.source.rpartition("/")[0]},
            "dest_resource": {"namespace": self._resource.destination.rpartition("/")[0]},
        }
        project = self._resource.destination.partition("/")[0]
        notify(self._core, project, "REPLICATION", {"replication": replication})

    @staticmethod
    def _check_length(repository: str) -> None:
        project = repository.partition("/")[0]
        if len(repository) > (MAX_PATH if "." in project else MAX_PATH_WITHOUT_DOT):
            raise ValueError('http status code: 500, body: {"errors":[{"code":"UNKNOWN","message":"unknown error"}]}')

    def _copy(self, remote: Remote, tag: str) -> None:
        resource, images = self._resource, self._core.data.images
        self._refuse_immutable(remote, tag)
        copy_image(
            remote,
            resource.source,
            tag,
            images,
            resource.destination,
            tag,
            override=self._policy.override,
            on_step=self._step,
            move_blob=self._move_blob,
        )
        manifest = images.manifest(resource.destination, tag)
        if manifest is not None:
            with self._core.data.lock:
                record_push(self._core, resource.destination, manifest.digest, None if is_digest(tag) else tag)

    def _refuse_immutable(self, remote: Remote, tag: str) -> None:
        data, repository = self._core.data, self._resource.destination
        present = data.images.tags(repository).get(tag)
        if present is None or not self._policy.override or not is_immutable(data, repository, tag):
            return
        source = remote.head_manifest(self._resource.source, tag)
        if source is not None and source.digest != present:
            error = {"errors": [{"code": "PRECONDITION", "message": refusal(repository, tag)}]}
            raise ValueError(f"http status code: 412, body: {json.dumps(error, separators=(',', ':'))}")

    def _move_blob(
        self, remote: Remote, repository: str, blob: Descriptor, store: ImageStore, target: str, on_step: Any
    ) -> int:
        for number, wait in enumerate((*RETRY_SECONDS, None), start=1):
            exceeded = self._quota_refusal(target, blob)
            if exceeded is None:
                return copy_blob(remote, repository, blob, store, target, on_step)
            self._log(290, f"copying the blob {blob.digest}(the {number}th running)...")
            self._log(352, f"failed to mount the blob {blob.digest} on the destination registry: {exceeded}", "ERROR")
            if wait is not None:
                self._log(298, f"will retry {wait}s later")
                self._sleep(0)
        raise ValueError(exceeded)

    def _quota_refusal(self, target: str, blob: Descriptor) -> str | None:
        data = self._core.data
        with data.lock:
            project = data.projects.find(name=target.partition("/")[0])
            quota = None if project is None else data.quotas.find(project_id=project.id)
            if project is None or quota is None or quota.storage == UNLIMITED:
                return None
            used = used_storage(data, project)
            if used + blob.size <= quota.storage:
                return None
            message = (
                f"adding {blob.size} B of storage resource, which when updated to current usage of {used} B will "
                f"exceed the configured upper limit of {quota.storage} B."
            )
        return f'http status code: 403, body: {{"errors":[{{"code":"DENIED","message":"{message}"}}]}}'

    def _step(self, step: Step) -> None:
        if self._execution.abandoned:
            raise Abandoned
        if self._execution.stopped:
            raise Stopped
        source, target = f"{step.source}:{step.reference}", f"{step.destination}:{step.destination_reference}"
        begun = (290, "INFO", f"copying the blob {step.reference}(the 1th running)...")
        done = (292, "INFO", f"copy the blob {step.reference} completed")
        if self._policy.copy_by_chunk:
            chunks = f"by chunk(chunkSize: {CHUNK_BYTES})"
            begun = (314, "INFO", f"copying the blob {step.reference} {chunks}(the 1th running)...")
            done = (316, "INFO", f"copy the blob {step.reference} by chunk completed")
        lines: dict[str, tuple[int, str, str]] = {
            "copying": (211, "INFO", f"copying {source}(source registry) to {target}(destination registry)..."),
            "pulling": (465, "INFO", f"pulling the manifest of artifact {source} ..."),
            "pulled": (471, "INFO", f"the manifest of artifact {source} pulled"),
            "same": (227, "INFO", f"the artifact {target} already exists on the destination registry, skip"),
            "kept": (
                233,
                "WARNING",
                f"the same name artifact {target} exists on the destination registry, but the "
                '"override" is set to false, skip',
            ),
            "replacing": (
                238,
                "WARNING",
                f"the same name artifact {target} exists on the destination registry and the "
                '"override" is set to true, continue...',
            ),
            "blob": begun,
            "blob-exists": (
                341,
                "INFO",
                f"the blob {step.reference} already exists on the destination registry, skip",
            ),
            "blob-mounted": (
                355,
                "INFO",
                f"the blob {step.reference} mounted from the repository {step.mounted_from} on the destination "
                "registry directly",
            ),
            "blob-done": done,
            "pushing": (494, "INFO", f"pushing the manifest of artifact {target} ..."),
            "pushed": (506, "INFO", f"the manifest of artifact {target} pushed"),
            "copied": (254, "INFO", f"copy {source}(source registry) to {target}(destination registry) completed"),
        }
        if step.kind in lines:
            line, level, text = lines[step.kind]
            self._log(line, text, level)

    def _log(self, line: int, text: str, level: str = "INFO") -> None:
        with self._lock:
            log = self._task.log = self._task.log or []
            log.append(f"{timestamp(self._core.clock())} [{level}] [{_TRANSFER}:{line}]: {text}\n")
