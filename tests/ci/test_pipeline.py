"""The scripts of the pipelines with the real engine on a local cloud. Each test can run alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harbor_mirror.harbor.client import Harbor
from localcloud.cloud import PARTNER_PASSWORD, LocalCloud
from localcloud.demo import stack_config
from localcloud.engine import PROJECT, Workspace
from localcloud.http import free_port
from tests.ci.conftest import Ran, Repository, script

EVERY_SIX_HOURS, HOURLY = "0 0 */6 * * *", "0 0 * * * *"


@dataclass(frozen=True)
class Pipeline:
    """A checkout whose environment dev is the local cloud; the scripts get the environment of a workflow."""

    checkout: Repository
    workspace: Workspace

    def run(self, name: str, *arguments: str, **env: str) -> Ran:
        given = {**self.workspace.environment(), "PROJECT_DIR": str(self.checkout.path), **env}
        return script(name, *arguments, env=given)

    def change(self, edit: Callable[[dict[str, Any]], None]) -> str:
        """Commit a change of the stack file; return the commit before it."""
        base = self.checkout.git("rev-parse", "HEAD")
        config = self.workspace.configuration()
        edit(config)
        self.workspace.configure(config)
        self.checkout.git("commit", "--quiet", "--all", "--message", "change")
        return base

    def harbor(self) -> Harbor:
        outputs = self.workspace.outputs(secrets=True)
        return Harbor(outputs["harborUrl"], outputs["adminUsername"], outputs["adminPassword"])

    def policy(self, rule: str) -> dict[str, Any]:
        with self.harbor() as harbor:
            return dict(next(policy for policy in harbor.policies() if policy["name"] == rule))

    def executions(self) -> dict[str, int]:
        """Return how often each rule has run."""
        with self.harbor() as harbor:
            return {p["name"]: len(list(harbor.executions(p["id"]))) for p in harbor.policies()}

    @property
    def secrets(self) -> list[str]:
        outputs = self.workspace.outputs(secrets=True)
        return [PARTNER_PASSWORD, outputs["adminPassword"], outputs["pullPassword"]]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with LocalCloud() as cloud:
        workspace = Workspace(tmp_path_factory.mktemp("checkout") / "dev", "dev", cloud.env)
        workspace.create()
        config = stack_config(cloud, free_port())
        config["harbor-mirror:rules"]["nginx"] |= {"schedule": EVERY_SIX_HOURS, "expectedTags": 12}
        workspace.configure(config)
        workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
        checkout = Repository(workspace.directory)
        checkout.git("init", "--quiet", "--initial-branch", "main")
        checkout.git("add", "Pulumi.yaml", "Pulumi.dev.yaml")
        checkout.git("commit", "--quiet", "--message", "as it was")
        yield Pipeline(checkout, workspace)
        workspace.destroy()


@pytest.fixture(scope="module")
def first(pipeline: Pipeline) -> tuple[Ran, str, dict[str, int]]:
    """The first deployment: its output, the published outputs, and how often each rule had run afterwards."""
    outputs, plan = pipeline.checkout.path / "outputs.json", pipeline.checkout.path / "plan.json"
    planned = pipeline.run("plan.sh", "dev", str(plan))
    assert planned.code == 0, planned.errors + planned.output
    ran = pipeline.run("deploy.sh", "dev", str(outputs), str(plan))
    assert ran.code == 0, ran.errors + ran.output
    return ran, outputs.read_text(), pipeline.executions()


@pytest.fixture(scope="module")
def deployed(pipeline: Pipeline, first: object) -> Pipeline:  # noqa: ARG001 - it is what makes it
    return pipeline


def test_the_first_deployment_creates_runs_verifies_and_publishes(
    deployed: Pipeline, first: tuple[Ran, str, dict[str, int]]
) -> None:
    ran, published, executions = first
    assert "without a Harbor session" in ran.errors
    assert "checkpoints stay on" in ran.errors, "it creates a server"
    assert "rules that changed: base-images nginx partner-apps" in ran.errors
    assert executions == {"nginx": 1, "base-images": 1, "partner-apps": 1}
    assert json.loads(published)["pullPassword"] == "[secret]"
    for secret in deployed.secrets:
        assert secret not in published + ran.errors + ran.output


@pytest.mark.slow
def test_a_deployment_without_a_change_runs_nothing(deployed: Pipeline, tmp_path: Path) -> None:
    before = deployed.executions()
    ran = deployed.run("deploy.sh", "dev", str(tmp_path / "outputs.json"))
    assert ran.code == 0, ran.errors + ran.output
    assert "without a Harbor session" not in ran.errors, "it has one now"
    assert "no rule changed" in ran.errors
    assert deployed.executions() == before


@pytest.mark.slow
def test_a_change_is_previewed_as_text_and_as_a_diff_and_only_its_rule_runs(deployed: Pipeline, tmp_path: Path) -> None:
    base = deployed.change(lambda config: config["harbor-mirror:rules"]["nginx"].update(schedule=HOURLY))
    ran = deployed.run("preview.sh", "dev", base)
    assert ran.code == 0, ran.errors
    comment = ran.output
    assert comment.startswith("### Preview of dev\n")
    words, _, diff = comment.partition("<details>")
    assert (
        "\nnginx: every 6 hours at minute 0, UTC -> every hour at minute 0, UTC; pulls per 6 h 12 -> 72\n" in words
    ), words
    (update,) = [line for line in diff.splitlines() if "harbor:index/replication:Replication: (update)" in line]
    assert update.startswith("!")
    assert f'schedule: "{EVERY_SIX_HOURS}" => "{HOURLY}"' in diff
    assert "1 to update" in diff
    for secret in deployed.secrets:
        assert secret not in comment + ran.errors
    assert deployed.policy("nginx")["trigger"]["trigger_settings"]["cron"] == EVERY_SIX_HOURS, "nothing was changed"

    before = deployed.executions()
    ran = deployed.run("deploy.sh", "dev", str(tmp_path / "outputs.json"))
    assert ran.code == 0, ran.errors + ran.output
    assert "ok 1 update: Pulumi writes the state once, at the end" in ran.errors
    assert "rules that changed: nginx\n" in ran.errors
    assert deployed.executions() == {**before, "nginx": before["nginx"] + 1}
    assert deployed.policy("nginx")["trigger"]["trigger_settings"]["cron"] == HOURLY


@pytest.mark.slow
def test_only_the_approved_plan_is_applied(deployed: Pipeline, tmp_path: Path) -> None:
    plan, outputs = tmp_path / "plan.json", tmp_path / "outputs.json"
    base = deployed.change(lambda config: config["harbor-mirror:rules"]["base-images"].update(schedule="daily"))
    ran = deployed.run("plan.sh", "dev", str(plan))
    assert ran.code == 0, ran.errors
    assert ran.output.startswith("### Plan of dev\n")
    assert "1 to update" in ran.output
    assert [step["op"] for step in json.loads(plan.read_text())] == ["update"]
    for secret in deployed.secrets:
        assert secret not in plan.read_text() + ran.output + ran.errors

    before, cron = deployed.executions(), deployed.policy("nginx")["trigger"]["trigger_settings"]["cron"]
    deployed.change(lambda config: config["harbor-mirror:rules"]["nginx"].update(schedule="weekly"))
    ran = deployed.run("deploy.sh", "dev", str(outputs), str(plan))
    assert ran.code == 1
    assert "the planned changes differ from the approved ones" in ran.errors
    assert "+" in ran.errors
    assert "::nginx" in ran.errors, "the difference is shown"
    assert not outputs.exists()
    assert deployed.executions() == before
    assert deployed.policy("nginx")["trigger"]["trigger_settings"]["cron"] == cron

    deployed.checkout.git("reset", "--quiet", "--hard", "HEAD~1")
    ran = deployed.run("deploy.sh", "dev", str(outputs), str(plan))
    assert ran.code == 0, ran.errors
    assert deployed.executions() == {**before, "base-images": before["base-images"] + 1}
    assert deployed.checkout.git("rev-parse", "HEAD~1") == base


def test_a_preview_runs_the_program_of_the_base_branch(deployed: Pipeline) -> None:
    """The same commit reveals the passphrase if its own program runs, which only happens after a label."""
    checkout, stolen = deployed.checkout, deployed.checkout.path / "stolen"
    base = checkout.commit(**{"README.md": "base"})
    program = checkout.path / "__main__.py"
    checkout.git("add", "__main__.py")
    checkout.git("commit", "--quiet", "--message", "program")
    base = checkout.git("rev-parse", "HEAD")
    checkout.git("checkout", "--quiet", "-b", "proposal")
    program.unlink()
    program.write_text(
        f"import os, pathlib\npathlib.Path({str(stolen)!r}).write_text(os.environ['PULUMI_CONFIG_PASSPHRASE'])\n"
    )
    checkout.git("add", "__main__.py")
    deployed.change(lambda config: config["harbor-mirror:rules"]["nginx"].update(enabled=False))
    head = checkout.git("rev-parse", "HEAD")
    try:
        checkout.git("checkout", "--quiet", "main")
        ran = deployed.run("preview.sh", "dev", base, head)
        assert ran.code == 0, ran.output + ran.errors
        assert "enabled" in ran.output.partition("<details>")[2]
        assert "1 to update" in ran.output
        assert "The change also touches the program." in ran.output
        assert not stolen.exists()

        checkout.git("reset", "--quiet", "--hard", head)
        deployed.run("preview.sh", "dev", base)
        assert stolen.read_text() == deployed.workspace.environment()["PULUMI_CONFIG_PASSPHRASE"]
    finally:
        checkout.git("reset", "--quiet", "--hard", base)


def test_a_preview_of_redirected_credentials_does_not_start_the_engine(deployed: Pipeline) -> None:
    base = deployed.change(lambda config: config.update({"linode:url": "http://127.0.0.1:1"}))
    head = deployed.checkout.git("rev-parse", "HEAD")
    deployed.checkout.git("reset", "--quiet", "--hard", base)
    ran = deployed.run("preview.sh", "dev", base, head, PULUMI_BACKEND_URL="file:///nowhere")
    assert ran.code == 3
    assert "config.linode:url" in ran.output
    assert "**Not previewed.**" in ran.output


@pytest.mark.parametrize("name", ["drift.sh", "preview.sh"])
def test_no_text_from_harbor_is_executed_by_the_runner(deployed: Pipeline, name: str) -> None:
    policy = deployed.policy("nginx")
    hostile = "x\n::add-mask::x\n  ::stop-commands::x\n::error::y"
    filters = [{"type": "name", "value": "library/nginx"}, {"type": "tag", "value": hostile, "decoration": "matches"}]
    base = deployed.change(lambda config: config["harbor-mirror:rules"]["nginx"].update(description=hostile))
    with deployed.harbor() as harbor:
        harbor.update_policy(policy["id"], {**policy, "filters": filters, "description": hostile})
        ran = deployed.run(name, "dev", base, GITHUB_ACTIONS="true")
        harbor.update_policy(policy["id"], policy)
    deployed.checkout.git("reset", "--quiet", "--hard", base)
    assert "::add-mask::x" in ran.errors, "the text is in the log"
    assert commands(ran.errors) == []


def commands(log: str) -> list[str]:
    """Return the lines of a log that GitHub's runner executes, except those that disable and enable commands."""
    executed, token = [], None
    for line in map(str.lstrip, log.splitlines()):
        if token is not None:
            token = None if line == f"::{token}::" else token
        elif match := re.match(r"::stop-commands::(\w{16,})$", line):
            token = match[1]
        elif re.match(r"::[\w-]+.*::", line) or "##[" in line:
            executed.append(line)
    assert token is None, "commands are on again for the next step"
    return executed


