"""Why a command could not do its work: one message for a person, exit code 1."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: The contract of every command: as wanted; error or wrong use; the finding is bad.
AS_WANTED, ERROR, BAD_FINDING = 0, 1, 2


class Failure(Exception):
    """Something outside of the finding went wrong: connection, credentials, wrong use."""


def unknown(kind: str, name: str, known: Iterable[str]) -> Failure:
    """The failure of a name that does not exist, with the one that was probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there {'are ' + ', '.join(names) if names else 'is none'}"
    return Failure(f"no {kind} {name}; {hint}")
