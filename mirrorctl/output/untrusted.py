"""Makes text safe to print: Harbor, source registries and files can put anything into names, messages and logs."""

from __future__ import annotations

import re

#: Commands of CI systems that are recognised at the start of a line, also behind blanks: GitHub's `::`, GitLab's
#: `section_start:`.
_AT_LINE_START = re.compile(r"^(\s*)(::|section_(?:start|end):)")
#: Commands that are recognised anywhere in a line: GitHub's `##[`, Azure's `##vso[`, TeamCity's `##teamcity[`.
_ANYWHERE = re.compile(r"##(?=\w*\[)")


def printable(text: str) -> str:
    """Return `text` as one line of visible characters; all others appear as escapes such as `\\x1b`.

    Terminals execute control characters (ESC, the C1 range, CR); bidirectional overrides reorder what is shown; a line
    break would let a message forge a line of this program.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def safe_line(text: str) -> str:
    """Return `text` as one printable line that no CI system takes for a command."""
    return _ANYWHERE.sub(r"#\\#", _AT_LINE_START.sub(r"\1\\\2", printable(text)))


def safe_json(text: str) -> str:
    """Return a JSON document with every character that is not printable, and every CI command, escaped.

    The document's value stays the same: outside of its strings, JSON has only printable characters and line breaks.
    """
    escaped = "".join(
        character if character.isprintable() or character == "\n" else _json_escape(character) for character in text
    )
    return _ANYWHERE.sub(r"#\\u0023", escaped)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
