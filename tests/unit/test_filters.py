"""Globs and filters, compared with the library that Harbor uses and with recorded executions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.destinations import Landing, collisions
from harbor_mirror.plan.filters import (
    MUTABLE_TAGS,
    TagFilter,
    check,
    depths,
    exact,
    example,
    join,
    matches,
    may_overlap,
    moving_tag,
    notes,
    specific,
    takes_everything,
)
from harbor_mirror.plan.globs import BadGlob, expand, is_name, takes_more
from harbor_mirror.plan.registry_types import check_rule
from tests.data.model import rows

#: What the source of the recorded executions held.
REPOSITORIES = ("library/nginx", "team/app/web", "team/app/api")
SOURCE_TAGS = ("1.0.0", "1.1.0", "2.0.0-rc1", "latest")


def answer(pattern: str, name: str) -> bool | None:
    """Return the library's result: True, False, or None for a syntax error."""
    try:
        return matches(pattern, name)
    except BadGlob:
        return None


def refused(pattern: str, kind: Any = "repository") -> Refused | None:
    try:
        check(pattern, kind)
    except Refused as found:
        return found
    return None


# --- The library ------------------------------------------------------------------------------------------------------


def test_matches_agrees_with_the_recorded_library() -> None:
    table = [row for row in rows("globs-library") if row["pattern"]]
    for row in table:
        assert answer(row["pattern"], row["name"]) == (None if "error" in row else row["match"]), row
    assert {answer(row["pattern"], row["name"]) for row in table} == {True, False, None}
    print(f"globs: all {len(table)} answers of doublestar 1.3.4 agree")


def test_checks_agree_with_the_recorded_library() -> None:
    for row in rows("globs-library"):
        found = refused(row["pattern"])
        if "error" in row:
            assert found is not None, row
        elif row["match"] and is_name(row["name"]) and found is not None:
            assert "can never match" not in found.reason, row


# --- Recorded executions ----------------------------------------------------------------------------------------------


def landed(filters: Iterable[dict[str, Any]]) -> list[tuple[str, int]] | None:
    """Return the predicted repositories and numbers of tags of a run, or None if it fails."""
    names = [entry["value"] for entry in filters if entry["type"] == "name"]
    tags = [
        TagFilter(entry["value"], entry.get("decoration") or "matches") for entry in filters if entry["type"] == "tag"
    ]
    if any(entry["type"] == "label" for entry in filters):
        return []
    asked = specific(names[0]) if names else None
    try:
        taken = [name for name in asked or REPOSITORIES if all(matches(pattern, name) for pattern in names)]
        if not set(taken) <= set(REPOSITORIES):
            return None
        kept = {name: [tag for tag in SOURCE_TAGS if all(entry.keeps(tag) for entry in tags)] for name in taken}
    except BadGlob:
        return None
    return sorted((name, len(tags)) for name, tags in kept.items() if tags)


def test_filters_agree_with_recorded_executions() -> None:
    table = rows("executions-filters")
    for row in table:
        expected = None if row["status"] == "Failed" else [(source, count) for source, _, count in row["landed"]]
        if row["id"] == "executions-113":
            # One copy of forty at once failed, for a reason of its own.
            expected = [(source, count) for source, _, count in row["landed"]]
        assert landed(row["filters"]) == expected, row
    print(f"recorded filters: all {len(table)} agree")


def test_patterns_of_failed_recorded_executions_are_rejected() -> None:
    for row in rows("executions-filters"):
        if row["status"] == "Failed" and row["id"] != "executions-113":
            found = [
                refused(entry["value"], "tag" if entry["type"] == "tag" else "repository") for entry in row["filters"]
            ]
            # `nginx` and `library/nosuch` are right in form: only the source knows that they are not there.
            assert any(found) or row["what"] in {"filter name 'nginx'", "filter name missing repo"}, row


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "words", "shown"),
    [
        ("", "empty", "**"),
        (" ", "has a space", "**"),
        ("team/app/{web, api}", "has a space", "team/app/{web,api}"),
        ("library/nginx ", "has a space", "library/nginx"),
        ("{a,b", "is not closed", "{a,b}"),
        ("a,b", "comma", "{a,b}"),
        ("[a-z", "character class", "library/[a-z]*"),
        ("lib[]x", "character class", "library/[a-z]*"),
        ("lib[-a]x", "character class", "library/[a-z]*"),
        ("lib[z-a]x", "empty character class", "library/{nginx,redis}"),
        ("lib[!a]x", "negates", "lib[^a]x"),
        ("a\\", "backslash", "a"),
        ("x}", "unmatched", "library/{nginx,redis}"),
        ("a]", "unmatched", "library/{nginx,redis}"),
        ("Library/NGINX", "lower case", "library/nginx"),
        ("/library/nginx", "empty path component", "library/nginx"),
        ("library/nginx/", "empty path component", "library/nginx"),
        ("library//nginx", "empty path component", "library/nginx"),
        ("{a,/b}", "empty path component", "library/{nginx,redis}"),
        ("library/nginx:1.0.0", "colon", "library/nginx"),
        ("library/nginx@sha256:0123", "digest", "library/nginx"),
        ("https://docker.io/library/nginx", "URL", "library/nginx"),
        ("library/nginx{,/extra}", "inside a path component", "{library/nginx,library/nginx/extra}"),
        ("{nginx,nginx/extra}", "does not match nginx", "nginx"),
        ("{a,b}" * 14, "too many names", "library/{nginx,redis}"),
        ("_nginx", "can never match", "library/{nginx,redis}"),
        ("library/ng!nx", "can never match", "library/{nginx,redis}"),
    ],
)
def test_a_bad_repository_glob_is_rejected_with_an_example(pattern: str, words: str, shown: str) -> None:
    found = refused(pattern)
    assert found is not None
    assert words in found.reason
    assert found.example == shown
    assert refused(shown) is None


