"""What adopt writes, taken by the real engine: a Harbor made by hand becomes a stack, and nothing is replaced."""

from __future__ import annotations

import subprocess
from pathlib import Path

from localcloud.engine import Workspace
from localcloud.providers import Providers
from tests.mirrorctl.conftest import Run
from tests.mirrorctl.fake_harbor import PASSWORD, FakeHarbor

BOT_SECRET = "Secret-Of-The-Bot-1"


def test_adoption(mirrored: FakeHarbor, run: Run, tmp_path: Path) -> None:
    hub = mirrored.registry("Docker Hub (paid)", "https://hub.docker.com", kind="docker-hub")
    mirrored.registries[hub]["credential"] = {"type": "basic", "access_key": "bot", "access_secret": "*****"}
    mirrored.project("team-a", metadata={"public": "true", "auto_scan": "true"})
    mirrored.quotas[1]["hard"]["storage"] = 5 * 1024**3
    mirrored.policy(
        "Base images!",
        hub,
        repositories="library/{alpine,busybox}",
        tags="3.*",
        namespace="team-a/base",
        cron="0 0 3 * * *",
        description="nightly",
        speed=1024,
        override=False,
    )
    folder = tmp_path / "project"
    with Providers() as providers:
        Workspace(folder, "scratch", providers.env).create()
        report = run("adopt", "--name", "hand", "--into", str(folder), "--json").json
        stack = Workspace(folder, "hand", providers.env)
        mirrored.requests.clear()
        for line in report["commands"][:-1]:
            given = BOT_SECRET if "docker-hub-paid" in line else PASSWORD
            subprocess.run(["sh", "-c", line], cwd=folder, env=stack.environment(), input=given, text=True, check=True)
        # Taking over reads; nothing in Harbor has changed so far.
        assert {method for method, path in mirrored.requests if path != "/c/login"} <= {"GET"}

        planned = stack.preview().ok().changes
        assert {step.op for step in planned} <= {"create", "update"}
        announced = {(change["op"], change["type"], change["name"]) for change in report["announced"]}
        ours = {(step.op, step.type, step.name) for step in planned if not step.type.startswith("harbor-mirror:")}
        assert ours <= announced

        kept = {number: dict(policy) for number, policy in mirrored.policies.items()}
        stack.up().ok()
        again = stack.preview("--diff")
        assert not again.changes, again.output
    for number, before in kept.items():
        after = mirrored.policies[number]
        # The provider sends filters in an order of its own.
        assert {str(sorted(item.items())) for item in after["filters"]} == {
            str(sorted(item.items())) for item in before["filters"]
        }
        assert after["trigger"]["type"] == before["trigger"]["type"]
        assert after.get("description", "") == before.get("description", "")
        assert after.get("override") == before.get("override")
    assert mirrored.policies[3]["name"] == "Base-images"
    assert mirrored.quotas[1]["hard"]["storage"] == 5 * 1024**3
    environment = {**stack.environment(), "HARBOR_URL": ""}
    done = run("drift", "--stack", "hand", "--cwd", str(folder), **environment)
    assert (done.code, done.out.splitlines()[-1]) == (0, "ok: what the stack declares is what Harbor has")
