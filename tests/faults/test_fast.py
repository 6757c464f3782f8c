"""Updates without checkpoints: killed ones lose nothing, and complete ones leave the state of a normal update."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.engine import Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from mirrorctl.live.engine import WITHOUT_CHECKPOINTS
from tests.faults.stack import Point, TrialCloud, TrialStack
from tests.plugins import REAL_PLUGINS

PASSWORD = "Harbor-Admin-1"
RULES = 4
#: The writes before which runs are killed. "Before" is exact when requests run in parallel; the simulator carries out
#: what it was asked. An update writes an endpoint, a project, its retention, a robot account, then the rules.
CREATED, DELETED = 6, 3


class RuleStack(TrialStack):
    """A stack on an existing Harbor: an endpoint, a project with retention, and rules."""

    def __init__(self, cloud: TrialCloud, directory: Path, name: str, harbor: HarborSimulator, url: str) -> None:
        self.cloud, self.name, self.harbor, self.has_host = cloud, name, harbor, False
        self.outputs = {}
        self.workspace = Workspace(directory / name, name, cloud.env)
        self.workspace.create()
        rule = {"endpoint": "hub", "project": "mirror", "tags": "1.*"}
        self.rules = {f"app-{number}": {**rule, "repositories": f"team/app-{number}"} for number in range(RULES)}
        self.rules["app-0"]["singleActive"] = True
        keep = {"keep": [{"mostRecentlyPushed": 10}], "schedule": "daily"}
        self.workspace.configure(
            {
                "harbor-mirror:harbor": {"url": url},
                "harbor-mirror:endpoints": {"hub": {"type": "docker-registry", "url": cloud.hub_url}},
                "harbor-mirror:projects": {"mirror": {"forceDestroy": True, "retention": keep}},
                "harbor-mirror:rules": self.rules,
            }
        )
        self.workspace.set_secret("harborPassword", PASSWORD)

    @contextmanager
    def fast(self, *options: str) -> Iterator[None]:
        """Run `mirrorctl fast` and set the variables that it prints for the commands inside."""
        done = self.workspace.mirrorctl("fast", *options)
        assert done.returncode == 0, done.stderr
        variables = dict(word.split("=") for word in done.stdout.split())
        assert variables == WITHOUT_CHECKPOINTS
        normal = self.workspace
        self.workspace = replace(normal, env={**normal.env, **variables})
        yield
        self.workspace = normal

    def state(self) -> dict[str, Any]:
        """Return each resource of the state without ids, times and values, which differ between two updates."""
        resources = json.loads(self.workspace.export())["deployment"].get("resources") or []
        kept = ("type", "custom", "parent", "resourceHooks", "external")
        return {
            resource["urn"]: {
                **{key: resource.get(key) for key in kept},
                "dependencies": sorted(resource.get("dependencies") or []),
                "propertyDependencies": {
                    key: sorted(urns or []) for key, urns in (resource.get("propertyDependencies") or {}).items()
                },
                "inputs": sorted(resource.get("inputs") or {}),
                "outputs": sorted(resource.get("outputs") or {}),
            }
            for resource in resources
        }

    def names(self) -> list[str]:
        """Return the names of the rules in Harbor."""
        return sorted(policy.name for policy in self.harbor.data.policies)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RuleStack]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
    with TrialCloud() as cloud, harbor, serve(harbor.app, port=port):
        cloud.watch(harbor.faults)
        yield RuleStack(cloud, tmp_path, "trial-fast", harbor, url)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(REAL_PLUGINS, reason="the watcher counts the requests of the stand-ins")
def test_an_update_without_checkpoints_is_recovered_and_leaves_the_state_of_a_normal_one(stack: RuleStack) -> None:
    with stack.fast():
        assert stack.killed("up", Point(CREATED, "before", signal.SIGKILL))
    assert stack.state() == {}, "the killed run wrote nothing"
    assert stack.names(), "and created rules"

    assert stack.recover("--yes").returncode == 0
    with stack.fast():
        stack.workspace.up().ok()
    assert stack.names() == sorted(stack.rules)
    assert stack.workspace.preview("--expect-no-changes").code == 0
    recovered = stack.state()

    with stack.fast("--destroy"):
        assert stack.killed("destroy", Point(DELETED, "before", signal.SIGKILL))
    assert len(stack.names()) < RULES
    assert stack.state() == recovered, "the killed run wrote nothing"
    assert stack.recover("--yes").returncode == 0
    with stack.fast("--destroy"):
        stack.workspace.destroy().ok()
    assert stack.names() == []

    with stack.fast():
        stack.workspace.up().ok()
    fast = stack.state()
    stack.workspace.destroy().ok()
    stack.workspace.up().ok()
    assert fast == stack.state()
