"""Many rules, runs and tags at once: how much memory mirrorctl uses, and how many connections it opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from harbor_mirror.harbor import rule as rule_mapping
from harbor_mirror.harbor.client import Harbor
from harbor_mirror.http import CONCURRENCY
from harbor_mirror.plan.outputs import endpoint_output, rule_output
from harbor_mirror.plan.validation import validate
from localcloud.engine import PROJECT
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import Server, free_port, serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD
from tests.faults.table import Row, Say

MOST_MEGABYTES = 200
#: Of each client; `verify` has one for Harbor's API and one for its registry.
MOST_CONNECTIONS = 2 * CONCURRENCY
COMMAND_SECONDS = 1800
#: Runs mirrorctl and says on the last line of standard error how much memory it had at most. (The kernel's figure for
#: children, ru_maxrss, includes that of the process that started them.)
MEASURED = """
import atexit, re, sys
from mirrorctl.app import main
status = lambda: open("/proc/self/status").read()
atexit.register(lambda: print("VmHWM", re.search(r"VmHWM:\\s+(\\d+)", status())[1], file=sys.stderr))
main()
"""


@dataclass(frozen=True)
class Size:
    """How many rules there are, how many of them run at once, and the tags that each of these copies."""

    rules: int
    executions: int
    tags: int


LONG = Size(rules=1000, executions=50, tags=100)
SHORT = Size(rules=60, executions=50, tags=2)


class Watched:
    """An application that notes how many connections its server has while it serves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.server, self.most = app, None, 0

    server: Server | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.server is not None:
            self.most = max(self.most, self.server.connections)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Used:
    """What a command used: memory, and connections to Harbor and to the source."""

    command: str
    code: int
    output: str
    megabytes: float
    harbor: int
    source: int

    def failures(self) -> list[str]:
        """Return each limit that the command exceeds."""
        found = [f"{self.command}: exit code {self.code}: {self.output[-2000:]}"] if self.code else []
        if self.megabytes > MOST_MEGABYTES:
            found.append(f"{self.command}: {self.megabytes:.0f} MB of memory, more than {MOST_MEGABYTES}")
        # Harbor's own replications have connections to the source, too.
        source = 0 if self.command == "sync" else self.source
        if self.harbor > 2 * MOST_CONNECTIONS or source > MOST_CONNECTIONS:
            found.append(f"{self.command}: {self.harbor} connections to Harbor, {self.source} to the source")
        return found

    def __str__(self) -> str:
        return (
            f"mirrorctl {self.command}: {self.megabytes:.0f} MB, {self.harbor} connections to Harbor, "
            f"{self.source} to the source"
        )


class Mirror:
    """A Harbor with many rules, a source with many tags, and a stack that declares the rules."""

    def __init__(self, directory: Path, size: Size) -> None:
        self._open = ExitStack()
        self.size = size
        self.names = [f"rule-{number:04}" for number in range(size.rules)]
        registry, port = RegistrySimulator(), free_port()
        for number in range(size.executions):
            for tag in range(size.tags):
                push_image(registry.store, f"load/app-{number:04}", f"1.{tag}", f"{number}-{tag}")
        url = f"http://127.0.0.1:{port}"
        simulator = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
        self._open.enter_context(simulator)
        self.harbor, self.source = Watched(simulator.app), Watched(registry.app)
        self.harbor.server = self._open.enter_context(serve(self.harbor, port=port))
        self.source.server = self._open.enter_context(serve(self.source))
        self.data = simulator.data
        self._stack = FakeStack(directory, url, self.source.server.url)
        with Harbor(url, ADMIN, PASSWORD) as client:
            self._declare(client)
        self._directory = directory

    def _declare(self, client: Harbor) -> None:
        """Create the rules in Harbor, and write a stack's configuration and outputs for them."""
        endpoint = {"name": "hub", **self._stack.config["endpoints"]["hub"]}
        self._stack.config |= {
            "harbor": {**self._stack.config["harbor"], "restrictProjectCreation": False},
            "projects": {"mirror": {}},
            "rules": {
                name: {"endpoint": "hub", "repositories": f"load/app-{number:04}", "tags": "1.*", "project": "mirror"}
                for number, name in enumerate(self.names)
            },
        }
        planned = validate(self._stack.config)
        client.request("POST", "/registries", body=endpoint)
        client.request("POST", "/projects", body={"project_name": "mirror", "metadata": {"auto_scan": "true"}})
        number = client.registries()[0]["id"]

        def create(name: str) -> None:
            client.request(
                "POST", "/replication/policies", body=rule_mapping.to_json(planned.rules[name].policy, number)
            )

        list(client.parallel(create, self.names))
        ids = {policy["name"]: policy["id"] for policy in client.policies()}
        outputs: dict[str, Any] = {
            "registryHost": client.url.removeprefix("http://"),
            "endpoints": {"hub": {"id": number, **endpoint_output(planned.endpoints["hub"])}},
            "rules": {name: {"id": ids[name], **rule_output(rule)} for name, rule in planned.rules.items()},
            "images": dict(planned.images),
        }
        self._stack.outputs = {
            **{key: value for key, value in self._stack.outputs.items() if not key.startswith("pull")},
            **outputs,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of commands for this mirror's stack."""
        return {**os.environ, **self._stack.environment}

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Return the stack's configuration by setting."""
        return self._stack.config

    def run(self, *arguments: str) -> Used:
        """Run a command of mirrorctl and measure it."""
        self.harbor.most = self.source.most = 0
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments, "--stack", "dev", "--cwd", str(self._directory)],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        memory = re.search(r"^VmHWM (\d+)$", done.stderr, re.MULTILINE)
        megabytes = int(memory[1]) / 1024 if memory else 0.0
        output = done.stdout + done.stderr
        return Used(arguments[0], done.returncode, output, megabytes, self.harbor.most, self.source.most)

    def commands(self) -> Sequence[Sequence[str]]:
        """Return the commands to run: everything at once, then what reads all rules."""
        running = self.names[: self.size.executions]
        return (
            ("sync", *running, "--wait"),
            ("verify", *running),
            ("status",),
            ("report", "--html", str(self._directory / "page.html")),
            ("drift",),
        )

    def close(self) -> None:
        """Stop everything."""
        self._open.close()


def trial(directory: Path, size: Size, say: Say) -> Row:
    """Run the commands on a mirror of a size."""
    row = Row("load")
    mirror = Mirror(directory, size)
    try:
        for arguments in mirror.commands():
            used = mirror.run(*arguments)
            say(f"load: {used}")
            row.failures += used.failures()
        row.executions = len(mirror.data.executions)
        if (tags := len(mirror.data.tags)) != size.executions * size.tags:
            row.failures.append(f"{tags} tags arrived instead of {size.executions * size.tags}")
    finally:
        mirror.close()
    return row


def part(say: Say, share: float) -> Row:
    """Run 50 rules of 1,000 at once, which copy 5,000 tags."""
    size = Size(max(LONG.executions, round(LONG.rules * share)), LONG.executions, max(1, round(LONG.tags * share)))
    with TemporaryDirectory() as directory:
        return trial(Path(directory), size, say)
