"""`Pulumi.<stack>.yaml` read without the engine: no network, no secrets needed, every line number known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.model.checks import check
from harbor_mirror.model.config import Configuration
from harbor_mirror.model.faults import Caution, ConfigurationError, Fault
from harbor_mirror.model.parse import HIDDEN, parse
from mirrorctl.failure import Failure

PROJECT_FILE = "Pulumi.yaml"
#: Stand in for encrypted secrets, in a form that the checks of these kinds of endpoints take for right.
PLACEHOLDERS: Mapping[str, str] = {
    "google-gcr": '{"private_key": "", "client_email": ""}',
    "quay": '{"account_name": "", "docker_cli_password": ""}',
}


@dataclass(frozen=True)
class StackFile:
    """A stack's file: `configuration` is None if it has faults; `lines` gives the line of each path."""

    path: Path
    configuration: Configuration | None
    faults: tuple[Fault, ...]
    cautions: tuple[Caution, ...]
    lines: Mapping[str, int]

    def line(self, path: str) -> int | None:
        """The line of a path, or of the nearest one above it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


def stack_files(folder: Path, stack: str | None) -> list[Path]:
    """The file of a stack, or every stack's. Raises Failure if there is none."""
    if stack is not None:
        # Pulumi writes org/project/stack, and keeps the file under the last part.
        path = folder / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
        if not path.is_file():
            known = ", ".join(_stack(found) for found in _files(folder)) or "none"
            raise Failure(f"there is no {path}; stacks with a file here: {known}")
        return [path]
    found = _files(folder)
    if not found:
        raise Failure(f"there is no Pulumi.<stack>.yaml in {folder.absolute()}; say --cwd")
    return found


def read(path: Path) -> StackFile:
    """Reads and checks one file. Raises Failure if it is no YAML."""
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    prefix = f"{_project(path.parent)}:"
    content = _load(path, lines, faults)
    settings = (content or {}).get("config") or {}
    if not isinstance(settings, Mapping):
        raise Failure(f"{path}: config must be a map of settings")
    ours = {key.removeprefix(prefix): value for key, value in settings.items() if str(key).startswith(prefix)}
    lines = {where.removeprefix(f"config.{prefix}"): line for where, line in lines.items()}
    faults = [
        Fault(fault.path.removeprefix(f"config.{prefix}"), fault.value, fault.reason, fault.example) for fault in faults
    ]
    faults += _plain_secrets(ours)
    try:
        configuration = parse(_without_secrets(ours))
    except ConfigurationError as error:
        return StackFile(path, None, (*faults, *error.faults), (), lines)
    usable = None if faults else configuration
    return StackFile(path, usable, tuple(faults), tuple(check(configuration)[1]), lines)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("Pulumi.*.yaml"))


def _stack(path: Path) -> str:
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _project(folder: Path) -> str:
    try:
        name = yaml.safe_load((folder / PROJECT_FILE).read_text())["name"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        return "harbor-mirror"
    return str(name)


class _Loader(yaml.SafeLoader):
    """Reads scalars as Pulumi's YAML does: `yes`, `on`, dates and 12:30 are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, ""])


def _load(path: Path, lines: dict[str, int], faults: list[Fault]) -> Any:
    try:
        loader = _Loader(path.read_text())
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, "", lines, faults)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise Failure(f"{path}: {' '.join(str(error).split())}") from None


def _value(loader: _Loader, node: Any, path: str, lines: dict[str, int], faults: list[Fault]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            where = f"{path}.{key}" if path else key
            line = key_node.start_mark.line + 1
            if key in result:
                reason = f"stands here twice (lines {lines[where]} and {line}), and only the second counts"
                faults.append(Fault(where, None, reason, "one of the two"))
            lines[where] = line
            result[key] = _value(loader, value_node, where, lines, faults)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, f"{path}.{index}", lines, faults) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


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
