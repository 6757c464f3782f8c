"""Retention that deletes images which a rule copies again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harbor_mirror.plan.validation import validate
from tests.data.model import stack


def warned(keep: list[Mapping[str, Any]], schedule: str = "daily", **rule: object) -> list[str]:
    case = {
        "projects": {"mirror": {"retention": {"keep": keep, "schedule": schedule}}},
        "endpoints": {"hub": {"type": "docker-registry", "url": "https://registry.example.com"}},
        "rules.nginx": {"schedule": "daily", **rule},
    }
    return [caution.text for caution in validate(stack(case)).cautions]


@pytest.mark.parametrize(
    ("keep", "rule"),
    [
        ([{"always": True}], {}),
        ([{"repositories": "team/**", "mostRecentlyPushed": 1}], {}),
        ([{"mostRecentlyPushed": 3}], {"tags": ["1.25", "1.26", "1.27"]}),
        ([{"mostRecentlyPushed": 40}], {"tags": "1.2*", "expectedTags": 40}),
        ([{"mostRecentlyPushed": 1}, {"tags": "1.*", "always": True}], {"tags": "1.2*"}),
        ([{"tags": {"excludes": "*-rc*"}, "always": True}], {"tags": {"matches": "1.2*", "excludes": "*-rc*"}}),
        ([{"repositories": {"excludes": "library/**"}, "mostRecentlyPushed": 1}], {}),
        ([{"pushedWithinDays": 1}], {"schedule": "manual"}),
        ([{"pushedWithinDays": 1}], {"enabled": False}),
    ],
)
def test_retention_that_keeps_the_images_of_a_rule(keep: list[Mapping[str, Any]], rule: Mapping[str, Any]) -> None:
    assert warned(keep, **rule) == []


def test_a_manual_retention_gets_no_caution() -> None:
    assert warned([{"pushedWithinDays": 1}], schedule="manual") == []


@pytest.mark.parametrize(
    ("keep", "rule", "words"),
    [
        (
            [{"tags": "v*", "always": True}],
            {"tags": "1.25"},
            "deletes library/nginx:1.25, which none of its rules keeps",
        ),
        ([{"tags": "v*", "always": True}], {"tags": "{v1,1.25}"}, "deletes library/nginx:1.25"),
        ([{"tags": {"excludes": "latest"}, "always": True}], {}, "deletes library/nginx:latest"),
        ([{"mostRecentlyPushed": 2}], {"tags": ["1.25", "1.26", "1.27"]}, "it keeps mostRecentlyPushed: 2"),
        ([{"mostRecentlyPushed": 10}], {"tags": "1.2*"}, "may delete library/nginx:1.2"),
        ([{"pushedWithinDays": 30}], {}, "it keeps pushedWithinDays: 30"),
        ([{"pulledWithinDays": 30}, {"mostRecentlyPulled": 5}], {}, "pulledWithinDays: 30 or mostRecentlyPulled: 5"),
        ([{"repositories": "nginx", "pushedWithinDays": 30}], {"flatten": 1}, "may delete nginx:1.0.0"),
        ([{"repositories": "hub/**", "pushedWithinDays": 30}], {"path": "hub"}, "may delete hub/library/nginx:1.0.0"),
    ],
)
def test_retention_that_deletes_the_images_of_a_rule(
    keep: list[Mapping[str, Any]], rule: Mapping[str, Any], words: str
) -> None:
    (text,) = warned(keep, **rule)
    assert words in text
    assert text.startswith("the retention of project mirror ")
    assert text.endswith(", and the rule brings it back at its next run")
