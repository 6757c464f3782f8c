"""Tests of `adopt` with the real engine: an existing Harbor becomes a stack, and nothing is replaced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harbor_mirror.harbor.maintenance import GC_SCHEDULE, PURGE_SCHEDULE
from localcloud.engine import Workspace
from localcloud.http import serve
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import PASSWORD
from tests.cli.protection import LEFT_OUT, protect
from tests.cli.simulated_mirror import SimulatedMirror
from tests.faults.secrets import leaks, places
from tests.plugins import plugins

SECRETS = {
    "partner-paid": "Secret-Of-The-Bot-1",
    "ops.url": "https://hooks.example.com/a",
    "ops.authHeader": "Bearer Hook-Secret-1",
}
ROBOT_LEFT_OUT = (
    "robot account robot$ci: its password can't be read back; it stays as it is, and robots declares new ones"
)
BOT, BOT_SECRET = "bot", "Secret-Of-The-Bot-1"


@pytest.fixture
def by_hand(simulated: SimulatedMirror) -> Iterator[SimulatedMirror]:
    """A Harbor that was set up manually: endpoints, one of them with a CA, rules, a protected project, a proxy cache,
    a robot account, and more."""
    partner = RegistrySimulator(BOT, BOT_SECRET)
    partner.seed()
    with trust() as trusted, serve(partner.app, certificate=trusted.certificate) as served:
        create = simulated.client.request
        credential = {"type": "basic", "access_key": BOT, "access_secret": BOT_SECRET}
        create(
            "POST",
            "/registries",
            body={
                **{"name": "Partner (paid)", "type": "docker-registry", "url": served.url, "credential": credential},
                "ca_certificate": trusted.authority,
            },
        )
        create(
            "POST",
            "/projects",
            body={
                "project_name": "team-a",
                "metadata": {"public": "true", "auto_scan": "true"},
                "storage_limit": 5 * 1024**3,
            },
        )
        simulated.rule("nginx", "library/nginx", "1.*")
        simulated.rule(
            "Base images!",
            "library/{alpine,redis}",
            "3.*",
            src_registry={"id": 2},
            dest_namespace="team-a/base",
            trigger={"type": "scheduled", "trigger_settings": {"cron": "0 0 3 * * *"}},
            description="nightly",
            speed=1024,
            override=False,
        )
        simulated.rule("stopped", "team/app/*", enabled=False)
        kept = {
            "action": "retain",
            "template": "latestPushedK",
            "params": {"latestPushedK": 5},
            "scope_selectors": {
                "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "base/**"}]
            },
            "tag_selectors": [{"kind": "doublestar", "decoration": "excludes", "pattern": "v*"}],
        }
        team = next(project["project_id"] for project in simulated.client.projects() if project["name"] == "team-a")
        create(
            "POST",
            "/retentions",
            body={
                "algorithm": "or",
                "scope": {"level": "project", "ref": team},
                "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 4 * * *"}},
                "rules": [kept],
            },
        )
        collection = {"delete_untagged": True, "workers": 2}
        protect(simulated.client, team)
        create("POST", "/projects", body={"project_name": "cache", "registry_id": simulated.endpoint})
        pull = [{"resource": "repository", "action": "pull"}]
        rights = [{"kind": "project", "namespace": "team-a", "access": pull}]
        create("POST", "/robots", body={"name": "ci", "level": "system", "duration": -1, "permissions": rights})
        create("POST", GC_SCHEDULE, body={"schedule": {"type": "Weekly"}, "parameters": collection})
        purge = {"audit_retention_hour": 720, "include_event_types": "pull_artifact,other"}
        schedule = {"type": "Custom", "cron": "0 15 1 * * *"}
        create("POST", PURGE_SCHEDULE, body={"schedule": schedule, "parameters": purge})
        yield simulated


#: What a project's metadata says of its visibility and its protection.
METADATA = (
    *("public", "auto_scan", "retention_id", "prevent_vul", "enable_content_trust_cosign"),
    *("auto_sbom_generation", "reuse_sys_cve_allowlist"),
)


def objects(simulated: SimulatedMirror) -> dict[str, Any]:
    """Return everything that the adoption must not change. Harbor may omit fields that are false."""
    client = simulated.client
    found: dict[str, Any] = {f"rule {policy['id']}": _plain(policy) for policy in client.policies()}
    found |= {f"endpoint {entry['id']}": _plain(entry) for entry in client.registries()}
    for project in client.projects():
        path = f"/projects/{project['project_id']}"
        allowlist = project["cve_allowlist"]
        metadata = {"reuse_sys_cve_allowlist": "true", **project["metadata"]}
        found[path] = [metadata.get(key, "false") for key in METADATA]
        if project["metadata"].get("prevent_vul") == "true":
            found[f"{path}/severity"] = project["metadata"]["severity"]
        found[f"{path}/allowlist"] = allowlist["items"], allowlist.get("expires_at"), project.get("registry_id")
        for part in ("immutabletagrules", "members"):
            found[f"{path}/{part}"] = [_plain(entry) for entry in client.get_all(f"{path}/{part}")]
        # They are created again.
        hooks = client.get_all(f"{path}/webhook/policies")
        found[f"{path}/webhook/policies"] = {
            hook["name"]: {**_plain(hook), "id": 0, "creation_time": ""} for hook in hooks
        }
    found |= {robot["name"]: _plain(robot) for robot in client.robots() if robot["name"] != "robot$mirror-hand"}
    found |= {f"quota {entry['id']}": entry["hard"] for entry in client.quotas()}
    for path in (GC_SCHEDULE, PURGE_SCHEDULE):
        live = client.get(path)
        parameters = {k: v for k, v in json.loads(live["job_parameters"]).items() if v and k != "include_operations"}
        found[path] = (live["schedule"]["cron"], parameters)
    for rule in client.get("/retentions/1")["rules"]:
        (tags,) = rule["tag_selectors"]
        found["retention"] = {**rule, "tag_selectors": (tags["decoration"], tags["pattern"])}
    return found


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        # The provider changes the order of filters.
        name: sorted(map(str, value)) if name == "filters" else value
        for name, value in entry.items()
        if name not in ("name", "update_time", "src_registry")
    }


@pytest.mark.slow
def test_the_engine_imports_an_adopted_harbor_without_replacing_anything(
    by_hand: SimulatedMirror, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    before = objects(by_hand)
    with plugins() as attached:
        Workspace(folder, "scratch", attached).create()
        result = run("adopt", "--name", "hand", "--into", str(folder), "--json", **by_hand.environment)
        report = result.json
        assert report["leftOut"] == [*(text.format("team-a") for text in LEFT_OUT), ROBOT_LEFT_OUT]
        assert (len(report["rules"]), len(report["endpoints"])) == (3, 2)
        stack = Workspace(folder, "hand", attached)
        for line in report["commands"][:-1]:
            given = next((value for part, value in SECRETS.items() if part in line), PASSWORD)
            subprocess.run(["sh", "-c", line], cwd=folder, env=stack.environment(), input=given, text=True, check=True)
        assert objects(by_hand) == before, "taking over reads"

        planned = stack.preview().ok().changes
        assert {step.op for step in planned} <= {"create", "update"}
        announced = {(change["op"], change["type"], change["name"]) for change in report["announced"]}
        ours = {(step.op, step.type, step.name) for step in planned if not step.type.startswith("harbor-mirror:")}
        assert ours <= announced
        assert stack.mirrorctl("recover", "--yes").stdout.startswith("delete ProjectWebhook ")

        stack.up().ok()
        again = stack.preview("--diff")
        assert not again.changes, again.output
        assert leaks(places(folder, {}), {"Bearer Hook-Secret-1", PASSWORD}) == []
    assert objects(by_hand) == before, "what was announced sets what is there"
    assert {policy["name"] for policy in by_hand.client.policies()} == {"nginx", "Base-images", "stopped"}
    environment = {**stack.environment(), "HARBOR_URL": ""}
    result = run("drift", "--stack", "hand", "--cwd", str(folder), **environment)
    assert (result.code, result.out.splitlines()[-1]) == (0, "ok: Harbor has what the stack declares")
