"""YAML as Pulumi reads it, with the line of every value: what faults in files point at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.model.faults import Fault


class Unreadable(ValueError):
    """The file can't be opened, or is no YAML."""


@dataclass(frozen=True)
class LocatedYaml:
    """A file's content; `lines` has the line of each path ("rules.nginx.tags"), `faults` the keys that stand twice."""

    content: Any
    lines: Mapping[str, int]
    faults: tuple[Fault, ...]

    def line(self, path: str) -> int | None:
        """The line of a path, or of the nearest one above it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


def read(path: Path) -> LocatedYaml:
    """Reads a file. Raises Unreadable."""
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    try:
        loader = _Loader(path.read_text())
        node = loader.get_single_node()
        content = None if node is None else _value(loader, node, "", lines, faults)
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from None
    except yaml.YAMLError as error:
        raise Unreadable(" ".join(str(error).split())) from None
    except RecursionError:
        raise Unreadable("an anchor contains itself") from None
    return LocatedYaml(content, lines, tuple(faults))


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
