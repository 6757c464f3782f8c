"""Source registries as the operator reaches them: their addresses, credentials, and what rules match there now."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harbor_mirror.config.models import NO_CA
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

#: Docker Hub serves images from another host than the one in references.
DOCKER_HUB, DOCKER_HUB_IMAGES = "docker.io", "https://registry-1.docker.io"
#: Endpoint types whose secret is a key of the cloud's API, which the registry itself rejects.
API_KEYS = frozenset({"aws-ecr", "ali-acr", "huawei-SWR", "tencent-tcr", "volcengine-cr"})
SETTING = "harbor-mirror:endpoints"
#: The environment variable for the address of Docker Hub's API, for example of a proxy.
HUB_API = "MIRRORCTL_DOCKER_HUB_API"


@dataclass(frozen=True)
class Source:
    """A source registry; `host` is its name in image references."""

    registry: Registry
    host: str
    docker_hub: DockerHub | None = None
    harbor: Harbor | None = None

    def repositories(self, rule: Rule) -> list[str]:
        """Return the repositories that a rule with a wildcard may match. Raise RegistryError or HarborError."""
        if self.harbor is not None:
            # Only administrators may read its catalogue; projects are visible to their members.
            projects = [project["name"] for project in self.harbor.projects()]
            pages = self.harbor.parallel(self.harbor.repositories, projects)
            return [repository["name"] for repositories in pages for repository in repositories]
        if self.docker_hub is None:
            return self.registry.catalog()
        spaces = [globs.exact(glob.partition("/")[0]) for glob in rule.repositories]
        if any(names is None for names in spaces):
            raise RegistryError(self.host, None, "Docker Hub lists only namespaces that the rule names")
        names = dict.fromkeys(name for names in spaces for name in names or ())
        return [repository for name in names for repository in self.docker_hub.repositories(name)]

    def labelled(self, repository: str, labels: Sequence[str]) -> set[str]:
        """Return tags of artifacts with all of these labels; only a Harbor has labels. Raise HarborError."""
        if self.harbor is None:
            return set()
        return {
            tag["name"]
            for artifact in self.harbor.artifacts(repository, with_label="true")
            if set(labels) <= {label["name"] for label in artifact.get("labels") or ()}
            for tag in artifact.get("tags") or ()
        }

    def close(self) -> None:
        """Close the connections."""
        for client in (self.registry, self.docker_hub, self.harbor):
            if client is not None:
                client.close()


class Sources:
    """Opens each endpoint's registry once.

    Credentials come from MIRRORCTL_SOURCE_<ENDPOINT>_USERNAME and _PASSWORD, then from the stack's configuration, then
    from docker, podman or skopeo. MIRRORCTL_SOURCE_<ENDPOINT>_URL is another address of the same registry.
    The endpoint's caCertificate is trusted here, too.
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
        """Return the registry of an endpoint."""
        if endpoint.name not in self._open:
            scheme, _, rest = endpoint.url.rpartition("://")
            # Harbor uses http for an address without a scheme.
            host = image_host(endpoint.type, f"{scheme or 'http'}://{rest}") or rest.partition("/")[0]
            served = DOCKER_HUB_IMAGES if host == DOCKER_HUB else f"{scheme or 'http'}://{host}"
            credentials = self._credentials(endpoint, host)
            if credentials:
                self._hide(credentials.password)
            served = self._variable(endpoint, "URL") or served
            of_harbor = credentials if endpoint.type == "harbor" else None
            ca = self._settings(endpoint).get("caCertificate", NO_CA)
            authorities = "" if ca == NO_CA else ca
            self._open[endpoint.name] = Source(
                Registry(served, credentials, authorities=authorities),
                host,
                DockerHub(credentials, url=self._environ.get(HUB_API, HUB)) if host == DOCKER_HUB else None,
                Harbor(served, of_harbor.username, of_harbor.password, authorities=authorities) if of_harbor else None,
            )
        return self._open[endpoint.name]

    def close(self) -> None:
        """Close the connections to every registry."""
        for source in self._open.values():
            source.close()

    def _variable(self, endpoint: Endpoint, what: str) -> str | None:
        return self._environ.get(f"MIRRORCTL_SOURCE_{re.sub(r'[^A-Z0-9]', '_', endpoint.name.upper())}_{what}")

    def _credentials(self, endpoint: Endpoint, host: str) -> Credentials | None:
        username, password = self._variable(endpoint, "USERNAME"), self._variable(endpoint, "PASSWORD")
        if username and password:
            return Credentials(username, password)
        return self._from_stack(endpoint) or stored_credentials(host, self._environ)

    def _settings(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """Return the endpoint's entry in the stack's configuration; an empty map without one."""
        if self._connection.outputs is None:
            return {}
        if self._configured is None:
            try:
                entry = engine.configuration(self._connection.stack, self._connection.cwd).get(SETTING) or {}
                self._configured = entry.get("objectValue") or json.loads(entry.get("value") or "{}")
            except (Failure, ValueError):
                # The outputs were readable. Without the configuration, the other two ways remain.
                self._configured = {}
        return (self._configured or {}).get(endpoint.name) or {}

    def _from_stack(self, endpoint: Endpoint) -> Credentials | None:
        if endpoint.type in API_KEYS:
            return None
        settings = self._settings(endpoint)
        secret = settings.get("secret")
        if endpoint.type == "quay" and secret and secret.lstrip().startswith("{"):
            return _quay(secret)
        username = settings.get("username")
        if endpoint.type == "google-gcr":
            username = access_id(endpoint.type, username, secret)
        return Credentials(username, secret) if username and secret else None


def _quay(secret: str) -> Credentials | None:
    """Return the docker credentials in Quay's secret, which Harbor stores as a JSON object."""
    try:
        parts = json.loads(secret)
        return Credentials(parts["account_name"], parts["docker_cli_password"])
    except (ValueError, KeyError, TypeError):
        return None


def matching_repositories(source: Source, rule: Rule) -> list[str]:
    """Return the repositories that a rule matches. The source's catalogue is read only if a filter has a wildcard."""
    named = [globs.exact(glob) for glob in rule.repositories]
    if all(names is not None for names in named):
        return list(dict.fromkeys(name for names in named for name in names or ()))
    try:
        catalog = source.repositories(rule)
    except RegistryError as error:
        raise RegistryError(
            error.registry,
            error.status,
            f"cannot list its repositories, and {rule.name} has a wildcard: {error.message}",
        ) from None
    return [name for name in catalog if globs.is_name(name) and rule.takes_repository(name)]


def matching_tags(registry: Registry, rule: Rule, repository: str) -> list[str]:
    """Return the tags that a rule matches. If it names each tag, no list is read: a list can have hundreds of pages.

    Invalid names are left out: with line breaks in them, a hostile source could forge output of this program.
    """
    named = [globs.exact(glob) for glob in rule.tag_matches]
    if named and all(names is not None for names in named):
        return [tag for names in named for tag in names or () if rule.takes_tag(tag)]
    return [tag for tag in registry.tags(repository) if globs.is_name(tag, "tag") and rule.takes_tag(tag)]
