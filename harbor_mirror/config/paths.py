"""Paths into the configuration, as `pulumi config set --path` takes them: `endpoints["gcr.io"].secret`, `keep[0]`."""

from __future__ import annotations

import json
import re
import shlex

_PLAIN = re.compile(r'[^.\[\]"]+')
_PART = re.compile(r'\.?(?P<key>[^.\[\]"]+)|\[(?P<index>[0-9]+)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]', re.DOTALL)


def join_path(*parts: str | int) -> str:
    """Return the path of nested keys (str) and list indexes (int)."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part, ensure_ascii=False)}]"
    return path


def split_path(path: str) -> tuple[str | int, ...]:
    """Return the parts of a path."""
    return tuple(
        match["key"] or (int(match["index"]) if match["index"] else json.loads(match["quoted"], strict=False))
        for match in _PART.finditer(path)
    )


def set_command(path: str, *options: str) -> str:
    """Return the shell command that sets a value: `pulumi config set --path --secret 'endpoints["gcr.io"].secret'`."""
    return " ".join(["pulumi config set --path", *options, shlex.quote(path)])
