"""Matches globs as Harbor does, and finds names that globs match.

Harbor uses doublestar 1.3.4: `*` and `?` match within a path component, `**` as a whole component matches any number
of them, `{a,b}` lists alternatives (which may have slashes and braces), `[a-z]` and `[^a]` are character classes.
`matches` follows that library exactly, with its oddities; the tests compare it with recorded results of the library.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, product
from typing import Literal, NamedTuple

Kind = Literal["repository", "tag"]


class BadGlob(ValueError):
    """A syntax error of the library: Harbor saves such a pattern, and the run fails."""


# --- Matching ------------------------------------------------------------------------------------------------------

_SLASH = re.compile(r"(?<!\\)/")
_CLASS_END = re.compile(r"(?<!\\)\]")


def matches(pattern: str, name: str) -> bool:
    """Return whether `pattern` matches `name`, a repository or a tag, in Harbor; the empty pattern matches everything.

    Raise BadGlob if the library reports a syntax error, which depends on how much of the pattern this name reaches.
    """
    return not pattern or _matches_path(pattern, name.split("/"))


def _matches_path(pattern: str, components: Sequence[str]) -> bool:
    if not pattern:
        return list(components) == [""]
    head, slash, rest = _cut(pattern)
    if head == "**":
        return not slash or any(_tolerant(rest, components[skip:]) for skip in range(len(components)))
    rests = _component(pattern, components[0])
    if rests is None:
        return False
    if not rests and len(components) == 1:
        return True
    return len(components) > 1 and any(_matches_path(rest, components[1:]) for rest in rests)


def _tolerant(pattern: str, components: Sequence[str]) -> bool:
    # After "**/" the library treats a syntax error as "no match".
    try:
        return _matches_path(pattern, components)
    except BadGlob:
        return False


# Memoised: patterns such as "*a*a*a*b" otherwise take exponential time.
@lru_cache(maxsize=2**16)
def _component(pattern: str, name: str) -> tuple[str, ...] | None:
    """Return the patterns for the components after `name`: empty at the end of the pattern, None without a match.

    An oddity: if one alternative ends here and another goes on, only the latter is kept, so "{nginx,nginx/extra}" does
    not match "nginx".
    """
    if not name:
        head, slash, rest = _cut(pattern)
        return ((rest,) if slash else ()) if _can_be_empty(head) else None
    if not pattern or pattern[0] == "/":
        return None
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        if not rest:
            return ()
        if rest[0] == "/":
            return (rest[1:],)
        remainders = (_component(rest, name[skip:]) for skip in range(len(name)))
        return next((remainder for remainder in remainders if remainder is not None), None)
    if first == "{":
        options, after = alternatives(rest)
        each = [_component(option + after, name) for option in options]
        matching = [remainder for remainder in each if remainder is not None]
        return tuple(chain.from_iterable(matching)) if matching else None
    if first == "[":
        inside, after = character_class(rest)
        negated = inside.startswith("^")
        listed = any(low <= name[0] <= high for low, high in class_spans(inside))
        return _component(after, name[1:]) if listed != negated else None
    if first == "\\":
        if not rest:
            raise BadGlob(pattern)
        return _component(rest[1:], name[1:]) if rest[0] == name[0] else None
    return _component(rest, name[1:]) if first in ("?", name[0]) else None


def _can_be_empty(pattern: str) -> bool:
    if pattern in ("", "*", "**"):
        return True
    if pattern[0] != "{":
        return False
    options, after = alternatives(pattern[1:])
    return _can_be_empty(after) and any(_can_be_empty(option) for option in options)


def _cut(pattern: str) -> tuple[str, str, str]:
    """Return the pattern before its first slash (also in braces), the slash, and the rest."""
    slash = _SLASH.search(pattern)
    return (pattern[: slash.start()], "/", pattern[slash.end() :]) if slash else (pattern, "", "")


def alternatives(text: str) -> tuple[list[str], str]:
    """Return the alternatives of a brace list and the text after it; `text` begins after the opening brace.

    Raise BadGlob without a closing brace.
    """
    options: list[str] = []
    start, depth, escaped = 0, 1, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return [*options, text[start:index]], text[index + 1 :]
        elif char == "," and depth == 1:
            options.append(text[start:index])
            start = index + 1
    raise BadGlob(text)


def character_class(text: str) -> tuple[str, str]:
    """Return the inside of a class and the text after it; `text` begins after the opening bracket. Raise BadGlob."""
    end = _CLASS_END.search(text)
    if end is None or end.start() == 0:
        raise BadGlob(text)
    return text[: end.start()], text[end.end() :]


def class_spans(inside: str) -> list[tuple[str, str]]:
    """Return the ranges of a character class, with single characters as ranges. Raise BadGlob."""
    spans, rest = [], inside.removeprefix("^")
    while rest:
        low, rest = _class_char(rest)
        high = low
        if rest.startswith("-"):
            high, rest = _class_char(rest[1:])
        spans.append((low, high))
    return spans


def _class_char(text: str) -> tuple[str, str]:
    if not text or text[0] == "-" or text == "\\":
        raise BadGlob(text)
    return (text[1], text[2:]) if text[0] == "\\" else (text[0], text[1:])


# --- Patterns with exact names ------------------------------------------------------------------------------

#: Brace lists with more combinations are not expanded.
_MAX_FORMS = 10_000
#: How many patterns are remembered: those of a large stack, each of which several checks look at.
_MAX_PATTERNS = 2**14


@lru_cache(maxsize=_MAX_PATTERNS)
def specific(pattern: str) -> tuple[str, ...] | None:
    """Return the names for which Harbor needs no catalogue of the source; None if it needs one.

    These patterns have at most one brace list per path component, without slashes. Sources without a catalogue
    (ghcr.io) need them.
    """
    columns = [_specific_component(component) for component in pattern.split("/")]
    exact_columns = [column for column in columns if column is not None]
    if not pattern or len(exact_columns) < len(columns):
        return None
    return tuple("/".join(names) for names in product(*exact_columns))


def _specific_component(component: str) -> tuple[str, ...] | None:
    if not component or re.search(r"[*?\[\]\\^]", component):
        return None
    if not re.search(r"[{},]", component):
        return (component,)
    braces = re.fullmatch(r"([^{]*)\{([^{]*)\}([^{}]*)", component)
    return tuple(braces[1] + name + braces[3] for name in braces[2].split(",")) if braces else None


@lru_cache(maxsize=_MAX_PATTERNS)
def exact(pattern: str) -> tuple[str, ...] | None:
    """Return every name that a pattern without wildcards matches, in its order; None if it has a wildcard."""
    names = expand(pattern)
    if not pattern or any(re.search(r"[*?\[\\{]", name) for name in names):
        return None
    return tuple(name for name in dict.fromkeys(names) if _all_match((pattern,), name))


@lru_cache(maxsize=_MAX_PATTERNS)
def expand(pattern: str) -> tuple[str, ...]:
    """Return the patterns without braces that a pattern expands to; itself if it is malformed or they are too many."""
    try:
        return tuple(_expand(pattern))
    except (BadGlob, OverflowError):
        return (pattern,)


def _expand(pattern: str) -> list[str]:
    start = 0
    while start < len(pattern) and pattern[start] != "{":
        start += 2 if pattern[start] == "\\" else 1
    if start >= len(pattern):
        return [pattern]
    options, after = alternatives(pattern[start + 1 :])
    heads = [head for option in options for head in _expand(option)]
    tails = _expand(after)
    if len(heads) * len(tails) > _MAX_FORMS:
        raise OverflowError
    return [pattern[:start] + head + tail for head, tail in product(heads, tails)]


@lru_cache(maxsize=_MAX_PATTERNS)
def depths(pattern: str) -> tuple[int, int | None]:
    """Return the fewest and the most path components of a match; None for the most if `**` allows any number."""
    fewest, most = [], []
    for form in expand(pattern):
        components = form.split("/")
        spanning = components.count("**")
        # Before other components "**" may match nothing; at the end it matches at least one component.
        fewest.append(len(components) - spanning + (components[-1] == "**"))
        most.append(0 if spanning else fewest[-1])
    return min(fewest), max(most) if all(most) else None


# --- Finding names that patterns match -------------------------------------------------------------------------------

#: Limits of a search: visited states, and names on a path that the automaton matches but the library does not.
_MAX_STATES = 20_000
_MAX_MISSES = 3
_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
_ALPHABET: dict[Kind, str] = {"repository": _ALNUM + "._-/", "tag": _ALNUM + _ALNUM[:26].upper() + "._-"}
_GRAMMAR: dict[Kind, re.Pattern[str]] = {
    "repository": re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"),
    "tag": re.compile(r"\w[\w.-]{0,127}", re.ASCII),
}
_WILD = re.compile(r"[*?\[\]\\].*[*?\[\]\\]|[*?\[\]\\]")
#: Separators at the end of an unfinished name: which characters may follow depends on them alone.
_ENDING = re.compile(r"(?:[._/]|__|-+)?$")


def is_name(name: str, kind: Kind = "repository") -> bool:
    """Return whether this is a valid name of a repository or a tag (OCI distribution specification)."""
    return bool(_GRAMMAR[kind].fullmatch(name))


def example(pattern: str, kind: Kind = "repository") -> str | None:
    """Return the shortest valid name that a pattern matches, or None."""
    names = specific(pattern)
    if names is not None:
        return min((name for name in names if is_name(name, kind)), key=len, default=None)
    return _short_guess(pattern, kind) or _shortest((pattern,), kind)


def _short_guess(pattern: str, kind: Kind) -> str | None:
    """The shortest name that a pattern with one star and no other wildcard matches, if the star stands for "" or "a".

    The search for all other patterns takes a thousand times as long.
    """
    if re.search(r"[?\[\\{]|\*\*/", pattern) or len(re.findall(r"\*+", pattern)) != 1:
        return None
    names = (re.sub(r"\*+", filler, pattern) for filler in ("", "a"))
    return next((name for name in names if is_name(name, kind) and _all_match((pattern,), name)), None)


def takes_more(pattern: str, without: Sequence[str], kind: Kind) -> bool:
    """Return whether `pattern` matches a valid name that no pattern of `without` matches."""
    return _shortest((pattern,), kind, tuple(without), at_limit="") is not None


def may_overlap(first: str, second: str, kind: Kind = "repository") -> str | None:
    """Return a name that both patterns match, or None."""
    for names, pattern in ((exact(first), second), (exact(second), first)):
        if names is not None:
            return next((name for name in names if is_name(name, kind) and _all_match((pattern,), name)), None)
    pairs = product(expand(first), expand(second))
    if not any(_could_meet(tuple(a.split("/")), tuple(b.split("/"))) for a, b in pairs):
        return None
    return _shortest((first, second), kind)


def _could_meet(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Return False if two patterns without braces can't match a common name; this avoids most searches."""
    for first, second in ((left, right), (right, left)):
        if first and first[0] == "**":
            return _could_meet(first[1:], second) or (bool(second) and _could_meet(first, second[1:]))
    if not left or not right:
        return not left and not right
    return _parts_could_meet(left[0], right[0]) and _could_meet(left[1:], right[1:])


