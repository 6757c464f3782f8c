"""The tool on the rehearsal stage's Harbor, which behaves as recorded and really moves images."""

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
from tests.cli.stage import Stage


def test_from_nothing_to_proof(stage: Stage, run: Run) -> None:
    stage.rule("nginx", "library/nginx", "1.2*")
    stage.rule("base", "library/{alpine,redis}")
    stage.rule("nested", "team/nested")
    done = run("verify", **stage.environment)
    assert done.code == 2
    assert "the rule has never run" in done.out
    done = run("sync", "--all", "--wait", "--verify", "--json", **stage.environment)
    assert done.code == 0, done.out
    proofs = {rule["rule"]: rule for rule in done.json["verify"]["rules"]}
    assert proofs["nginx"]["equal"] == len(
        [tag for tag in stage.source.store.tags("library/nginx") if tag[:3] == "1.2"]
    )
    assert proofs["base"]["repositories"] == 2
    assert any(image["children"] == 3 for image in proofs["base"]["images"])
    assert proofs["nested"]["images"][0]["children"] > 3
    assert all(rule["bytes"] > 0 for rule in proofs.values())
    assert run("status", "--fail-on", "failed,empty,never", **stage.environment).code == 0


def test_a_tag_that_moves(stage: Stage, run: Run) -> None:
    stage.rule("latest", "library/nginx", "latest", override=False)
    assert run("sync", "latest", "--verify", **stage.environment).code == 0
    move_tag(stage.source.store, "library/nginx", "latest", "moved")
    done = run("sync", "latest", "--verify", **stage.environment)
    assert done.code == 2
    assert "override is off" in done.out


def test_failures_in_harbors_own_words(stage: Stage, run: Run) -> None:
    stage.rule("gone", "library/no-such")
    stage.rule("empty", "library/nginx", "9.*")
    stage.rule("off", "library/nginx", enabled=False)
    done = run("sync", "--all", "--wait", "--json", **stage.environment)
    assert done.code == 2
    outcomes = {rule["rule"]: rule["outcome"] for rule in done.json["rules"]}
    assert outcomes == {"gone": "failed", "empty": "empty", "off": "skipped"}
    shown = run("sync", "gone", "--wait", **stage.environment).out
    assert "NAME_UNKNOWN" in shown
    assert "The source has no such repository" in shown


def test_a_full_quota(stage: Stage, run: Run) -> None:
    quota = next(entry for entry in stage.client.quotas() if entry["ref"]["name"] == "mirror")
    stage.client.request("PUT", f"/quotas/{quota['id']}", body={"hard": {"storage": 1}})
    stage.rule("nginx", "library/nginx", "1.25.0")
    done = run("sync", "nginx", "--wait", **stage.environment)
    assert done.code == 2
    assert "quota is full" in done.out


def test_a_proxy_cache_takes_nothing_in(stage: Stage, run: Run) -> None:
    body = {"project_name": "cache", "metadata": {"public": "false"}, "registry_id": stage.endpoint}
    stage.client.request("POST", "/projects", body=body)
    stage.rule("nginx", "library/nginx", "1.25.0", dest_namespace="cache")
    done = run("sync", "nginx", "--verify", "--json", **stage.environment)
    assert done.code == 2
    assert done.json["rules"][0]["outcome"] == "empty"
    assert "project cache is a proxy cache" in " ".join(done.json["verify"]["rules"][0]["problems"])
    done = run("doctor", **stage.environment)
    assert done.code == 2
    assert "bad: destinations: rule nginx copies into project cache" in done.out


def test_every_look_works_on_it(stage: Stage, run: Run, tmp_path: Path) -> None:
    stage.rule("nginx", "library/nginx", "1.25.0")
    assert run("sync", "nginx", "--wait", **stage.environment).code == 0
    done = run("logs", "nginx", **stage.environment)
    assert (done.code, "library/nginx" in done.out) == (0, True)
    assert run("doctor", **stage.environment).code == 0
    assert run("report", "--html", "page.html", **stage.environment).code == 0
    assert "nginx" in (tmp_path / "page.html").read_text()
    with httpx.Client(base_url=f"{stage.url}{API}") as client:
        session = run("session", "--json", **stage.environment).json["sessionId"]
        client.cookies.set("sid", session)
        assert client.get("/users/current").json()["username"] == ADMIN
    done = run("adopt", "--name", "hand", "--json", **stage.environment)
    assert (done.code, done.json["rules"], done.json["leftOut"]) == (0, ["nginx"], [])


@pytest.fixture
def stack(stage: Stage, tmp_path: Path) -> FakeStack:
    """A stack whose rule `nginx`, endpoint `hub`, project `mirror` and robot are in this Harbor."""
    stage.rule("nginx", "library/nginx", "1.*")
    pull = [{"action": "pull", "resource": "repository"}]
    robot = {"name": "puller", "level": "system", "duration": -1, "disable": False}
    body = {**robot, "permissions": [{"kind": "project", "namespace": "mirror", "access": pull}]}
    made = stage.client.request("POST", "/robots", body=body)
    stack = FakeStack(tmp_path, stage.url, stage.client.registries()[0]["url"])
    stack.outputs |= {"pullUsername": made["name"], "pullPassword": made["secret"]}
    stack.config["endpoints"]["hub"]["insecure"] = True
    return stack


def test_drift_and_its_repair(stage: Stage, stack: FakeStack, run: Run) -> None:
    done = run("drift", **stack.environment)
    assert (done.code, done.out.splitlines()[-1]) == (0, "ok: Harbor has what the stack declares")
    policy = stage.client.policies()[0]
    filters = [{"type": "name", "value": "library/**"}]
    stage.client.update_policy(policy["id"], {**policy, "filters": filters, "speed": 100})
    done = run("drift", **stack.environment)
    assert done.code == 2
    assert "rules.nginx.repositories: declared library/nginx / live library/**" in done.out
    assert run("drift", "--fix", **stack.environment).code == 0
    assert run("drift", **stack.environment).code == 0
    assert stage.client.policies()[0]["filters"][0]["value"] == "library/nginx"


def test_images_land_where_explain_and_images_say(stack: FakeStack, run: Run, tmp_path: Path) -> None:
    registry = stack.config["harbor"]["url"].removeprefix("http://")
    stack.outputs["registryHost"] = registry
    source = stack.config["endpoints"]["hub"]["url"].removeprefix("http://")
    stack.outputs["images"] = {f"{source}/library/nginx": f"{registry}/mirror/library/nginx"}
    settings = {f"harbor-mirror:{key}": value for key, value in stack.config.items() if key != "harborPassword"}
    settings["harbor-mirror:harborPassword"] = {"secure": "v1:abc"}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": settings}))
    explained = run("explain", "--json", **stack.environment)
    done = run("sync", "--all", "--verify", "--json", **stack.environment)
    assert done.code == 0, done.out + done.err
    landed = {image["destination"].rpartition(":")[0] for image in done.json["verify"]["rules"][0]["images"]}
    assert {place.partition(" -> ")[2] for place in explained.json["rules"][0]["destinations"]} == landed
    assert set(run("images", **stack.environment).json.values()) == landed


def test_a_new_admin_password(stage: Stage, stack: FakeStack, run: Run) -> None:
    assert run("rotate-admin-password", "--generate", **stack.environment).code == 0
    new = stack.saved_config()["harborPassword"]
    assert new not in (PASSWORD, "")
    assert run("status", **stage.environment).code == 1, "the old one is refused"
    done = run("status", HARBOR_PASSWORD=new, **stage.environment)
    assert done.code == 0
    assert new not in done.out + done.err
