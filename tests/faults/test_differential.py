"""The short form of the differential trial, and the lengths that Harbor's database holds, in `check` and simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.plan.validation import validate
from tests.faults.differential import Applied, Target, generated, open_target

EXAMPLES = 15


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with open_target() as target:
        yield target


@pytest.mark.timeout(1200)
def test_accepted_configurations_are_accepted_by_harbor_and_land_where_predicted(target: Target) -> None:
    generated(target, EXAMPLES, derandomize=True)()
    assert target.accepted > EXAMPLES // 3
    assert target.executions > target.accepted // 2


@dataclass(frozen=True)
class Limit:
    """How long a text may be; `change` writes one of a length into a configuration, `path` is its fault's."""

    name: str
    most: int
    change: Callable[[dict[str, Any], int], None]
    path: str


def _rename(section: str, prefix: str) -> Callable[[dict[str, Any], int], None]:
    def change(config: dict[str, Any], length: int) -> None:
        (entry,) = config[section].values()
        config[section] = {prefix.ljust(length, "x"): entry}

    return change


def _set(section: str, key: str, begin: str = "") -> Callable[[dict[str, Any], int], None]:
    def change(config: dict[str, Any], length: int) -> None:
        (entry,) = config[section].values()
        entry[key] = begin.ljust(length, "x")

    return change


def _repository(config: dict[str, Any], length: int) -> None:
    # The destination is `limits/` and this name.
    config["rules"]["rule"]["repositories"] = "a/".ljust(length - len("limits/"), "x")


def _long_path(config: dict[str, Any], length: int) -> None:
    # The image is called `a`.
    config["projects"] = {"limits.x": {}}
    config["robots"]["robot"]["projects"] = "limits.x"
    path = "x" * (length - len("limits.x/" + "/a"))
    config["rules"]["rule"] |= {"project": "limits.x", "repositories": "a", "path": path}


def _cron(config: dict[str, Any], length: int) -> None:
    # `0 0 0,0,0 * * *`, with a day of two digits where the length is odd.
    hours = length - len("0 0  * * *")
    config["rules"]["rule"]["schedule"] = f"0 0 {','.join(['0'] * ((hours + 1) // 2))}{'0' * ((hours + 1) % 2)} * * *"


def _filters(config: dict[str, Any], length: int) -> None:
    filters = '[{"type":"name","value":"library/nginx"},{"type":"tag","value":"","decoration":"matches"}]'
    names = length - len(filters) - len("{}")
    tags = ["x" * 100] * (names // 101)
    config["rules"]["rule"]["tags"] = [f"{index}{tag[1:]}" for index, tag in enumerate(tags)] + ["x" * (names % 101)]


def _webhook(config: dict[str, Any], length: int) -> None:
    hook = {"url": "https://hooks.example.com/a"}
    config["projects"]["limits"] = {"webhooks": {"x" * length: hook}}


def _label(config: dict[str, Any], length: int) -> None:
    # Only sources of this type have labels.
    config["endpoints"]["hub"]["type"] = "harbor"
    config["rules"]["rule"]["labels"] = ["x" * length]


LIMITS = [
    Limit("rule name", 256, _rename("rules", "rule"), "rules."),
    Limit("filters of a rule", 1024, _filters, "rules.rule.tags"),
    Limit("cron of a rule", 64, _cron, "rules.rule.schedule"),
    Limit("repository", 245, _repository, "rules.rule"),
    Limit("repository of a project with a dot", 255, _long_path, "rules.rule"),
    Limit("endpoint name", 64, _set("endpoints", "name"), "endpoints.hub"),
    Limit("robot name", 255, _rename("robots", "robot"), "robots."),
    Limit("robot description", 1024, _set("robots", "description"), "robots.robot.description"),
    Limit("webhook name", 256, _webhook, "projects.limits.webhooks"),
    Limit("label of a rule", 128, _label, "rules.rule.labels"),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_longest_text_fits_into_harbors_database_and_check_refuses_a_longer_one(
    limit: Limit, target: Target
) -> None:
    raw = configuration(target.source)
    limit.change(raw, limit.most)
    applied = Applied(target.harbor, validate(raw))
    try:
        applied.create()
        assert applied.differences() == []
    finally:
        applied.remove()
    raw = configuration(target.source)
    limit.change(raw, limit.most + 1)
    with pytest.raises(ConfigurationError) as refused:
        validate(raw)
    (fault,) = refused.value.faults
    assert fault.path.startswith(limit.path)


def configuration(source: str) -> dict[str, Any]:
    """Return a configuration with one entry in each section."""
    return {
        "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": False},
        "harborPassword": "Harbor-Password-1",
        "endpoints": {"hub": {"type": "docker-registry", "url": source}},
        "projects": {"limits": {}},
        "rules": {"rule": {"endpoint": "hub", "repositories": "library/nginx", "project": "limits"}},
        "robots": {"robot": {"projects": "limits"}},
    }
