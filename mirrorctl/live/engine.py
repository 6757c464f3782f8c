"""Reads and writes a stack's outputs and configuration through Pulumi's CLI."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import resolve_stack
from mirrorctl import stack_file
from mirrorctl.failure import Failure

#: Reading outputs may need a cloud's key service and state in a bucket.
PULUMI_SECONDS = 120
#: A preview, refresh or import asks clouds about each resource.
UPDATE_SECONDS = 900
#: Encrypted values in an exported state: the engine's own mark.
SECRET_MARK = "4dabf18193072939515e22adb298388d"  # noqa: S105 - a key name
#: Lets the engine write the state once, at the end of a run; a preview then does not serialize it after each step.
WITHOUT_CHECKPOINTS = {"PULUMI_SKIP_CHECKPOINTS": "true", "PULUMI_EXPERIMENTAL": "true"}
#: Steps of a preview that create something.
CREATING = frozenset({"create", "create-replacement", "replace"})
#: Fields of a resource in the state that `pulumi import` leaves empty: what orders its deletion, and hooks, which say
#: what to do if it fails.
NOT_IMPORTED = ("dependencies", "propertyDependencies", "deletedWith", "resourceHooks")
#: What the engine says of an empty or cut-off file of the state, or of a lock.
CUT_OFF = re.compile(r"\bEOF$|unexpected end of JSON input$")
UNREADABLE = "a file of the state is cut off: `mirrorctl recover` repairs it if the state is in a directory"
LOCK = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<time>\S+)")


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


@dataclass(frozen=True)
class Lock:
    """A lock of a stack that is not a running update's: who created it, and when."""

    owner: str
    time: str


@dataclass(frozen=True)
class Creation:
    """A resource that the next update would create; `inputs` hide secrets, and unknown values are the engine's mark.

    `not_imported` is what the state would have of it in the fields of NOT_IMPORTED.
    """

    urn: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    not_imported: Mapping[str, Any]


@dataclass(frozen=True)
class Creations:
    """What the next update would create, and the engine's import file for it, without ids."""

    resources: Sequence[Creation]
    import_file: Mapping[str, Any]


def state(stack: str | None, cwd: Path) -> dict[str, Any]:
    """Return a stack's state with decrypted secrets: {"resources", "pending_operations"}. Raise Failure."""
    exported = _pulumi(["stack", "export", "--show-secrets"], stack, cwd)
    deployment: dict[str, Any] = _plain(exported.get("deployment") or {})
    return deployment


def _plain(value: Any) -> Any:
    """Return a part of the state with secrets in plain text."""
    if isinstance(value, dict):
        if SECRET_MARK in value and "plaintext" in value:
            return json.loads(value["plaintext"])
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def creations(stack: str | None, cwd: Path) -> Creations:
    """Return what the next update would create. Raise Failure."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "import.json"
        text = _run(
            ["preview", "--json", "--import-file", str(file), *_stack_option(stack)], cwd, seconds=UPDATE_SECONDS
        )
        import_file = json.loads(file.read_text()) if file.exists() else {"resources": []}
    steps = [step for step in json.loads(text).get("steps", []) if step["op"] in CREATING and "newState" in step]
    resources = [
        Creation(
            step["urn"],
            step["newState"]["type"],
            step["urn"].rsplit("::", 1)[-1],
            step["newState"].get("inputs") or {},
            {key: step["newState"][key] for key in NOT_IMPORTED if step["newState"].get(key)},
        )
        for step in steps
    ]
    return Creations(resources, import_file)


def preview(stack: str | None, cwd: Path, *, destroy: bool = False) -> Mapping[str, Any]:
    """Return what the next `up` or `destroy` would do, as the engine prints it as JSON. Raise Failure."""
    command = ["destroy", "--preview-only"] if destroy else ["preview"]
    text = _run([*command, "--json", *_stack_option(stack)], cwd, seconds=UPDATE_SECONDS, more=WITHOUT_CHECKPOINTS)
    return _parse_preview(text, "pulumi printed no preview as JSON")


def read_preview(file: Path) -> Mapping[str, Any]:
    """Return a preview that was printed as JSON into a file; `-` is standard input. Raise Failure."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file}: {error}") from None
    return _parse_preview(text, f"{file} is not what `pulumi preview --json` prints")


