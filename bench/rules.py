"""What many rules cost: the product beside a flat Pulumi program that declares the same objects without components.

python -m bench.rules [RULES ...]     default: 10 100 300 1000; `make bench BENCH_RULES="10 100"`

The programs run one after the other, on the same machine and the same Harbor; ratios are of the runs of one round. CPU
seconds are those of all processes of a command (engine, language host, program; Terraform and its provider), so that
other work on the machine matters less. The stand-in providers run in this process and are not counted. Seconds are of
the clock.

BENCH_REPEATS                  rounds for each number of rules (default: 3; 1 from 1,000 rules, which take half an hour)
BENCH_PROGRAMS                 product, flat, product-fast, flat-fast (without checkpoints: mirrorctl fast), terraform;
                               default: all
BENCH_TERRAFORM_PROVIDER       a folder with terraform-provider-harbor; without it, Terraform is left out
E2E_PROVIDERS=plugins          plugins of PULUMI_HOME in place of the stand-ins; none is downloaded
E2E_HARBOR_URL, E2E_HARBOR_PASSWORD, E2E_SOURCE_URL   a Harbor and a source in place of the simulators
"""

from __future__ import annotations

import compileall
import ctypes
import itertools
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import yaml

from localcloud.cloud import LocalCloud
from localcloud.engine import NO_DOWNLOADS, PROJECT, Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from mirrorctl.live.engine import WITHOUT_CHECKPOINTS
from tests.plugins import REAL_PLUGINS, plugin_home

PASSWORD = "Bench-Admin-1"  # noqa: S105 - of a Harbor that lives for this run
FLAT = PROJECT / "bench" / "flat"
TERRAFORM_PROVIDER = os.environ.get("BENCH_TERRAFORM_PROVIDER")
QUIET = ("--color", "never", "--non-interactive", "--suppress-outputs")
#: The life of a stack, command by command.
LIFE = ("up", "unchanged preview", "one rule changed", "refresh", "destroy")
PULUMI: Mapping[str, Sequence[str]] = {
    "up": ("pulumi", "up", "--yes", "--skip-preview", *QUIET),
    "unchanged preview": ("pulumi", "preview", *QUIET),
    "one rule changed": ("pulumi", "up", "--yes", "--skip-preview", *QUIET),
    "refresh": ("pulumi", "refresh", "--yes", "--skip-preview", *QUIET),
    "destroy": ("pulumi", "destroy", "--yes", "--skip-preview", *QUIET),
}
APPLY = ("terraform", "apply", "-auto-approve", "-no-color")
TERRAFORM: Mapping[str, Sequence[str]] = {
    "up": APPLY,
    "unchanged preview": ("terraform", "plan", "-no-color"),
    "one rule changed": APPLY,
    "refresh": (*APPLY, "-refresh-only"),
    "destroy": ("terraform", "destroy", "-auto-approve", "-no-color"),
}
#: From this number of rules, one round takes half an hour, because each step with checkpoints writes the whole state.
LONG = 1000
#: Pairs of programs whose costs are compared.
RATIOS = (("product", "flat"), ("product-fast", "flat-fast"), ("product-fast", "terraform"))


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


class Program(Protocol):
    """A program in a folder of its own, on a Harbor."""

    def run(self, command: str) -> Cost:
        """Run a command of LIFE to its end. Raise RuntimeError if it fails."""

    def change(self) -> None:
        """Change one rule."""


def spend(command: Sequence[str], folder: Path, environment: Mapping[str, str], state: Path) -> Cost:
    """Run a command, and return what it took; `state` is the file with the state. Raise RuntimeError if it fails."""
    watch = Watch(state.parent)
    began = time.perf_counter()
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        # Popen has no access to the resource usage, which includes the process's own children.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{command}: {log.read_text()[-3000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, watch.count(state.name))


class Stack:
    """One program's stack on a Harbor; `change` changes one of its rules."""

    def __init__(self, workspace: Workspace, program: Mapping[str, Path] | None = None) -> None:
        workspace.directory.mkdir(parents=True)
        for name, path in (program or {}).items():
            (workspace.directory / name).symlink_to(path)
        workspace.create()
        self.workspace = workspace
        self.change: Callable[[], None] = lambda: None

    def run(self, command: str) -> Cost:
        """Run a command of LIFE."""
        (file,) = (self.workspace.directory / "state").rglob(f"stacks/*/{self.workspace.stack}.json")
        return spend(PULUMI[command], self.workspace.directory, self.workspace.environment(), file)


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


def product(directory: Path, rules: int, harbor: Harbor, env: Mapping[str, str]) -> Stack:
    """Return the product's stack."""
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
    stack.change = lambda: write("changed")
    return stack


def flat(directory: Path, rules: int, harbor: Harbor, env: Mapping[str, str]) -> Stack:
    """Return the flat program's stack."""
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

    stack.change = change
    return stack


