"""The stack configuration: accepted forms, and messages for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harbor_mirror.config.faults import HIDDEN, ConfigurationError
from harbor_mirror.config.models import RuleTags
from harbor_mirror.config.parse import endpoint_name
from harbor_mirror.plan.validation import validate

GOOD: dict[str, Any] = {
    "harbor": {"url": "https://harbor.example.com"},
    "harborPassword": "Harbor-Password-1",
    "endpoints": {"hub": {"type": "docker-hub"}},
    "projects": {"mirror": {}},
    "rules": {"nginx": {"endpoint": "hub", "repositories": "library/nginx", "project": "mirror"}},
}
HOST = {"region": "sg-sin-2", "hostname": "harbor.example.com"}


def changed(section: str, key: str, /, **values: object) -> dict[str, Any]:
    """GOOD with some values of one entry changed; None removes."""
    entry = {**GOOD[section].get(key, {}), **values}
    return {
        **GOOD,
        section: {**GOOD[section], key: {name: value for name, value in entry.items() if value is not None}},
    }


def faults(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(path, message line) of every fault."""
    with pytest.raises(ConfigurationError) as caught:
        validate(raw)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(caught.value.faults), "one line a fault"
    return [(fault.path, line.strip()) for fault, line in zip(caught.value.faults, lines, strict=True)]


def test_a_rule_needs_only_endpoint_repositories_and_project() -> None:
    rule = validate(GOOD).configuration.rules["nginx"]
    assert (rule.repositories, rule.tags, rule.schedule) == (("library/nginx",), RuleTags(), "manual")
    assert (rule.flatten, rule.override, rule.enabled) == (0, True, True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1.2*", RuleTags(matches=("1.2*",))),
        (["1.2*", "latest"], RuleTags(matches=("1.2*", "latest"))),
        ({"matches": "1.2*"}, RuleTags(matches=("1.2*",))),
        ({"excludes": ["*-rc*", "*-beta"]}, RuleTags(excludes=("*-rc*", "*-beta"))),
        ({"matches": "1.*", "excludes": "*-rc*"}, RuleTags(matches=("1.*",), excludes=("*-rc*",))),
    ],
)
def test_short_and_long_forms_of_tags(written: object, meant: RuleTags) -> None:
    assert validate(changed("rules", "nginx", tags=written)).configuration.rules["nginx"].tags == meant


