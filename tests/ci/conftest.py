"""Runs the scripts of the pipelines like the workflows: in a shell, with only the environment that they set."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.engine import PROJECT
from tests.programs import program

SCRIPTS = PROJECT / "ci"


@dataclass(frozen=True)
class Ran:
    """Exit code and output of a script."""

    code: int
    output: str
    errors: str


def script(name: str, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ran:
    """Run a script of the pipelines; a Python script with the project's own Python."""
    program("jq")
    interpreter = str(PROJECT / ".venv/bin/python") if name.endswith(".py") else "bash"
    done = subprocess.run(
        [interpreter, str(SCRIPTS / name), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Repository:
    """A git repository."""

    path: Path

    def git(self, *arguments: str) -> str:
        who = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env={**os.environ, **who}, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        """Writes and commits files; returns the commit."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
            self.git("add", name)
        self.git("commit", "--quiet", "--message", "change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "repository").mkdir()
    repository = Repository(tmp_path / "repository")
    repository.git("init", "--quiet", "--initial-branch", "main")
    return repository
