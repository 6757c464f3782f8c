"""Each valid configuration of the table in a Harbor, which accepts it and copies to the predicted destination.

Without the engine: policies are created through the API from the values that the program gives its provider.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.rule import to_json
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import validate
from localcloud.http import serve
from localcloud.registry import RegistrySimulator
from tests.data.model import configurations, stack

from .conftest import Target

CASES = [case for case in configurations("good") if "lands" in case]
#: Generous: a hundred small executions take seconds.
PATIENCE_SECONDS = 300.0
RUNNING = {"InProgress", "Pending", "Running"}

pytestmark = pytest.mark.skipif(
    "E2E_HARBOR_URL" in os.environ and "E2E_SAMPLES_URL" not in os.environ,
    reason="a Harbor elsewhere needs the sample images at an address that it reaches: E2E_SAMPLES_URL",
)


@dataclass
class Made:
    """A case in Harbor: IDs of its policies and executions by rule, and its projects."""

    mirror: PlannedMirror
    prefix: str
    policies: dict[str, int] = field(default_factory=dict)
    executions: dict[str, int] = field(default_factory=dict)

    def project(self, name: str) -> str:
        """Return a project for this case only, so that cases do not share images."""
        return f"{self.prefix}-{name}"


@pytest.fixture(scope="module")
def samples() -> Iterator[str]:
    """Return the address of a registry with the sample images."""
    if "E2E_SAMPLES_URL" in os.environ:
        yield os.environ["E2E_SAMPLES_URL"]
        return
    source = RegistrySimulator()
    source.seed()
    with serve(source.app) as server:
        yield server.url


@pytest.fixture(scope="module")
def made(target: Target, samples: str) -> Iterator[dict[str, Made]]:
    """Create all cases in one Harbor, and run them until they end."""
    run = uuid.uuid4().hex[:8]
    with target.client() as client:
        cases = {
            case["case"]: _make(client, Made(validate(stack(case, source=samples)), f"hm-{run}-{number}"))
            for number, case in enumerate(CASES)
        }
        try:
            _wait(client, [execution for made in cases.values() for execution in made.executions.values()])
            yield cases
        finally:
            for made in cases.values():
                _remove(client, made)


def _make(client: Harbor, made: Made) -> Made:
    registries = {}
    for key, endpoint in made.mirror.endpoints.items():
        name = f"{made.prefix}-{key}"
        body = {"name": name, "type": endpoint.type, "url": endpoint.url}
        client.request("POST", "/registries", body={**body, "insecure": endpoint.insecure})
        registries[key] = _id(client, "/registries", name)
    for key, rule in made.mirror.rules.items():
        name = f"{made.prefix}-{key}"
        own = replace(rule.policy, name=name, namespace=f"{made.prefix}-{rule.namespace}")
        body = to_json(own, registries[rule.endpoint])
        client.request("POST", "/replication/policies", body=body)
        made.policies[key] = _id(client, "/replication/policies", name)
        if rule.enabled:
            made.executions[key] = client.start(made.policies[key])
    return made


def _id(client: Harbor, path: str, name: str) -> int:
    return next(int(entry["id"]) for entry in client.get(path, q=f"name={name}"))


def _wait(client: Harbor, executions: list[int]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while executions := [execution for execution in executions if client.execution(execution)["status"] in RUNNING]:
        assert time.monotonic() < until, f"{len(executions)} executions still run"
        time.sleep(0.2)


def _remove(client: Harbor, made: Made) -> None:
    for policy_id in made.policies.values():
        client.request("DELETE", f"/replication/policies/{policy_id}")
    for key in made.mirror.endpoints:
        client.request("DELETE", f"/registries/{_id(client, '/registries', f'{made.prefix}-{key}')}")
    for project in _projects(client, made):
        for repository in client.repositories(project):
            name = repository["name"].removeprefix(f"{project}/").replace("/", "%252F")
            client.request("DELETE", f"/projects/{project}/repositories/{name}")
        client.request("DELETE", f"/projects/{project}")


def _projects(client: Harbor, made: Made) -> set[str]:
    """Return the projects that images were copied to."""
    return {entry["name"] for entry in client.projects()} & {made.project(name) for name in made.mirror.projects}


def _landed(client: Harbor, made: Made) -> dict[str, int]:
    """Return repository -> number of tags, with the project names of the case."""
    found = {}
    for project in _projects(client, made):
        for repository in client.repositories(project):
            tags = [tag for artifact in client.artifacts(repository["name"]) for tag in artifact.get("tags") or []]
            found[repository["name"].removeprefix(f"{made.prefix}-")] = len(tags)
    return found


@pytest.mark.slow
def test_harbor_accepts_each_case_and_copies_to_the_predicted_destination(
    made: Mapping[str, Made], target: Target
) -> None:
    with target.client() as client:
        wrong = {case["case"]: found for case in CASES if (found := _wrong(client, made[case["case"]], case["lands"]))}
    print(f"{len(CASES) - len(wrong)} of {len(CASES)} right configurations landed where predicted")
    assert wrong == {}


def _wrong(client: Harbor, made: Made, lands: Mapping[str, int]) -> list[object]:
    """Return the differences between a case's prediction and its result in Harbor."""
    executions = [client.execution(execution) for execution in made.executions.values()]
    wrong: list[object] = [found for found in executions if found["status"] != "Succeed"]
    landed = _landed(client, made)
    wrong += [landed] if landed != lands else []
    for key, rule in made.mirror.rules.items():
        kept, wanted = client.policy(made.policies[key]), to_json(rule.policy, 0)
        as_wanted = (
            kept["trigger"]["type"] == wanted["trigger"]["type"]
            and kept["trigger"].get("trigger_settings") == wanted["trigger"].get("trigger_settings")
            and kept["filters"] == wanted["filters"]
            and kept.get("enabled", False) == rule.enabled
        )
        wrong += [] if as_wanted else [kept]
    return wrong
