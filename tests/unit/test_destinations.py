"""Destinations, compared with recorded executions, and collisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.destinations import (
    Landing,
    cautions,
    check,
    collisions,
    destination,
    images,
    longest_repository,
)
from harbor_mirror.plan.globs import matches
from tests.data.model import rows


def landing(repository: str, namespace: str, flatten: int) -> str | None:
    try:
        return destination(repository, namespace, flatten)
    except Refused:
        return None


def test_destinations_agree_with_recorded_executions() -> None:
    table = rows("executions-landing") + rows("executions-filters")
    counted = 0
    for row in table:
        for source, place, _ in row["landed"]:
            assert landing(source, row["namespace"], row["count"]) == place, row
            counted += 1
        if "contains only" in row["text"]:
            (name,) = (entry["value"] for entry in row["filters"] if entry["type"] == "name")
            assert landing(name, row["namespace"], row["count"]) is None, row
            with pytest.raises(Refused):
                check(name, row["namespace"], row["count"])
            counted += 1
    print(f"recorded landings: all {counted} agree, of {len(table)} executions")
    assert counted == 57


def test_namespaces_agree_with_recorded_requests() -> None:
    table = rows("namespaces")
    for row in table:
        try:
            check("library/nginx", row["namespace"], 0)
        except Refused:
            # Harbor saves a namespace that leaves no space for a repository, and each run fails.
            assert row["status"] in (400, 500) or len(row["namespace"]) > longest_repository("mirror"), row
        else:
            assert row["status"] == 201, row
    print(f"recorded namespaces: all {len(table)} agree")


@pytest.mark.parametrize(
    ("repository", "namespace", "flatten", "place"),
    [
        ("library/alpine", "mirror", 0, "mirror/library/alpine"),
        ("library/alpine", "mirror", 1, "mirror/alpine"),
        ("library/alpine", "mirror", -1, "mirror/alpine"),
        ("library/alpine", "mirror", 2, None),
        ("team/app/web", "mirror/hub", 1, "mirror/hub/app/web"),
        ("team/app/web", "mirror", 2, "mirror/web"),
        ("team/app/web", "mirror", 3, None),
        ("web", "mirror", 0, "mirror/web"),
        ("web", "mirror", 1, None),
        ("team/app/web", "", 1, "team/app/web"),
        ("team/app/web", "mirror", -128, "mirror/web"),
    ],
)
def test_destinations(repository: str, namespace: str, flatten: int, place: str | None) -> None:
    assert landing(repository, namespace, flatten) == place


@pytest.mark.parametrize(
    ("repositories", "namespace", "flatten", "words", "shown"),
    [
        ("library/alpine", "mirror", 2, "has 1 leading component, but flatten is 2", "flatten: 1"),
        ("nginx", "mirror", 1, "has no leading components", "flatten: 0"),
        ("library/*", "mirror", 2, "has 1 leading component", "flatten: 1"),
        ("{team/app/web,library/*}", "mirror", 2, "has 1 leading component", "flatten: 1"),
        ("library/alpine", "", 1, "needs a project", "0"),
        ("library/alpine", "Mirror", 0, "not a path of lower case", "mirror/hub"),
        ("library/alpine", "a" * 257, 0, "longer than 256", "mirror/hub"),
    ],
)
def test_a_mapping_that_fails_every_run_is_rejected(
    repositories: str, namespace: str, flatten: int, words: str, shown: str
) -> None:
    with pytest.raises(Refused) as refused:
        check(repositories, namespace, flatten)
    assert words in refused.value.reason
    assert refused.value.example == shown


def test_a_glob_that_may_match_a_short_path_gets_a_caution() -> None:
    (caution,) = cautions("team/**", "mirror", 2)
    assert "fewer than 2 leading components" in caution
    check("team/**", "mirror", 2)
    assert cautions("team/**", "mirror", 1) == ()
    assert cautions("team/app/web", "mirror", 2) == ()


def test_images_are_listed_for_exact_names_only() -> None:
    rules = [
        Landing("web", "docker.io", "library/{nginx,redis}", "mirror"),
        Landing("all", "quay.io", "acme/*", "acme"),
    ]
    assert images(rules, "harbor.example.com") == {
        "docker.io/library/nginx": "harbor.example.com/mirror/library/nginx",
        "docker.io/library/redis": "harbor.example.com/mirror/library/redis",
    }


HUB, QUAY = "docker.io", "quay.io"


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ([Landing("a", HUB, "{team/app/web,other/web}", "m", -1)], "m/web"),
        ([Landing("a", HUB, "{library,bitnami}/nginx", "m", 1)], "m/nginx"),
        ([Landing("a", HUB, "library/nginx", "m"), Landing("b", QUAY, "library/nginx", "m")], "m/library/nginx"),
        ([Landing("a", HUB, "library/nginx", "m", 1), Landing("b", QUAY, "nginx", "m")], "m/nginx"),
        ([Landing("a", HUB, "hub/x", "m"), Landing("b", HUB, "x", "m/hub")], "m/hub/x"),
    ],
)
def test_two_sources_with_one_destination_collide(rules: list[Landing], place: str) -> None:
    found = collisions(rules)
    (collision,) = found.certain
    assert collision.destination == place
    assert collision.rules == tuple(rule.rule for rule in rules)
    assert len(collision.sources) == 2
    assert f"are copied to {place}, where" in collision.reason
    assert found.possible == ()


@pytest.mark.parametrize(
    "rules",
    [
        [Landing("a", HUB, "library/nginx", "m"), Landing("b", HUB, "library/nginx", "m")],
        [Landing("a", HUB, "library/nginx", "m"), Landing("b", HUB, "library/*", "m")],
        [Landing("a", HUB, "library/*", "m"), Landing("b", HUB, "**", "m")],
        [Landing("a", HUB, "library/*", "m", 1), Landing("b", HUB, "library/n*", "m", 1)],
        [Landing("a", HUB, "library/*", "m", -1)],
        [Landing("a", HUB, "library/*", "m"), Landing("b", QUAY, "library/*", "other")],
        [Landing("a", HUB, "library/*", "m"), Landing("b", QUAY, "team/*", "m")],
        [Landing("a", HUB, "library/nginx", "m"), Landing("b", QUAY, "library/redis", "m")],
        [Landing("a", HUB, "library/nginx", "m", 5), Landing("b", QUAY, "nginx", "m", 5)],
    ],
)
def test_the_same_source_or_other_destinations_do_not_collide(rules: list[Landing]) -> None:
    found = collisions(rules)
    assert (found.certain, found.possible) == ((), ())


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ([Landing("a", HUB, "**/web", "m", -1)], "m/web"),
        ([Landing("a", HUB, "*/web", "m", 1)], "m/web"),
        ([Landing("a", HUB, "{a,b}/*", "m", 1)], "m/a"),
        ([Landing("a", HUB, "library/nginx", "m"), Landing("b", QUAY, "library/*", "m")], "m/library/nginx"),
        ([Landing("a", HUB, "library/*", "m"), Landing("b", QUAY, "**", "m")], "m/library/a"),
        ([Landing("a", HUB, "library/*", "m", 1), Landing("b", HUB, "bitnami/*", "m", 1)], "m/a"),
        ([Landing("a", HUB, "hub/x*", "m"), Landing("b", HUB, "x*", "m/hub")], "m/hub/x"),
    ],
)
def test_globs_that_may_collide_are_named_with_an_example(rules: list[Landing], place: str) -> None:
    found = collisions(rules)
    assert found.certain == ()
    (collision,) = found.possible
    assert collision.destination == place
    assert set(collision.rules) == {rule.rule for rule in rules}
    assert f"may be copied to {place}, where" in collision.reason


COMPONENT = st.sampled_from(["a", "b", "*", "**", "{a,b}", "a*"])
PATTERN = st.lists(COMPONENT, min_size=1, max_size=3).map("/".join)
RULE = st.builds(
    Landing,
    rule=st.sampled_from(["one", "two", "three"]),
    source=st.sampled_from([HUB, QUAY]),
    repositories=PATTERN,
    namespace=st.sampled_from(["m", "m/a"]),
    flatten=st.integers(-1, 2),
)
SOURCES = [f"{x}{y}{z}" for x in ("a", "b") for y in ("", "/a", "/b") for z in ("", "/a", "/ab")]


@given(st.lists(RULE, min_size=1, max_size=3, unique_by=lambda rule: rule.rule))
def test_every_collision_of_sample_repositories_is_reported(rules: list[Landing]) -> None:
    found = collisions(rules)
    named = {frozenset(collision.rules) for collision in (*found.certain, *found.possible)}
    places: dict[str, dict[str, str]] = {}
    for rule in rules:
        for source in SOURCES:
            place = landing(source, rule.namespace, rule.flatten)
            if place is not None and matches(rule.repositories, source):
                places.setdefault(place, {}).setdefault(f"{rule.source}/{source}", rule.rule)
    for sources in places.values():
        if len(sources) > 1:
            assert any(rules_ <= set(sources.values()) or set(sources.values()) <= rules_ for rules_ in named)
    for collision in found.certain:
        assert len(collision.sources) > 1
        for source in collision.sources:
            assert any(
                source.startswith(f"{rule.source}/")
                and landing(source.removeprefix(f"{rule.source}/"), rule.namespace, rule.flatten)
                == collision.destination
                for rule in rules
            )


def test_four_hundred_rules_are_compared_by_pairs_that_can_collide() -> None:
    rules = [Landing(f"r{n}", HUB, f"team-{n}/*", "m") for n in range(200)]
    rules += [Landing(f"e{n}", QUAY, f"team-{n}/{{a,b}}", "m") for n in range(200)]
    assert len(collisions(rules).possible) == 200
