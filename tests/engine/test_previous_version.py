"""Stacks of the previous version: with this program and the same configuration, a preview shows no changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT, Workspace
from localcloud.linode import Volume

PREVIOUS = PROJECT / "tests" / "data" / "previous"
#: The server, its gate, and the volume, which is attached to the new server.
SERVER = {"harbor-instance", "harbor-ready", "harbor-data"}


@pytest.fixture
def previous(tmp_path: Path, cloud: LocalCloud) -> Callable[[str], Workspace]:
    """Create a stack with state and configuration of the previous version; the recorded resources no longer exist."""

    def make(stack: str) -> Workspace:
        made = Workspace(tmp_path / stack, stack, cloud.env)
        made.create()
        shutil.copy(PREVIOUS / f"Pulumi.{stack}.yaml", made.directory)
        made.pulumi("stack", "import", "--file", str(PREVIOUS / f"{stack}.state.json")).ok()
        return made

    return make


def test_a_stack_on_an_existing_harbor_does_not_change(previous: Callable[[str], Workspace]) -> None:
    result = previous("previous-harbor").preview("--expect-no-changes", "--diff")
    assert result.changes == (), result.output
    assert result.code == 0, result.output
    assert len(result.steps) > 20


def test_in_a_stack_with_a_host_only_the_server_may_change(previous: Callable[[str], Workspace]) -> None:
    """A release with other scripts for the server replaces it; the data, the address and Harbor's objects stay."""
    result = previous("previous-host").preview("--diff")
    assert result.code == 0, result.output
    assert {step.name for step in result.changes} <= SERVER, result.output


def test_a_protected_server_is_not_replaced_for_other_scripts(
    previous: Callable[[str], Workspace], cloud: LocalCloud
) -> None:
    """Of a stack whose server exists at Linode, without the record that today's version keeps with the volume."""
    label, created = "harbor-previous-host-data", "2026-01-01T00:00:00"
    volume = Volume(71000010, label, "sg-sin-2", 20, ["harbor-version:2.15.1"], "enabled", created, created)
    volume.linode_id = 71000004
    cloud.linode.cloud.volumes[volume.id] = volume
    stack = previous("previous-host")
    stack.pulumi("config", "set", "--path", "--type", "bool", "harbor-mirror:host.protect", "true").ok()
    result = stack.preview("--diff", "--expect-no-changes")
    assert result.changes == (), result.output
    assert "keeps the scripts of the release that created it" in result.output