class Terraform:
    """The same objects in Terraform's configuration language, as JSON."""

    def __init__(self, directory: Path, rules: int, harbor: Harbor, _env: Mapping[str, str]) -> None:
        directory.mkdir()
        self._directory, self._rules, self._harbor = directory, rules, harbor
        overrides = f'dev_overrides {{ "goharbor/harbor" = "{TERRAFORM_PROVIDER}" }}\n  direct {{}}'
        (directory / "cli.tfrc").write_text(f"provider_installation {{\n  {overrides}\n}}\n")
        self._write("")

    def run(self, command: str) -> Cost:
        """Run a command of LIFE."""
        environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(self._directory / "cli.tfrc")}
        return spend(TERRAFORM[command], self._directory, environment, self._directory / "terraform.tfstate")

    def change(self) -> None:
        """Change one rule."""
        self._write("changed")

    def _write(self, description: str) -> None:
        name = f"terraform-{os.getpid()}"
        login = {"url": self._harbor.url, "username": "admin", "password": self._harbor.password, "insecure": False}
        registry = {"name": name, "provider_name": "docker-registry", "endpoint_url": self._harbor.source}
        project = {"name": name, "public": "false", "vulnerability_scanning": True, "force_destroy": True}
        rules = {
            f"rule-{number:04}": {
                **{"name": f"{name}-{number:04}", "action": "pull", "override": True, "enabled": True},
                **{"registry_id": "${harbor_registry.all.registry_id}", "dest_namespace": "${harbor_project.all.name}"},
                **{"dest_namespace_replace": 0, "schedule": f"0 {number % 60} {number % 24} * * *"},
                **{"filters": [{"name": f"team/app-{number}"}, {"tag": "1.*"}]},
                **{"description": description if number == 0 else ""},
            }
            for number in range(self._rules)
        }
        document = {
            "terraform": {"required_providers": {"harbor": {"source": "goharbor/harbor"}}},
            "provider": {"harbor": login},
            "resource": {
                "harbor_registry": {"all": registry},
                "harbor_project": {"all": {**project, "storage_quota": -1}},
                "harbor_replication": rules,
            },
        }
        (self._directory / "main.tf.json").write_text(json.dumps(document))


PROGRAMS: Mapping[str, Callable[[Path, int, Harbor, Mapping[str, str]], Program]] = {
    "product": product,
    "flat": flat,
    "product-fast": lambda directory, rules, harbor, env: product(
        directory, rules, harbor, {**env, **WITHOUT_CHECKPOINTS}
    ),
    "flat-fast": lambda directory, rules, harbor, env: flat(directory, rules, harbor, {**env, **WITHOUT_CHECKPOINTS}),
    **({"terraform": Terraform} if TERRAFORM_PROVIDER else {}),
}
#: Costs by program and command, in rounds.
Costs = list[dict[str, dict[str, Cost]]]


def live(program: Program) -> dict[str, Cost]:
    """Return the cost of each command in the life of a stack."""
    costs = {}
    for command in LIFE:
        if command == "one rule changed":
            program.change()
        costs[command] = program.run(command)
    return costs


def measure(names: Sequence[str], rules: int, repeats: int, harbor: Harbor, env: Mapping[str, str]) -> Costs:
    """Return the costs of programs with this many rules."""
    rounds: Costs = []
    for _ in range(repeats):
        with TemporaryDirectory() as directory:
            rounds.append({name: live(PROGRAMS[name](Path(directory) / name, rules, harbor, env)) for name in names})
    return rounds


def median(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, with the spread if there are several values."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(results: Mapping[int, Costs], names: Sequence[str]) -> Iterator[str]:
    """Yield the tables as Markdown, and how the costs grow with the rules."""
    pairs = [(own, other) for own, other in RATIOS if own in names and other in names]
    ratios = [f"{own} / {other}" for own, other in pairs]
    programs = [f"{name}, CPU s" for name in names] + [f"{name}, s" for name in names]
    columns = ["Rules", "Command", *programs, *ratios, "Peak MB", "State writes"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for rules, rounds in results.items():
        for command in LIFE:
            costs = {name: [single[name][command] for single in rounds] for name in names}
            cells = [median([cost.cpu for cost in costs[name]]) for name in names]
            cells += [median([cost.seconds for cost in costs[name]]) for name in names]
            for own, other in pairs:
                both = zip(costs[own], costs[other], strict=True)
                cells.append(median([mine.cpu / theirs.cpu for mine, theirs in both], 2))
            cells.append(" / ".join(f"{costs[name][-1].megabytes:.0f}" for name in names))
            cells.append(" / ".join(str(costs[name][-1].writes) for name in names))
            yield f"| {rules} | {command} | {' | '.join(cells)} |"
    for smaller, larger in itertools.pairwise(results):
        for name in names:
            yield f"\n{name}, CPU time from {smaller} to {larger} rules: {growth(results, name, smaller, larger)}"


def growth(results: Mapping[int, Costs], name: str, smaller: int, larger: int) -> str:
    """Return the exponents with which the costs of a program grow."""
    powers = []
    for command in LIFE:
        few, many = (statistics.median(single[name][command].cpu for single in results[n]) for n in (smaller, larger))
        powers.append(f"{command} n^{math.log(many / few) / math.log(larger / smaller):.2f}")
    return ", ".join(powers)


def main() -> None:
    """Measure and print."""
    sizes = [int(size) for size in sys.argv[1:]] or [10, 100, 300, 1000]
    repeats = os.environ.get("BENCH_REPEATS")
    names = os.environ.get("BENCH_PROGRAMS", " ".join(PROGRAMS)).split()
    if unknown := [name for name in names if name not in PROGRAMS]:
        sys.exit(f"BENCH_PROGRAMS: {', '.join(unknown)} is not one of {', '.join(PROGRAMS)}")
    for package in ("components", "harbor_mirror"):
        compileall.compile_dir(PROJECT / package, quiet=1)
    with LocalCloud(providers=not REAL_PLUGINS) as cloud, harbor(cloud) as target:
        results = {}
        for size in sizes:
            rounds = int(repeats or (1 if size >= LONG else 3))
            results[size] = measure(names, size, rounds, target, {**cloud.env, **plugin_home(), **NO_DOWNLOADS})
            print(f"{size} rules measured", file=sys.stderr, flush=True)
    print("\n".join(table(results, names)))


if __name__ == "__main__":
    main()