def test_a_preview_that_fails_says_why_in_the_comment(deployed: Pipeline) -> None:
    base = deployed.change(lambda config: config["harbor-mirror:rules"]["nginx"].update(schedule="0 */1 * * * *"))
    try:
        ran = deployed.run("preview.sh", "dev", base)
        planned = deployed.run("plan.sh", "dev", "plan.json")
    finally:
        deployed.checkout.git("reset", "--quiet", "--hard", base)
    assert (planned.code, planned.output) == (1, "")
    assert "runs every minute" in planned.errors
    assert "newState" not in planned.errors, "the errors only, not the state"
    assert ran.code != 0
    assert "rules.nginx.schedule: '0 */1 * * * *' runs every minute" in ran.output.partition("<details>")[0]
    assert "**The preview failed**" in ran.output


def test_no_drift(deployed: Pipeline) -> None:
    ran = deployed.run("drift.sh", "dev")
    assert ran.code == 0, ran.output + ran.errors
    assert ran.output.count(": no difference") == 3


def test_drift_that_the_engine_cannot_see_is_found(deployed: Pipeline) -> None:
    policy = deployed.policy("nginx")
    filters = [{"type": "name", "value": "library/nginx"}, {"type": "tag", "value": "1.29*", "decoration": "matches"}]
    with deployed.harbor() as harbor:
        harbor.update_policy(policy["id"], {**policy, "filters": filters})
        ran = deployed.run("drift.sh", "dev")
        harbor.update_policy(policy["id"], policy)
    assert ran.code == 2, ran.output + ran.errors
    assert "- Resources as the engine sees them: no difference" in ran.output
    assert "- **Settings that only Harbor shows: differences**" in ran.output
    assert "1.29*" in ran.output


