"""Harbor's patterns: a translation of doublestar 1.3.4 (MIT License, Copyright 2014 Bob Matcuk).

`*` and `?` match within a path component, `**` matches across components, `{a,b}` and `[a-z]` are alternatives.
"""

from __future__ import annotations

import re
from itertools import product


class BadPattern(ValueError):
    """A malformed pattern, with Harbor's message."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name; the empty pattern matches everything.

    Raise BadPattern if the comparison reaches a syntax error.
    """
    return not pattern or _match(pattern, name.split("/"))


def specific(pattern: str) -> list[str] | None:
    """Return the names that Harbor reads from a pattern without a catalogue request; None if it needs one.

    Braces count only within a path component, and blanks in them belong to the names.
    """
    if not pattern:
        return None
    choices = []
    for component in pattern.split("/"):
        braces = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", component)
        options = [f"{braces[1]}{part}{braces[3]}" for part in braces[2].split(",")] if braces else [component]
        if any(re.search(r"[*?\[\]{}\\^]", option) for option in options):
            return None
        choices.append(options)
    return ["/".join(parts) for parts in product(*choices)]


def _match(pattern: str, components: list[str]) -> bool:
    if not pattern and components == [""]:
        return True
    slash = _find(pattern, "/")
    if (pattern if slash < 0 else pattern[:slash]) == "**":
        return slash < 0 or any(_match_or_error(pattern[slash + 1 :], components[i:]) for i in range(len(components)))
    rests = _match_component(pattern, components[0])
    if rests is None:
        return False
    if len(components) == 1:
        return not rests
    return any(_match(rest, components[1:]) for rest in rests)


def _match_or_error(pattern: str, components: list[str]) -> bool:
    """Return False for a syntax error: doublestar ignores one after `**/`."""
    try:
        return _match(pattern, components)
    except BadPattern:
        return False


def _match_component(pattern: str, name: str) -> list[str] | None:
    """Return None if the pattern does not match `name`, else what may follow after its next slash; [] for nothing."""
    at = 0  # in the pattern
    while at < len(pattern) and name:
        character = pattern[at]
        if character == "/":
            at += 1
            break
        if character == "*":
            if at + 1 == len(pattern):
                return []
            if pattern[at + 1] == "/":
                return [pattern[at + 2 :]]
            found = (_match_component(pattern[at + 1 :], name[i:]) for i in range(len(name)))
            return next((rests for rests in found if rests is not None), None)
        if character == "{":
            options, end = _alternatives(pattern, at + 1)
            each = [_match_component(option + pattern[end:], name) for option in options]
            fitting = [rests for rests in each if rests is not None]
            return [rest for rests in fitting for rest in rests] if fitting else None
        if character == "[":
            end = _find(pattern, "]", at + 1)
            if end < 0:
                raise BadPattern
            if not _in_class(pattern[at + 1 : end], name[0]):
                return None
            at = end
        elif character == "\\":
            at += 1
            if at == len(pattern):
                raise BadPattern
            if pattern[at] != name[0]:
                return None
        elif character not in ("?", name[0]):
            return None
        at, name = at + 1, name[1:]
    if name:
        return None
    if at >= len(pattern):
        return []
    rest = pattern[at:]
    slash = _find(rest, "/")
    if not _matches_nothing(rest if slash < 0 else rest[:slash]):
        return None
    return [] if slash < 0 else [rest[slash + 1 :]]


def _in_class(inside: str, character: str) -> bool:
    negated = inside.startswith("^")
    runes = iter(inside[1:] if negated else inside)
    ends: list[list[str]] = []
    after_dash = False
    for rune in runes:
        if rune == "-":
            if after_dash or not ends or len(ends[-1]) == 2:
                raise BadPattern
            after_dash = True
            continue
        if rune == "\\" and (rune := next(runes, "")) == "":
            raise BadPattern
        if after_dash:
            ends[-1].append(rune)
        else:
            ends.append([rune])
        after_dash = False
    if after_dash or not inside:
        raise BadPattern
    return any(end[0] <= character <= end[-1] for end in ends) != negated


def _matches_nothing(pattern: str) -> bool:
    """Return whether the pattern matches an empty text, as doublestar decides it."""
    if pattern in ("", "*", "**"):
        return True
    if pattern[0] != "{":
        return False
    options, end = _alternatives(pattern, 1)
    return _matches_nothing(pattern[end:]) and any(_matches_nothing(option) for option in options)


def _alternatives(pattern: str, start: int) -> tuple[list[str], int]:
    """Return the alternatives of a brace that was opened before `start`, and the index after its end."""
    options, depth, at = [], 1, start
    while at < len(pattern):
        character = pattern[at]
        at += 2 if character == "\\" else 1
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 or (character == "," and depth == 1):
            options.append(pattern[start : at - 1])
            start = at
        if depth == 0:
            return options, at
    raise BadPattern


def _find(text: str, character: str, start: int = 0) -> int:
    """Return the index of a character without a backslash before it, or -1."""
    found = text.find(character, start)
    while found > start and text[found - 1] == "\\":
        start = found + 1
        found = text.find(character, start)
    return found
