"""The outputs match docs/outputs.schema.json, mask secrets, and do not change without a reason."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from localcloud.engine import PROJECT, Workspace

SCHEMA = json.loads((PROJECT / "docs" / "outputs.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
HIDDEN = "[secret]"


def faults(outputs: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(outputs)]


def test_the_outputs_match_the_schema(mirror: Workspace, outputs: dict[str, Any]) -> None:
    assert faults(outputs) == []
    assert faults(mirror.outputs()) == []
    assert set(outputs["rules"]) == {"nginx", "base-images", "partner-apps"}
    assert outputs["images"], "some rule names its repositories"


def test_secrets_are_masked_by_default(mirror: Workspace, outputs: dict[str, Any]) -> None:
    masked = mirror.outputs()
    changed = {name for name in outputs if masked[name] != outputs[name]}
    assert changed == {"pullPassword", "adminPassword"}
    assert {masked[name] for name in changed} == {HIDDEN}


def test_an_update_that_changes_nothing_changes_no_output(mirror: Workspace, outputs: dict[str, Any]) -> None:
    mirror.up("--expect-no-changes").ok()
    assert mirror.outputs(secrets=True) == outputs


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("harborUrl",), "harbor.example.com"),
        (("nextRun",), "2026-01-01"),
        (("rules", "nginx", "id"), "1"),
        (("rules", "nginx", "schedule"), "daily"),
        (("rules", "nginx", "tags"), "1.2*"),
        (("rules", "nginx", "destination", "flatten"), 4),
        (("endpoints", "hub", "secret"), "x"),
        (("host", "ip"), "nowhere"),
        (("images", "docker.io/library/nginx"), "harbor.example.com/mirror/library/nginx@sha256:0"),
    ],
)
def test_the_schema_rejects_other_shapes(outputs: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    changed = copy.deepcopy(outputs)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert len(faults(changed)) == 1


def test_each_output_is_documented(outputs: dict[str, Any]) -> None:
    page = (PROJECT / "docs" / "outputs.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name.strip(" `") for row in rows for name in row.split(",")}
    # This stack declares no robot account of a team, and has a host instead of a cluster.
    assert documented == set(SCHEMA["properties"]) == set(outputs) | {"robots", "cluster"}
