"""Checks of a whole stack: each fault once, budgets by account, a few examples for many collisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harbor_mirror.config import models as config
from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.fields import Section
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.plan.mirror import SHOWN_COLLISIONS, PlannedMirror
from harbor_mirror.plan.validation import validate
from tests.data.model import resolved as resolved_stack
from tests.data.model import stack

ACCOUNT = {"username": "acme-bot", "secret": "dckr_pat_1"}


def resolved(**case: Any) -> PlannedMirror:
    return validate(stack({key.replace("__", "."): value for key, value in case.items()}))


def rule(**values: object) -> Mapping[str, object]:
    return {"endpoint": "hub", "repositories": "library/redis", "project": "mirror", **values}


def test_anonymous_endpoints_share_a_budget_and_accounts_have_their_own() -> None:
    found = resolved(
        endpoints={
            "hub": {"type": "docker-hub"},
            "hub2": {"type": "docker-hub"},
            "acme": {"type": "docker-hub", **ACCOUNT, "plan": "paid"},
            "bot": {"type": "docker-hub", **ACCOUNT},
            "idle": {"type": "docker-hub", **ACCOUNT},
            "quay": {"type": "quay"},
        },
        rules__a=rule(expectedTags=5, schedule="hourly"),
        rules__b=rule(endpoint="hub2", path="b", expectedTags=7, schedule="daily"),
        rules__c=rule(endpoint="acme", path="c", expectedTags=500, schedule="hourly"),
        rules__d=rule(endpoint="bot", path="d", tags="7.0", schedule="0 */30 * * * *"),
        rules__e=rule(endpoint="bot", path="e", expectedTags=1000, enabled=False),
        rules__f=rule(endpoint="quay", path="f", expectedTags=1000, schedule="hourly"),
    ).budgets
    assert {name: (budget.endpoint, budget.plan, budget.pulls) for name, budget in found.items()} == {
        "hub": ("hub and hub2", "anonymous", 5 * 6 + 7),
        "acme": ("acme", "paid", 3000),
        "bot": ("bot", "personal", 12),
    }


def test_a_manual_rule_costs_nothing_until_it_is_started() -> None:
    (budget,) = resolved().budgets.values()
    assert (budget.pulls, budget.overrun()) == (0, None)


def test_possible_collisions_show_a_few_examples() -> None:
    endpoints = {f"r{n}": {"type": "docker-registry", "url": f"https://r{n}.example.com"} for n in range(8)}
    case = {
        "endpoints": {**endpoints, "hub": {"type": "docker-hub"}},
        **{f"rules__{name}": rule(endpoint=name, repositories="library/*") for name in endpoints},
    }
    texts = [caution.text for caution in resolved(**case).cautions if caution.name == "r7"]
    assert len(texts) == SHOWN_COLLISIONS + 1
    assert all("may collide" in text for text in texts[:-1])
    assert texts[-1] == "may collide with 4 other rules, too"


def test_a_faulty_endpoint_does_not_change_the_faults_of_its_rules() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolved(endpoints={"hub": {"type": "docker-registry"}}, rules__nginx={"schedule": "@daily"})
    assert [fault.path for fault in caught.value.faults] == ["endpoints.hub.url", "rules.nginx.schedule"]


def test_every_field_has_a_description_and_every_required_field_an_example() -> None:
    sections = [value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Section)]
    assert len(sections) > 10
    for section in sections:
        properties = section.model_json_schema()["properties"]
        for name, field in section.model_fields.items():
            assert properties[field.alias or name]["description"], f"{section.__name__}.{name}"
            assert field.examples or not field.is_required(), f"{section.__name__}.{name}"


@pytest.mark.parametrize(
    ("schedule", "spread"),
    [("0 30 21 * * *", "0 H 21 * * *"), ("0 0 */6 * * *", "0 H */6 * * *"), ("0 */30 * * * *", "0 H/30 * * * *")],
)
def test_many_rules_at_the_same_time_get_a_caution(schedule: str, spread: str) -> None:
    def cautions(count: int, schedule: str) -> list[str]:
        rule = {"endpoint": "registry", "project": "mirror", "schedule": schedule}
        rules = {f"rule-{number}": {**rule, "repositories": f"team/app-{number}"} for number in range(count)}
        endpoint = {"type": "docker-registry", "url": "https://registry.example.com"}
        found = resolved_stack(stack({"endpoints": {"registry": endpoint}, "rules": rules}))
        assert found.faults == ()
        return [caution.text for caution in found.cautions]

    assert cautions(11, schedule) == [
        f"11 rules start at the same time ({schedule}) and wait for each other; "
        f"H gives each rule its own minute: {spread}"
    ]
    assert cautions(11, spread) == []
    assert cautions(10, schedule) == []


@pytest.mark.parametrize(
    ("type_", "repositories", "policies"),
    [
        (
            {"type": "docker-registry", "url": "https://docker.elastic.co"},
            ["elasticsearch/elasticsearch", "kibana/kibana"],
            {"nginx": "elasticsearch/elasticsearch", "nginx-2": "kibana/kibana"},
        ),
        ({"type": "quay"}, ["a/{x,y}", "b/z", "a/w"], {"nginx": "a/{x,y,w}", "nginx-2": "b/z"}),
        ({"type": "quay"}, ["a/x", "a/y"], {"nginx": "a/{x,y}"}),
        ({"type": "quay"}, ["a/x", "b/*"], {"nginx": "{a/x,b/*}"}),
    ],
)
def test_exact_names_need_no_catalogue(
    type_: Mapping[str, str], repositories: list[str], policies: dict[str, str]
) -> None:
    """For names of several namespaces in one filter Harbor reads the catalogue, which many sources refuse."""
    rule = {"endpoint": "hub", "repositories": repositories, "project": "mirror", "tags": "1.*"}
    found = validate(stack({"endpoints": {"hub": type_}, "rules": {"nginx": rule}}))
    assert {name: planned.policy.repositories for name, planned in found.rules.items()} == policies


def test_quotas_are_compared_by_the_byte() -> None:
    def quota(size: int) -> object:
        project = {"name": "mirror", "metadata": {}}
        return project_mapping.facts(project, {"hard": {"storage": size}})["quotaGb"]

    gigabytes = 1024**3
    assert quota(100 * gigabytes) != quota(100 * gigabytes + 1)
    assert quota(1_048_576 * gigabytes) != quota(1_048_575 * gigabytes)
    assert quota(100 * gigabytes) == "100"