def _parse_preview(text: str, refusal: str) -> Mapping[str, Any]:
    try:
        preview = json.loads(text)
    except ValueError:
        raise Failure(refusal) from None
    if not isinstance(preview, dict) or "steps" not in preview:
        raise Failure(refusal)
    if errors := _errors(preview):
        raise Failure(f"the preview failed: {errors[0]}")
    return preview


def backend(cwd: Path) -> str:
    """Return the URL of the state's backend. Raise Failure."""
    url: str = json.loads(_run(["whoami", "--json"], cwd))["url"]
    return url


def find_lock(stack: str | None, cwd: Path) -> Lock | None:
    """Return the lock that a killed run left, None if there is none. Raise Failure if that run is still going on."""
    # Refreshes nothing: no resource has this name. The engine takes the lock first.
    arguments = ["refresh", "--yes", "--skip-preview", "--target", "urn:pulumi:none::none::none::none"]
    try:
        _run([*arguments, *_stack_option(stack)], cwd, seconds=UPDATE_SECONDS)
    except Failure as failure:
        if UNREADABLE in str(failure):
            # The state can be read, so it is the lock: the run was killed while it wrote it.
            return Lock("somebody", "an unknown time")
        if "currently locked" not in str(failure):
            return None
        found = LOCK.search(str(failure))
        if found and found["host"] == socket.gethostname() and Path(f"/proc/{found['pid']}").exists():
            raise Failure(
                f"pulumi runs on this stack (process {found['pid']}, since {found['time']}); "
                "wait for it, or stop it with Ctrl-C"
            ) from None
        return Lock(f"{found['user']}@{found['host']}", found["time"]) if found else Lock("somebody", "an unknown time")
    return None


def cancel(stack: str | None, cwd: Path) -> None:
    """Remove the lock of a killed run. Raise Failure."""
    _run(["cancel", "--yes", *_stack_option(stack)], cwd)


def import_resources(document: Mapping[str, Any], stack: str | None, cwd: Path) -> None:
    """Import resources into the state. Raise Failure."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "import.json"
        file.write_text(json.dumps(document))
        options = ["--protect=false", "--generate-code=false", "--yes", "--skip-preview"]
        _run(["import", "--file", str(file), *options, *_stack_option(stack)], cwd, seconds=UPDATE_SECONDS)


def refresh(urns: Sequence[str], stack: str | None, cwd: Path) -> None:
    """Read resources again; those that do not exist leave the state. Raise Failure."""
    targets = [option for urn in urns for option in ("--target", urn)]
    _run(["refresh", "--yes", "--skip-preview", *targets, *_stack_option(stack)], cwd, seconds=UPDATE_SECONDS)


def forget(urns: Set[str], stack: str | None, cwd: Path) -> None:
    """Remove resources, and what others say of them, from the state. Raise Failure."""
    with _edited_state(stack, cwd) as deployment:
        resources = [resource for resource in deployment["resources"] if resource["urn"] not in urns]
        known = {resource["urn"] for resource in resources}
        for resource in resources:
            resource.update(_known_references(resource, known))
        deployment["resources"] = resources


def complete_state(created: Sequence[Creation], stack: str | None, cwd: Path) -> None:
    """Give imported resources what an import omits, and remove the marks of interrupted operations. Raise Failure.

    Without dependencies, the next `destroy` would delete an endpoint before the rules that use it.
    """
    omitted = {creation.urn: creation.not_imported for creation in created}
    with _edited_state(stack, cwd) as deployment:
        resources: list[dict[str, Any]] = deployment.get("resources") or []
        known = {resource["urn"] for resource in resources}
        for resource in resources:
            if resource["urn"] in omitted and not resource.get("dependencies") and not resource.get("delete"):
                missing = omitted[resource["urn"]]
                resource.update({**missing, **_known_references(missing, known)})
        deployment["resources"] = _sorted_by_references(resources)


@contextmanager
def _edited_state(stack: str | None, cwd: Path) -> Iterator[dict[str, Any]]:
    """Yield the state's deployment, and import it as it is then, without marks of interrupted operations."""
    exported = json.loads(_run(["stack", "export", *_stack_option(stack)], cwd))
    yield exported["deployment"]
    _run(["stack", "import", *_stack_option(stack)], cwd, json.dumps(exported))