def test_drift_that_the_engine_sees_is_found(deployed: Pipeline) -> None:
    policy = deployed.policy("nginx")
    with deployed.harbor() as harbor:
        harbor.update_policy(policy["id"], {**policy, "enabled": False})
        ran = deployed.run("drift.sh", "dev")
        harbor.update_policy(policy["id"], policy)
    assert ran.code == 2, ran.output + ran.errors
    assert "- **Resources as the engine sees them: differences**" in ran.output
    assert "enabled" in ran.output


# --- without an engine ------------------------------------------------------------------------------------------------


def test_check_needs_no_engine_no_network_and_no_secrets(tmp_path: Path) -> None:
    ran = script("check.sh")
    assert ran.code == 0, ran.output + ran.errors
    ok = [line for line in ran.errors.splitlines() if not line.startswith("warning ")]
    assert ok == [f"ok {PROJECT}/Pulumi.{stack}.yaml" for stack in ("dev", "local", "prod-ha", "prod")]
    config = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text())
    config["config"]["harbor-mirror:rules"]["nginx"]["schedule"] = "0 */1 * * * *"
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config))
    ran = script("check.sh", env={"PROJECT_DIR": str(tmp_path)})
    assert ran.code == 2
    assert "rules.nginx.schedule: '0 */1 * * * *' runs every minute" in ran.errors


