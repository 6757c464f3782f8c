"""What rules cost at Docker Hub, and what its plans allow."""

from __future__ import annotations

import pytest

from harbor_mirror.plan.budget import Load, budget, load
from harbor_mirror.plan.filters import TagFilter
from harbor_mirror.plan.schedule import Schedule


def schedule(text: str) -> Schedule:
    return Schedule.parse(text, name="x")


def test_a_repository_with_thousands_of_tags() -> None:
    # 17,400 tags of which 40 match, every 15 minutes: 174 pages of tags and 40 x 24 pulls.
    superset = load(
        *("superset", "docker-hub", "apache/superset", schedule("0 */15 * * * *")),
        tags=[TagFilter("4.0.*")],
        expected_tags=40,
        listed_tags=17_400,
    )
    assert (superset.list_calls, superset.pulls_per_window) == (175, 960)
    personal = budget("hub", "personal", [superset], anonymous=False)
    pulls, lists = personal.overrun(), superset.overrun()
    assert pulls
    assert lists
    assert "960 pulls in 6 hours" in pulls
    assert "allows 200 (plan personal)" in pulls
    assert "rule superset" in pulls
    assert "175 list calls" in lists
    paid = budget("hub", "paid", [superset], anonymous=False)
    assert paid.limit is None
    assert paid.overrun() is None


@pytest.mark.parametrize(
    ("plan", "anonymous", "limit"),
    [("anonymous", True, 100), ("personal", False, 200), ("paid", False, None), (None, True, 100), (None, False, 200)],
)
def test_limits_of_the_plans(plan: None, anonymous: bool, limit: int | None) -> None:
    assert budget("hub", plan, [], anonymous=anonymous).limit == limit


def test_a_limit_may_be_used_up_but_not_exceeded() -> None:
    just = Load("a", runs=6, pulls=10, list_calls=2, certain=True)
    rest = Load("b", runs=1, pulls=40, list_calls=2, certain=True)
    assert budget("hub", "anonymous", [just, rest], anonymous=True).overrun() is None
    more = Load("c", runs=1, pulls=1, list_calls=2, certain=True)
    text = budget("hub", "anonymous", [just, rest, more], anonymous=True).overrun()
    assert text
    assert "101 pulls" in text
    assert "rule a: 10 tags in 6 runs" in text


@pytest.mark.parametrize(
    ("repositories", "tags", "expected", "pulls", "certain"),
    [
        ("library/{nginx,redis}", [TagFilter("{1.25,1.26,latest}")], None, 6, True),
        ("library/{nginx,redis}", [TagFilter("1.*")], None, 2, False),
        ("library/nginx", [], None, 1, False),
        ("library/nginx", [TagFilter("*-rc", "excludes")], None, 1, False),
        ("library/*", [TagFilter("latest")], None, 1, False),
        ("library/*", [TagFilter("1.*")], 120, 120, True),
    ],
)
def test_pulls_of_a_run_are_exact_or_a_lower_bound(
    repositories: str, tags: list[TagFilter], expected: int | None, pulls: int, certain: bool
) -> None:
    found = load("r", "docker-hub", repositories, schedule("0 0 * * * *"), tags=tags, expected_tags=expected)
    assert (found.pulls, found.certain, found.runs) == (pulls, certain, 6)


def test_a_lower_bound_is_named_as_one() -> None:
    names = "library/{" + ",".join(f"app{n}" for n in range(20)) + "}"
    found = load("r", "docker-hub", names, schedule("0 0 * * * *"), tags=[TagFilter("1.*")])
    text = budget("hub", "anonymous", [found], anonymous=True).overrun()
    assert text
    assert "at least 120 pulls" in text


@pytest.mark.parametrize(
    ("type_", "repositories", "calls"),
    [
        ("docker-hub", "library/nginx", 2),
        ("docker-hub", "{library,grafana}/nginx", 4),
        ("docker-registry", "library/nginx", 1),
        ("docker-registry", "library/{nginx,redis}", 2),
        ("docker-registry", "library/*", 2),
    ],
)
def test_list_calls(type_: str, repositories: str, calls: int) -> None:
    assert load("r", type_, repositories, schedule("daily")).list_calls == calls


def test_a_manual_rule_has_no_cost() -> None:
    found = load("r", "docker-hub", "library/nginx", schedule("manual"), expected_tags=1000)
    assert (found.pulls_per_window, found.list_calls_per_window) == (0, 0)
