"""Measures mirrorctl on a mirror with many rules and tags, simulated on this machine.

python -m bench.mirrorctl [RULES [TAGS]]      default: 1000 10000

CPU seconds are those of the command, seconds are of the clock (the simulators take their part of both cores), each of
the fastest of three runs: other work on the machine only makes runs slower. `verify` compares every tag, once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from localcloud.engine import PROJECT
from tests.faults.load import Mirror, Size

REPEATS = 3
#: Rules that have run, and so have tags in Harbor.
EXECUTIONS = 50
DEFAULTS = (1000, 10_000)


def spend(command: Sequence[str], environment: Mapping[str, str], repeats: int = REPEATS) -> tuple[float, float]:
    """Return the CPU seconds and the seconds of the fastest run. Raise RuntimeError if the command fails."""
    # Test environments forbid Python to cache what it has compiled; those of users don't.
    environment = {key: value for key, value in environment.items() if key != "PYTHONDONTWRITEBYTECODE"}
    runs = []
    for _ in range(repeats):
        began, before = time.perf_counter(), os.times()
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        after = os.times()
        # 2 is a bad finding: the rules that have not run are overdue or empty.
        if done.returncode not in (0, 2):
            raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
        cpu = after.children_user - before.children_user + after.children_system - before.children_system
        runs.append((cpu, time.perf_counter() - began))
    return min(runs)


def write_files(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Write the files of a stack, with its rules in a file of their own."""
    rest = {f"harbor-mirror:{key}": value for key, value in configuration.items() if key != "rules"}
    secret = {"harbor-mirror:harborPassword": {"secure": "v1:AAAAAAAAAAAAAAAA:AAAA"}}
    (folder / "mirrors").mkdir()
    (folder / "mirrors" / "all.yaml").write_text(yaml.safe_dump({"rules": configuration["rules"]}))
    (folder / "Pulumi.yaml").write_text((PROJECT / "Pulumi.yaml").read_text())
    settings = {**rest, **secret, "harbor-mirror:rulesDir": "mirrors"}
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": settings}))


def main() -> None:
    """Print the table as Markdown."""
    rules, tags = [*map(int, sys.argv[1:]), *DEFAULTS[len(sys.argv) - 1 :]]
    with TemporaryDirectory() as directory:
        mirror = Mirror(Path(directory), Size(rules, EXECUTIONS, tags // EXECUTIONS))
        stack = ("--stack", "dev", "--cwd", directory)
        running = mirror.names[:EXECUTIONS]
        write_files(Path(directory), mirror.configuration)
        try:
            mirror.run("sync", *running, "--wait")
            page = str(Path(directory) / "page.html")
            commands: Mapping[str, Sequence[str]] = {
                "(python -c pass)": ("-c", "pass"),
                "--help": ("-m", "mirrorctl", "--help"),
                "check": ("-m", "mirrorctl", "check", *stack),
                "explain": ("-m", "mirrorctl", "explain", *stack),
                "status": ("-m", "mirrorctl", "status", *stack),
                "drift": ("-m", "mirrorctl", "drift", *stack),
                "report": ("-m", "mirrorctl", "report", "--html", page, *stack),
                "verify": ("-m", "mirrorctl", "verify", *running, *stack),
            }
            print(f"| {rules} rules, {len(mirror.data.tags)} tags | CPU s | s |\n| --- | --- | --- |")
            for name, command in commands.items():
                cpu, seconds = spend(command, mirror.environment, 1 if name == "verify" else REPEATS)
                print(f"| {name} | {cpu:.2f} | {seconds:.2f} |", flush=True)
        finally:
            mirror.close()


if __name__ == "__main__":
    main()