def _parts_could_meet(left: str, right: str) -> bool:
    (head, tail), (head2, tail2) = _literal_ends(left), _literal_ends(right)
    heads = head.startswith(head2) or head2.startswith(head)
    return heads and (tail.endswith(tail2) or tail2.endswith(tail))


def _literal_ends(component: str) -> tuple[str, str]:
    parts = _WILD.split(component)
    return parts[0], parts[-1]


class _Step(NamedTuple):
    """A step through a pattern: one character of `chars`, or any number of them."""

    chars: frozenset[str]
    repeats: bool


@dataclass(frozen=True)
class _Walker:
    """An automaton for one pattern: its ways through; a state is a set of (way, position)."""

    ways: tuple[tuple[_Step, ...], ...]

    def start(self) -> frozenset[tuple[int, int]]:
        return self._closed((way, 0) for way in range(len(self.ways)))

    def after(self, state: frozenset[tuple[int, int]], char: str) -> frozenset[tuple[int, int]]:
        return self._closed(
            (way, at if self.ways[way][at].repeats else at + 1)
            for way, at in state
            if at < len(self.ways[way]) and char in self.ways[way][at].chars
        )

    def ends(self, state: frozenset[tuple[int, int]]) -> bool:
        return any(at == len(self.ways[way]) for way, at in state)

    def _closed(self, positions: Iterator[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        closed = set()
        for way, at in positions:
            closed.add((way, at))
            while at < len(self.ways[way]) and self.ways[way][at].repeats:
                at += 1
                closed.add((way, at))
        return frozenset(closed)


@cache
def _walker(pattern: str, kind: Kind) -> _Walker:
    return _Walker(tuple(way for form in expand(pattern) for way in _ways(form, kind)))


def _ways(form: str, kind: Kind) -> list[tuple[_Step, ...]]:
    anything = frozenset(_ALPHABET[kind])
    within = anything - {"/"}
    components = form.split("/")
    ways: list[tuple[_Step, ...]] = [()]
    for index, component in enumerate(components):
        last = index == len(components) - 1
        slash = () if last else (_Step(frozenset("/"), repeats=False),)
        if component == "**":
            spanning = (_Step(anything, repeats=False), _Step(anything, repeats=True), *slash)
            ways = [way + spanning for way in ways] + ([] if last else ways)
        else:
            ways = [(*way, *_steps(component, within), *slash) for way in ways]
    return ways


def _steps(component: str, within: frozenset[str]) -> Iterator[_Step]:
    rest = component
    while rest:
        first, rest = rest[0], rest[1:]
        if first == "*":
            yield _Step(within, repeats=True)
            continue
        if first == "[":
            try:
                inside, rest = character_class(rest)
                listed = {char for char in within for low, high in class_spans(inside) if low <= char <= high}
            except BadGlob:
                yield _Step(frozenset(), repeats=False)
                return
            chars = within - listed if inside.startswith("^") else listed
            yield _Step(frozenset(chars), repeats=False)
            continue
        if first == "\\":
            first, rest = rest[:1], rest[1:]
        yield _Step(within if first == "?" else frozenset(first), repeats=False)


@cache
def _shortest(
    patterns: tuple[str, ...], kind: Kind, without: tuple[str, ...] = (), *, at_limit: str | None = None
) -> str | None:
    """Return the shortest valid name that all patterns match and none of `without`; `at_limit` if the search stops.

    Breadth-first search in all automata at the same time; `matches` confirms the result.
    """
    every = (*patterns, *without)
    walkers = [_walker(pattern, kind) for pattern in every]
    letters = _ALPHABET[kind]
    if not any("[" in pattern for pattern in every):
        # Characters that are in no pattern are equivalent.
        letters = "".join(char for char in letters if char in "a/" or any(char in pattern for pattern in every))
    start = tuple(walker.start() for walker in walkers)
    queue = deque([("", start, 0)])
    seen: set[tuple[str, object, int]] = {("start", start, 0)}
    while queue and len(seen) < _MAX_STATES:
        name, states, missed = queue.popleft()
        if is_name(name, kind) and all(map(_Walker.ends, walkers[: len(patterns)], states)):
            if _all_match(patterns, name) and not any(_all_match((pattern,), name) for pattern in without):
                return name
            # The library differs from the automaton ("a***" matches "ab", not "a"): a longer name may match.
            missed = min(missed + 1, _MAX_MISSES)
        for char in letters:
            longer = name + char
            if not _can_grow(longer, kind):
                continue
            following = tuple(walker.after(state, char) for walker, state in zip(walkers, states, strict=True))
            # What may follow depends on the states and on the last separator, not on the whole name.
            ending = _ENDING.search(longer)
            mark = (ending[0][:2] if ending else "", following, missed)
            if all(following[: len(patterns)]) and mark not in seen:
                seen.add(mark)
                queue.append((longer, following, missed))
    return at_limit if queue else None


def _can_grow(name: str, kind: Kind) -> bool:
    """Return whether a valid name can start with this text."""
    return is_name(name + "a", kind) if kind == "repository" else is_name(name, kind)


def _all_match(patterns: Sequence[str], name: str) -> bool:
    try:
        return all(matches(pattern, name) for pattern in patterns)
    except BadGlob:
        return False
