"""The lock file: what expressions selected, the policies that follow, and what does not fit."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.models import Rule
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.filters import STORED_LENGTH
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_locks import (
    MOST_POLICIES,
    LockedRule,
    LockError,
    filters_length,
    format_locks,
    lock_rule,
    read_locks,
)
from harbor_mirror.plan.validation import validate

NGINX = {"endpoint": "hub", "repositories": "library/nginx", "project": "mirror", "tags": {"semver": ">=1.26 <2"}}
TAGS = ["1.25.5", "1.26.0", "1.26.1", "1.27.0", "1.27.0-alpine", "latest"]


def lock(raw: Mapping[str, Any], tags: Mapping[str, list[str]], name: str = "nginx") -> LockedRule:
    rule = Rule.read(raw)
    expression = TagExpression.of(rule.tags)
    assert expression is not None
    return lock_rule(name, rule, expression, "docker.io", tags)


def stack(**rules: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "harbor": {"url": "https://harbor.example.com"},
        "harborPassword": "secret-1",
        "endpoints": {"hub": {"type": "docker-hub"}},
        "projects": {"mirror": {}},
        "rules": rules,
    }


def faults(raw: Mapping[str, Any], locks: Mapping[str, LockedRule]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        validate(raw, locks)
    return [str(fault) for fault in raised.value.faults]


def test_a_rule_becomes_a_policy_of_its_own_name(tmp_path: Path) -> None:
    locks = {"nginx": lock(NGINX, {"library/nginx": TAGS})}
    configuration = validate(stack(nginx=NGINX), locks).configuration
    rule = configuration.rules["nginx"]
    assert (rule.repositories, rule.tags.matches) == (("library/nginx",), ("1.2[67].[01]",))
    assert rule.expected_tags == 3
    path = tmp_path / "mirror.lock.dev.yaml"
    path.write_text(format_locks(locks))
    assert read_locks(path) == locks
    assert yaml.safe_load(path.read_text())["rules"]["nginx"] == {
        "source": "docker.io",
        "repositories": ["library/nginx"],
        "expression": {"semver": ">=1.26 <2"},
        "tags": {"library/nginx": ["1.26.0", "1.26.1", "1.27.0"]},
        "policies": [{"name": "nginx", "repositories": "library/nginx", "matches": "1.2[67].[01]"}],
    }


def test_tags_that_look_like_numbers_and_dates_stay_text(tmp_path: Path) -> None:
    tags = ["1.20", "012", "1_000", "0x10", "1e5", "null", "yes", "on", "2024-01-15", "0b1", "_", "Null"]
    locks = {"nginx": lock({**NGINX, "tags": {"regex": "."}}, {"library/nginx": tags})}
    path = tmp_path / "mirror.lock.dev.yaml"
    path.write_text(format_locks(locks))
    assert sorted(read_locks(path)["nginx"].tags["library/nginx"]) == sorted(tags)


def test_the_same_tags_in_another_order_give_the_same_bytes() -> None:
    first, second = (
        format_locks({"nginx": lock(NGINX, {"library/nginx": tags})}) for tags in (TAGS, list(reversed(TAGS)))
    )
    assert first == second


def test_another_tag_is_a_diff_of_a_few_lines() -> None:
    before, after = (
        format_locks({"nginx": lock(NGINX, {"library/nginx": tags})}).splitlines() for tags in (TAGS, [*TAGS, "1.28.3"])
    )
    changed = set(before) ^ set(after)
    assert changed == {
        "      - 1.28.3",
        "      matches: 1.2[67].[01]",
        "      matches: 1.2[6-8].[013]",
    }


def test_repositories_of_a_namespace_share_a_policy_unless_a_tag_is_selected_for_only_one() -> None:
    raw = {**NGINX, "repositories": ["library/nginx", "library/redis", "library/httpd", "bitnami/nginx"]}
    tags = {
        "library/nginx": ["1.26.0", "1.25.0"],
        "library/redis": ["1.26.0", "7.0"],
        "library/httpd": ["1.26.1", "2.4"],
        "bitnami/nginx": ["1.26.0"],
    }
    locked = lock(raw, tags)
    assert [(policy.name, policy.repositories, policy.matches) for policy in locked.policies] == [
        ("nginx", "bitnami/nginx", "1.26.0"),
        ("nginx-2", "library/{httpd,nginx,redis}", "1.26.[01]"),
    ]
    newest = lock({**raw, "tags": {"latest": 1}}, {"library/nginx": ["1.0", "1.1"], "library/redis": ["1.1", "7.0"]})
    assert [(policy.name, policy.repositories, policy.matches) for policy in newest.policies] == [
        ("nginx", "library/nginx", "1.1"),
        ("nginx-2", "library/redis", "7.0"),
    ]


def test_filters_that_exceed_harbors_limit_become_several_policies() -> None:
    chance = random.Random(1)
    commits = [f"{chance.getrandbits(40):010x}" for _ in range(400)]
    raw = {**NGINX, "tags": {"regex": "[02468]$"}}
    locked = lock(raw, {"library/nginx": commits})
    assert 1 < len(locked.policies) <= MOST_POLICIES
    assert [policy.name for policy in locked.policies] == ["nginx", "nginx-2"]
    configuration = validate(stack(nginx=raw), {"nginx": locked}).configuration
    assert list(configuration.rules) == [policy.name for policy in locked.policies]
    lengths = [filters_length(rule, *rule.repositories, *rule.tags.matches) for rule in configuration.rules.values()]
    assert max(lengths) <= STORED_LENGTH


def test_an_empty_selection_is_rejected() -> None:
    with pytest.raises(Refused, match="selects none of 6 tags in library/nginx"):
        lock({**NGINX, "tags": {"semver": ">=9"}}, {"library/nginx": TAGS})


def test_an_expression_without_lock_names_the_command() -> None:
    assert faults(stack(nginx=NGINX), {}) == [
        "rules.nginx.tags: has an expression that is not resolved yet. Example: mirrorctl resolve"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tags": {"semver": ">=1.27 <2"}}, 'the expression {"semver": ">=1.26 <2"}, and the rule has'),
        ({"tags": {"semver": ">=1.26 <2", "latest": 2}}, "the expression"),
        ({"repositories": "library/redis"}, 'the repositories ["library/nginx"], and the rule has ["library/redis"]'),
    ],
)
def test_a_lock_of_another_expression_is_refused(change: dict[str, Any], reason: str) -> None:
    found = faults(stack(nginx={**NGINX, **change}), {"nginx": lock(NGINX, {"library/nginx": TAGS})})
    assert len(found) == 1
    assert reason in found[0]
    assert found[0].endswith("Example: mirrorctl resolve")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"tags": {"library/nginx": ["1.25.0"]}}, "the expression does not select library/nginx:1.25.0"),
        ({"tags": {"library/nginx": ["1.26.9"]}}, "no policy takes library/nginx:1.26.9"),
        ({"tags": {"library/redis": ["1.26.0"]}}, "library/redis is not a repository of the rule"),
        ({"policies": [{"name": "web", "repositories": "library/nginx", "matches": "1.*"}]}, "are named web"),
        (
            {"policies": [{"name": "nginx", "repositories": "library/nginx", "matches": "{1.*"}]},
            "in the policy nginx, {1.* has a brace that is not closed",
        ),
        (
            {"policies": [{"name": "nginx", "repositories": "**", "matches": "1.*"}]},
            "the policy nginx takes repositories without locked tags: **",
        ),
        (
            {"policies": [{"name": "nginx", "repositories": "library/nginx", "matches": "{1.*," + "x" * 1000 + "}"}]},
            "the policy nginx has filters of",
        ),
    ],
)
def test_an_edited_lock_is_refused(edit: dict[str, Any], reason: str) -> None:
    edited = LockedRule.model_validate({**lock(NGINX, {"library/nginx": TAGS}).model_dump(), **edit})
    (fault,) = faults(stack(nginx=NGINX), {"nginx": edited})
    assert reason in fault


def test_a_lock_without_a_rule_is_refused() -> None:
    redis = {**NGINX, "repositories": "library/redis", "tags": "7"}
    (fault,) = faults(stack(redis=redis), {"nginx": lock(NGINX, {"library/nginx": TAGS})})
    assert "rules.nginx: is locked, and has no expression" in fault


def test_a_policy_cannot_have_another_rules_name() -> None:
    raw = {**NGINX, "repositories": ["library/nginx", "library/redis"], "tags": {"latest": 1}}
    locked = lock(raw, {"library/nginx": ["1.0", "1.1"], "library/redis": ["1.1", "7.0"]})
    other = {**NGINX, "repositories": "library/httpd", "tags": "2"}
    (fault,) = faults(stack(nginx=raw, **{"nginx-2": other}), {"nginx": locked})
    assert "rules.nginx-2: is the name of a policy of nginx" in fault


@pytest.mark.parametrize(
    ("tags", "path"),
    [
        ({"semver": "latest"}, "rules.nginx.tags.semver: 'latest' is not a version range"),
        ({"regex": "("}, "rules.nginx.tags.regex: '(' is not a regular expression"),
        ({"latest": 0}, "rules.nginx.tags.latest: 0 must be at least 1"),
        ({"semver": "1.x", "matches": "1.*"}, "rules.nginx.tags.matches: [1.*] does not combine with an expression"),
    ],
)
def test_an_expression_that_cannot_be_read(tags: dict[str, Any], path: str) -> None:
    (fault,) = faults(stack(nginx={**NGINX, "tags": tags}), {})
    assert fault.startswith(path)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"repositories": "library/{nginx"}, "rules.nginx.repositories: 'library/{nginx' has a brace that is not"),
        ({"tags": {"semver": "1.x", "excludes": "*[a"}}, "rules.nginx.tags.excludes: '*[a' has a character class"),
    ],
)
@pytest.mark.parametrize("is_locked", [True, False])
def test_globs_beside_an_expression_that_cannot_be_read(change: dict[str, Any], path: str, is_locked: bool) -> None:
    locks = {"nginx": lock(NGINX, {"library/nginx": TAGS})} if is_locked else {}
    (fault,) = faults(stack(nginx={**NGINX, **change}), locks)
    assert fault.startswith(path)


@pytest.mark.parametrize("text", ["rules: [", "rules: {nginx: {}}", "rules: {nginx: 1}", "other: {}"])
def test_a_lock_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mirror.lock.dev.yaml"
    path.write_text(text)
    with pytest.raises(LockError):
        read_locks(path)
