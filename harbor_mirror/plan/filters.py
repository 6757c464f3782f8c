"""Which repositories and tags a rule takes, checked before Harbor sees them.

Harbor checks no pattern before it runs (measured on 2.15.2: "{a,b" is saved, and fails at run time), takes an empty one
for everything, and calls a run that matched nothing a success.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.globs import (
    BadGlob,
    Kind,
    alternatives,
    character_class,
    class_spans,
    depths,
    exact,
    example,
    expand,
    matches,
    may_overlap,
    specific,
    takes_more,
)

__all__ = [
    "MUTABLE_TAGS",
    "TagFilter",
    "can_match_repository",
    "check",
    "depths",
    "exact",
    "example",
    "join",
    "matches",
    "may_overlap",
    "moving_tag",
    "notes",
    "specific",
    "takes_everything",
]

_EXAMPLES: dict[Kind, str] = {"repository": "library/{nginx,redis}", "tag": "{1.*,latest}"}
#: Harbor keeps no longer repository name, and neither does any registry of distribution's.
REPOSITORY_LENGTH = 255
#: Tags that move by custom: with `override: false` the first copy stays for good, and the run still says Succeed.
MUTABLE_TAGS = (
    *("latest", "stable", "edge", "main", "master", "nightly", "dev", "develop", "snapshot", "current", "next"),
    *("lts", "beta", "canary", "rolling", "testing", "unstable"),
)


def check(pattern: str, kind: Kind = "repository") -> None:
    """Raises Refused for a glob that fails at run time, or that no name can ever match."""
    if not pattern:
        raise Refused(pattern, "is empty, and Harbor takes that for everything; write ** if that is meant", "**")
    if re.search(r"\s", pattern):
        raise Refused(pattern, f"has a blank, and no {kind} has one", _clean(re.sub(r"\s+", "", pattern), kind))
    if kind == "repository":
        _check_path(pattern)
    elif "/" in pattern:
        raise Refused(pattern, "has a slash, and no tag has one; repositories have a key of their own", _EXAMPLES[kind])
    if "," in pattern and not re.search(r"[{}]", pattern):
        raise Refused(
            pattern, "has a comma outside braces, which Harbor takes literally", _clean(f"{{{pattern}}}", kind)
        )
    _check_syntax(pattern, pattern, kind, component_start=True)
    if re.search(r"(?<!\\)\{", expand(pattern)[0]):
        raise Refused(pattern, "multiplies its brace lists into more names than anybody means", _EXAMPLES[kind])
    _check_nothing_lost(pattern, kind)
    shortest = example(pattern, kind)
    if shortest is None:
        raise _impossible(pattern, kind)
    if kind == "repository" and len(shortest) > REPOSITORY_LENGTH:
        reason = f"can never match: no repository has a name of more than {REPOSITORY_LENGTH} characters"
        raise Refused(pattern, reason, _EXAMPLES[kind])


def _impossible(pattern: str, kind: Kind) -> Refused:
    lower, hint, shown = pattern.lower(), "", _EXAMPLES[kind]
    if re.search(r"[$^()|+]|\\\.|\.\*$", pattern):
        hint = "; it is a glob, not a regular expression"
    elif kind == "repository" and lower != pattern:
        hint, shown = "; their names are lower case", _clean(lower, kind)
    return Refused(pattern, f"can never match: no {kind} can have such a name{hint}", shown)


def can_match_repository(pattern: str) -> bool:
    """True if some valid repository name matches."""
    return example(pattern) is not None


def takes_everything(pattern: str) -> bool:
    """True for a repository pattern that leaves nothing out: on a public registry, a mirror of the whole of it."""
    return pattern == "" or any(set(form.split("/")) == {"**"} for form in expand(pattern))


def moving_tag(tags: Iterable[TagFilter]) -> str | None:
    """A tag that moves by custom (latest, stable ...) and that all of these filters keep, or None."""
    filters = tuple(tags)
    try:
        return next((tag for tag in MUTABLE_TAGS if all(one.keeps(tag) for one in filters)), None)
    except BadGlob:
        return None


def check_together(tags: Sequence[TagFilter]) -> None:
    """Raises Refused if of what one filter matches another excludes all: Harbor joins them by AND."""
    excluded = [one.pattern for one in tags if one.decoration == "excludes"]
    matching = [one.pattern for one in tags if one.decoration == "matches"]
    for pattern in matching if excluded else ():
        if not takes_more(pattern, excluded, "tag"):
            reason = f"is excluded whole by {' and '.join(excluded)}, so that nothing is ever copied"
            raise Refused(pattern, reason, "{matches: 1.*, excludes: '*-rc*'}")
    if not matching and excluded and not takes_more("*", excluded, "tag"):
        raise Refused(" and ".join(excluded), "excludes every tag, so that nothing is ever copied", "*-rc*")


def notes(pattern: str, kind: Kind = "repository") -> tuple[str, ...]:
    """What works and yet may not be what was meant, one sentence each."""
    return tuple(_notes(pattern, kind))


def _notes(pattern: str, kind: Kind) -> Iterator[str]:
    if kind == "repository" and any(
        "**" in part and part != "**" for form in expand(pattern) for part in form.split("/")
    ):
        yield f"in {pattern} the ** stands within a path component, where it means no more than *"
    if kind == "repository" and pattern == "*":
        yield "* takes repositories without a slash only; ** takes all"


def join(patterns: Iterable[str], kind: Kind = "repository") -> str:
    """One pattern that matches what any of `patterns` does, since Harbor joins several filters of one kind by AND.

    Written so that Harbor needs no catalogue wherever that is possible. Raises Refused if Harbor would lose one of
    them, as it does with "nginx" in "{nginx,nginx/extra}".
    """
    listed = list(dict.fromkeys(patterns))
    if len(listed) == 1:
        return listed[0]
    joined = (_factored(listed) if kind == "repository" else None) or f"{{{','.join(listed)}}}"
    _check_nothing_lost(joined, kind)
    return joined


def _factored(names: Sequence[str]) -> str | None:
    """`library/{nginx,redis}` for names that are every combination of their components, or None."""
    if any(re.search(r"[{},\\\[]", name) for name in names):
        return None
    rows = [name.split("/") for name in names]
    if len({len(row) for row in rows}) != 1:
        return None
    columns = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
    combinations = 1
    for column in columns:
        combinations *= len(column)
    if combinations != len(names) or any("**" in column and len(column) > 1 for column in columns):
        return None
    return "/".join(column[0] if len(column) == 1 else f"{{{','.join(column)}}}" for column in columns)


@dataclass(frozen=True)
class TagFilter:
    """One tag filter as Harbor keeps it: a pattern that tags must match, or must not."""

    pattern: str
    decoration: Literal["matches", "excludes"] = "matches"

    def keeps(self, tag: str) -> bool:
        """True if Harbor copies this tag. Raises BadGlob where Harbor fails."""
        return matches(self.pattern, tag) == (self.decoration == "matches")

    def check(self) -> None:
        """Raises Refused for a pattern that fails at run time, matches no tag, or leaves none."""
        check(self.pattern, "tag")
        if self.decoration == "excludes" and re.fullmatch(r"\*+", self.pattern):
            raise Refused(self.pattern, "excludes every tag, so that nothing is ever copied", "*-rc*")

    @property
    def mutable_tag(self) -> str | None:
        """A tag that moves by custom and that this filter keeps, or None."""
        return moving_tag([self])


def _check_path(pattern: str) -> None:
    if re.match(r"https?:/", pattern):
        raise Refused(pattern, "is a URL; the endpoint has the address, a rule has the path", "library/nginx")
    name, colon, _ = pattern.partition(":")
    if colon:
        name = name.partition("@")[0]
        raise Refused(
            pattern, "has a colon; a tag goes to tags, a port to the endpoint's url", _clean(name, "repository")
        )
    empty = "has an empty path component, and no repository has one"
    stripped = re.sub(r"/{2,}", "/", pattern).strip("/")
    if stripped != pattern:
        raise Refused(pattern, empty, _clean(stripped, "repository"))
    if any("" in form.split("/") for form in expand(pattern)):
        raise Refused(pattern, empty, _EXAMPLES["repository"])


def _check_syntax(text: str, pattern: str, kind: Kind, *, component_start: bool) -> None:
    """Looks into every alternative, since the library meets an error only where a name leads it there."""
    while text:
        first, rest = text[0], text[1:]
        if first == "{":
            text, component_start = _check_braces(rest, pattern, kind, component_start=component_start), False
        elif first == "[":
            text, component_start = _check_class(rest, pattern, kind), False
        elif first in "}]":
            raise Refused(pattern, f"has a {first} that closes nothing, and Harbor takes it literally", _EXAMPLES[kind])
        elif first == "," and text is not pattern:
            raise Refused(pattern, "has a comma outside braces, which Harbor takes literally", _EXAMPLES[kind])
        elif first == "\\":
            if not rest:
                raise Refused(pattern, "ends in a backslash, which Harbor can't read", _clean(pattern[:-1], kind))
            text, component_start = rest[1:], False
        else:
            text, component_start = rest, first == "/"


def _check_braces(rest: str, pattern: str, kind: Kind, *, component_start: bool) -> str:
    try:
        options, after = alternatives(rest)
    except BadGlob:
        raise Refused(pattern, "has a brace that is never closed", _clean(pattern + "}", kind)) from None
    if not component_start and any("/" in option for option in options):
        # At a name that ends where the braces begin, the library looks for their end before the slash only.
        reason = "has a slash inside braces that begin within a path component, and Harbor fails on some names there"
        raise Refused(pattern, reason, _clean(f"{{{','.join(expand(pattern))}}}", kind))
    for option in options:
        _check_syntax(option, pattern, kind, component_start=component_start)
    return after


def _check_class(rest: str, pattern: str, kind: Kind) -> str:
    try:
        inside, after = character_class(rest)
        spans = class_spans(inside)
    except BadGlob:
        shown = {"repository": "library/[a-z]*", "tag": "[0-9]*"}[kind]
        raise Refused(pattern, "has a character class that Harbor can't read", shown) from None
    if inside.startswith("!"):
        raise Refused(
            pattern, "negates a class with !, and Harbor does with ^", _clean(pattern.replace("[!", "[^"), kind)
        )
    if not spans or any(low > high for low, high in spans):
        raise Refused(pattern, "has a character class that holds nothing", _EXAMPLES[kind])
    return after


def _check_nothing_lost(pattern: str, kind: Kind) -> None:
    """Of alternatives that end in one place and go on in another, the library keeps only those that go on."""
    if specific(pattern) is not None or "{" not in pattern:
        return
    for form in expand(pattern):
        shown = example(form, kind)
        if shown is not None and not _taken(pattern, shown):
            raise Refused(pattern, f"doesn't take {shown} in Harbor's reading, though {form} is listed; split it", form)


def _taken(pattern: str, name: str) -> bool:
    try:
        return matches(pattern, name)
    except BadGlob:
        # A fault of its own, which the check of the syntax names.
        return True


def _clean(pattern: str, kind: Kind) -> str:
    """The pattern as an example to recommend, repaired once more where it needs that."""
    try:
        check(pattern, kind)
    except Refused as refused:
        return refused.example
    return pattern
