"""Runs the real Pulumi engine on this project from a directory of its own.

The directory links to the program and has its own stack files and state, so that a demo or a test never writes into
the checkout.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
#: Files of the checkout that the engine and the program need.
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "harbor_mirror", "mirrorctl", ".venv")
#: Without it, each command looks for the plugin of every installed package that has none and no stand-in: kubernetes.
NO_DOWNLOADS = {"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
#: More than the 20 minutes for which `up` waits until Harbor is healthy: a command that takes longer hangs.
COMMAND_SECONDS = 1500
#: An interrupted engine ends its plugins and saves the state.
INTERRUPT_SECONDS = 20


@dataclass(frozen=True)
class Step:
    """One planned or done operation on a resource, such as ("create", "harbor:index/project:Project", "mirror")."""

    op: str
    type: str
    name: str


@dataclass(frozen=True)
class Result:
    """The result of a command: exit code, output, and the engine's events."""

    command: tuple[str, ...]
    code: int
    output: str
    steps: tuple[Step, ...] = ()
    diagnostics: tuple[tuple[str, str, str], ...] = ()
    """(severity, logical name of the resource, message)"""

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.op not in {"same", "read", "refresh"})

    def ok(self) -> Result:
        """Return this result. Raise RuntimeError with the command's output if it failed."""
        if self.code != 0:
            raise RuntimeError(f"pulumi {' '.join(self.command)}: exit code {self.code}\n{self.output}")
        return self


@dataclass
class Workspace:
    """One stack in a directory of its own; `env` holds the addresses of the clouds and of the stand-in providers."""

    directory: Path
    stack: str
    env: Mapping[str, str] = field(default_factory=dict)

    def create(self) -> None:
        """Create directory, backend and stack; keep an existing stack."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "state").mkdir(exist_ok=True)
        for name in PROGRAM:
            link = self.directory / name
            if not link.is_symlink():
                link.symlink_to(PROJECT / name)
        self.pulumi("stack", "select", "--create", self.stack).ok()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replace the stack's configuration, keyed as in a stack file ("harbor-mirror:rules")."""
        file = self._stack_file()
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": dict(config)}, sort_keys=False))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration in the stack's file, with encrypted secrets."""
        config: dict[str, Any] = yaml.safe_load(self._stack_file().read_text()).get("config", {})
        return config

    def _stack_file(self) -> Path:
        return self.directory / f"Pulumi.{self.stack}.yaml"

    def set_secret(self, path: str, value: str) -> None:
        """Run `pulumi config set --path --secret`, with the value on standard input."""
        self.pulumi("config", "set", "--path", "--secret", path, stdin=value).ok()

    def preview(self, *options: str) -> Result:
        """`pulumi preview`."""
        return self.pulumi("preview", *options, events=True)

    def up(self, *options: str) -> Result:
        """`pulumi up` without its preview."""
        return self.pulumi("up", "--yes", "--skip-preview", *options, events=True)

    def refresh(self, *options: str) -> Result:
        """`pulumi refresh` without its preview."""
        return self.pulumi("refresh", "--yes", "--skip-preview", *options, events=True)

    def destroy(self, *options: str) -> Result:
        """`pulumi destroy` without its preview."""
        return self.pulumi("destroy", "--yes", "--skip-preview", *options, events=True)

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """Return the stack's outputs, with secrets as "[secret]" unless `secrets` is true."""
        shown = ("--show-secrets",) if secrets else ()
        result: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", *shown).ok().output)
        return result

    def export(self) -> str:
        """Return the state in the backend."""
        return self.pulumi("stack", "export").ok().output

    def environment(self) -> dict[str, str]:
        """Return the environment of every command, without the user's own Pulumi settings.

        Python may keep what it has compiled, as on a user's machine.
        """
        own = ("PULUMI_", "LINODE_", "HARBOR_", "PYTHONDONTWRITEBYTECODE")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        return {
            **inherited,
            # A language host without virtualenv support takes the first python on PATH.
            "PATH": os.pathsep.join(
                [str(PROJECT / ".venv/bin"), str(PROJECT / ".tools/bin"), os.environ.get("PATH", "")]
            ),
            "PULUMI_HOME": str(self.directory / "home"),
            "PULUMI_BACKEND_URL": (self.directory / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "local",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **NO_DOWNLOADS,
            # Less garbage collection: it takes a sixth of the CPU time of the engine's short commands.
            "GOGC": "400",
            # The event log, the only machine-readable output of an `up`, needs this debugging flag.
            "PULUMI_DEBUG_COMMANDS": "true",
            **self.env,
        }

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """Start one command in a session of its own; see `kill`."""
        return subprocess.Popen(  # noqa: S603 - the arguments are ours
            ["pulumi", *arguments, "--color", "never", "--non-interactive"],  # noqa: S607 - from our own PATH
            cwd=self.directory,
            env=self.environment(),
            text=True,
            start_new_session=True,
            # State in a directory has the user's own modes: usually everybody could read it.
            umask=0o077,
            **streams,
        )

    def pulumi(self, *arguments: str, stdin: str | None = None, events: bool = False) -> Result:
        """Run one command to its end."""
        log = self.directory / "events.json"
        if events:
            log.unlink(missing_ok=True)
        extra = ["--event-log", str(log)] if events else []
        process = self.start(
            *arguments,
            *extra,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if events else subprocess.PIPE,
        )
        try:
            shown, errors = process.communicate(stdin, timeout=COMMAND_SECONDS)
        except BaseException:
            interrupt(process)
            raise
        output = shown + (errors or "" if process.returncode else "")
        steps, diagnostics = _events(log) if events and log.exists() else ((), ())
        return Result(arguments, process.returncode, output, steps, diagnostics)

    def mirrorctl(
        self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the checkout's mirrorctl to its end, with more environment variables in `env`."""
        return subprocess.run(  # noqa: S603 - the arguments are ours
            [sys.executable, "-m", "mirrorctl", *arguments],
            cwd=self.directory,
            env={**self.environment(), "PYTHONPATH": str(PROJECT), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )


def interrupt(process: subprocess.Popen[Any]) -> None:
    """Interrupt a command, which then saves the state and ends its plugins; kill it if it does not."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(INTERRUPT_SECONDS)
    kill(process)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a command and all processes of its session: plugins have process groups of their own."""
    session = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _session(int(entry.name)) == process.pid]
    for pid in (process.pid, *session):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _session(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def _events(log: Path) -> tuple[tuple[Step, ...], tuple[tuple[str, str, str], ...]]:
    steps: list[Step] = []
    diagnostics: list[tuple[str, str, str]] = []
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if (before := event.get("resourcePreEvent")) is not None:
            steps.append(_step(before["metadata"]))
        if (diagnostic := event.get("diagnosticEvent")) is not None and diagnostic["severity"] != "debug":
            diagnostics.append(
                (diagnostic["severity"], _name(diagnostic.get("urn", "")), diagnostic["message"].strip())
            )
    return tuple(steps), tuple(diagnostics)


def _step(metadata: Mapping[str, Any]) -> Step:
    return Step(metadata["op"], metadata["type"], _name(metadata["urn"]))


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def names(steps: Sequence[Step], op: str) -> list[str]:
    """Return the logical names of the resources with this operation."""
    return sorted(step.name for step in steps if step.op == op)