def test_the_default_name_of_an_endpoint_has_its_type() -> None:
    assert endpoint_name("hub", validate(GOOD).configuration.endpoints["hub"]) == "hub-docker-hub"
    named = validate(changed("endpoints", "hub", name="Docker Hub")).configuration.endpoints["hub"]
    assert endpoint_name("hub", named) == "Docker Hub"


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        ({**GOOD, "ruels": {}}, "ruels", "did you mean rules?"),
        (changed("rules", "nginx", overide=True), "rules.nginx.overide", "did you mean override?"),
        (
            changed("rules", "nginx", endpoint="hubb"),
            "rules.nginx.endpoint",
            "is not defined in endpoints; defined: hub",
        ),
        (changed("rules", "nginx", project="mirrors"), "rules.nginx.project", "Example: mirror"),
        (changed("rules", "nginx", project=None), "rules.nginx.project", "is missing"),
        (changed("rules", "nginx", override="yes"), "rules.nginx.override", "'yes' must be true or false"),
        (changed("rules", "nginx", flatten=-2), "rules.nginx.flatten", "-2 must be at least -1"),
        (changed("rules", "nginx", path="/x"), "rules.nginx.path", "'/x'"),
        (changed("rules", "nginx", repositories=[]), "rules.nginx.repositories", "[] is empty"),
        (changed("rules", "nginx", tags={"match": "1*"}), "rules.nginx.tags.match", "did you mean matches?"),
        (changed("rules", "ng inx", **GOOD["rules"]["nginx"]), "rules.ng inx", "is not a valid name"),
        (changed("endpoints", "hub", type="dockerhub"), "endpoints.hub.type", "Example: docker-hub"),
        (changed("endpoints", "hub", url="registry"), "endpoints.hub.url", "'registry' is not an http or https URL"),
        (changed("endpoints", "hub", url="https://u:p@h"), "endpoints.hub.url", "without user, query and fragment"),
        (changed("projects", "Mirror"), "projects.Mirror", "is not a valid project name"),
        (
            changed("projects", "mirror", quotaGb="100"),
            "projects.mirror.quotaGb",
            "'100' must be a whole number: without quotes, or with --type int",
        ),
        (changed("projects", "mirror", quotaGb=0), "projects.mirror.quotaGb", "must be at least 1"),
        ({**GOOD, "projects": ["mirror"]}, "projects", "must be a map keyed by name"),
        ({**GOOD, "endpoints": {"hub": "docker-hub"}}, "endpoints.hub", "{type: docker-hub}"),
        ({**GOOD, "host": HOST}, "host", "not both"),
        ({**GOOD, "harbor": {}}, "host", "set either host"),
        ({**GOOD, "harborPassword": ""}, "harborPassword", "pulumi config set --secret harborPassword"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "hostname": "https://h"}}, "host.hostname", "is not a host name"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "hostname": "127.0.0.1"}}, "host.hostname", "rejected by Harbor's"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "dnsZone": "example.org"}}, "host.hostname", "not in the zone"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "tls": "provided"}}, "host.certificate", "is missing with tls"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "adminCidrs": ["10.0.0.1/8"]}}, "host.adminCidrs[0]", "CIDR"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "version": "2.15"}}, "host.version", "Example: 2.15.1"),
        ({**GOOD, "harbor": {}, "host": {**HOST, "httpPort": 81}}, "host.httpPort", "has no use with tls"),
    ],
)
def test_a_fault_names_path_value_reason_and_example(raw: Mapping[str, Any], path: str, words: str) -> None:
    found = dict(faults(raw))
    assert path in found
    assert words in found[path]


def test_all_faults_are_reported_together_with_a_line_each() -> None:
    raw = {
        "harbor": {"url": "nowhere", "user": "admin"},
        "ruels": {},
        "harborPassword": "Harbor-Password-1",
        "endpoints": {"hub": {"type": "dockerhub"}, "other hub": {"type": "docker-hub"}},
        "projects": {"Mirror": {}, "mirror": {"public": "yes", "quotaGb": -1}},
        "rules": {"nginx": {"endpoint": "nowhere", "repositories": [], "project": "mirror", "flatten": -9}},
    }
    assert [path for path, _ in faults(raw)] == [
        "ruels",
        "harbor.url",
        "harbor.user",
        "endpoints.hub.type",
        "endpoints.other hub",
        "projects.Mirror",
        "projects.mirror.public",
        "projects.mirror.quotaGb",
        "rules.nginx.flatten",
        "rules.nginx.repositories",
        "rules.nginx.endpoint",
    ]


def test_a_faulty_endpoint_does_not_make_its_rules_faulty() -> None:
    assert [path for path, _ in faults(changed("endpoints", "hub", type="dockerhub"))] == ["endpoints.hub.type"]


def test_two_endpoints_with_the_same_name_in_harbor_are_a_fault() -> None:
    raw = changed("endpoints", "other", type="docker-hub", name="hub-docker-hub")
    assert faults(raw) == [("endpoints.other.name", faults(raw)[0][1])]
    assert "already the name of endpoints.hub" in faults(raw)[0][1]


def test_no_secret_is_in_a_message_or_a_repr() -> None:
    wrong = faults(changed("endpoints", "hub", secret=["S3CRET"]))
    assert wrong[0][0] == "endpoints.hub.secret"
    assert HIDDEN in wrong[0][1]
    assert "S3CRET" not in wrong[0][1]
    assert "S3CRET" not in repr(validate(changed("endpoints", "hub", username="u", secret="S3CRET")))
