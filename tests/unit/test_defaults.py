"""Defaults of rules: which value a rule gets, and where a wrong default is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harbor_mirror.plan.validation import ResolvedStack
from tests.data.model import STACK, resolved

NGINX = {"repositories": "library/nginx"}


def stack(rules: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {**STACK, "projects": {"mirror": {}, "team": {}, "hub": {}}, "rules": rules, **settings}


def policy(found: ResolvedStack, name: str = "nginx") -> Any:
    return found.require().rules[name].policy


def test_a_rule_needs_only_values_that_differ_from_the_defaults() -> None:
    defaults = {"endpoint": "hub", "project": "mirror", "schedule": "0 0 2 * * *", "override": False}
    rules = {f"app-{number}": {"repositories": f"library/app-{number}"} for number in range(166)}
    found = resolved(stack(rules, defaults=defaults))
    assert policy(found, "app-7").repositories == "library/app-7"
    assert (policy(found, "app-7").schedule, policy(found, "app-7").override) == ("0 0 2 * * *", False)
    assert len(yaml.safe_dump(rules, default_flow_style=None).splitlines()) == 166


@pytest.mark.parametrize(
    ("levels", "path"),
    [
        ({"stack"}, "stack"),
        ({"stack", "endpoint"}, "endpoint"),
        ({"stack", "endpoint", "file"}, "file"),
        ({"stack", "endpoint", "file", "rule"}, "rule"),
        ({"endpoint", "rule"}, "rule"),
        ({"file", "stack"}, "file"),
    ],
)
def test_the_most_specific_default_applies(levels: set[str], path: str, tmp_path: Path) -> None:
    def level(name: str) -> dict[str, Any]:
        return {"path": name} if name in levels else {}

    rule = {**NGINX, "endpoint": "hub", "project": "mirror", **level("rule")}
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/web.yaml").write_text(yaml.safe_dump({"defaults": level("file"), "rules": {"nginx": rule}}))
    raw = stack({}, rulesDir="rules", defaults=level("stack"))
    raw["endpoints"] = {"hub": {"type": "docker-hub", "defaults": level("endpoint")}}
    assert policy(resolved(raw, tmp_path)).namespace == f"mirror/{path}"


def test_the_defaults_of_the_endpoint_that_a_default_names() -> None:
    raw = stack({"nginx": NGINX}, defaults={"endpoint": "hub"})
    raw["endpoints"] = {"hub": {"type": "docker-hub", "defaults": {"project": "hub"}}}
    assert policy(resolved(raw)).namespace == "hub"


def test_a_file_has_defaults_for_its_own_rules_only(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    for team in ("a", "b"):
        content = {"defaults": {"path": team}, "rules": {team: {"repositories": f"library/{team}"}}}
        (tmp_path / f"rules/{team}.yaml").write_text(yaml.safe_dump(content))
    defaults = {"endpoint": "hub", "project": "mirror"}
    found = resolved(stack({"nginx": NGINX}, rulesDir="rules", defaults=defaults), tmp_path)
    namespaces = [policy(found, name).namespace for name in ("a", "b", "nginx")]
    assert namespaces == ["mirror/a", "mirror/b", "mirror"]


def test_a_wrong_default_is_reported_once_and_where_it_is_written() -> None:
    defaults = {"endpoint": "hub", "project": "mirror", "schedule": "@daily"}
    found = resolved(stack({f"app-{n}": {"repositories": f"library/app-{n}"} for n in range(3)}, defaults=defaults))
    (fault,) = found.faults
    assert str(fault).startswith("defaults.schedule: '@daily' is a cron descriptor")


def test_a_wrong_default_of_a_file_has_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/web.yaml").write_text(
        "defaults:\n  endpoint: hub\n  project: nowhere\nrules:\n  nginx: {repositories: library/nginx}\n"
    )
    (fault,) = resolved(stack({}, rulesDir="rules"), tmp_path).faults
    assert str(fault).startswith("rules/web.yaml:3: defaults.project: 'nowhere' is not defined in projects")


@pytest.mark.parametrize(
    ("defaults", "line"),
    [
        ({"repositories": "library/*"}, "defaults.repositories: is not a known key"),
        ({"flatten": "x"}, "defaults.flatten: 'x' must be a whole number"),
        (["hub"], "defaults: [hub] must be a map of settings"),
    ],
)
def test_a_default_that_no_rule_can_have(defaults: Any, line: str) -> None:
    rules = {"nginx": {**NGINX, "endpoint": "hub", "project": "mirror"}}
    (fault,) = resolved(stack(rules, defaults=defaults)).faults
    assert str(fault).startswith(line)
