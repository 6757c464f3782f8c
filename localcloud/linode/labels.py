"""The rules for labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from localcloud.linode.errors import Problems

_CHARACTERS = re.compile(r"[A-Za-z0-9._-]+")
_DOUBLED = re.compile(r"--|__|\.\.")


def check(problems: Problems, label: Any, lengths: range, taken: Iterable[str], among: str) -> None:
    """Record what is wrong with `label`; `among` names the kind of resource in which it must be unique."""
    if not problems.unless(isinstance(label, str), "Must be of type String", "label"):
        return
    shortest, longest = lengths.start, lengths.stop - 1
    problems.unless(len(label) in lengths, f"Length must be {shortest}-{longest} characters", "label")
    problems.unless(
        not label or _CHARACTERS.fullmatch(label),
        "Must only use ASCII letters, numbers, underscores, periods and dashes",
        "label",
    )
    problems.unless(not _DOUBLED.search(label), "Must not have two dashes, underscores or periods in a row", "label")
    problems.unless(label not in taken, f"Label must be unique among your {among}", "label")
