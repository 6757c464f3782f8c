"""Runs commands and records the arguments of every process that they start."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.programs import program

#: Records the arguments of every process that a command starts, also of those that end too soon for a look into /proc.
#: Texts in hexadecimal need no knowledge of how strace quotes. Only execve stops the processes.
TRACER = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=execve", "-e", "signal=none", "-xx", "-s", "1000000")
#: A command that takes longer hangs.
COMMAND_SECONDS = 300
_EXECVE = re.compile(r'execve\("[^"]*", \[(?P<arguments>[^\]]*)\]')
_ARGUMENT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Traced:
    """Exit code and output of a command, and the arguments of each process."""

    code: int
    output: str
    errors: str
    arguments: tuple[bytes, ...]


def traced(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: str = "",
    umask: int = 0o022,
) -> Traced:
    """Run a command under strace; `log` is a file for that time."""
    program("strace")
    done = subprocess.run(
        [*TRACER, "-o", str(log), *command],
        env=dict(env),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        umask=umask,
    )
    arguments = recorded(log.read_text())
    log.unlink()
    return Traced(done.returncode, done.stdout, done.stderr, arguments)


def recorded(log: str) -> tuple[bytes, ...]:
    """Return the arguments of each process in a log of TRACER, one on a line."""
    return tuple(
        b"\n".join(bytes.fromhex(text.replace("\\x", "")) for text in _ARGUMENT.findall(found["arguments"]))
        for found in _EXECVE.finditer(log)
    )
