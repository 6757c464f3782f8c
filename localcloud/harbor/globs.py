"""Harbor's patterns (doublestar 1.3.4): `*` and `?` within a component, `**` across, `{a,b}`, `[a-z]`."""

from __future__ import annotations

import re
from functools import cache
from itertools import product


class BadPattern(ValueError):
    """A malformed pattern, with Harbor's message."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


def matches(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name; the empty pattern matches everything. Raise BadPattern."""
    return not pattern or any(_regex(form).fullmatch(name) for form in expand(pattern))


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


@cache
def expand(pattern: str) -> tuple[str, ...]:
    """Return the pattern's alternatives, without braces. Raise BadPattern."""
    start = pattern.find("{")
    if start < 0:
        return (pattern,)
    depth, parts, begin = 0, [], start + 1
    for index in range(start, len(pattern)):
        character = pattern[index]
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        if (character == "," and depth == 1) or depth == 0:
            parts.append(pattern[begin:index])
            begin = index + 1
        if depth == 0:
            rest = pattern[index + 1 :]
            return tuple(form for part in parts for form in expand(pattern[:start] + part + rest))
    raise BadPattern


@cache
def _regex(form: str) -> re.Pattern[str]:
    components = form.split("/")
    text = ""
    for index, component in enumerate(components):
        last = index == len(components) - 1
        if component == "**":
            text += ".*" if last else "(?:.*/)?"
        else:
            text += _component(component) + ("" if last else "/")
    # `a/**` also matches `a`.
    if len(components) > 1 and components[-1] == "**":
        text = text.removesuffix("/.*") + "(?:/.*)?" if text.endswith("/.*") else text
    return re.compile(text, re.DOTALL)


def _component(text: str) -> str:
    result, index = "", 0
    while index < len(text):
        character = text[index]
        if character == "*":
            result += "[^/]*"
        elif character == "?":
            result += "[^/]"
        elif character == "\\":
            index += 1
            if index == len(text):
                raise BadPattern
            result += re.escape(text[index])
        elif character == "[":
            end = text.find("]", index + 1)
            if end < 0 or end == index + 1:
                raise BadPattern
            inside = text[index + 1 : end].replace("\\", "\\\\")
            result += f"[{'^' + inside[1:] if inside[0] in '^!' else inside}]"
            index = end
        else:
            result += re.escape(character)
        index += 1
    return result
