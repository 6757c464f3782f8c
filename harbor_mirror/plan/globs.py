"""Globs as Harbor matches them, and which names they can match.

Harbor hands patterns to doublestar 1.3.4: `*` and `?` stay within a path component, `**` as a whole component spans
them, `{a,b}` lists alternatives (which may hold slashes and braces), `[a-z]` and `[^a]` are classes. `matches` follows
that library to the letter, oddities included, and is held against the library's own answers.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Literal, NamedTuple

Kind = Literal["repository", "tag"]


class BadGlob(ValueError):
    """The library's syntax error: Harbor saves such a pattern and fails at run time."""


# --- Matching ------------------------------------------------------------------------------------------------------

_SLASH = re.compile(r"(?<!\\)/")
_CLASS_END = re.compile(r"(?<!\\)\]")


def matches(pattern: str, name: str) -> bool:
    """True if Harbor takes `name`, a repository or a tag, for `pattern`; the empty pattern takes everything.

    Raises BadGlob where the library reports a syntax error, which depends on how far this name leads into the pattern.
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
    # Behind "**/" the library takes a syntax error for "no match".
    try:
        return _matches_path(pattern, components)
    except BadGlob:
        return False


# Remembered, since each star tries every place: without it "*a*a*a*b" takes time without end.
@lru_cache(maxsize=2**16)
def _component(pattern: str, name: str) -> tuple[str, ...] | None:
    """The patterns left for the components after `name`: none if the pattern is used up, None if it doesn't match.

    An oddity: where one alternative ends here and another goes on, only the one that goes on is kept, so that
    "{nginx,nginx/extra}" doesn't take "nginx".
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
        tries = (_component(rest, name[skip:]) for skip in range(len(name)))
        return next((left for left in tries if left is not None), None)
    if first == "{":
        options, after = alternatives(rest)
        found = [left for option in options if (left := _component(option + after, name)) is not None]
        return tuple(one for left in found for one in left) if found else None
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
    """The pattern before its first slash, that slash, and what follows; a slash inside braces counts."""
    slash = _SLASH.search(pattern)
    return (pattern[: slash.start()], "/", pattern[slash.end() :]) if slash else (pattern, "", "")


