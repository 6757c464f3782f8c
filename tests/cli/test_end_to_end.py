"""Tests of commands that follow each other, from an empty Harbor to a proven mirror."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import yaml

from harbor_mirror.harbor.client import API
from localcloud.oci.images import move_tag
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD
from tests.cli.simulated_mirror import SimulatedMirror


def test_sync_and_verify_from_an_empty_harbor(simulated: SimulatedMirror, run: Run) -> None:
    simulated.rule("nginx", "library/nginx", "1.2*")
    simulated.rule("base", "library/{alpine,redis}")
    simulated.rule("nested", "team/nested")
    result = run("verify", **simulated.environment)
    assert result.code == 2
    assert "the rule has never run" in result.out
    result = run("sync", "--all", "--wait", "--verify", "--json", **simulated.environment)
    assert result.code == 0, result.out
    proofs = {rule["rule"]: rule for rule in result.json["verify"]["rules"]}
    assert proofs["nginx"]["equal"] == len(
        [tag for tag in simulated.source.store.tags("library/nginx") if tag[:3] == "1.2"]
    )
    assert proofs["base"]["repositories"] == 2
    assert any(image["children"] == 3 for image in proofs["base"]["images"])
    assert proofs["nested"]["images"][0]["children"] > 3
    assert all(rule["bytes"] > 0 for rule in proofs.values())
    assert run("status", "--fail-on", "failed,empty,never", **simulated.environment).code == 0


def test_a_moved_tag_with_override_off(simulated: SimulatedMirror, run: Run) -> None:
    simulated.rule("latest", "library/nginx", "latest", override=False)
    assert run("sync", "latest", "--verify", **simulated.environment).code == 0
    move_tag(simulated.source.store, "library/nginx", "latest", "moved")
    result = run("sync", "latest", "--verify", **simulated.environment)
    assert result.code == 2
    assert "override is off" in result.out


def test_failed_empty_and_disabled_rules(simulated: SimulatedMirror, run: Run) -> None:
    simulated.rule("gone", "library/no-such")
    simulated.rule("empty", "library/nginx", "9.*")
    simulated.rule("off", "library/nginx", enabled=False)
    result = run("sync", "--all", "--wait", "--json", **simulated.environment)
    assert result.code == 2
    outcomes = {rule["rule"]: rule["outcome"] for rule in result.json["rules"]}
    assert outcomes == {"gone": "failed", "empty": "empty", "off": "skipped"}
    shown = run("sync", "gone", "--wait", **simulated.environment).out
    assert "NAME_UNKNOWN" in shown
    assert "The source has no such repository" in shown


def test_a_full_quota(simulated: SimulatedMirror, run: Run) -> None:
    quota = next(entry for entry in simulated.client.quotas() if entry["ref"]["name"] == "mirror")
    simulated.client.request("PUT", f"/quotas/{quota['id']}", body={"hard": {"storage": 1}})
    simulated.rule("nginx", "library/nginx", "1.25.0")
    result = run("sync", "nginx", "--wait", **simulated.environment)
    assert result.code == 2
    assert "quota is full" in result.out


def test_a_proxy_cache_as_destination(simulated: SimulatedMirror, run: Run) -> None:
    body = {"project_name": "cache", "metadata": {"public": "false"}, "registry_id": simulated.endpoint}
    simulated.client.request("POST", "/projects", body=body)
    simulated.rule("nginx", "library/nginx", "1.25.0", dest_namespace="cache")
    result = run("sync", "nginx", "--verify", "--json", **simulated.environment)
    assert result.code == 2
    assert result.json["rules"][0]["outcome"] == "empty"
    assert "project cache is a proxy cache" in " ".join(result.json["verify"]["rules"][0]["problems"])
    result = run("doctor", **simulated.environment)
    assert result.code == 2
    assert "bad: destinations: rule nginx copies into project cache" in result.out


def test_logs_doctor_report_session_and_adopt(simulated: SimulatedMirror, run: Run, tmp_path: Path) -> None:
    simulated.rule("nginx", "library/nginx", "1.25.0")
    assert run("sync", "nginx", "--wait", **simulated.environment).code == 0
    result = run("logs", "nginx", **simulated.environment)
    assert (result.code, "library/nginx" in result.out) == (0, True)
    assert run("doctor", **simulated.environment).code == 0
    assert run("report", "--html", "page.html", **simulated.environment).code == 0
    assert "nginx" in (tmp_path / "page.html").read_text()
    with httpx.Client(base_url=f"{simulated.url}{API}") as client:
        session = run("session", "--json", **simulated.environment).json["sessionId"]
        client.cookies.set("sid", session)
        assert client.get("/users/current").json()["username"] == ADMIN
    result = run("adopt", "--name", "hand", "--json", **simulated.environment)
    assert (result.code, result.json["rules"], result.json["leftOut"]) == (0, ["nginx"], [])


@pytest.fixture
def stack(simulated: SimulatedMirror, tmp_path: Path) -> FakeStack:
    """A stack whose rule `nginx`, endpoint `hub`, project `mirror` and robot are in this Harbor."""
    simulated.rule("nginx", "library/nginx", "1.*")
    pull = [{"action": "pull", "resource": "repository"}]
    robot = {"name": "puller", "level": "system", "duration": -1, "disable": False}
    body = {**robot, "permissions": [{"kind": "project", "namespace": "mirror", "access": pull}]}
    made = simulated.client.request("POST", "/robots", body=body)
    stack = FakeStack(tmp_path, simulated.url, simulated.client.registries()[0]["url"])
    stack.outputs |= {"pullUsername": made["name"], "pullPassword": made["secret"]}
    stack.config["endpoints"]["hub"]["insecure"] = True
    return stack


def test_drift_and_its_repair(simulated: SimulatedMirror, stack: FakeStack, run: Run) -> None:
    result = run("drift", **stack.environment)
    assert (result.code, result.out.splitlines()[-1]) == (0, "ok: Harbor has what the stack declares")
    policy = simulated.client.policies()[0]
    filters = [{"type": "name", "value": "library/**"}]
    simulated.client.update_policy(policy["id"], {**policy, "filters": filters, "speed": 100})
    result = run("drift", **stack.environment)
    assert result.code == 2
    assert "rules.nginx.repositories: declared library/nginx / live library/**" in result.out
    assert run("drift", "--fix", **stack.environment).code == 0
    assert run("drift", **stack.environment).code == 0
    assert simulated.client.policies()[0]["filters"][0]["value"] == "library/nginx"


def test_images_arrive_where_explain_and_images_say(stack: FakeStack, run: Run, tmp_path: Path) -> None:
    registry = stack.config["harbor"]["url"].removeprefix("http://")
    stack.outputs["registryHost"] = registry
    source = stack.config["endpoints"]["hub"]["url"].removeprefix("http://")
    stack.outputs["images"] = {f"{source}/library/nginx": f"{registry}/mirror/library/nginx"}
    settings = {f"harbor-mirror:{key}": value for key, value in stack.config.items() if key != "harborPassword"}
    settings["harbor-mirror:harborPassword"] = {"secure": "v1:abc"}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": settings}))
    explained = run("explain", "--json", **stack.environment)
    result = run("sync", "--all", "--verify", "--json", **stack.environment)
    assert result.code == 0, result.out + result.err
    landed = {image["destination"].rpartition(":")[0] for image in result.json["verify"]["rules"][0]["images"]}
    assert {place.partition(" -> ")[2] for place in explained.json["rules"][0]["destinations"]} == landed
    assert set(run("images", **stack.environment).json.values()) == landed


def test_a_new_admin_password(simulated: SimulatedMirror, stack: FakeStack, run: Run) -> None:
    assert run("rotate-admin-password", "--generate", **stack.environment).code == 0
    new = stack.saved_config()["harborPassword"]
    assert new not in (PASSWORD, "")
    assert run("status", **simulated.environment).code == 1, "the old one is refused"
    result = run("status", HARBOR_PASSWORD=new, **simulated.environment)
    assert result.code == 0
    assert new not in result.out + result.err
