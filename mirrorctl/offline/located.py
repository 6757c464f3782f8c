"""YAML in which every scalar is text, as Go programs read it into text fields, with the line of every entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml


class Located(dict[str, Any]):
    """A mapping; `line` is where it begins, `lines` where each of its keys is."""

    line: int = 0
    lines: dict[str, int]


class LocatedList(list[Any]):
    """A list; `lines` has the line of each entry."""

    lines: list[int]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to have no numbers and booleans


_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("^<<$"), ["<"])


def load(text: str) -> Any:
    """Return the content of a YAML file: Located, LocatedList and str. Raise yaml.YAMLError."""
    loader = _Loader(text)
    node = loader.get_single_node()
    return None if node is None else _value(loader, node)


def load_all(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML file. Raise yaml.YAMLError."""
    loader = _Loader(text)
    while loader.check_node():
        node = loader.get_node()
        yield None if node is None else _value(loader, node)


def _value(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        located = Located()
        located.line = node.start_mark.line + 1
        located.lines = {}
        for key, value in node.value:
            located[str(key.value)] = _value(loader, value)
            located.lines[str(key.value)] = key.start_mark.line + 1
        return located
    if isinstance(node, yaml.SequenceNode):
        entries = LocatedList(_value(loader, entry) for entry in node.value)
        entries.lines = [entry.start_mark.line + 1 for entry in node.value]
        return entries
    return str(node.value)
