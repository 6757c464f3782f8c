"""The sources as the operator reaches them: where their images are served, with whose credentials, what matches now."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.plan import globs
from harbor_mirror.plan.registry_types import access_id, image_host
from harbor_mirror.registry.credentials import Credentials, stored_credentials
from harbor_mirror.registry.distribution import Registry, RegistryError
from harbor_mirror.registry.docker_hub import HUB, DockerHub
from mirrorctl.failure import Failure
from mirrorctl.live import engine
from mirrorctl.live.connection import Connection
from mirrorctl.live.mirror import Endpoint, Rule

#: Docker Hub serves images from another host than references name.
DOCKER_HUB, DOCKER_HUB_IMAGES = "docker.io", "https://registry-1.docker.io"
#: Kinds whose secret in Harbor is a key of the cloud's API, which the registry itself does not take.
API_KEYS = frozenset({"aws-ecr", "ali-acr", "huawei-SWR", "tencent-tcr", "volcengine-cr"})
SETTING = "harbor-mirror:endpoints"
#: Where Docker Hub's own API is, if a proxy stands before it.
HUB_API = "MIRRORCTL_DOCKER_HUB_API"


@dataclass(frozen=True)
class Source:
    """A source registry; `host` is how references name it."""

    registry: Registry
    host: str
    docker_hub: DockerHub | None = None
    harbor: Harbor | None = None

    def repositories(self, rule: Rule) -> list[str]:
        """What there is that a rule with a wildcard may take. Raises RegistryError, HarborError."""
        if self.harbor is not None:
            # Its catalogue is for administrators only; its projects are for everybody who may see them.
            projects = [project["name"] for project in self.harbor.projects()]
            found = self.harbor.parallel(self.harbor.repositories, projects)
            return [repository["name"] for repositories in found for repository in repositories]
        if self.docker_hub is None:
            return self.registry.catalog()
        spaces = [globs.exact(glob.partition("/")[0]) for glob in rule.repositories]
        if any(names is None for names in spaces):
            raise RegistryError(self.host, None, "Docker Hub lists namespaces only that are named")
        names = dict.fromkeys(name for names in spaces for name in names or ())
        return [repository for name in names for repository in self.docker_hub.repositories(name)]

    def labelled(self, repository: str, labels: Sequence[str]) -> set[str]:
        """Tags of artifacts that carry every one of these labels, which only a Harbor knows. Raises HarborError."""
        if self.harbor is None:
            return set()
        return {
            tag["name"]
            for artifact in self.harbor.artifacts(repository, with_label="true")
            if set(labels) <= {label["name"] for label in artifact.get("labels") or ()}
            for tag in artifact.get("tags") or ()
        }

    def close(self) -> None:
        """Closes the connections."""
        for client in (self.registry, self.docker_hub, self.harbor):
            if client is not None:
                client.close()


class Sources:
    """Opens each endpoint's registry once.

    Credentials come from MIRRORCTL_SOURCE_<ENDPOINT>_USERNAME and _PASSWORD, then the stack's configuration, then
    what docker, podman or skopeo keep. MIRRORCTL_SOURCE_<ENDPOINT>_URL is another way to the same registry.
    """

    def __init__(
        self, connection: Connection, hide: Callable[[str], None], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._connection = connection
        self._hide = hide
        self._environ = environ
        self._open: dict[str, Source] = {}
        self._configured: Mapping[str, Any] | None = None

    def of(self, endpoint: Endpoint) -> Source:
        """The registry of an endpoint."""
        if endpoint.name not in self._open:
            scheme, _, rest = endpoint.url.rpartition("://")
            # Harbor takes an address without a scheme for http.
            host = image_host(endpoint.type, f"{scheme or 'http'}://{rest}") or rest.partition("/")[0]
            served = DOCKER_HUB_IMAGES if host == DOCKER_HUB else f"{scheme or 'http'}://{host}"
            credentials = self._credentials(endpoint, host)
            if credentials:
                self._hide(credentials.password)
            served = self._variable(endpoint, "URL") or served
            of_harbor = credentials if endpoint.type == "harbor" else None
            self._open[endpoint.name] = Source(
                Registry(served, credentials),
                host,
                DockerHub(credentials, url=self._environ.get(HUB_API, HUB)) if host == DOCKER_HUB else None,
                Harbor(served, of_harbor.username, of_harbor.password) if of_harbor else None,
            )
        return self._open[endpoint.name]

    def close(self) -> None:
        """Closes every registry's connections."""
        for source in self._open.values():
            source.close()

    def _variable(self, endpoint: Endpoint, what: str) -> str | None:
        return self._environ.get(f"MIRRORCTL_SOURCE_{re.sub(r'[^A-Z0-9]', '_', endpoint.name.upper())}_{what}")

    def _credentials(self, endpoint: Endpoint, host: str) -> Credentials | None:
        username, password = self._variable(endpoint, "USERNAME"), self._variable(endpoint, "PASSWORD")
        if username and password:
            return Credentials(username, password)
        return self._from_stack(endpoint) or stored_credentials(host, self._environ)

    def _from_stack(self, endpoint: Endpoint) -> Credentials | None:
        if self._connection.outputs is None or endpoint.type in API_KEYS:
            return None
        if self._configured is None:
            try:
                entry = engine.configuration(self._connection.stack, self._connection.cwd).get(SETTING) or {}
                self._configured = entry.get("objectValue") or json.loads(entry.get("value") or "{}")
            except (Failure, ValueError):
                # The outputs could be read; a configuration that can't leaves the other two ways.
                self._configured = {}
        settings = (self._configured or {}).get(endpoint.name) or {}
        secret = settings.get("secret")
        if endpoint.type == "quay" and secret and secret.lstrip().startswith("{"):
            return _quay(secret)
        username = settings.get("username")
        if endpoint.type == "google-gcr":
            username = access_id(endpoint.type, username, secret)
        return Credentials(username, secret) if username and secret else None


def _quay(secret: str) -> Credentials | None:
    """Quay's secret in Harbor is a JSON object with the parts of several kinds of credentials."""
    try:
        parts = json.loads(secret)
        return Credentials(parts["account_name"], parts["docker_cli_password"])
    except (ValueError, KeyError, TypeError):
        return None


def matching_repositories(source: Source, rule: Rule) -> list[str]:
    """The repositories a rule takes; the source's catalogue is asked only if a filter has a wildcard."""
    named = [globs.exact(glob) for glob in rule.repositories]
    if all(names is not None for names in named):
        return list(dict.fromkeys(name for names in named for name in names or ()))
    try:
        catalog = source.repositories(rule)
    except RegistryError as error:
        raise RegistryError(
            error.registry,
            error.status,
            f"its repositories can't be listed, and {rule.name} has a wildcard: {error.message}",
        ) from None
    return [name for name in catalog if rule.takes_repository(name)]


def matching_tags(registry: Registry, rule: Rule, repository: str) -> list[str]:
    """The tags a rule takes; tags named one by one are not listed, since a list may have hundreds of pages."""
    named = [globs.exact(glob) for glob in rule.tag_matches]
    if named and all(names is not None for names in named):
        return [tag for names in named for tag in names or () if rule.takes_tag(tag)]
    return [tag for tag in registry.tags(repository) if rule.takes_tag(tag)]
