"""Errors that end a command with one message, and the exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Exit codes of every command: success; error or wrong usage; bad finding.
SUCCESS, ERROR, BAD_FINDING = 0, 1, 2


def exit_code(*, ok: bool) -> int:
    """Return the exit code for a report."""
    return SUCCESS if ok else BAD_FINDING


class Failure(Exception):
    """A command cannot do its work: no connection, wrong credentials, wrong usage."""


def unknown(kind: str, name: str, names: Iterable[str]) -> Failure:
    """Return the failure for a name that does not exist, with the most similar name or all names."""
    existing = sorted(names)
    similar = difflib.get_close_matches(name, existing, n=1)
    hint = f"did you mean {similar[0]}?" if similar else f"available: {', '.join(existing) or 'none'}"
    return Failure(f"unknown {kind} {name}; {hint}")
