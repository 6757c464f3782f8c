"""Adoption of a Harbor that was set up by hand, in the simulator or, with E2E_HARBOR_URL, in a real Harbor.

tests/cli/test_adopt_engine.py adopts a whole Harbor. Here the Harbor may belong to others: only the test's own rule is
adopted, with its endpoint, its project and everything that protects this.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harbor_mirror.harbor.client import Harbor, HarborError
from localcloud.engine import Workspace
from localcloud.http import serve
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from tests.cli.protection import LEFT_OUT, protect
from tests.engine.conftest import SOURCE_PASSWORD, SOURCE_USERNAME, Target

SECRETS = {
    ".secret": SOURCE_PASSWORD,
    "ops.url": "https://hooks.example.com/a",
    "ops.authHeader": "Bearer Hook-Secret-1",
}
#: What Harbor or the provider changes without a change of meaning.
VOLATILE = {"update_time", "creation_time", "src_registry", "filters", "status"}


@dataclass(frozen=True)
class ByHand:
    """What somebody set up in Harbor: an endpoint with a CA, a protected project, a rule, and a robot account."""

    name: str
    client: Harbor

    def objects(self) -> dict[str, Any]:
        """Return everything of it, as Harbor has it."""
        project = self.client.project(self.name)
        path = f"/projects/{project['project_id']}"
        found: dict[str, Any] = {
            "registries": [entry for entry in self.client.registries() if entry["name"] == self.name],
            "policies": [entry for entry in self.client.policies() if entry["name"] == self.name],
            "filters": [sorted(map(str, p["filters"])) for p in self.client.policies() if p["name"] == self.name],
            "robots": [entry for entry in self.client.robots() if entry["name"] == f"robot${self.name}"],
            "quotas": [q["hard"] for q in self.client.quotas() if q["ref"]["name"] == self.name],
            "allowlist": [project["cve_allowlist"]["items"], project["cve_allowlist"].get("expires_at")],
            "metadata": {key: value for key, value in project["metadata"].items() if value != "false"},
        }
        for part in ("immutabletagrules", "webhook/policies", "members"):
            found[part] = self.client.get_all(f"{path}/{part}")
        # It is created again.
        found["webhook/policies"] = {hook["name"]: {**hook, "id": 0} for hook in found["webhook/policies"]}
        return {key: _plain(value) for key, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(inner) for key, inner in value.items() if key not in VOLATILE and inner not in (None, False)
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def by_hand(target: Target) -> Iterator[ByHand]:
    registry = RegistrySimulator(SOURCE_USERNAME, SOURCE_PASSWORD)
    registry.seed()
    name = f"hm-{uuid.uuid4().hex[:8]}"
    with trust() as trusted, serve(registry.app, certificate=trusted.certificate) as served, target.client() as client:
        create = client.request
        credential = {"type": "basic", "access_key": SOURCE_USERNAME, "access_secret": SOURCE_PASSWORD}
        endpoint = {"name": name, "type": "docker-registry", "url": served.url, "credential": credential}
        create("POST", "/registries", body={**endpoint, "ca_certificate": trusted.authority})
        create("POST", "/projects", body={"project_name": name, "storage_limit": 5 * 1024**3})
        project = client.project(name)["project_id"]
        protect(client, project, f"{name}-")
        source = next(entry["id"] for entry in client.registries() if entry["name"] == name)
        rule = {
            **{"name": name, "src_registry": {"id": source}, "dest_namespace": name, "enabled": True, "override": True},
            "filters": [{"type": "name", "value": "team/app/*"}],
            "dest_namespace_replace_count": 0,
            "trigger": {"type": "scheduled", "trigger_settings": {"cron": "0 0 3 * * *"}},
        }
        create("POST", "/replication/policies", body=rule)
        access = [{"resource": "repository", "action": "pull"}]
        rights = [{"kind": "project", "namespace": name, "access": access}]
        create("POST", "/robots", body={"name": name, "level": "system", "duration": -1, "permissions": rights})
        yield ByHand(name, client)
        _remove(client, name)


def _remove(client: Harbor, name: str) -> None:
    """Delete what the adopted stack leaves in Harbor, after its destruction."""
    for path, entries in (
        ("/replication/policies", client.policies()),
        ("/registries", client.registries()),
        ("/robots", client.robots()),
        ("/users", client.get_all("/users")),
        ("/usergroups", client.get_all("/usergroups")),
    ):
        for entry in entries:
            called = entry.get("name") or entry.get("username") or entry.get("group_name") or ""
            if called.removeprefix("robot$").startswith(name):
                client.request("DELETE", f"{path}/{entry.get('id', entry.get('user_id'))}")
    project = client.project(name)["project_id"]
    for rule in client.get_all(f"/projects/{project}/immutabletagrules"):
        client.request("DELETE", f"/projects/{project}/immutabletagrules/{rule['id']}")
    client.request("DELETE", f"/projects/{project}")


@pytest.mark.slow
def test_a_harbor_that_was_set_up_by_hand_keeps_everything(
    by_hand: ByHand, target: Target, workspace: Callable[[str], Workspace]
) -> None:
    scratch = workspace(f"{by_hand.name}-scratch")
    stack = Workspace(scratch.directory, by_hand.name, scratch.env)
    before = by_hand.objects()

    def mirrorctl(*arguments: str, **environment: str) -> dict[str, Any]:
        result = stack.mirrorctl(*arguments, "--json", env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    credentials = {"HARBOR_URL": target.url, "HARBOR_USERNAME": "admin", "HARBOR_PASSWORD": target.password}
    report = mirrorctl("adopt", "--name", by_hand.name, "--rule", by_hand.name, **credentials)
    assert report["leftOut"][: len(LEFT_OUT)] == [text.format(by_hand.name) for text in LEFT_OUT]
    assert [text for text in report["leftOut"][len(LEFT_OUT) :] if by_hand.name in text] == [
        f"robot account robot${by_hand.name}: its password can't be read back; it stays as it is, and robots declares "
        "new ones"
    ]
    for line in report["commands"][:-1]:
        given = next((value for part, value in SECRETS.items() if part in line), target.password)
        subprocess.run(
            ["sh", "-c", line], cwd=stack.directory, env=stack.environment(), input=given, text=True, check=True
        )
    assert by_hand.objects() == before, "taking over reads"

    planned = stack.preview().ok().changes
    assert {step.op for step in planned} <= {"create", "update"}
    announced = {(change["op"], change["type"], change["name"]) for change in report["announced"]}
    ours = {(step.op, step.type, step.name) for step in planned if not step.type.startswith("harbor-mirror:")}
    assert ours <= announced
    assert stack.mirrorctl("recover", "--yes").stdout.startswith("delete ProjectWebhook ")
    stack.up().ok()
    assert stack.preview("--expect-no-changes").code == 0
    assert by_hand.objects() == before, "what was announced sets what is there"
    findings = mirrorctl("drift", "--stack", by_hand.name)["findings"]
    assert not [finding for finding in findings if finding["kind"] != "unmanaged"]
    stack.destroy().ok()
    with pytest.raises(HarborError):
        by_hand.client.get(f"/registries/{before['registries'][0]['id']}")
