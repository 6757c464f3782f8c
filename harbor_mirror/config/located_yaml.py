"""Reads YAML as Pulumi does, and keeps the line of every value for messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.paths import join_path, split_path
from harbor_mirror.config.yaml_scalars import plain

#: Nested aliases can make a small file expand without end.
MAX_VALUES = 100_000
MERGE = "tag:yaml.org,2002:merge"


class Unreadable(ValueError):
    """The file can't be read, or is not valid YAML."""


@dataclass(frozen=True)
class LocatedYaml:
    """A file's content; `lines` has the line of each path ("rules.nginx.tags"), `faults` the duplicate keys."""

    content: Any
    lines: Mapping[str, int]
    faults: tuple[Fault, ...]

    def line(self, path: str) -> int | None:
        """Return the line of a path, or of its nearest ancestor."""
        parts = split_path(path)
        candidates = (join_path(*parts[:length]) for length in range(len(parts), -1, -1))
        return next((self.lines[path] for path in candidates if path in self.lines), None)


def read(path: Path) -> LocatedYaml:
    """Read a file. Raise Unreadable."""
    lines: dict[str, int] = {}
    faults: list[Fault] = []
    try:
        loader, node = _compose(path.read_text(encoding="utf-8"))
        content = None if node is None else _value(loader, node, (), lines, faults)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None
    except OSError as error:
        raise Unreadable(f"can't be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"is not valid YAML ({error.problem or error.context}{where})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(f"is not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise Unreadable("is nested too deeply, or has an anchor that contains itself") from None
    return LocatedYaml(content, lines, tuple(faults))


_Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """A loader that hands scalars without quotes and tag to `plain`."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML declares it


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same with libyaml, if PyYAML has it, which is faster."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML declares it


for _kind in (_Loader, _FastLoader):
    _kind.add_implicit_resolver(MERGE, re.compile("^<<$"), ["<"])
    _kind.add_implicit_resolver("!plain", re.compile(""), [None])
    _kind.add_constructor("!plain", lambda _, node: plain(node.value))
    # The engine ignores unknown tags, too, and takes the text.
    _kind.add_constructor(None, lambda _, node: node.value)


def _compose(text: str) -> tuple[_Loader | _FastLoader, Any]:
    """Return a loader and the document's node. Errors are those of PyYAML's own parser, whose messages are clearer."""
    try:
        fast = _FastLoader(text)
        return fast, fast.get_single_node()
    except (yaml.YAMLError, ValueError):
        loader = _Loader(text)
        return loader, loader.get_single_node()


def _value(loader: _Loader | _FastLoader, node: Any, path: _Path, lines: dict[str, int], faults: list[Fault]) -> Any:
    lines.setdefault(join_path(*path), node.start_mark.line + 1)
    if len(lines) > MAX_VALUES:
        raise Unreadable(f"has more than {MAX_VALUES:,} values")
    if isinstance(node, yaml.MappingNode):
        faults += _duplicates(loader, node, path)
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(loader, key_node)
            lines[join_path(*path, key)] = key_node.start_mark.line + 1
            result[key] = _value(loader, value_node, (*path, key), lines, faults)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, index), lines, faults) for index, item in enumerate(node.value)]
    return _scalar(loader, node)


def _duplicates(loader: _Loader | _FastLoader, node: yaml.MappingNode, path: _Path) -> list[Fault]:
    """Return a fault for each duplicate key, which the engine rejects; merged keys (`<<`) may be overridden."""
    lines: dict[str, int] = {}
    faults = []
    for key_node, _ in node.value:
        if key_node.tag != MERGE:
            key, line = _key(loader, key_node), key_node.start_mark.line + 1
            if key in lines:
                reason = f"is a duplicate key (lines {lines[key]} and {line}); keep one of the two"
                faults.append(Fault(join_path(*path, key), None, reason, ""))
            lines.setdefault(key, line)
    return list({fault.path: fault for fault in reversed(faults)}.values())


def _key(loader: _Loader | _FastLoader, node: Any) -> str:
    key = _scalar(loader, node) if isinstance(node, yaml.ScalarNode) else node.value
    if key is None:
        return "<nil>"
    return str(key).lower() if isinstance(key, bool) else str(key)


def _scalar(loader: _Loader | _FastLoader, node: yaml.ScalarNode) -> Any:
    value = loader.construct_object(node, deep=True)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    # Only a tag, `!!timestamp`, gives a date here.
    return plain(str(value)) if isinstance(value, date) else value
