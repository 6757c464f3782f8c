"""Tests of `explain --diff`: changes of a stack's files since a commit, described for reviewers."""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.cli.conftest import ROOT, Result, Run

Config = dict[str, Any]


@pytest.fixture
def dev() -> Config:
    config: Config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    return config


@dataclass
class Checkout:
    """A git repository with the stack `dev`."""

    path: Path
    run: Run

    def write(self, config: Config, name: str = "Pulumi.dev.yaml") -> None:
        (self.path / name).write_text(yaml.safe_dump({"config": config}, sort_keys=False))

    def commit(self) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        for command in (["add", "--all", "."], [*who, "commit", "--quiet", "--allow-empty", "--message", "x"]):
            subprocess.run(["git", *command], cwd=self.path, check=True)

    def explain(self, *arguments: str, base: str = "HEAD") -> Result:
        return self.run("explain", "--diff", base, "--stack", "dev", "--cwd", str(self.path), *arguments)

    def words(self) -> list[str]:
        result = self.explain()
        assert result.code == 0, result.err
        return result.out.splitlines()


@pytest.fixture
def checkout(tmp_path: Path, run: Run) -> Checkout:
    subprocess.run(["git", "init", "--quiet", "checkout"], cwd=tmp_path, check=True)
    return Checkout(tmp_path / "checkout", run)


@pytest.fixture
def committed(checkout: Checkout, dev: Config) -> Checkout:
    checkout.write(dev)
    checkout.commit()
    return checkout


def test_a_schedule_change_is_described_with_its_cost(checkout: Checkout, dev: Config) -> None:
    dev["harbor-mirror:endpoints"]["docker-hub"] |= {"username": "acme-bot", "secret": {"secure": "v1:x:y"}}
    dev["harbor-mirror:rules"]["nginx"]["expectedTags"] = 12
    checkout.write(dev)
    checkout.commit()
    dev["harbor-mirror:rules"]["nginx"]["schedule"] = "0 0 * * * *"
    checkout.write(dev)
    lines = [
        "nginx: every 6 hours at minute 0, UTC -> every hour at minute 0, UTC; pulls per 6 h 12 -> 72 of 200",
        "endpoint docker-hub: total pulls per 6 h 52 -> 112 of 200",
    ]
    assert checkout.words() == lines
    report = checkout.explain("--json").json
    assert report["changes"] == lines
    schema = json.loads(checkout.run("schema", "explain").out)
    assert list(Draft202012Validator(schema).iter_errors(report)) == []


def test_all_other_kinds_of_changes(committed: Checkout, dev: Config) -> None:
    dev["harbor-mirror:host"]["volumeGb"] = 300
    dev["harbor-mirror:projects"] |= {"mirror": {"quotaGb": 200}, "apps": {}}
    dev["harbor-mirror:endpoints"]["quay"]["description"] = "Quay"
    rules = dev["harbor-mirror:rules"]
    rules["redis"] |= {"tags": "8.*", "override": False}
    rules["nginx"]["path"] = "hub"
    del rules["prometheus"]
    rules["busybox"] = {
        "endpoint": "docker-hub", "repositories": "library/busybox", "project": "apps",
        "schedule": "0 30 2 * * *", "expectedTags": 400,
    }  # fmt: skip
    committed.write(dev)
    host = "harbor.dev.example.com"
    assert committed.words() == [
        "host: volumeGb 200 -> 300",
        "endpoint quay: description none -> Quay",
        "project mirror: quotaGb 100 -> 200",
        "new project apps",
        f"nginx: destination {host}/mirror/library/nginx -> {host}/mirror/hub/library/nginx",
        "redis: tags 7.* -> tags 8.*; override true -> false",
        "new rule busybox: copies docker.io/library/busybox, all tags; library/busybox -> "
        f"{host}/apps/library/busybox; every day at 02:30, UTC; pulls per 6 h 400 of 100",
        "rule prometheus is removed; its images stay in Harbor",
        "endpoint docker-hub: total pulls per 6 h 80 -> 480 of 100, more than the plan allows",
    ]


def test_no_changes(committed: Checkout) -> None:
    assert committed.words() == ["Nothing changes in the stack's configuration."]


def test_rule_files_are_compared(checkout: Checkout, dev: Config) -> None:
    team = checkout.path / "teams" / "dev" / "web.yaml"
    team.parent.mkdir(parents=True)
    team.write_text(yaml.safe_dump({"rules": {"web": dev["harbor-mirror:rules"].pop("redis")}}))
    checkout.write({**dev, "harbor-mirror:rulesDir": "teams/dev"})
    checkout.commit()
    team.write_text(team.read_text().replace("7.*", "8.*"))
    assert checkout.words() == ["web: tags 7.* -> tags 8.*"]