def alternatives(text: str) -> tuple[list[str], str]:
    """What a brace list offers, `text` being what follows its opening brace, and what follows the closing one.

    Raises BadGlob if there is none.
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
    """What is inside a class, `text` being what follows its opening bracket, and what follows it. Raises BadGlob."""
    end = _CLASS_END.search(text)
    if end is None or end.start() == 0:
        raise BadGlob(text)
    return text[: end.start()], text[end.end() :]


def class_spans(inside: str) -> list[tuple[str, str]]:
    """The ranges of a character class, single characters included. Raises BadGlob."""
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


# --- Patterns that name what they match ------------------------------------------------------------------------------

#: Brace lists are multiplied out up to here; beyond, a pattern counts as a glob of unknown extent.
_MOST_FORMS = 10_000
#: How many patterns are remembered: those of a large stack, each of which several checks look at.
_MOST_PATTERNS = 2**14


@lru_cache(maxsize=_MOST_PATTERNS)
def specific(pattern: str) -> tuple[str, ...] | None:
    """The names that Harbor takes a pattern for without asking the source for its catalogue; None if it must ask.

    At most one brace list in each path component and no slash inside it. Sources that can't list (ghcr.io) need this.
    """
    columns = [_specific_component(component) for component in pattern.split("/")]
    known = [column for column in columns if column is not None]
    if not pattern or len(known) < len(columns):
        return None
    return tuple("/".join(names) for names in product(*known))


def _specific_component(component: str) -> tuple[str, ...] | None:
    if not component or re.search(r"[*?\[\]\\^]", component):
        return None
    if not re.search(r"[{},]", component):
        return (component,)
    braces = re.fullmatch(r"([^{]*)\{([^{]*)\}([^{}]*)", component)
    return tuple(braces[1] + name + braces[3] for name in braces[2].split(",")) if braces else None


@lru_cache(maxsize=_MOST_PATTERNS)
def exact(pattern: str) -> tuple[str, ...] | None:
    """Every name a pattern can match, in its order, if it names them one by one; None if it has a wildcard."""
    names = expand(pattern)
    if not pattern or any(re.search(r"[*?\[\\{]", name) for name in names):
        return None
    return tuple(name for name in dict.fromkeys(names) if _all_match((pattern,), name))


@lru_cache(maxsize=_MOST_PATTERNS)
def expand(pattern: str) -> tuple[str, ...]:
    """The pattern without brace lists, multiplied out; the pattern itself if that is malformed or too much."""
    try:
        return tuple(_expanded(pattern))
    except (BadGlob, OverflowError):
        return (pattern,)


def _expanded(pattern: str) -> list[str]:
    start = 0
    while start < len(pattern) and pattern[start] != "{":
        start += 2 if pattern[start] == "\\" else 1
    if start >= len(pattern):
        return [pattern]
    options, after = alternatives(pattern[start + 1 :])
    heads = [head for option in options for head in _expanded(option)]
    tails = _expanded(after)
    if len(heads) * len(tails) > _MOST_FORMS:
        raise OverflowError
    return [pattern[:start] + head + tail for head, tail in product(heads, tails)]


@lru_cache(maxsize=_MOST_PATTERNS)
def depths(pattern: str) -> tuple[int, int | None]:
    """The fewest and the most path components of a match; None for the most if `**` leaves it open."""
    fewest, most = [], []
    for form in expand(pattern):
        components = form.split("/")
        spanning = components.count("**")
        # In front of others "**" may stand for nothing; at the end it stands for one component at least.
        fewest.append(len(components) - spanning + (components[-1] == "**"))
        most.append(0 if spanning else fewest[-1])
    return min(fewest), max(most) if all(most) else None


# --- Finding names that patterns match -------------------------------------------------------------------------------

#: States looked at before a search gives up, and names on one path that only the walk takes for matches.
_MOST_STATES = 20_000
_MOST_MISSED = 3
_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
_ALPHABET: dict[Kind, str] = {"repository": _ALNUM + "._-/", "tag": _ALNUM + _ALNUM[:26].upper() + "._-"}
_GRAMMAR: dict[Kind, re.Pattern[str]] = {
    "repository": re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"),
    "tag": re.compile(r"\w[\w.-]{0,127}", re.ASCII),
}
_WILD = re.compile(r"[*?\[\]\\].*[*?\[\]\\]|[*?\[\]\\]")
#: The ends a name can have in the middle of its spelling: what may follow depends on these characters alone.
_ENDING = re.compile(r"(?:[._/]|__|-+)?$")


def is_name(name: str, kind: Kind = "repository") -> bool:
    """True if a registry can hold a repository, or a tag, of that name (OCI distribution specification)."""
    return bool(_GRAMMAR[kind].fullmatch(name))


def example(pattern: str, kind: Kind = "repository") -> str | None:
    """The shortest valid name that a pattern matches, or None if there is none."""
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
    """False if every valid name that `pattern` matches is matched by one of `without`, too."""
    return _shortest((pattern,), kind, tuple(without), at_limit="") is not None


def may_overlap(one: str, other: str, kind: Kind = "repository") -> str | None:
    """A name that both patterns match, or None if there is none."""
    for names, pattern in ((exact(one), other), (exact(other), one)):
        if names is not None:
            return next((name for name in names if is_name(name, kind) and _all_match((pattern,), name)), None)
    pairs = product(expand(one), expand(other))
    if not any(_could_meet(tuple(a.split("/")), tuple(b.split("/"))) for a, b in pairs):
        return None
    return _shortest((one, other), kind)


def _could_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """False if the components of two brace-free patterns rule a common name out; saves most searches."""
    for first, second in ((one, other), (other, one)):
        if first and first[0] == "**":
            return _could_meet(first[1:], second) or (bool(second) and _could_meet(first, second[1:]))
    if not one or not other:
        return not one and not other
    return _parts_could_meet(one[0], other[0]) and _could_meet(one[1:], other[1:])


def _parts_could_meet(one: str, other: str) -> bool:
    (head, tail), (head2, tail2) = _literal_ends(one), _literal_ends(other)
    heads = head.startswith(head2) or head2.startswith(head)
    return heads and (tail.endswith(tail2) or tail2.endswith(tail))


def _literal_ends(component: str) -> tuple[str, str]:
    parts = _WILD.split(component)
    return parts[0], parts[-1]


class _Step(NamedTuple):
    """One step through a pattern: a character of `chars`, or any number of them."""

    chars: frozenset[str]
    repeats: bool


@dataclass(frozen=True)
class _Walker:
    """The ways through one pattern; a state is a set of (way, position)."""

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
    """The shortest valid name that all patterns match, and none of `without`; `at_limit` if the search is too long.

    Walks all at once, breadth first; `matches` has the last word on what is found.
    """
    every = (*patterns, *without)
    walkers = [_walker(pattern, kind) for pattern in every]
    letters = _ALPHABET[kind]
    if not any("[" in pattern for pattern in every):
        # Characters that no pattern mentions are all alike.
        letters = "".join(char for char in letters if char in "a/" or any(char in pattern for pattern in every))
    start = tuple(walker.start() for walker in walkers)
    queue = deque([("", start, 0)])
    seen: set[tuple[str, object, int]] = {("start", start, 0)}
    while queue and len(seen) < _MOST_STATES:
        name, states, missed = queue.popleft()
        if is_name(name, kind) and all(map(_Walker.ends, walkers[: len(patterns)], states)):
            if _all_match(patterns, name) and not any(_all_match((pattern,), name) for pattern in without):
                return name
            # The library is odder than the walk ("a***" takes "ab" and not "a"): a longer name may do.
            missed = min(missed + 1, _MOST_MISSED)
        for char in letters:
            longer = name + char
            if not _can_grow(longer, kind):
                continue
            following = tuple(walker.after(state, char) for walker, state in zip(walkers, states, strict=True))
            # What may come next depends on the patterns' states and on the last separator, not on the whole name.
            ending = _ENDING.search(longer)
            mark = (ending[0][:2] if ending else "", following, missed)
            if all(following[: len(patterns)]) and mark not in seen:
                seen.add(mark)
                queue.append((longer, following, missed))
    return at_limit if queue else None


def _can_grow(name: str, kind: Kind) -> bool:
    """True if some valid name begins so."""
    return is_name(name + "a", kind) if kind == "repository" else is_name(name, kind)


def _all_match(patterns: Sequence[str], name: str) -> bool:
    try:
        return all(matches(pattern, name) for pattern in patterns)
    except BadGlob:
        return False
