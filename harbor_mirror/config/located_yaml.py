"""YAML as Pulumi reads it, with the line of every value: what faults in files point at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.yaml_scalars import plain

#: Aliases in aliases make a small file a huge one.
MOST_VALUES = 100_000
MERGE = "tag:yaml.org,2002:merge"


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
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        content = None if node is None else _value(loader, node, "", lines, faults)
    except UnicodeDecodeError:
        raise Unreadable("is no text in UTF-8") from None
    except OSError as error:
        raise Unreadable(f"can't be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"is no YAML ({error.problem or error.context}{where})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(f"is no YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise Unreadable("nests too deep, or has an anchor that contains itself") from None
    return LocatedYaml(content, lines, tuple(faults))


class _Loader(yaml.SafeLoader):
    """Leaves scalars without quotes and tag to `plain`."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


_Loader.add_implicit_resolver(MERGE, re.compile("^<<$"), ["<"])
_Loader.add_implicit_resolver("!plain", re.compile(""), [None])
_Loader.add_constructor("!plain", lambda _, node: plain(node.value))
# The engine doesn't know such tags either, and takes the text.
_Loader.add_constructor(None, lambda _, node: node.value)


def _value(loader: _Loader, node: Any, path: str, lines: dict[str, int], faults: list[Fault]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MOST_VALUES:
        raise Unreadable(f"has more than {MOST_VALUES} values")
    if isinstance(node, yaml.MappingNode):
        faults += _doubles(loader, node, path)
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(loader, key_node)
            where = f"{path}.{key}" if path else key
            lines[where] = key_node.start_mark.line + 1
            result[key] = _value(loader, value_node, where, lines, faults)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, f"{path}.{index}", lines, faults) for index, item in enumerate(node.value)]
    return _scalar(loader, node)


def _doubles(loader: _Loader, node: yaml.MappingNode, path: str) -> list[Fault]:
    """Keys that a map has twice, which the engine refuses; what a merge brings may be overridden."""
    lines: dict[str, int] = {}
    found = []
    for key_node, _ in node.value:
        if key_node.tag != MERGE:
            key, line = _key(loader, key_node), key_node.start_mark.line + 1
            if key in lines:
                reason = f"stands here twice (lines {lines[key]} and {line})"
                found.append(Fault(f"{path}.{key}" if path else key, None, reason, "one of the two"))
            lines.setdefault(key, line)
    return list({fault.path: fault for fault in reversed(found)}.values())


def _key(loader: _Loader, node: Any) -> str:
    key = _scalar(loader, node) if isinstance(node, yaml.ScalarNode) else node.value
    if key is None:
        return "<nil>"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> Any:
    value = loader.construct_object(node, deep=True)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    # By a tag only: `!!timestamp`.
    return plain(str(value)) if isinstance(value, date) else value
