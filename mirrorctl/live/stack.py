"""What Pulumi knows of a stack: its outputs and configuration, read through its CLI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from mirrorctl.failure import Failure

#: Reading outputs may decrypt through a cloud's key service and read state from a bucket.
PULUMI_SECONDS = 120


def outputs(stack: str | None, cwd: Path) -> dict[str, Any]:
    """The outputs of a stack (of the selected one without a name), secrets in plain. Raises Failure."""
    found: dict[str, Any] = _pulumi(["stack", "output", "--json", "--show-secrets"], stack, cwd)
    return found


def configuration(stack: str | None, cwd: Path) -> dict[str, Any]:
    """The configuration of a stack, {"project:key": {"value", "objectValue", "secret"}}. Raises Failure."""
    found: dict[str, Any] = _pulumi(["config", "--json", "--show-secrets"], stack, cwd)
    return found


def set_secret(key: str, value: str, stack: str | None, cwd: Path) -> None:
    """Sets a secret of the configuration; the value travels through a pipe, not the command line. Raises Failure."""
    _run(["config", "set", "--secret", key, *_of(stack)], cwd, value)


def remove(key: str, stack: str | None, cwd: Path) -> None:
    """Removes a key of the configuration. Raises Failure."""
    _run(["config", "rm", key, *_of(stack)], cwd)


def version(cwd: Path) -> str:
    """The engine's version, or why there is none."""
    try:
        return _run(["version"], cwd).strip()
    except Failure as failure:
        return str(failure)


def program(cwd: Path) -> str | None:
    """The engine on PATH, or the one that the project built for itself."""
    return shutil.which("pulumi") or shutil.which("pulumi", path=str(cwd / ".tools" / "bin"))


def _pulumi(arguments: list[str], stack: str | None, cwd: Path) -> Any:
    text = _run([*arguments, *_of(stack)], cwd)
    try:
        return json.loads(text)
    except ValueError:
        raise Failure(f"pulumi {' '.join(arguments[:2])} gave no JSON") from None


def _of(stack: str | None) -> list[str]:
    return ["--stack", stack] if stack else []


def _run(arguments: list[str], cwd: Path, given: str = "") -> str:
    if not cwd.is_dir():
        raise Failure(f"--cwd {cwd}: there is no such folder")
    path = program(cwd)
    if path is None:
        raise Failure(
            "there is no pulumi on PATH to read the stack's outputs; "
            "install it, or set HARBOR_URL, HARBOR_USERNAME and HARBOR_PASSWORD"
        )
    command = [path, *arguments, "--non-interactive"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments; a stack's name is data
            command,
            cwd=cwd,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PULUMI_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"pulumi {arguments[0]} did not end within {PULUMI_SECONDS} s") from None
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
        raise Failure(f"pulumi {arguments[0]}: {said.removeprefix('error: ')}")
    return done.stdout
