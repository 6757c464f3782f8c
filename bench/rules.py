"""What many rules cost: the product beside a flat Pulumi program that declares the same objects without components.

python -m bench.rules [RULES ...]     default: 10 100 300 1000; `make bench BENCH_RULES="10 100"`

Each run of the product is paired with one of the flat program, on the same machine and the same Harbor. CPU seconds are
those of all processes of a command (engine, language host, program), so that other work on the machine matters less;
the stand-in providers run in this process and are not counted. Seconds are of the clock.

BENCH_REPEATS                  pairs for each number of rules (default 3)
BENCH_SKIP_CHECKPOINTS=1       with PULUMI_SKIP_CHECKPOINTS and PULUMI_EXPERIMENTAL
E2E_PROVIDERS=plugins          plugins of PULUMI_HOME in place of the stand-ins
E2E_HARBOR_URL, E2E_HARBOR_PASSWORD, E2E_SOURCE_URL   a Harbor and a source in place of the simulators
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
import statistics
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT, Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve

PASSWORD = "Bench-Admin-1"  # noqa: S105 - of a Harbor that lives for this run
FLAT = PROJECT / "bench" / "flat"
REAL_PLUGINS = os.environ.get("E2E_PROVIDERS") == "plugins"
SKIPPED = {"PULUMI_SKIP_CHECKPOINTS": "true", "PULUMI_EXPERIMENTAL": "true"}
PREVIEW = ("preview",)
UPDATE = ("up", "--yes", "--skip-preview")
REFRESH = ("refresh", "--yes", "--skip-preview")
DESTROY = ("destroy", "--yes", "--skip-preview")


@dataclass(frozen=True)
class Cost:
    """What one command took; `writes` is how often the engine wrote the state."""

    seconds: float
    cpu: float
    megabytes: float
    writes: int


@dataclass(frozen=True)
class Harbor:
    """A Harbor and a source to declare rules for."""

    url: str
    password: str
    source: str


@contextmanager
def harbor(cloud: LocalCloud) -> Iterator[Harbor]:
    """Yield the Harbor that the environment names, or a simulator."""
    source = os.environ.get("E2E_SOURCE_URL", cloud.hub_url)
    if "E2E_HARBOR_URL" in os.environ:
        yield Harbor(os.environ["E2E_HARBOR_URL"], os.environ["E2E_HARBOR_PASSWORD"], source)
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    simulator = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
    with simulator, serve(simulator.app, port=port):
        yield Harbor(url, PASSWORD, source)


class Stack:
    """One program's stack on a Harbor."""

    def __init__(self, workspace: Workspace, program: Mapping[str, Path] | None = None) -> None:
        workspace.directory.mkdir(parents=True)
        for name, path in (program or {}).items():
            (workspace.directory / name).symlink_to(path)
        workspace.create()
        self.workspace = workspace

    def run(self, command: Sequence[str]) -> Cost:
        """Run a command to its end. Raise RuntimeError if it fails."""
        (file,) = (self.workspace.directory / "state").rglob(f"stacks/*/{self.workspace.stack}.json")
        watch = Watch(file.parent)
        began = time.perf_counter()
        log = self.workspace.directory / "log"
        with log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603 - the arguments are ours
                ["pulumi", *command, "--color", "never", "--non-interactive", "--suppress-outputs"],  # noqa: S607
                cwd=self.workspace.directory,
                env=self.workspace.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            # Popen has no access to the resource usage, which includes the process's own children.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RuntimeError(f"{command}: {log.read_text()[-3000:]}")
        return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, watch.count(file.name))


