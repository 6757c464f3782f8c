"""Runs another Pulumi program with the same engine, in its own directory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from localcloud.engine import PROJECT, Workspace


@dataclass
class OtherProgram(Workspace):
    """A copy of the program in `source`, so that no stack file or state is written into the checkout."""

    source: Path = Path()

    def create(self) -> None:
        """Create directory, backend and stack."""
        shutil.copytree(self.source, self.directory, dirs_exist_ok=True)
        (self.directory / "state").mkdir(exist_ok=True)
        (self.directory / ".venv").symlink_to(PROJECT / ".venv")
        self.pulumi("stack", "select", "--create", self.stack).ok()
