"""`signatures` of a rule: what it adds to the filters, and where it can't help."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.models import Rule
from harbor_mirror.harbor.rule import to_json
from harbor_mirror.plan.filters import STORED_LENGTH, TagFilter, matches, stored_length
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.outputs import rule_output
from harbor_mirror.plan.signatures import signature_tag
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_locks import LockedRule, filters_length, lock_rule
from harbor_mirror.plan.validation import validate
from tests.data.model import STACK, resolved

NGINX: dict[str, Any] = {
    "endpoint": "quay", "repositories": "app/nginx", "project": "mirror", "tags": ["1.25", "1.26"], "signatures": True,
}  # fmt: skip
SIGNATURE = signature_tag(f"sha256:{'ab' * 32}")
ATTACHED = (SIGNATURE, SIGNATURE.replace(".sig", ".att"), SIGNATURE.replace(".sig", ".sbom"), SIGNATURE[:-4])


def plan(
    endpoint: dict[str, Any] | None = None,
    locks: dict[str, LockedRule] | None = None,
    settings: dict[str, Any] | None = None,
    **rule: Any,
) -> PlannedMirror:
    raw = {key: value for key, value in {**NGINX, **rule}.items() if value is not None}
    stack = {
        "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": True},
        "harborPassword": "secret-1",
        "endpoints": {"quay": endpoint or {"type": "docker-registry", "url": "https://quay.io"}},
        "projects": {"mirror": settings or {}},
        "rules": {"nginx": raw},
    }
    return validate(stack, locks or {})


def faults(**rule: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        plan(**rule)
    return [str(fault) for fault in raised.value.faults]


def tag_filter(mirror: PlannedMirror, name: str = "nginx") -> str | None:
    return mirror.rules[name].policy.tag_matches


@pytest.mark.parametrize("tags", ["1.*", ["1.25", "1.26"], "{1.2[56],latest}", {"matches": "1.*", "excludes": "*-rc*"}])
def test_the_tags_of_signatures_are_copied_beside_the_chosen_ones(tags: Any) -> None:
    mirror = plan(tags=tags)
    pattern = tag_filter(mirror)
    assert pattern is not None
    assert all(matches(pattern, tag) for tag in (*ATTACHED, "1.25"))
    assert not matches(pattern, "2.0")
    filters = to_json(mirror.rules["nginx"].policy, 7)["filters"]
    assert {"type": "tag", "value": pattern, "decoration": "matches"} in filters
    assert "sha256-*" in rule_output(mirror.rules["nginx"])["tags"]["matches"], "`verify` reads the outputs"
    assert tag_filter(plan(tags=tags, signatures=None)) != pattern


@pytest.mark.parametrize("tags", [None, "*", ["1.*", "sha256-*"], {"excludes": "*-rc*"}])
def test_nothing_is_added_where_signatures_come_along_anyway(tags: Any) -> None:
    assert tag_filter(plan(tags=tags)) == tag_filter(plan(tags=tags, signatures=None))


def test_from_another_harbor_signatures_come_along_by_themselves() -> None:
    mirror = plan({"type": "harbor", "url": "https://harbor.example.org"})
    assert tag_filter(mirror) == "{1.25,1.26}"
    assert not [caution for caution in mirror.cautions if "signatures" in caution.text]


def test_what_does_not_come_along_is_said() -> None:
    (caution,) = [caution for caution in plan().cautions if "signatures" in caution.text]
    assert caution.path == "rules.nginx"
    assert "Harbor does not copy OCI referrers without a tag from this source" in caution.text


@pytest.mark.parametrize(
    ("rule", "is_warned"),
    [({}, False), ({"signatures": None}, True), ({"signatures": None, "tags": None}, False)],
)
def test_a_project_that_serves_signed_images_only_needs_signatures(rule: dict[str, Any], is_warned: bool) -> None:
    mirror = plan(settings={"cosign": True}, **rule)
    says = "project mirror (cosign: true) serves signed images only, and this rule copies no signatures"
    assert any(caution.text.startswith(says) for caution in mirror.cautions) is is_warned
    without = plan(**rule)
    assert not [caution for caution in without.cautions if "serves signed" in caution.text]


@pytest.mark.parametrize("excludes", ["sha256-*", "*.sig", "*-rc*,sha*"])
def test_excluded_signatures_are_a_fault(excludes: str) -> None:
    patterns = excludes.split(",")
    says = f"rules.nginx.tags.excludes: '{patterns[-1]}' excludes the tags of signatures, which signatures: true asks"
    assert any(fault.startswith(says) for fault in faults(tags={"matches": "1.*", "excludes": patterns}))


@pytest.mark.parametrize(
    ("keep", "is_warned"),
    [
        ([{"tags": "1.*", "always": True}], True),
        ([{"tags": "1.*", "always": True}, {"tags": "sha256-*", "always": True}], False),
    ],
)
def test_retention_that_deletes_attestations_gets_a_caution(keep: list[dict[str, Any]], is_warned: bool) -> None:
    mirror = plan(settings={"retention": {"keep": keep}}, schedule="daily")
    says = "the retention of project mirror deletes app/nginx:sha256-0123abcd.att, which none of its rules keeps"
    assert any(caution.text.startswith(says) for caution in mirror.cautions) is is_warned


def test_the_number_of_signatures_is_unknown_to_the_budget() -> None:
    hub = {"type": "docker-hub"}
    unknown = plan(hub, schedule="daily").rules["nginx"].load
    assert (unknown.pulls, unknown.certain) == (2, False), "two tags at least"
    known = plan(hub, schedule="daily", expectedTags=40).rules["nginx"].load
    assert (known.pulls, known.certain) == (40, True)
    mirror = plan(hub, schedule="daily")
    assert any("set expectedTags" in caution.text for caution in mirror.cautions)


def test_signatures_of_two_rules_in_one_repository_do_not_collide() -> None:
    raw = {key: NGINX[key] for key in ("project", "signatures")}
    stack = {
        "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": True},
        "harborPassword": "secret-1",
        "endpoints": {"quay": {"type": "docker-registry", "url": "https://quay.io"}, "hub": {"type": "docker-hub"}},
        "projects": {"mirror": {}},
        "rules": {
            "hub": {**raw, "endpoint": "hub", "repositories": "prom/prometheus", "tags": {"excludes": "*-distroless"}},
            "quay": {**raw, "endpoint": "quay", "repositories": "prom/prometheus", "tags": "*-distroless"},
        },
    }
    assert validate(stack, {}).rules.keys() == {"hub", "quay"}


def test_the_filters_fit_with_the_tags_of_signatures() -> None:
    tags = [f"1.{number:04}" for number in range(128)]
    length = stored_length("app/nginx", [TagFilter(f"{{{','.join(tags)}}}")])
    tags[-1] += "0" * (STORED_LENGTH - length)
    assert tag_filter(plan(tags=tags, signatures=None)) is not None
    assert any("all filters of a rule may have 1024 characters" in fault for fault in faults(tags=tags))


def test_resolved_tags_keep_their_signatures_within_the_limit() -> None:
    chance = random.Random(1)
    commits = [f"{chance.getrandbits(40):010x}" for _ in range(400)]
    raw = {**NGINX, "tags": {"regex": "[02468]$"}}
    rule = Rule.read(raw)
    expression = TagExpression.of(rule.tags)
    assert expression is not None
    locked = lock_rule("nginx", rule, expression, "quay.io", {"app/nginx": commits})
    assert len(locked.policies) > 1
    mirror = plan(locks={"nginx": locked}, tags=raw["tags"])
    for policy in locked.policies:
        assert filters_length(rule, policy.repositories, policy.matches) <= STORED_LENGTH
    bringing = [name for name in mirror.rules if matches(tag_filter(mirror, name) or "", SIGNATURE)]
    assert bringing == ["nginx"], "one policy for each repository is enough"


def test_defaults_turn_signatures_on() -> None:
    rules = {"redis": {"repositories": "library/redis", "endpoint": "hub", "project": "mirror", "tags": "7"}}
    found = resolved({**STACK, "rules": rules, "defaults": {"signatures": True}}).require()
    assert found.rules["redis"].policy.tag_matches == "{7,sha256-*}"
