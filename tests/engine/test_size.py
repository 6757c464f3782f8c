"""The limit of a stack's file: `check` counts as the engine does, and rule files are outside the limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from harbor_mirror.config.size import LIMIT
from localcloud.engine import Workspace
from mirrorctl.offline.checking import check_files

SETTINGS: dict[str, Any] = {
    "harbor-mirror:harbor": {"url": "https://harbor.example.com"},
    "harbor-mirror:endpoints": {"plain": {"type": "docker-registry", "url": "https://registry.example.com"}},
    "harbor-mirror:projects": {"mirror": {}},
    # Characters that the engine writes as escapes, twice: a map is JSON in JSON.
    "harbor-mirror:rules": {
        "api": {
            "endpoint": "plain",
            "repositories": "web/api",
            "project": "mirror",
            "description": '<"ü"> & \\ \u2028',
            "override": True,
            "flatten": 0,
        }
    },
}
RULES = 1000


@pytest.fixture
def stack(workspace: Callable[[str], Workspace]) -> Workspace:
    stack = workspace("large")
    stack.configure(SETTINGS)
    stack.set_secret("harborPassword", "Harbor-Password-1")
    return stack


def pad(stack: Workspace, characters: int) -> None:
    """Make the settings larger by one that the program does not read."""
    stack.configure({**stack.configuration(), "padding:text": "x" * characters})


def size_in(text: str) -> int:
    """Return the size of all settings that a fault names."""
    return int(re.search(r"([\d,]+) bytes of all settings", text)[1].replace(",", ""))  # type: ignore[index]


def test_check_refuses_exactly_what_the_engine_cannot_pass_to_the_program(stack: Workspace) -> None:
    pad(stack, LIMIT)
    (report,) = check_files(stack.directory, "large").files
    space = LIMIT - (size_in(report.faults[0].reason) - LIMIT)
    pad(stack, space)
    (report,) = check_files(stack.directory, "large").files
    assert report.ok
    assert "rulesDir" in [caution.path for caution in report.cautions]
    result = stack.preview()
    assert result.code == 0, result.output
    assert f"the settings take {LIMIT:,} of the {LIMIT:,} bytes" in str(result.diagnostics)

    pad(stack, space + 1)
    (report,) = check_files(stack.directory, "large").files
    (fault,) = report.faults
    assert fault.path == "padding:text"
    assert size_in(fault.reason) == LIMIT + 1
    assert "rulesDir" in fault.reason
    result = stack.preview()
    assert result.code != 0
    assert "argument list too long" in result.output


def test_rule_files_have_no_limit(stack: Workspace) -> None:
    rule = SETTINGS["harbor-mirror:rules"]["api"]
    rules = {f"team-{number:04}-api": {**rule, "repositories": f"web/api-{number}"} for number in range(RULES)}
    stack.configure({**stack.configuration(), "harbor-mirror:rules": rules})
    (report,) = check_files(stack.directory, "large").files
    assert [fault.path for fault in report.faults] == ["rules"]

    directory = stack.directory / "mirrors"
    directory.mkdir()
    (directory / "all.yaml").write_text(yaml.safe_dump({"rules": rules}))
    stack.configure({**stack.configuration(), "harbor-mirror:rules": {}, "harbor-mirror:rulesDir": "mirrors"})
    checked = check_files(stack.directory, "large")
    assert checked.ok
    assert not [caution for file in checked.files for caution in file.cautions if "bytes" in caution.text]