@pytest.mark.parametrize("name", ["preview.sh", "deploy.sh", "drift.sh"])
def test_without_a_backend_the_message_says_where_to_read(name: str) -> None:
    ran = script(name, "dev", "HEAD")
    assert ran.code == 1
    assert "PULUMI_ACCESS_TOKEN" in ran.errors
    assert "docs/pipelines.md" in ran.errors


def test_rules_that_changed_follow_their_endpoint() -> None:
    def step(op: str, type_: str, name: str, **state: Any) -> dict[str, Any]:
        return {"op": op, "urn": f"urn:pulumi:dev::harbor-mirror::x${type_}::{name}", "newState": state}

    rule, registry = "harbor:index/replication:Replication", "harbor:index/registry:Registry"
    from_hub = {"registryId": [step("", registry, "hub")["urn"]]}
    steps = [
        step("update", registry, "hub"),
        step("same", rule, "follows", propertyDependencies=from_hub),
        step("same", rule, "disabled", propertyDependencies=from_hub, inputs={"enabled": False}),
        step("same", rule, "unchanged"),
        step("update", rule, "changed"),
        step("delete", rule, "gone"),
    ]
    ran = script("plan.py", "rules", stdin=json.dumps({"steps": steps}))
    assert ran.output.split() == ["changed", "follows"]
    assert script("plan.py", "rules", stdin="{}").output.split() == []