@pytest.mark.parametrize(
    ("pattern", "words", "shown"),
    [
        ("1.0.0,latest", "comma", "{1.0.0,latest}"),
        ("1.*, latest", "has a space", "{1.*,latest}"),
        ("{1.0.0", "is not closed", "{1.0.0}"),
        ("[1-", "character class", "[0-9]*"),
        ("v1/2", "slash", "{1.*,latest}"),
        ("-x", "can never match", "{1.*,latest}"),
        ("a:b", "can never match", "{1.*,latest}"),
    ],
)
def test_a_bad_tag_glob_is_rejected_with_an_example(pattern: str, words: str, shown: str) -> None:
    found = refused(pattern, "tag")
    assert found is not None
    assert words in found.reason
    assert found.example == shown
    assert refused(shown, "tag") is None


@pytest.mark.parametrize(
    "pattern",
    [
        "library/nginx",
        "**",
        "*",
        "library/*",
        "**/web",
        "{library,team}/**",
        "{a,{b,c}}",
        "lib?ary/[a-z]*",
        "a/{b,c/d}",
    ],
)
def test_a_good_repository_glob_is_accepted(pattern: str) -> None:
    check(pattern)


@pytest.mark.parametrize("pattern", ["*", "**", "1.*", "{1.*,latest}", "v[0-9]*", "*-rc[^1]", "V1_X", "Stable"])
def test_a_good_tag_glob_is_accepted(pattern: str) -> None:
    check(pattern, "tag")


def test_excluding_every_tag_is_rejected() -> None:
    with pytest.raises(Refused, match="nothing would be copied"):
        TagFilter("**", "excludes").check()
    TagFilter("*-rc*", "excludes").check()


PIECES = st.sampled_from(
    ["a", "b", "lib", "*", "**", "?", "/", "{", "}", ",", "[a-b]", "[^a]", "[", "-", ".", " ", "A"]
)
PATTERNS = st.lists(PIECES, max_size=7).map("".join)
COMPONENTS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[^a]", "{a,b}", "{a*,b}"]), min_size=1, max_size=3).map(
        "".join
    ),
    st.sampled_from(["**", "{a/b,b}", "{a/**,*}"]),
)
GLOBS = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join).filter(lambda pattern: refused(pattern) is None)
NAMES = st.from_regex(r"\A[ab]{1,2}(/[ab]{1,2}){0,2}\Z")


@given(PATTERNS)
def test_the_example_of_a_rejected_pattern_is_accepted(pattern: str) -> None:
    found = refused(pattern)
    if found is not None:
        assert refused(found.example) is None


@given(PATTERNS, PATTERNS)
def test_bad_patterns_raise_no_other_errors(first: str, second: str) -> None:
    # All faults are reported together, so every check also gets values that other checks reject.
    for kind in ("repository", "tag"):
        with contextlib.suppress(Refused):
            join([first, second], kind)
        assert notes(first, kind) is not None
    assert all(matches(first, name) for name in exact(first) or ())
    assert depths(first)[0] >= 0
    assert takes_everything(first) in (True, False)
    assert moving_tag([TagFilter(first), TagFilter(second, "excludes")]) in (*MUTABLE_TAGS, None)
    assert may_overlap(first, second) is None or is_name(may_overlap(first, second) or "")
    for type_ in ("docker-hub", "github-ghcr", "quay"):
        found = check_rule(type_, url=None, anonymous=True, repositories=first, tags=[TagFilter(second, "excludes")])
        assert len(found.refused) + len(found.cautions) < 4
    valid = [pattern for pattern in (first, second) if refused(pattern) is None]
    collisions(Landing(pattern, "docker.io", pattern, "m", 1) for pattern in valid)


@given(GLOBS, NAMES)
def test_properties_of_accepted_patterns(pattern: str, name: str) -> None:
    taken = matches(pattern, name)
    shown = example(pattern)
    assert shown is not None
    assert matches(pattern, shown)
    names, asked = exact(pattern), specific(pattern)
    if names is not None:
        assert taken == (name in names)
    if asked is not None:
        assert taken <= (name in asked)
    if taken:
        fewest, most = depths(pattern)
        assert fewest <= name.count("/") + 1 <= (most or 99)
        assert len(shown) <= len(name)
        assert any(matches(form, name) for form in expand(pattern))
    if takes_everything(pattern):
        assert taken