class Watch:
    """Counts how often the engine writes the state: it moves each new version to the stack's file (inotify)."""

    MOVED_TO, NONBLOCK = 0x80, 0o4000
    EVENT = struct.Struct("iIII")

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._queue = libc.inotify_init1(self.NONBLOCK)
        if libc.inotify_add_watch(self._queue, os.fsencode(folder), self.MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {folder}")

    def count(self, name: str) -> int:
        """Return how often a file with this name arrived, and stop."""
        names = []
        while data := self._read():
            while data:
                *_, length = self.EVENT.unpack_from(data)
                names.append(data[self.EVENT.size : self.EVENT.size + length].rstrip(b"\0").decode())
                data = data[self.EVENT.size + length :]
        os.close(self._queue)
        return names.count(name)

    def _read(self) -> bytes:
        try:
            return os.read(self._queue, 65_536)
        except BlockingIOError:
            return b""


def product(directory: Path, rules: int, harbor: Harbor, env: Mapping[str, str]) -> tuple[Stack, Any]:
    """Return the product's stack, and a function that changes a rule."""
    stack = Stack(Workspace(directory, "bench-product", env))
    name = f"bench-{os.getpid()}"
    settings = {
        "harbor-mirror:harbor": {"url": harbor.url},
        "harbor-mirror:endpoints": {name: {"type": "docker-registry", "url": harbor.source}},
        "harbor-mirror:projects": {name: {"forceDestroy": True}},
        "harbor-mirror:rulesDir": "mirrors",
    }
    stack.workspace.configure(settings)
    stack.workspace.set_secret("harborPassword", harbor.password)

    def write(description: str) -> None:
        (directory / "mirrors").mkdir(exist_ok=True)
        entries = {
            f"{name}-{number:04}": {
                **{"endpoint": name, "repositories": f"team/app-{number}", "tags": "1.*", "project": name},
                **{"schedule": "daily", "description": description if number == 0 else ""},
            }
            for number in range(rules)
        }
        (directory / "mirrors" / "all.yaml").write_text(yaml.safe_dump({"rules": entries}))

    write("")
    return stack, lambda: write("changed")


def flat(directory: Path, rules: int, harbor: Harbor, env: Mapping[str, str]) -> tuple[Stack, Any]:
    """Return the flat program's stack, and a function that changes a rule."""
    program = {name: FLAT / name for name in ("Pulumi.yaml", "__main__.py")}
    stack = Stack(Workspace(directory, "bench-flat", env), program)
    settings = {
        **{"bench:url": harbor.url, "bench:source": harbor.source, "bench:name": f"flat-{os.getpid()}"},
        **{"bench:rules": str(rules), "bench:description": ""},
    }
    stack.workspace.configure(settings)
    stack.workspace.set_secret("bench:password", harbor.password)

    def change() -> None:
        stack.workspace.configure({**stack.workspace.configuration(), "bench:description": "changed"})

    return stack, change


def measure(stack: Stack, change: Any) -> dict[str, Cost]:
    """Return the cost of each command in the life of a stack."""
    costs = {"up": stack.run(UPDATE), "unchanged preview": stack.run(PREVIEW)}
    change()
    costs["one rule changed"] = stack.run(UPDATE)
    costs["refresh"] = stack.run(REFRESH)
    costs["destroy"] = stack.run(DESTROY)
    return costs


Costs = dict[str, list[tuple[Cost, Cost]]]


def compare(rules: int, repeats: int, harbor: Harbor, env: Mapping[str, str]) -> Costs:
    """Return pairs of costs (product, flat) by command."""
    pairs: Costs = defaultdict(list)
    for _ in range(repeats):
        with TemporaryDirectory() as directory:
            ours = measure(*product(Path(directory) / "product", rules, harbor, env))
            theirs = measure(*flat(Path(directory) / "flat", rules, harbor, env))
        for command, cost in ours.items():
            pairs[command].append((cost, theirs[command]))
    return pairs


def median(values: Sequence[float]) -> str:
    """Return the median, with the spread if there are several values."""
    text = f"{statistics.median(values):.1f}"
    return text if len(values) == 1 else f"{text} ({min(values):.1f} to {max(values):.1f})"


def table(results: Mapping[int, Costs]) -> Iterator[str]:
    """Yield the table as Markdown, and how the costs grow with the rules."""
    yield "| Rules | Command | Product, CPU s | Flat, CPU s | Ratio | Product, s | Flat, s | Peak MB | State writes |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for rules, pairs in results.items():
        for command, costs in pairs.items():
            ours, theirs = [pair[0] for pair in costs], [pair[1] for pair in costs]
            ratio = statistics.median(own.cpu / other.cpu for own, other in costs)
            memory = f"{ours[-1].megabytes:.0f} / {theirs[-1].megabytes:.0f}"
            yield (
                f"| {rules} | {command} | {median([cost.cpu for cost in ours])} | "
                f"{median([cost.cpu for cost in theirs])} | {ratio:.2f} | {median([cost.seconds for cost in ours])} | "
                f"{median([cost.seconds for cost in theirs])} | {memory} | "
                f"{ours[-1].writes} / {theirs[-1].writes} |"
            )
    sizes = [*results]
    for smaller, larger in itertools.pairwise(sizes):
        powers = []
        for command in results[smaller]:
            few, many = (statistics.median(pair[0].cpu for pair in results[n][command]) for n in (smaller, larger))
            powers.append(f"{command} n^{math.log(many / few) / math.log(larger / smaller):.2f}")
        yield f"\nGrowth of the product's CPU time from {smaller} to {larger} rules: {', '.join(powers)}"


def main() -> None:
    """Measure and print."""
    sizes = [int(size) for size in sys.argv[1:]] or [10, 100, 300, 1000]
    repeats = int(os.environ.get("BENCH_REPEATS", "3"))
    with LocalCloud(providers=not REAL_PLUGINS) as cloud, harbor(cloud) as target:
        env = {**cloud.env, **(SKIPPED if os.environ.get("BENCH_SKIP_CHECKPOINTS") else {})}
        results = {}
        for size in sizes:
            results[size] = compare(size, repeats, target, env)
            print(f"{size} rules measured", file=sys.stderr, flush=True)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
