"""A running Harbor simulator with a registry to mirror from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import pytest

from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.registry import RegistrySimulator
from tests import waiting

PASSWORD = "Harbor-Admin-1"
PATIENCE_SECONDS = 30.0


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class RunningHarbor:
    """A Harbor with the endpoint `hub` on a source with the sample images."""

    http: httpx.Client
    simulator: HarborSimulator
    source: RegistrySimulator
    clock: Clock
    endpoint: int = 0

    @property
    def data(self) -> HarborData:
        return self.simulator.data

    @property
    def url(self) -> str:
        return str(self.http.base_url).removesuffix("/api/v2.0/")

    def make(self, path: str, body: dict[str, Any]) -> int:
        return int(self.http.post(path, json=body).raise_for_status().headers["Location"].rpartition("/")[2])

    def rule(self, name: str, repositories: str, cron: str = "", **fields: Any) -> int:
        trigger = {"type": "scheduled", "trigger_settings": {"cron": cron}} if cron else {"type": "manual"}
        body = {
            **{"name": name, "src_registry": {"id": self.endpoint}, "dest_namespace": "mirror", "enabled": True},
            **{"filters": [{"type": "name", "value": repositories}], "trigger": trigger, "override": True},
            **{"dest_namespace_replace_count": 0},
        }
        return self.make("/replication/policies", body | fields)

    def runs(self, policy: int) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.http.get("/replication/executions", params={"policy_id": policy}).json()
        return listed

    def run(self, policy: int) -> dict[str, Any]:
        """Start it and wait for its end."""
        self.make("/replication/executions", {"policy_id": policy})
        until(lambda: self.runs(policy)[0]["status"] != "InProgress")
        return self.runs(policy)[0]

    def log(self, execution: dict[str, Any]) -> str:
        """Return the log of an execution's only task."""
        path = f"/replication/executions/{execution['id']}/tasks"
        (task,) = self.http.get(path).json()
        return self.http.get(f"{path}/{task['id']}/log").text


until = partial(waiting.until, seconds=PATIENCE_SECONDS, every=0.02)


@pytest.fixture
def harbor() -> Iterator[RunningHarbor]:
    port, clock, data, source = free_port(), Clock(), HarborData(), RegistrySimulator(token_flow=True)
    source.seed()
    url = f"http://127.0.0.1:{port}"
    simulator = HarborSimulator(data, hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, clock=clock)
    no_session = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    api = httpx.Client(base_url=f"{url}/api/v2.0", auth=("admin", PASSWORD), cookies=no_session)
    with simulator, serve(source.app) as served, serve(simulator.app, port=port), api:
        running = RunningHarbor(api, simulator, source, clock)
        running.endpoint = running.make("/registries", {"name": "hub", "type": "docker-registry", "url": served.url})
        yield running
