"""A simulated Harbor and source registry, set up through Harbor's API instead of its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harbor_mirror.harbor.client import Harbor
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.registry import RegistrySimulator
from tests.cli.harbor_fixture import ADMIN, PASSWORD


@dataclass
class SimulatedMirror:
    """A Harbor with the endpoint `hub` and the project `mirror`."""

    url: str
    source: RegistrySimulator
    client: Harbor
    endpoint: int

    def rule(self, name: str, repositories: str, tags: str = "", **fields: Any) -> None:
        filters = [{"type": "name", "value": repositories}]
        if tags:
            filters.append({"type": "tag", "value": tags, "decoration": "matches"})
        body = {
            "name": name,
            "src_registry": {"id": self.endpoint},
            "dest_namespace": "mirror",
            "dest_namespace_replace_count": 0,
            "filters": filters,
            "trigger": {"type": "manual"},
            "enabled": True,
            "override": True,
            **fields,
        }
        self.client.request("POST", "/replication/policies", body=body)

    @property
    def environment(self) -> dict[str, str]:
        return {"HARBOR_URL": self.url}


@contextmanager
def simulated_mirror() -> Iterator[SimulatedMirror]:
    """Serve a mirror without rules."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
    harbor.start()
    source = RegistrySimulator(token_flow=True)
    source.seed()
    with serve(harbor.app, port=port), serve(source.app) as served, Harbor(url, ADMIN, PASSWORD) as client:
        body = {"name": "hub", "type": "docker-registry", "url": served.url, "insecure": True}
        client.request("POST", "/registries", body=body)
        client.request("POST", "/projects", body={"project_name": "mirror", "metadata": {"public": "false"}})
        yield SimulatedMirror(url, source, client, client.registries()[0]["id"])
    harbor.close()
