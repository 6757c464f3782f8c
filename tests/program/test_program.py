"""The arguments that the program gives to the providers for each option of the configuration."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from .conftest import Program

HARBOR = {"harbor": {"url": "https://harbor.example.com"}, "harborPassword": "Harbor-Password-1"}
HOST = {"host": {"region": "sg-sin-2", "hostname": "harbor.example.com", "dnsZone": "example.com", "version": "2.15.1"}}


def unwrapped(secret: Any) -> Any:
    """Return the value of a secret; fail if it is not a secret."""
    assert isinstance(secret, dict)
    assert secret[pulumi.runtime.rpc._special_sig_key] == pulumi.runtime.rpc._special_secret_sig
    return secret["value"]


def stack(**rule: object) -> dict[str, Any]:
    """A stack on an existing Harbor with one rule."""
    return {
        **HARBOR,
        "endpoints": {"hub": {"type": "docker-registry", "url": "https://registry.example.org"}},
        "projects": {"mirror": {}},
        "rules": {"nginx": {"endpoint": "hub", "repositories": "library/nginx", "project": "mirror", **rule}},
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, {"filters": [{"name": "library/nginx"}]}),
        ({}, {"registryId": 7.0, "action": "pull", "destNamespace": "mirror", "schedule": "manual", "enabled": True}),
        ({}, {"destNamespaceReplace": 0, "override": True, "name": "nginx", "speed": -1}),
        ({"tags": "1.2*"}, {"filters": [{"name": "library/nginx"}, {"tag": "1.2*", "decoration": "matches"}]}),
        (
            {"tags": {"matches": ["1.2*", "1.3*"], "excludes": "*-rc*"}, "resource": "image"},
            {
                "filters": [
                    {"name": "library/nginx"},
                    {"tag": "{1.2*,1.3*}", "decoration": "matches"},
                    {"tag": "*-rc*", "decoration": "excludes"},
                    {"resource": "image"},
                ]
            },
        ),
        ({"repositories": ["library/nginx", "library/redis"]}, {"filters": [{"name": "library/{nginx,redis}"}]}),
        ({"path": "hub", "flatten": 1}, {"destNamespace": "mirror/hub", "destNamespaceReplace": 1}),
        ({"schedule": "0 0 */6 * * *"}, {"schedule": "0 0 */6 * * *"}),
        ({"override": False, "enabled": False}, {"override": False, "enabled": False}),
        ({"deletion": True, "copyByChunk": True}, {"deletion": True, "copyByChunk": True}),
        ({"speedKbps": 2048, "description": "d"}, {"speed": 2048, "description": "d"}),
    ],
)
def test_a_rule_is_translated_for_the_provider(
    program: Program, rule: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    inputs = program(stack(**rule)).only("Replication").inputs
    assert {key: inputs[key] for key in expected} == expected


def test_each_filter_block_has_one_kind_of_filter(program: Program) -> None:
    inputs = program(stack(tags={"matches": "1.*", "excludes": "*-rc*"}, resource="image")).only("Replication").inputs
    kinds = [set(block) - {"decoration"} for block in inputs["filters"]]
    assert all(len(kind) == 1 for kind in kinds)


def test_an_endpoint_is_translated_for_the_provider(program: Program) -> None:
    config = stack()
    config["endpoints"]["hub"] |= {"username": "bot", "secret": "S3CRET-value", "description": "d"}
    inputs = program(config).only("Registry").inputs
    assert inputs["name"] == "hub-docker-registry"
    assert inputs["providerName"] == "docker-registry"
    assert inputs["endpointUrl"] == "https://registry.example.org"
    assert (inputs["accessId"], inputs["description"], inputs["insecure"]) == ("bot", "d", False)
    assert unwrapped(inputs["accessSecret"]) == "S3CRET-value"


def test_the_harbor_provider_checks_certificates(program: Program) -> None:
    assert str(program(stack()).only("harbor").inputs["insecure"]).lower() == "false"


def test_a_project_is_translated_for_the_provider(program: Program) -> None:
    config = stack()
    config["projects"]["mirror"] = {"public": True, "quotaGb": 50, "forceDestroy": True}
    inputs = program(config).only("Project").inputs
    assert (inputs["name"], inputs["public"], inputs["storageQuota"]) == ("mirror", True, 50.0)
    assert inputs["forceDestroy"] is True


def test_the_pull_robot_may_pull_from_the_stacks_projects_only(program: Program) -> None:
    config = stack()
    config["projects"]["other"] = {}
    robot = program(config).only("RobotAccount").inputs
    assert [entry["namespace"] for entry in robot["permissions"]] == ["mirror", "other"]
    for entry in robot["permissions"]:
        assert entry["accesses"] == [{"action": "pull", "resource": "repository"}]


def test_project_creation_is_restricted_on_a_new_host_and_on_request(program: Program) -> None:
    assert not program(stack()).of("ConfigSystem")
    asked = {**stack(), "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": True}}
    assert program(asked).only("ConfigSystem").inputs["projectCreationRestriction"] == "adminonly"
    assert program({**stack(), "harbor": {}, "harborPassword": "", **HOST}).of("ConfigSystem")


def test_a_host_has_its_firewall_from_the_start_and_keeps_its_address(program: Program) -> None:
    made = program({**HOST, "projects": {"mirror": {}}})
    instance, firewall = made.only("Instance").inputs, made.only("Firewall").inputs
    assert instance["firewallId"] == float(
        next(i for i, r in enumerate(made.resources, 1) if r.type.endswith("Firewall"))
    )
    assert instance["ipv4s"] == ["192.0.2.10"]
    assert (firewall["inboundPolicy"], firewall["outboundPolicy"]) == ("DROP", "ACCEPT")
    assert [(rule["label"], rule["ports"]) for rule in firewall["inbounds"]] == [("web", "80,443")]
    assert made.only("DomainRecord").inputs["target"] == "192.0.2.10"
    assert made.only("DomainRecord").inputs["name"] == "harbor"


def test_ssh_is_open_to_the_administrators_networks_only(program: Program) -> None:
    host = {"host": {**HOST["host"], "adminCidrs": ["203.0.113.0/24"]}}
    rules = program({**host, "projects": {"mirror": {}}}).only("Firewall").inputs["inbounds"]
    (ssh,) = [rule for rule in rules if rule["label"] == "ssh"]
    assert (ssh["ports"], ssh["ipv4s"]) == ("22", ["203.0.113.0/24"])
    assert "ipv6s" not in ssh, "the provider refuses a list without a network in it"


def test_a_rotated_password_does_not_touch_user_data(program: Program) -> None:
    before = program({**HOST, "projects": {"mirror": {}}})
    after = program({**HOST, "projects": {"mirror": {}}, "harborPassword": "Rotated-Password-1"})
    assert before.only("Instance").inputs["metadatas"] == after.only("Instance").inputs["metadatas"]
    packed = base64.b64decode(unwrapped(after.only("Instance").inputs["metadatas"])[0]["userData"])
    text = (gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed).decode()
    assert "Generated-harbor-admin" in text
    assert "Rotated-Password-1" not in text
    assert unwrapped(after.only("harbor").inputs["password"]) == "Rotated-Password-1"


RETENTION = {
    "keep": [
        {"mostRecentlyPushed": 10},
        {"repositories": ["library/*", "team/**"], "tags": {"excludes": "*-rc*"}, "pulledWithinDays": 30},
        {"tags": ["v*", "latest"], "always": True, "untagged": False},
    ]
}


def test_a_retention_is_translated_for_the_provider(program: Program) -> None:
    config = stack()
    config["projects"]["mirror"] = {"retention": {**RETENTION, "schedule": "0 0 0 * * *"}}
    made = program(config)
    inputs = made.only("RetentionPolicy").inputs
    assert inputs["schedule"] == "Daily", "as the provider reads that cron back"
    assert inputs["scope"] == str(next(i for i, r in enumerate(made.resources, 1) if r.type.endswith(":Project")))
    assert inputs["rules"] == [
        {"repoMatching": "**", "tagMatching": "**", "untaggedArtifacts": True, "mostRecentlyPushed": 10.0},
        {
            "repoMatching": "{library/*,team/**}",
            "tagExcluding": "*-rc*",
            "untaggedArtifacts": True,
            "nDaysSinceLastPull": 30.0,
        },
        {"repoMatching": "**", "tagMatching": "{v*,latest}", "untaggedArtifacts": False, "alwaysRetain": True},
    ]


def test_a_retention_without_a_schedule_runs_at_night(program: Program) -> None:
    config = stack()
    config["projects"]["mirror"] = {"retention": RETENTION}
    second, minute, hour, *rest = program(config).only("RetentionPolicy").inputs["schedule"].split()
    assert (second, rest, minute.isdigit(), hour.isdigit()) == ("0", ["*", "*", "*"], True, True)
    config["projects"]["mirror"] = {"retention": {**RETENTION, "schedule": "manual"}}
    assert "schedule" not in program(config).only("RetentionPolicy").inputs


def test_maintenance_is_set_on_a_new_host_and_on_request(program: Program) -> None:
    assert not program(stack()).of("GarbageCollection")
    ours = program({**HOST, "projects": {"mirror": {}}})
    defaults = {"schedule": "0 30 3 * * 6", "deleteUntagged": False, "workers": 1.0}
    assert ours.only("GarbageCollection").inputs == defaults
    purge = next(entry.inputs for entry in ours.of("RandomId") if entry.name.endswith("audit-purge"))
    assert purge["keepers"] == {
        "type": "Custom",
        "cron": "0 30 2 * * *",
        "audit_retention_hour": "2160",
        "include_operations": "create,delete,pull",
        "include_event_types": "create_artifact,delete_artifact,pull_artifact",
        "dry_run": "False",
    }
    asked = {**stack(), "maintenance": {"garbageCollection": {"schedule": "0 0 0 * * 0", "workers": 3}}}
    made = program(asked)
    assert made.only("GarbageCollection").inputs == {"schedule": "Weekly", "deleteUntagged": False, "workers": 3.0}
    assert not made.of("RandomId")
    off = {**HOST, "projects": {"mirror": {}}, "maintenance": {"garbageCollection": {"schedule": "manual"}}}
    assert not program(off).of("GarbageCollection")


def test_rules_in_files_are_registered_like_other_rules(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mirrors").mkdir()
    redis = "rules: {redis: {endpoint: hub, repositories: library/redis, project: mirror}}"
    (tmp_path / "mirrors" / "data-team.yaml").write_text(redis)
    made = program({**stack(), "rulesDir": "mirrors"})
    assert sorted(entry.name for entry in made.of("Replication")) == ["nginx", "redis"]


def test_strict_refuses_what_exceeds_the_budget(program: Program) -> None:
    config = stack(schedule="0 */10 * * * *", repositories="library/nginx", expectedTags=50)
    config["endpoints"]["hub"] = {"type": "docker-hub"}
    assert program(config).of("Replication")
    with pytest.raises(pulumi.RunError, match="1800 pulls in 6 hours"):
        program({**config, "strict": True})


def test_faults_stop_the_program_before_it_registers_anything(program: Program) -> None:
    with pytest.raises(pulumi.RunError, match="2 faults"):
        program(stack(enabled="yes", endpoint="nowhere"))