def _known_references(resource: Mapping[str, Any], known: Set[str]) -> dict[str, Any]:
    """Return the fields that order a resource's deletion, without resources that the state does not have."""
    deleted_with = resource.get("deletedWith", "")
    return {
        "dependencies": [urn for urn in resource.get("dependencies") or () if urn in known],
        "propertyDependencies": {
            name: [urn for urn in urns or () if urn in known]
            for name, urns in (resource.get("propertyDependencies") or {}).items()
        },
        "deletedWith": deleted_with if deleted_with in known else "",
    }


def _sorted_by_references(resources: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return resources in their order, but each after those that it refers to: the engine refuses other states."""
    by_urn = {resource["urn"]: resource for resource in reversed(resources)}
    visited: set[int] = set()
    result: list[dict[str, Any]] = []

    def put(resource: dict[str, Any]) -> None:
        if id(resource) in visited:
            return
        visited.add(id(resource))
        for urn in _references(resource):
            if urn in by_urn:
                put(by_urn[urn])
        result.append(resource)

    for resource in resources:
        put(resource)
    return result


def _references(resource: Mapping[str, Any]) -> Iterator[str]:
    """Yield the URNs of the resources that must precede a resource in the state."""
    yield resource.get("parent", "")
    # A reference to a provider ends with its id.
    yield resource.get("provider", "").rpartition("::")[0]
    yield resource.get("deletedWith", "")
    yield from resource.get("dependencies") or ()
    for urns in (resource.get("propertyDependencies") or {}).values():
        yield from urns or ()


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


def _run(
    arguments: list[str],
    cwd: Path,
    stdin: str = "",
    seconds: int = PULUMI_SECONDS,
    more: Mapping[str, str] | None = None,
) -> str:
    if not cwd.is_dir():
        raise Failure(f"--cwd {cwd}: no such folder")
    path = program(cwd)
    if path is None:
        raise Failure(
            "pulumi is not on PATH, and the stack's outputs are read through it; "
            "install it, or set HARBOR_URL, HARBOR_USERNAME and HARBOR_PASSWORD"
        )
    command = [path, *arguments, "--non-interactive"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", **(more or {})}
    try:
        process = subprocess.run(  # noqa: S603 - fixed arguments; a stack's name is data
            command,
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            # State in a directory would have the user's own modes: usually everybody could read it.
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"pulumi {arguments[0]} did not finish within {seconds} s") from None
    if process.returncode != 0:
        raise Failure(f"pulumi {arguments[0]}: {_message(process)}")
    return process.stdout


def _errors(preview: Mapping[str, Any]) -> list[str]:
    """Return the first line of each error of a preview."""
    diagnostics = preview.get("diagnostics") or []
    return [entry["message"].strip().partition("\n")[0] for entry in diagnostics if entry.get("severity") == "error"]


def _message(process: subprocess.CompletedProcess[str]) -> str:
    """Return the error in a command's output: all of a lock's lines, else the first line that has one."""
    lines = [line.strip() for line in f"{process.stderr}\n{process.stdout}".splitlines() if line.strip()]
    if "currently locked" in process.stderr:
        return " ".join(lines).removeprefix("error: ")
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    message = next(iter(errors or lines), f"exit code {process.returncode}")
    return f"{message}; {UNREADABLE}" if CUT_OFF.search(message) else message
