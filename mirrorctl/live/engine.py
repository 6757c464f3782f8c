"""Reads and writes a stack's outputs and configuration through Pulumi's CLI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import resolve_stack
from mirrorctl import stack_file
from mirrorctl.failure import Failure

#: Reading outputs may need a cloud's key service and state in a bucket.
PULUMI_SECONDS = 120


def outputs(stack: str | None, cwd: Path) -> dict[str, Any]:
    """Return the outputs of a stack, of the selected one without a name, with decrypted secrets. Raise Failure."""
    values: dict[str, Any] = _pulumi(["stack", "output", "--json", "--show-secrets"], stack, cwd)
    return values


def configuration(stack: str | None, cwd: Path) -> dict[str, Any]:
    """Return the configuration of a stack: {"project:key": {"value", "objectValue", "secret"}}. Raise Failure."""
    values: dict[str, Any] = _pulumi(["config", "--json", "--show-secrets"], stack, cwd)
    return values


def selected(cwd: Path) -> str:
    """Return the name of the selected stack. Raise Failure."""
    return _run(["stack", "--show-name"], cwd).strip()


def resolve(stack: str | None, cwd: Path) -> PlannedMirror:
    """Return what a stack declares, from the engine's configuration. Raise Failure or ConfigurationError."""
    settings = configuration(stack, cwd)
    values = {key: entry.get("objectValue", entry.get("value")) for key, entry in settings.items()}
    return resolve_stack(values, stack_file.project(cwd), cwd, stack or selected(cwd)).require()


def set_secret(key: str, value: str, stack: str | None, cwd: Path) -> None:
    """Set a secret of the configuration, passed through a pipe instead of the command line. Raise Failure."""
    _run(["config", "set", "--secret", key, *_stack_option(stack)], cwd, value)


def remove(key: str, stack: str | None, cwd: Path) -> None:
    """Remove a key from the configuration. Raise Failure."""
    _run(["config", "rm", key, *_stack_option(stack)], cwd)


def version(cwd: Path) -> str:
    """Return the engine's version, or why it cannot be read."""
    try:
        return _run(["version"], cwd).strip()
    except Failure as failure:
        return str(failure)


def program(cwd: Path) -> str | None:
    """Return the engine on PATH, or the one that `make setup` installed."""
    return shutil.which("pulumi") or shutil.which("pulumi", path=str(cwd / ".tools" / "bin"))


def _pulumi(arguments: list[str], stack: str | None, cwd: Path) -> Any:
    text = _run([*arguments, *_stack_option(stack)], cwd)
    try:
        return json.loads(text)
    except ValueError:
        raise Failure(f"pulumi {' '.join(arguments[:2])} printed no JSON") from None


def _stack_option(stack: str | None) -> list[str]:
    return ["--stack", stack] if stack else []


def _run(arguments: list[str], cwd: Path, stdin: str = "") -> str:
    if not cwd.is_dir():
        raise Failure(f"--cwd {cwd}: no such folder")
    path = program(cwd)
    if path is None:
        raise Failure(
            "pulumi is not on PATH, and the stack's outputs are read through it; "
            "install it, or set HARBOR_URL, HARBOR_USERNAME and HARBOR_PASSWORD"
        )
    command = [path, *arguments, "--non-interactive"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        process = subprocess.run(  # noqa: S603 - fixed arguments; a stack's name is data
            command,
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PULUMI_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"pulumi {arguments[0]} did not finish within {PULUMI_SECONDS} s") from None
    if process.returncode != 0:
        message = next(
            (line for line in process.stderr.splitlines() if line.strip()), f"exit code {process.returncode}"
        )
        raise Failure(f"pulumi {arguments[0]}: {message.removeprefix('error: ')}")
    return process.stdout
