"""`mirrorctl recover` on state files in a directory that a killed run left unreadable, with the real engine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from localcloud.engine import Workspace
from mirrorctl.offline.schemas import report_schema

PROGRAM = """
import pulumi

for name in {names}:
    pulumi.ComponentResource("test:index:Component", name)
"""


class Stack:
    """A stack of components only; they need no cloud."""

    def __init__(self, directory: Path) -> None:
        self.workspace = Workspace(directory / "stack", "files")
        self.workspace.create()
        self.root = self.workspace.directory / "state/.pulumi"
        self.state = self.root / "stacks/harbor-mirror/files.json"
        self.attributes = self.state.with_name("files.json.attrs")
        (self.workspace.directory / "__main__.py").unlink()

    def declare(self, *names: str) -> None:
        (self.workspace.directory / "__main__.py").write_text(PROGRAM.format(names=names))

    def recover(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.workspace.mirrorctl("recover", *options)

    def recovered(self) -> str:
        """Return the output of a recovery after which the stack has no changes."""
        done = self.recover("--yes")
        assert done.returncode == 0, done.stderr
        unchanged = self.workspace.preview("--expect-no-changes")
        assert unchanged.code == 0, unchanged.output
        return done.stdout


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    created = Stack(tmp_path)
    created.declare("first")
    created.workspace.up().ok()
    return created


def cut_off(*files: Path) -> None:
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def resources(state: bytes) -> Any:
    return json.loads(state)["checkpoint"]["latest"].get("resources")


@pytest.mark.slow
def test_attributes_and_a_lock_that_a_kill_left_empty_are_removed(stack: Stack) -> None:
    stack.attributes.write_bytes(b"")
    locks = stack.root / "locks/organization/harbor-mirror/files"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "1.json.1.tmp").touch()
    refused = stack.workspace.preview()
    assert refused.code != 0
    assert "failed to load checkpoint: EOF" in refused.output

    unconfirmed = stack.recover("--json")
    assert f"removed {stack.attributes}" in unconfirmed.stderr
    report = json.loads(unconfirmed.stdout)
    assert unconfirmed.returncode == 2, unconfirmed.stderr
    assert report["lock"]
    assert list(Draft202012Validator(report_schema("recover")).iter_errors(report)) == []

    done = stack.recovered()
    assert "remove the lock of somebody" in done
    stack.workspace.up().ok()


@pytest.mark.slow
def test_a_state_file_that_was_cut_off_is_restored_from_the_newest_copy(stack: Stack) -> None:
    complete = stack.state.read_bytes()
    (end_of_run,) = (stack.root / "backups").rglob("*.json")
    before = stack.state.with_name("files.json.bak")
    assert before.read_bytes() != complete

    cut_off(stack.state)
    unconfirmed = stack.recover("--json")
    report = json.loads(unconfirmed.stdout)
    assert unconfirmed.returncode == 2, unconfirmed.stderr
    assert list(Draft202012Validator(report_schema("recover")).iter_errors(report)) == []
    assert report["files"][0].startswith(f"restore the state {stack.state}")
    assert f"restore the state {stack.state}, which was cut off, from {end_of_run} " in stack.recovered()
    assert resources(stack.state.read_bytes()) == resources(complete)
    assert stack.state.with_name("files.json.unreadable").read_bytes() == complete[: len(complete) // 2]

    for folder in ("backups", "history"):
        cut_off(*(stack.root / folder).rglob("*.json"))
    stack.state.write_bytes(b"")
    assert f"from {before} " in stack.recovered()

    for folder in ("stacks", "backups", "history"):
        cut_off(*(stack.root / folder).rglob("*.json*"))
    lost = stack.recover("--yes")
    assert lost.returncode == 1
    assert "restore this file from your own backup" in lost.stderr
