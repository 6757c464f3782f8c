"""`Pulumi.<stack>.yaml` read without the engine: no network, no secrets needed, every line number known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror import located_yaml, rule_files
from harbor_mirror.located_yaml import LocatedYaml, Unreadable
from harbor_mirror.model.checks import check
from harbor_mirror.model.config import Configuration
from harbor_mirror.model.faults import Caution, ConfigurationError, Fault
from harbor_mirror.model.parse import HIDDEN, parse
from harbor_mirror.rule_files import Gathered
from mirrorctl.failure import Failure

PROJECT_FILE = "Pulumi.yaml"
#: Stand in for encrypted secrets, in a form that the checks of these kinds of endpoints take for right.
PLACEHOLDERS: Mapping[str, str] = {
    "google-gcr": '{"private_key": "", "client_email": ""}',
    "quay": '{"account_name": "", "docker_cli_password": ""}',
}


@dataclass(frozen=True)
class StackFile:
    """A stack's file with its rule files, or one of these alone.

    `configuration` is the whole stack's, None if it has faults; `lines` gives the line of each path in the file.
    """

    path: Path
    configuration: Configuration | None
    faults: tuple[Fault, ...]
    cautions: tuple[Caution, ...]
    lines: Mapping[str, int]
    gathered: Gathered = field(default_factory=Gathered)

    def line(self, path: str) -> int | None:
        """The line of a path, or of the nearest one above it."""
        return LocatedYaml(None, self.lines, ()).line(path)

    def parts(self) -> tuple[StackFile, ...]:
        """The stack's file and each rule file, with the faults and cautions that stand in each."""
        files = self.gathered.files
        parts = [self._part(None, self.path, self.lines)]
        parts += [self._part(file, Path(file), files[file].lines) for file in files]
        return tuple(parts)

    def _part(self, file: str | None, path: Path, lines: Mapping[str, int]) -> StackFile:
        def owner(fault: Fault) -> str | None:
            placed = fault.place.rpartition(":")[0] or fault.place
            return placed if placed in self.gathered.files else None

        return StackFile(
            path,
            self.configuration,
            tuple(fault for fault in self.faults if owner(fault) == file),
            tuple(one for one in self.cautions if self.gathered.owner(f"{one.section}.{one.name}") == file),
            lines,
        )


def stack_files(folder: Path, stack: str | None) -> list[Path]:
    """The file of a stack, or every stack's. Raises Failure if there is none."""
    if stack is not None:
        # Pulumi writes org/project/stack, and keeps the file under the last part.
        path = folder / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
        if not path.is_file():
            known = ", ".join(stack_of(found) for found in _files(folder)) or "none"
            raise Failure(f"there is no {path}; stacks with a file here: {known}")
        return [path]
    found = _files(folder)
    if not found:
        raise Failure(f"there is no Pulumi.<stack>.yaml in {folder.absolute()}; say --cwd")
    return found


def read(path: Path) -> StackFile:
    """Reads and checks one file and the rule files it names. Raises Failure if it is no YAML."""
    file = _settings(path)
    faults = [*file.faults, *_plain_secrets(file.content)]
    gathered = rule_files.gather(_without_secrets(file.content), path.parent)
    faults += gathered.faults
    try:
        configuration = parse(gathered.raw)
    except ConfigurationError as error:
        return StackFile(path, None, (*faults, *map(gathered.located, error.faults)), (), file.lines, gathered)
    usable = None if faults else configuration
    return StackFile(path, usable, tuple(faults), tuple(check(configuration)[1]), file.lines, gathered)


def rule_names(path: Path) -> list[str]:
    """The rules of one file and the rule files it names, unchecked. Raises Failure if it is no YAML."""
    rules = rule_files.gather(_settings(path).content, path.parent).raw.get(rule_files.RULES)
    return list(rules) if isinstance(rules, Mapping) else []


def _settings(path: Path) -> LocatedYaml:
    """Our own settings of a file, with paths as the configuration has them. Raises Failure."""
    prefix = f"{_project(path.parent)}:"
    try:
        file = located_yaml.read(path)
    except Unreadable as error:
        raise Failure(f"{path}: {error}") from None
    settings = (file.content or {}).get("config") or {} if isinstance(file.content, Mapping | type(None)) else None
    if not isinstance(settings, Mapping):
        raise Failure(f"{path}: config must be a map of settings")
    return LocatedYaml(
        {key.removeprefix(prefix): value for key, value in settings.items() if str(key).startswith(prefix)},
        {where.removeprefix(f"config.{prefix}"): line for where, line in file.lines.items()},
        tuple(replace(fault, path=fault.path.removeprefix(f"config.{prefix}")) for fault in file.faults),
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("Pulumi.*.yaml"))


def stack_of(path: Path) -> str:
    """The stack that a file belongs to."""
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _project(folder: Path) -> str:
    try:
        name = yaml.safe_load((folder / PROJECT_FILE).read_text())["name"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        return "harbor-mirror"
    return str(name)


def _is_secure(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    hidden: dict[str, Any] = {name: _hide(value) for name, value in settings.items()}
    endpoints = hidden.get("endpoints")
    for endpoint in endpoints.values() if isinstance(endpoints, dict) else ():
        if isinstance(endpoint, dict) and endpoint.get("secret") == HIDDEN:
            endpoint["secret"] = PLACEHOLDERS.get(str(endpoint.get("type")), HIDDEN)
    return hidden


def _hide(value: Any) -> Any:
    if _is_secure(value):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _hide(inner) for key, inner in value.items()}
    return [_hide(inner) for inner in value] if isinstance(value, list) else value


def _plain_secrets(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Only the file shows it: the engine hands out secrets and plain values alike."""
    found: list[tuple[str, Any]] = [("harborPassword", settings.get("harborPassword"))]
    host, endpoints = settings.get("host"), settings.get("endpoints")
    if isinstance(host, Mapping):
        found.append(("host.certificateKey", host.get("certificateKey")))
    for name, endpoint in endpoints.items() if isinstance(endpoints, Mapping) else ():
        if isinstance(endpoint, Mapping):
            found.append((f"endpoints.{name}.secret", endpoint.get("secret")))
    for path, value in found:
        if isinstance(value, str):
            example = f"pulumi config set --path --secret '{path}'"
            yield Fault(path, None, "is a secret in plain text in this file; change it at its source, too", example)
