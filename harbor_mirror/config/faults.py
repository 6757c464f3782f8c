"""Faults and cautions of a configuration, as users see them.

A fault names the path, the value, the reason and a correct example. All faults of a stack are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harbor_mirror.config.paths import join_path

#: Longer values are cut, so that a fault fits on one line.
SHOWN_CHARACTERS = 80
#: Shown in place of a secret.
HIDDEN = "[secret]"
#: The end of the first line of every private key in PEM: people paste one where a certificate belongs.
PRIVATE_KEY = "PRIVATE KEY-----"


@dataclass(frozen=True)
class Fault:
    """Something that must change before anything is created; `value` is never a secret.

    `place` is the file and line, if known ("mirrors/prod/web.yaml:12").
    """

    path: str
    value: object
    reason: str
    example: str
    place: str = ""

    def __post_init__(self) -> None:
        if PRIVATE_KEY in in_yaml(self.value):
            object.__setattr__(self, "value", HIDDEN)
        elif isinstance(self.value, str):
            object.__setattr__(self, "value", _without_credentials(self.value))

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        shown = "" if self.value is None else f" {_show_value(self.value)}"
        stop = "" if self.reason.endswith("?") else "."
        example = f" Example: {self.example}" if self.example else ""
        return _printable(f"{place}{_cut(self.path)}:{shown} {self.reason}{stop}{example}")


@dataclass(frozen=True)
class Caution:
    """Something that works but may not be what was meant: a warning in the preview.

    `section` and `name` are the entry of the configuration ("rules", "nginx"); a setting by itself has no name.
    """

    section: str
    name: str
    text: str

    @property
    def path(self) -> str:
        """Return the path of the entry."""
        return join_path(self.section, self.name) if self.name else self.section


class ConfigurationError(ValueError):
    """All faults of a stack; the text has a line for each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        noun = "fault" if len(self.faults) == 1 else "faults"
        lines = [f"{len(self.faults)} {noun} in the stack's configuration; nothing was changed:"]
        super().__init__("\n".join([*lines, *(f"  {fault}" for fault in self.faults)]))


def in_yaml(value: object) -> str:
    """Return a value on one line, as in a stack's file: `{keep: [{always: true}]}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {in_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_yaml, value)) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value) or "''"


def _without_credentials(text: str) -> str:
    """Return an address without user, password and query; nothing of a text with a private key."""
    if "PRIVATE KEY-----" in text:
        return HIDDEN
    text = re.sub(r"(//)[^/@\s]*@|^()[^/@\s]*:[^/@\s]*@(?!sha256:)", rf"\1\2{HIDDEN}@", text)
    return re.sub(r"^(https?://[^?\s]*)\?.*", rf"\1?{HIDDEN}", text, flags=re.DOTALL)


def _printable(text: str) -> str:
    """Return the text on one line, with line breaks and control characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _show_value(value: object) -> str:
    return _cut(repr(value) if isinstance(value, str) else in_yaml(value))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