@given(GLOBS, GLOBS, NAMES)
def test_an_overlap_is_a_name_that_both_patterns_match(first: str, second: str, name: str) -> None:
    shared = may_overlap(first, second)
    if shared is None:
        assert not (matches(first, name) and matches(second, name))
    else:
        assert is_name(shared)
        assert matches(first, shared)
        assert matches(second, shared)


@given(GLOBS, GLOBS, NAMES)
def test_takes_more_agrees_with_matches(first: str, second: str, name: str) -> None:
    if not takes_more(first, [second], "repository"):
        assert matches(second, name) or not matches(first, name)
    assert not takes_more(first, [first], "repository")
    assert not takes_more(first, [second, "**"], "repository")


@pytest.mark.parametrize(
    ("first", "others", "more"),
    [
        ("v1.*", ["v*"], False),
        ("v*", ["v1.*"], True),
        ("*", ["[a-m]*", "[^a-m]*"], False),
        ("{1.25,1.26}", ["1.2?"], False),
        ("{1.25,1.260}", ["1.2?"], True),
        ("?", ["??*"], True),
        ("1.*", ["*.*"], False),
    ],
)
def test_takes_more(first: str, others: list[str], more: bool) -> None:
    assert takes_more(first, others, "tag") == more


def test_many_stars_are_matched_quickly() -> None:
    assert not matches("*a" * 12 + "b", "a" * 200)


# --- What a pattern says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names", "asked"),
    [
        ("library/nginx", ("library/nginx",), ("library/nginx",)),
        ("team/{web,api}", ("team/web", "team/api"), ("team/web", "team/api")),
        ("{a,b}/{x,y}", ("a/x", "a/y", "b/x", "b/y"), ("a/x", "a/y", "b/x", "b/y")),
        ("web-{1,2}-x", ("web-1-x", "web-2-x"), ("web-1-x", "web-2-x")),
        ("{library/nginx,team/app/web}", ("library/nginx", "team/app/web"), None),
        ("{a,{b,c}}", ("a", "b", "c"), None),
        ("library/*", None, None),
        ("library/ngin?", None, None),
        ("library/[a-c]", None, None),
    ],
)
def test_exact_names(pattern: str, names: tuple[str, ...] | None, asked: tuple[str, ...] | None) -> None:
    assert exact(pattern) == names
    assert specific(pattern) == asked


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("library/*", "*/nginx", "library/nginx"),
        ("library/**", "team/**", None),
        ("**/web", "team/**", "team/web"),
        ("library/nginx", "library/*", "library/nginx"),
        ("{a,b}/*", "b/x*", "b/x"),
        ("library/*", "library/*/*", None),
        ("a[b-d]", "a[c-e]", "ac"),
    ],
)
def test_overlaps(first: str, second: str, shared: str | None) -> None:
    assert may_overlap(first, second) == shared
    assert may_overlap(second, first) == shared


@pytest.mark.parametrize(
    ("listed", "joined"),
    [
        (["library/nginx"], "library/nginx"),
        (["library/nginx", "library/redis"], "library/{nginx,redis}"),
        (["library/nginx", "library/nginx"], "library/nginx"),
        (["a/x", "a/y", "b/x", "b/y"], "{a,b}/{x,y}"),
        (["a/x", "b/y"], "{a/x,b/y}"),
        (["library/*", "team/**"], "{library/*,team/**}"),
        (["team/app", "team/app/web"], "{team/app,team/app/web}"),
    ],
)
def test_a_list_is_joined_to_one_pattern(listed: list[str], joined: str) -> None:
    assert join(listed) == joined
    for pattern in listed:
        assert matches(joined, example(pattern) or "")
    assert join(["1.*", "latest"], "tag") == "{1.*,latest}"


def test_a_list_with_an_ignored_entry_is_rejected() -> None:
    with pytest.raises(Refused, match="does not match nginx"):
        join(["nginx", "nginx/extra"])


def test_moving_tags_are_recognised() -> None:
    assert moving_tag([]) == "latest"
    assert moving_tag([TagFilter("{1.0,stable}")]) == "stable"
    assert moving_tag([TagFilter("{1.0,stable}"), TagFilter("sta*", "excludes")]) is None
    assert moving_tag([TagFilter("1.*")]) is None
    assert moving_tag([TagFilter("[1-")]) is None
    assert moving_tag([TagFilter("{latest,*rc*}", "excludes")]) == "stable"
    assert moving_tag([TagFilter("v*")]) is None


def test_predicates() -> None:
    assert takes_everything("**")
    assert takes_everything("{**,library/*}")
    assert not takes_everything("*/**")
    assert notes("lib**/x") == ("in lib**/x, ** is only a part of a path component, where it works like *",)
    assert "only repositories without a slash" in notes("*")[0]
    assert notes("library/**") == ()
