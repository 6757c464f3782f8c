"""Checks and joins the filters of a rule: which repositories and tags it copies.

Harbor checks patterns at run time only (measured on 2.15.2: it saves "{a,b", and the run fails), reads an empty pattern
as everything, and reports success for a run that matched nothing.
"""

from __future__ import annotations

import json
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
    is_name,
    matches,
    may_overlap,
    specific,
    takes_more,
)

__all__ = [
    "MUTABLE_TAGS",
    "TagFilter",
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
#: The longest repository name in Harbor, and in every registry that is based on distribution.
REPOSITORY_LENGTH = 255
#: Harbor's column for the filters of a rule, as compact JSON (measured on 2.15.2: 1,024 characters accepted, 1,025
#: answered 500).
STORED_LENGTH = 1024
_DIGEST = "has a digest; Harbor copies tags only: name the tag in tags, and pin the digest where it is deployed"
_VERSION_RANGE = re.compile(r"\s*(\^|~>?|[<>]=?|=)\s*v?[0-9](?!.*\$$)")
#: Tags that usually move: with `override: false` the first copy stays forever, and the run still says Succeed.
MUTABLE_TAGS = (
    *("latest", "stable", "edge", "main", "master", "nightly", "dev", "develop", "snapshot", "current", "next"),
    *("lts", "beta", "canary", "rolling", "testing", "unstable"),
)


def check(pattern: str, kind: Kind = "repository") -> None:
    """Raise Refused for a glob that fails at run time, or that no name can match."""
    if not pattern:
        raise Refused(pattern, "is empty, which Harbor reads as everything; write ** if you mean that", "**")
    if kind == "tag" and "sha256:" in pattern:
        raise Refused(pattern, _DIGEST, _EXAMPLES[kind])
    if kind == "tag" and _VERSION_RANGE.match(pattern):
        raise Refused(pattern, "is a version range, and tags are globs; use semver", f"{{semver: '{pattern}'}}")
    if re.search(r"\s", pattern):
        raise Refused(pattern, f"has a space, which no {kind} name has", _clean(re.sub(r"\s+", "", pattern), kind))
    if kind == "repository":
        _check_path(pattern)
    elif "/" in pattern:
        raise Refused(pattern, "has a slash, which no tag has; put it into repositories", _EXAMPLES[kind])
    if "," in pattern and not re.search(r"[{}]", pattern):
        reason = "has a comma outside braces, which Harbor matches literally"
        raise Refused(pattern, reason, _clean(f"{{{pattern}}}", kind))
    _check_syntax(pattern, pattern, kind, component_start=True)
    if re.search(r"(?<!\\)\{", expand(pattern)[0]):
        raise Refused(pattern, "has brace lists that expand to too many names", _EXAMPLES[kind])
    _check_no_alternative_ignored(pattern, kind)
    shortest = example(pattern, kind)
    if shortest is None:
        raise _impossible(pattern, kind)
    if kind == "repository":
        _check_every_name(pattern)
    if kind == "repository" and len(shortest) > REPOSITORY_LENGTH:
        reason = f"can never match: a repository name has at most {REPOSITORY_LENGTH} characters"
        raise Refused(pattern, reason, _EXAMPLES[kind])


def _check_every_name(pattern: str) -> None:
    """Check a pattern that Harbor takes name by name: it asks the source for each, and one that can't exist fails."""
    names = specific(pattern) or ()
    wrong = next((name for name in names if not is_name(name)), None)
    if wrong is not None:
        reason = f"names {wrong!r}, which can't be a repository: Harbor asks for each name, and the run fails"
        raise Refused(pattern, reason, join(filter(is_name, names)))


def _impossible(pattern: str, kind: Kind) -> Refused:
    lower, hint, shown = pattern.lower(), "", _EXAMPLES[kind]
    if re.search(r"[$^()|+]|\\\.|\.\*$", pattern):
        hint = "; Harbor matches globs, not regular expressions"
        if kind == "tag":
            hint, shown = "; tags are globs, and a regular expression goes to regex", f"{{regex: '{pattern}'}}"
    elif kind == "repository" and lower != pattern:
        hint, shown = "; repository names are lower case", _clean(lower, kind)
    return Refused(pattern, f"can never match: no {kind} can have such a name{hint}", shown)


def takes_everything(pattern: str) -> bool:
    """Return whether a repository pattern matches everything: on a public registry, all its images."""
    return pattern == "" or any(set(form.split("/")) == {"**"} for form in expand(pattern))


def moving_tag(tags: Iterable[TagFilter]) -> str | None:
    """Return a tag that usually moves (latest, stable ...) and that all of these filters keep, or None."""
    filters = tuple(tags)
    try:
        return next((tag for tag in MUTABLE_TAGS if all(tag_filter.keeps(tag) for tag_filter in filters)), None)
    except BadGlob:
        return None


def check_together(tags: Sequence[TagFilter]) -> None:
    """Raise Refused if the filters together leave no tag: Harbor joins them by AND."""
    excluded = [tag.pattern for tag in tags if tag.decoration == "excludes"]
    matching = [tag.pattern for tag in tags if tag.decoration == "matches"]
    for pattern in matching if excluded else ():
        if not takes_more(pattern, excluded, "tag"):
            reason = f"is excluded completely by {' and '.join(excluded)}, so nothing would be copied"
            raise Refused(pattern, reason, "{matches: 1.*, excludes: '*-rc*'}")
    if not matching and excluded and not takes_more("*", excluded, "tag"):
        raise Refused(" and ".join(excluded), "excludes every tag, so nothing would be copied", "*-rc*")


def check_stored_length(
    repositories: str, tags: Sequence[TagFilter], labels: Sequence[str] = (), resource: str | None = None
) -> None:
    """Raise Refused, of `tags` or `repositories`, for filters that do not fit into Harbor's database."""
    length = stored_length(repositories, tags, labels, resource)
    if length <= STORED_LENGTH:
        return
    longest = max(tags, key=lambda tag: len(tag.pattern), default=None)
    is_tag = longest is not None and len(longest.pattern) >= len(repositories)
    example = (
        "a glob such as '1.2*', tags: {semver: ...}, or two rules" if is_tag else "a glob such as team/*, or two rules"
    )
    reason = (
        f"are too long: all filters of a rule may have {STORED_LENGTH} characters in Harbor, and these have {length}"
    )
    raise Refused(None, reason, example, field="tags" if is_tag else "repositories")


def stored_length(
    repositories: str, tags: Sequence[TagFilter], labels: Sequence[str] = (), resource: str | None = None
) -> int:
    """Return the number of characters that Harbor stores for the filters of a rule."""
    filters: list[dict[str, object]] = [{"type": "name", "value": repositories}]
    filters += [{"type": "tag", "value": tag.pattern, "decoration": tag.decoration} for tag in tags]
    if labels:
        filters.append({"type": "label", "value": list(labels), "decoration": "matches"})
    if resource is not None:
        filters.append({"type": "resource", "value": resource})
    text = json.dumps(filters, separators=(",", ":"), ensure_ascii=False)
    # Go's encoder writes these three as \u003c and so on.
    return len(text) + 5 * sum(map(text.count, "<>&"))


def notes(pattern: str, kind: Kind = "repository") -> tuple[str, ...]:
    """Return what works but may not be what was meant, one sentence each."""
    return tuple(_notes(pattern, kind))


def _notes(pattern: str, kind: Kind) -> Iterator[str]:
    if kind == "repository" and any(
        "**" in part and part != "**" for form in expand(pattern) for part in form.split("/")
    ):
        yield f"in {pattern}, ** is only a part of a path component, where it works like *"
    if kind == "repository" and pattern == "*":
        yield "* matches only repositories without a slash; ** matches all"


def join(patterns: Iterable[str], kind: Kind = "repository") -> str:
    """Return one pattern that matches what any of `patterns` matches: Harbor joins several filters of a kind by AND.

    The result needs no catalogue of the source where that is possible. Raise Refused if Harbor would ignore one of the
    patterns, as it does with "nginx" in "{nginx,nginx/extra}".
    """
    listed = list(dict.fromkeys(patterns))
    if len(listed) == 1:
        return listed[0]
    joined = (_factor(listed) if kind == "repository" else None) or f"{{{','.join(listed)}}}"
    _check_no_alternative_ignored(joined, kind)
    return joined


def _factor(names: Sequence[str]) -> str | None:
    """Return `library/{nginx,redis}` for names that are all combinations of their components, or None."""
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
    """One tag filter of Harbor: a pattern that tags must match, or must not match."""

    pattern: str
    decoration: Literal["matches", "excludes"] = "matches"

    def keeps(self, tag: str) -> bool:
        """Return whether Harbor copies this tag. Raise BadGlob where Harbor fails."""
        return matches(self.pattern, tag) == (self.decoration == "matches")

    def check(self) -> None:
        """Raise Refused for a pattern that fails at run time, matches no tag, or excludes all."""
        check(self.pattern, "tag")
        if self.decoration == "excludes" and re.fullmatch(r"\*+", self.pattern):
            raise Refused(self.pattern, "excludes every tag, so nothing would be copied", "*-rc*")


def _check_path(pattern: str) -> None:
    if re.match(r"https?:/", pattern):
        raise Refused(pattern, "is a URL; the endpoint has the address, the rule only the path", "library/nginx")
    name, colon, _ = pattern.partition(":")
    if colon:
        reason = "has a colon; put a tag into tags, and a port into the endpoint's url"
        if "@" in name:
            reason = _DIGEST
        raise Refused(pattern, reason, _clean(name.partition("@")[0], "repository"))
    empty = "has an empty path component"
    stripped = re.sub(r"/{2,}", "/", pattern).strip("/")
    if stripped != pattern:
        raise Refused(pattern, empty, _clean(stripped, "repository"))
    if any("" in form.split("/") for form in expand(pattern)):
        raise Refused(pattern, empty, _EXAMPLES["repository"])


def _check_syntax(text: str, pattern: str, kind: Kind, *, component_start: bool) -> None:
    """Check every alternative: the library reports an error only if a name leads it there."""
    while text:
        first, rest = text[0], text[1:]
        if first == "{":
            text, component_start = _check_braces(rest, pattern, kind, component_start=component_start), False
        elif first == "[":
            text, component_start = _check_class(rest, pattern, kind), False
        elif first in "}]":
            raise Refused(pattern, f"has an unmatched {first}, which Harbor matches literally", _EXAMPLES[kind])
        elif first == "," and text is not pattern:
            raise Refused(pattern, "has a comma outside braces, which Harbor matches literally", _EXAMPLES[kind])
        elif first == "\\":
            if not rest:
                raise Refused(pattern, "ends with a backslash, which Harbor can't parse", _clean(pattern[:-1], kind))
            text, component_start = rest[1:], False
        else:
            text, component_start = rest, first == "/"


def _check_braces(rest: str, pattern: str, kind: Kind, *, component_start: bool) -> str:
    try:
        options, after = alternatives(rest)
    except BadGlob:
        raise Refused(pattern, "has a brace that is not closed", _clean(pattern + "}", kind)) from None
    if not component_start and any("/" in option for option in options):
        # For a name that ends where the braces begin, the library looks for their end before the slash only.
        reason = "has a slash in braces that begin inside a path component, on which Harbor fails for some names"
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
        raise Refused(pattern, "has a character class that Harbor can't parse", shown) from None
    if inside.startswith("!"):
        reason = "negates a character class with !; Harbor uses ^"
        raise Refused(pattern, reason, _clean(pattern.replace("[!", "[^"), kind))
    if not spans or any(low > high for low, high in spans):
        raise Refused(pattern, "has an empty character class", _EXAMPLES[kind])
    return after


def _check_no_alternative_ignored(pattern: str, kind: Kind) -> None:
    """Raise Refused if an alternative is ignored: the library drops one that ends where another goes on."""
    if specific(pattern) is not None or "{" not in pattern:
        return
    for form in expand(pattern):
        shown = example(form, kind)
        if shown is not None and not _matches(pattern, shown):
            reason = f"does not match {shown} in Harbor, although it lists {form}; write a rule for each"
            raise Refused(pattern, reason, form)


def _matches(pattern: str, name: str) -> bool:
    try:
        return matches(pattern, name)
    except BadGlob:
        # The check of the syntax reports this.
        return True


def _clean(pattern: str, kind: Kind) -> str:
    """Return the pattern as an example to recommend, repaired again if it needs that."""
    try:
        check(pattern, kind)
    except Refused as refused:
        return refused.example
    return pattern
