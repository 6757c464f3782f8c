"""The policy pack with the real engine, on examples and on the stacks of this project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT, Result, Workspace
from policy.rules import POLICIES
from tests.consumers.program import OtherProgram

PACK = PROJECT / "policy"
SECRET = "Endpoint-Secret-1"
EXAMPLES = Path(__file__).parent / "program"
#: One violation in the engine's list: level, policy, type and logical name.
VIOLATION = re.compile(r"- \[(\w+)\]\s+(\S+)\s+\(\S+ (\S+)\)")


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


def violations(result: Result) -> set[tuple[str, str, str]]:
    return set(VIOLATION.findall(result.output))


def preview(workspace: Workspace, level: Path) -> Result:
    return workspace.preview("--policy-pack", str(PACK / "pack"), "--policy-pack-config", str(level))


@pytest.fixture(scope="module")
def examples(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = OtherProgram(tmp_path_factory.mktemp("examples"), "examples", cloud.env, EXAMPLES)
    workspace.create()
    workspace.set_secret("secret", SECRET)
    return workspace


def test_wrong_examples_are_reported_and_right_ones_are_not(examples: Workspace) -> None:
    result = preview(examples, PACK / "prod.json")
    assert result.code != 0
    found = violations(result)
    assert {level for level, _, _ in found} == {"mandatory"}
    by_name = {name: policy for _, policy, name in found}
    program = (EXAMPLES / "__main__.py").read_text()
    wrong = set(re.findall(r'"(wrong-[\w-]+)"', program))
    assert set(by_name) == wrong, result.output
    for name, policy in by_name.items():
        assert name.startswith(f"wrong-{policy}")
    assert set(by_name.values()) == {policy.name for policy in POLICIES}, "each policy has its examples"
    assert SECRET not in result.output


def test_policies_are_advisory_in_dev(examples: Workspace) -> None:
    result = preview(examples, PACK / "dev.json")
    assert result.code == 0, result.output
    found = violations(result)
    assert {level for level, _, _ in found} == {"advisory"}
    assert "server-is-protected" not in {policy for _, policy, _ in found}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_stacks_of_this_project_pass(stack: str, cloud: LocalCloud, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / stack, stack, cloud.env)
    workspace.create()
    config = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    del config["harbor-mirror:host"]["dnsZone"]
    workspace.configure(config)
    result = preview(workspace, PACK / f"{stack}.json")
    assert result.code == 0, result.output
    assert "harbor-mirror@v1.0.0" in result.output
    assert violations(result) == set()
