"""Fixtures for tests with the real engine and program, against the local cloud or systems that the environment names.

E2E_PROVIDERS=plugins          use the plugins installed in PULUMI_HOME instead of the stand-ins
E2E_HARBOR_URL, E2E_HARBOR_PASSWORD, E2E_SOURCE_URL   an existing Harbor and source instead of the local ones

Every test makes names of its own and cleans up after itself; nothing assumes ids, timing, or what else is in a Harbor.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harbor_mirror.harbor.client import Harbor as HarborClient
from harbor_mirror.registry.distribution import Registry
from localcloud.cloud import LocalCloud
from localcloud.engine import Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.registry import RegistrySimulator
from tests.plugins import REAL_PLUGINS, plugin_home

ADMIN_PASSWORD = "Harbor-Admin-1"
SOURCE_USERNAME, SOURCE_PASSWORD = "alice", "Alice-Secret-1"


@dataclass(frozen=True)
class Target:
    """A Harbor to test against."""

    url: str
    password: str

    def client(self) -> HarborClient:
        """Return a client with the administrator's credentials."""
        return HarborClient(self.url, "admin", self.password)


@dataclass(frozen=True)
class Source:
    """A registry to mirror from; `repository` is one of its repositories, with a path of two components or more."""

    url: str
    repository: str
    tags: tuple[str, ...]


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(providers=not REAL_PLUGINS) as cloud:
        cloud.env |= plugin_home()
        yield cloud


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    if "E2E_HARBOR_URL" in os.environ:
        yield Target(os.environ["E2E_HARBOR_URL"], os.environ["E2E_HARBOR_PASSWORD"])
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=ADMIN_PASSWORD)
    harbor.start()
    with serve(harbor.app, port=port):
        yield Target(url, ADMIN_PASSWORD)
    harbor.close()


@pytest.fixture(scope="session")
def source() -> Iterator[Source]:
    if "E2E_SOURCE_URL" in os.environ:
        yield _seen(os.environ["E2E_SOURCE_URL"])
        return
    registry = RegistrySimulator()
    registry.seed()
    with serve(registry.app) as server:
        yield _seen(server.url)


@pytest.fixture
def locked_source() -> Iterator[tuple[RegistrySimulator, str]]:
    """A source registry that asks for credentials, with its URL."""
    registry = RegistrySimulator(SOURCE_USERNAME, SOURCE_PASSWORD)
    registry.seed()
    with serve(registry.app) as server:
        yield registry, server.url


def _seen(url: str) -> Source:
    with Registry(url) as registry:
        repository = sorted(name for name in registry.catalog() if "/" in name)[0]
        return Source(url, repository, tuple(sorted(registry.tags(repository))))


@dataclass
class Mirror:
    """A stack on an existing Harbor, with one endpoint, one project and one rule, all named after `name`."""

    name: str
    workspace: Workspace
    target: Target
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> dict[str, Any]:
        """Return the rule's configuration, to be changed in place."""
        rule: dict[str, Any] = self.config["harbor-mirror:rules"][self.name]
        return rule

    def section(self, name: str) -> dict[str, Any]:
        """Return `endpoints`, `projects` or `rules`, to be changed in place."""
        section: dict[str, Any] = self.config[f"harbor-mirror:{name}"]
        return section

    def apply(self) -> Any:
        """Writes the configuration and runs `up`."""
        self.workspace.configure(self.config)
        return self.workspace.up()

    def policy(self, name: str | None = None) -> Mapping[str, Any]:
        """Return the rule as Harbor has it now."""
        with self.target.client() as client:
            return next(policy for policy in client.policies() if policy["name"] == (name or self.name))


@pytest.fixture
def workspace(tmp_path: Path, cloud: LocalCloud) -> Iterator[Callable[[str], Workspace]]:
    """Makes workspaces and destroys their stacks at the end."""
    made: list[Workspace] = []

    def make(stack: str) -> Workspace:
        workspace = Workspace(tmp_path / stack, stack, cloud.env)
        workspace.create()
        made.append(workspace)
        return workspace

    yield make
    for workspace in made:
        workspace.destroy().ok()


@pytest.fixture
def mirror(workspace: Callable[[str], Workspace], target: Target, source: Source) -> Mirror:
    """A configured stack, not yet up."""
    name = f"hm-{uuid.uuid4().hex[:8]}"
    mirror = Mirror(name, workspace(name), target)
    mirror.config = {
        "harbor-mirror:harbor": {"url": target.url},
        "harbor-mirror:endpoints": {name: {"type": "docker-registry", "url": source.url}},
        "harbor-mirror:projects": {name: {"forceDestroy": True}},
        "harbor-mirror:rules": {
            name: {"endpoint": name, "repositories": source.repository, "tags": source.tags[0], "project": name}
        },
    }
    mirror.workspace.configure(mirror.config)
    mirror.workspace.set_secret("harborPassword", target.password)
    mirror.config = mirror.workspace.configuration()
    return mirror