def test_a_file_with_faults_is_an_error(committed: Checkout, dev: Config) -> None:
    good = copy.deepcopy(dev)
    dev["harbor-mirror:rules"]["nginx"]["schedule"] = "0 */1 * * * *"
    committed.write(dev)
    result = committed.explain()
    assert (result.code, result.out) == (1, "")
    assert "has faults (1); `mirrorctl check` shows them" in result.err
    committed.commit()
    committed.write(good)
    assert committed.words()[0] == "the stack's file had faults before, so everything counts as new"


def test_a_new_stack_and_a_removed_stack(checkout: Checkout, dev: Config) -> None:
    (checkout.path / "README.md").write_text("nothing yet\n")
    checkout.commit()
    checkout.write(dev)
    lines = checkout.words()
    assert "new host" in lines
    new = [line.partition(":")[0] for line in lines if "rule" in line]
    assert new == ["new rule nginx", "new rule redis", "new rule prometheus"]
    checkout.commit()
    (checkout.path / "Pulumi.dev.yaml").unlink()
    assert checkout.words() == ["Pulumi.dev.yaml was removed; the stack itself stays until `pulumi destroy`"]


@pytest.mark.parametrize("base", ["no-such-branch", "--output=stolen", ""])
def test_an_unknown_commit_is_an_error(committed: Checkout, base: str) -> None:
    result = committed.run("explain", f"--diff={base}", "--stack", "dev", "--cwd", str(committed.path))
    assert result.code == 1
    assert f"git finds no commit {base}" in result.err
    assert not (committed.path / "stolen").exists()


def test_wrong_usage(committed: Checkout, tmp_path: Path) -> None:
    assert "name no rules" in committed.explain("nginx").err
    (tmp_path / "elsewhere").mkdir()
    result = committed.run("explain", "--diff", "HEAD", "--cwd", str(tmp_path / "elsewhere"))
    assert result.code == 1
    assert "not a git repository" in result.err
    result = committed.run("explain", "--diff", "HEAD", "--cwd", str(committed.path), PATH="/nonexistent")
    assert (result.code, result.err) == (1, "mirrorctl: --diff needs git on PATH\n")


def lock(checkout: Checkout, tags: list[str], glob: str) -> None:
    locked = {
        "source": "docker.io",
        "repositories": ["library/nginx"],
        "expression": {"semver": "^1.25"},
        "tags": {"library/nginx": tags},
        "policies": [{"name": "nginx", "repositories": "library/nginx", "matches": glob}],
    }
    (checkout.path / "mirror.lock.dev.yaml").write_text(yaml.safe_dump({"rules": {"nginx": locked}}))


def test_a_new_lock_is_described_by_its_tags_and_its_cost(checkout: Checkout, dev: Config) -> None:
    rule = {"endpoint": "docker-hub", "repositories": "library/nginx", "tags": {"semver": "^1.25"}, "project": "mirror"}
    dev["harbor-mirror:rules"] = {"nginx": {**rule, "schedule": "0 0 * * * *"}}
    dev["harbor-mirror:endpoints"]["docker-hub"] |= {"username": "acme-bot", "secret": {"secure": "v1:x:y"}}
    checkout.write(dev)
    lock(checkout, ["1.25", "1.26"], "1.2[56]")
    checkout.commit()
    lock(checkout, ["1.25", "1.26", "1.27"], "1.2[5-7]")
    assert checkout.words() == [
        "nginx: tags 1.2[56] (resolved from {semver: ^1.25}) -> tags 1.2[5-7] (resolved from {semver: ^1.25}); "
        "pulls per 6 h 12 -> 18 of 200",
        "endpoint docker-hub: total pulls per 6 h 12 -> 18 of 200",
    ]


def test_globs_that_become_an_expression(checkout: Checkout, dev: Config) -> None:
    rule = {"endpoint": "docker-hub", "repositories": "library/nginx", "tags": "1.2*", "project": "mirror"}
    dev["harbor-mirror:rules"] = {"nginx": rule}
    checkout.write(dev)
    checkout.commit()
    dev["harbor-mirror:rules"]["nginx"]["tags"] = {"semver": "^1.25"}
    checkout.write(dev)
    lock(checkout, ["1.25", "1.26"], "1.2[56]")
    (words,) = checkout.words()
    assert words.startswith("nginx: tags 1.2* -> tags 1.2[56] (resolved from {semver: ^1.25})")
