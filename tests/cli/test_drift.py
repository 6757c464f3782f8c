"""Tests of `drift`: every field is compared, also those that the provider's refresh does not read, and repaired."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from harbor_mirror.harbor.client import Harbor
from localcloud.faults import Fault
from localcloud.harbor.auth import hash_of
from localcloud.harbor.data import Credential
from localcloud.harbor.maintenance import GC, PURGE
from localcloud.registry import RegistrySimulator
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD, PULL, ROBOT, HarborFixture, change
from tests.cli.protection import PROTECTION, protect

Change = Callable[[HarborFixture], object]


@pytest.fixture
def harbor_of_stack(mirrored: HarborFixture) -> HarborFixture:
    """A Harbor that matches the stack; the rule `redis` is not managed by it."""
    mirrored.robot().permissions = [{"kind": "project", "namespace": "mirror", "access": PULL}]
    return mirrored


def drifts(report: Any) -> set[tuple[str, str, str]]:
    return {
        (finding["kind"], finding["subject"], finding["field"])
        for finding in report["findings"]
        if finding["kind"] != "unmanaged"
    }


@pytest.mark.usefixtures("harbor_of_stack")
def test_no_drift_and_unmanaged_objects_are_reported_only(run: Run, stack: FakeStack) -> None:
    result = run("drift", "--json", **stack.environment)
    assert (result.code, drifts(result.json)) == (0, set())
    assert [finding["subject"] for finding in result.json["findings"]] == ["rule redis"]


def policy(**fields: Any) -> Change:
    # A rule that was just saved is not overdue yet.
    return lambda harbor: change(harbor.policies[1], **fields, update_time=datetime.now(UTC))


def registry(**fields: Any) -> Change:
    return lambda harbor: change(harbor.registries[1], **fields)


CHANGES: dict[str, tuple[Change, str, str]] = {
    "repositories": (
        lambda harbor: harbor.policies[1].filters[0].update(value="library/*"), "rules.nginx", "repositories",
    ),
    "tags": (lambda harbor: harbor.policies[1].filters.pop(), "rules.nginx", "tags.matches"),
    "tags excluded": (
        lambda harbor: harbor.policies[1].filters.append({"type": "tag", "value": "*-rc", "decoration": "excludes"}),
        "rules.nginx", "tags.excludes",
    ),
    "resource": (
        lambda harbor: harbor.policies[1].filters.append({"type": "resource", "value": "image"}),
        "rules.nginx", "resource",
    ),
    "label": (
        lambda harbor: harbor.policies[1].filters.append({"type": "label", "value": ["a"], "decoration": "matches"}),
        "rules.nginx", "labels",
    ),
    "description": (policy(description="by hand"), "rules.nginx", "description"),
    "speed": (policy(speed=100), "rules.nginx", "speedKbps"),
    "override": (policy(override=False), "rules.nginx", "override"),
    "enabled": (policy(enabled=False), "rules.nginx", "enabled"),
    "deletion": (policy(deletion=True), "rules.nginx", "deletion"),
    "chunks": (policy(copy_by_chunk=True), "rules.nginx", "copyByChunk"),
    "single active": (policy(single_active_replication=True), "rules.nginx", "singleActive"),
    "flatten": (policy(dest_namespace_replace_count=1), "rules.nginx", "flatten"),
    "namespace": (policy(dest_namespace="elsewhere"), "rules.nginx", "destination"),
    "trigger": (
        policy(trigger={"type": "scheduled", "trigger_settings": {"cron": "0 0 3 * * *"}}), "rules.nginx", "schedule",
    ),
    "rule name": (policy(name="renamed"), "rules.nginx", "name"),
    "source": (
        lambda harbor: change(harbor.policies[1], src_registry_id=harbor.add_registry("other", "http://127.0.0.1:1")),
        "rules.nginx", "endpoint",
    ),
    "url": (
        lambda harbor: change(harbor.registries[1], url=harbor.registries[1].url.replace("127.0.0.1", "localhost")),
        "endpoints.hub", "url",
    ),
    "insecure": (registry(insecure=True), "endpoints.hub", "insecure"),
    "endpoint name": (registry(name="other"), "endpoints.hub", "name"),
    "username": (registry(credential=Credential("basic", "bob", "Secret-1")), "endpoints.hub", "username"),
    "public": (
        lambda harbor: harbor.project("mirror").metadata.update(public="true"), "projects.mirror", "public",
    ),
    "quota": (lambda harbor: change(harbor.quota("mirror"), storage=1024**3), "projects.mirror", "quotaGb"),
    "robot rights": (
        lambda harbor: harbor.robot().permissions.clear(), "pullUsername", "permissions",
    ),
    "robot disabled": (lambda harbor: change(harbor.robot(), disable=True), "pullUsername", "disabled"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_changed_field_is_reported_and_repaired(
    harbor_of_stack: HarborFixture, run: Run, stack: FakeStack, name: str
) -> None:
    change, subject, field = CHANGES[name]
    environment = stack.environment
    change(harbor_of_stack)
    result = run("drift", "--json", **environment)
    assert result.code == 2
    assert drifts(result.json) == {("changed", subject, field)}
    finding = next(finding for finding in result.json["findings"] if finding["subject"] == subject)
    assert finding["declared"] != finding["live"]
    fixed = run("drift", "--fix", **environment)
    assert fixed.code == 0
    assert f"fixed: {subject}.{field}: declared" in fixed.out
    assert run("drift", **environment).code == 0


def test_a_ca_that_the_stack_does_not_mention_is_kept_until_it_says_none(
    harbor_of_stack: HarborFixture, run: Run, stack: FakeStack
) -> None:
    ca = trustme.CA().cert_pem.bytes().decode()
    change(harbor_of_stack.registries[1], ca_certificate=ca)
    result = run("drift", "--fix", "--json", **stack.environment)
    assert (result.code, drifts(result.json)) == (0, set())
    (finding,) = (found for found in result.json["findings"] if found["field"] == "caCertificate")
    assert (finding["kind"], finding["subject"]) == ("unmanaged", "endpoints.hub")
    assert finding["live"].startswith("sha256:")
    assert "caCertificate: none to remove it" in finding["advice"]
    assert harbor_of_stack.registries[1].ca_certificate == ca

    stack.config["endpoints"]["hub"]["caCertificate"] = "none"
    assert drifts(run("drift", "--json", **stack.environment).json) == {("changed", "endpoints.hub", "caCertificate")}
    assert run("drift", "--fix", **stack.environment).code == 0
    assert harbor_of_stack.registries[1].ca_certificate == ""
    assert run("drift", **stack.environment).code == 0


def test_project_creation_by_everyone_is_drift_if_restricted(
    harbor_of_stack: HarborFixture, run: Run, stack: FakeStack
) -> None:
    harbor_of_stack.data.configuration["project_creation_restriction"] = "everyone"
    assert run("drift", **stack.environment).code == 0
    stack.config["harbor"]["restrictProjectCreation"] = True
    result = run("drift", **stack.environment)
    assert result.code == 2
    assert "harbor.projectCreation: declared adminonly / live everyone" in result.out
    assert run("drift", "--fix", **stack.environment).code == 0


RETENTION = {
    "algorithm": "or",
    "scope": {"level": "project", "ref": 1},
    "rules": [
        {
            "action": "retain",
            "template": "latestPushedK",
            "params": {"latestPushedK": 5},
            "scope_selectors": {"repository": [{"decoration": "repoMatches", "kind": "doublestar", "pattern": "**"}]},
            "tag_selectors": [
                {"decoration": "matches", "extras": '{"untagged":true}', "kind": "doublestar", "pattern": "v*"}
            ],
        }
    ],
    "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 4 * * *"}},
}


@pytest.fixture
def kept(harbor_of_stack: HarborFixture, stack: FakeStack) -> HarborFixture:
    """Harbor and stack with retention, garbage collection and audit purge, as recorded on Harbor 2.15.2."""
    stack.config["projects"]["mirror"]["retention"] = {
        "schedule": "0 0 4 * * *",
        "keep": [{"mostRecentlyPushed": 5, "tags": "v*"}],
    }
    stack.config["maintenance"] = {
        "garbageCollection": {"schedule": "0 0 5 * * 6", "workers": 2},
        "auditPurge": {"schedule": "0 0 2 * * *", "retentionHours": 168, "operations": ["pull", "create"]},
    }
    harbor_of_stack.add_retention("mirror", copy.deepcopy(RETENTION))
    collection = {"delete_tag": False, "delete_untagged": False, "workers": 2}
    harbor_of_stack.add_schedule(GC, "Custom", "0 0 5 * * 6", **collection)
    events = "create_artifact,pull_artifact"
    purge = {"audit_retention_hour": 168, "dry_run": False, "include_event_types": events}
    harbor_of_stack.add_schedule(PURGE, "Custom", "0 0 2 * * *", **purge)
    return harbor_of_stack


@pytest.mark.usefixtures("kept")
def test_retention_and_maintenance_without_drift(run: Run, stack: FakeStack) -> None:
    result = run("drift", "--json", **stack.environment)
    assert (result.code, drifts(result.json)) == (0, set())


@pytest.mark.parametrize(
    ("change", "subject", "field"),
    [
        (lambda h: h.data.schedules.delete(h.schedule(GC).id), "maintenance.garbageCollection", "schedule"),
        (
            lambda h: h.schedule(GC).parameters.update(delete_untagged=True),
            "maintenance.garbageCollection", "deleteUntagged",
        ),
        (
            lambda h: change(h.schedule(PURGE), cron="0 0 3 * * *"),
            "maintenance.auditPurge", "schedule",
        ),
        (
            lambda h: h.schedule(PURGE).parameters.update(include_event_types="create_artifact"),
            "maintenance.auditPurge", "operations",
        ),
        (
            lambda h: h.data.retentions[1].body["rules"][0]["params"].update(latestPushedK=3),
            "projects.mirror.retention", "keep",
        ),
        (
            lambda h: h.data.retentions[1].body["rules"][0]["tag_selectors"][0].update(extras='{"untagged":false}'),
            "projects.mirror.retention", "keep",
        ),
        (lambda h: h.data.retentions[1].body["rules"].clear(), "projects.mirror.retention", "keep"),
        (
            lambda h: h.data.retentions[1].body["trigger"]["settings"].update(cron=""),
            "projects.mirror.retention", "schedule",
        ),
    ],
)  # fmt: skip
def test_changed_retention_and_maintenance_are_repaired(
    kept: HarborFixture, run: Run, stack: FakeStack, change: Change, subject: str, field: str
) -> None:
    change(kept)
    result = run("drift", "--json", **stack.environment)
    assert result.code == 2
    assert ("changed", subject, field) in drifts(result.json)
    assert {finding[1] for finding in drifts(result.json)} == {subject}
    assert run("drift", "--fix", **stack.environment).code == 0
    assert run("drift", **stack.environment).code == 0


def test_a_lost_retention(kept: HarborFixture, run: Run, stack: FakeStack) -> None:
    del kept.project("mirror").metadata["retention_id"]
    result = run("drift", "--json", **stack.environment)
    assert drifts(result.json) == {("lost", "projects.mirror.retention", "")}


def test_lost_objects(harbor_of_stack: HarborFixture, run: Run, stack: FakeStack) -> None:
    harbor_of_stack.policies.delete(1)
    harbor_of_stack.data.robots.clear()
    harbor_of_stack.data.projects.clear()
    result = run("drift", "--fix", "--json", **stack.environment)
    assert result.code == 2
    assert {finding[:2] for finding in drifts(result.json)} == {
        ("lost", "rules.nginx"), ("lost", "pullUsername"), ("lost", "projects.mirror"),
    }  # fmt: skip


def test_credentials_that_no_longer_work(
    harbor_of_stack: HarborFixture, source: RegistrySimulator, run: Run, stack: FakeStack
) -> None:
    """The secret was changed in Harbor; the provider's refresh cannot see it."""
    stack.config["endpoints"]["hub"] |= {"username": "alice", "secret": "Source-Secret-1"}
    source.set_credentials("alice", "Source-Secret-1")
    harbor_of_stack.registries[1].credential = Credential("basic", "alice", "Old-Secret-1")
    harbor_of_stack.robot().secret_hash = hash_of("Another-Secret-1", ROBOT)
    result = run("drift", "--json", **stack.environment)
    assert result.code == 2
    assert drifts(result.json) == {("unhealthy", "endpoints.hub", ""), ("unhealthy", "pullPassword", "")}
    run("drift", "--fix", **stack.environment)
    assert drifts(run("drift", "--json", **stack.environment).json) == {("unhealthy", "pullPassword", "")}


@pytest.mark.usefixtures("harbor_of_stack")
def test_a_repair_that_harbor_rejects(source: RegistrySimulator, run: Run, stack: FakeStack) -> None:
    source.faults.add(Fault("/v2/", 503, times=None))
    result = run("drift", "--fix", **stack.environment)
    assert result.code == 2
    assert "unhealthy: endpoints.hub: the registry is unhealthy (not fixed: the registry is unhealthy)" in result.out


def test_secrets_that_harbor_repeats_in_an_error_are_hidden(
    harbor_of_stack: HarborFixture, run: Run, stack: FakeStack
) -> None:
    header, secret, robot = "Bearer Header-Secret-1", "Endpoint/Secret@1", "Team-Secret-1"
    address = "https://bot:Endpoint%2FSecret%401@registry.example.com"
    stack.config["endpoints"]["hub"] |= {"username": "bot", "secret": secret}
    stack.config["projects"]["mirror"]["webhooks"] = {"ops": {"url": "https://hooks.example.com", "authHeader": header}}
    stack.outputs["robots"] = {"web": {"username": "robot$web", "password": robot}}
    body = json.dumps({"errors": [{"message": f"cannot use {secret}, {header}, {robot}, {PASSWORD} at {address}"}]})
    harbor_of_stack.faults.add(Fault("/registries/1$", method="PUT", status=400, body=body))
    result = run("drift", "--fix", **stack.environment)
    assert "cannot use [secret], [secret], [secret], [secret] at https://bot:[secret]@registry" in result.out
    for hidden in (header, secret, robot, PASSWORD):
        assert hidden not in result.out + result.err


def test_a_schedule_that_stopped_firing(harbor_of_stack: HarborFixture, run: Run, stack: FakeStack) -> None:
    """An enabled rule with a cron and no execution for days; saving it again repairs it."""
    stack.config["rules"]["nginx"]["schedule"] = "0 0 2 * * *"
    trigger = {"type": "scheduled", "trigger_settings": {"cron": "0 0 2 * * *"}}
    long_ago = datetime(2020, 1, 1, 2, 0, tzinfo=UTC)
    change(harbor_of_stack.policies[1], trigger=trigger, update_time=long_ago)
    harbor_of_stack.add_execution(1, start=long_ago)
    result = run("drift", "--json", **stack.environment)
    assert drifts(result.json) == {("stale", "rules.nginx", "schedule")}
    run("drift", "--fix", **stack.environment)
    assert ("PUT", "/api/v2.0/replication/policies/1") in harbor_of_stack.calls()


def test_a_paused_scheduler(harbor_of_stack: HarborFixture, run: Run, stack: FakeStack) -> None:
    harbor_of_stack.conditions.scheduler_paused = True
    result = run("drift", **stack.environment)
    assert result.code == 2
    assert "paused: the scheduler" in result.out


@pytest.mark.usefixtures("mirrored")
def test_drift_needs_a_stack(run: Run) -> None:
    result = run("drift")
    assert result.code == 1
    assert "use --stack" in result.err


def test_a_faulty_configuration_is_reported_line_by_line(run: Run, stack: FakeStack) -> None:
    stack.config["rules"]["nginx"]["schedule"] = "0 */1 * * * *"
    result = run("drift", **stack.environment)
    assert result.code == 1
    summary, *faults = result.err.splitlines()
    assert summary.startswith("mirrorctl: 1 fault in the stack's configuration")
    assert [line.split(":")[0] for line in faults] == ["  rules.nginx.schedule"]


@pytest.fixture
def protected(harbor_of_stack: HarborFixture, stack: FakeStack) -> HarborFixture:
    """Harbor and stack with everything that protects a project, and a robot account of a team."""
    with Harbor(harbor_of_stack.url, ADMIN, PASSWORD) as client:
        protect(client, harbor_of_stack.project("mirror").id)
    secrets = {"url": "https://hooks.example.com/a", "authHeader": "Bearer Hook-Secret-1"}
    webhooks: Any = PROTECTION["webhooks"]
    stack.config["projects"]["mirror"] |= {**PROTECTION, "webhooks": {"ops": {**webhooks["ops"], **secrets}}}
    stack.config["robots"] = {"ci": {"projects": ["mirror"]}}
    permissions = [{"kind": "project", "namespace": "mirror", "access": PULL}]
    harbor_of_stack.add_robot("robot$ci", "Robot-Secret-1", permissions)
    stack.outputs["robots"] = {"ci": {"username": "robot$ci", "password": "Robot-Secret-1"}}
    return harbor_of_stack


@pytest.mark.usefixtures("protected")
def test_protection_without_drift(run: Run, stack: FakeStack) -> None:
    result = run("drift", "--json", **stack.environment)
    assert (result.code, drifts(result.json)) == (0, set())
    assert "Hook-Secret-1" not in result.out
    unmanaged = {finding["subject"] for finding in result.json["findings"] if finding["kind"] == "unmanaged"}
    assert "projects.mirror.webhooks.events" in unmanaged


@pytest.mark.parametrize(
    ("change", "subject", "field"),
    [
        (lambda h: h.project("mirror").metadata.update(prevent_vul="false"), "projects.mirror", "preventVulnerable"),
        (lambda h: h.project("mirror").metadata.update(severity="low"), "projects.mirror", "preventVulnerable"),
        (
            lambda h: h.project("mirror").metadata.update(enable_content_trust_cosign="false"),
            "projects.mirror", "cosign",
        ),
        (lambda h: h.project("mirror").metadata.pop("auto_sbom_generation"), "projects.mirror", "sbom"),
        (lambda h: change(h.project("mirror"), allowlist_expires_at=None), "projects.mirror", "cveAllowlist"),
        (
            lambda h: h.project("mirror").metadata.update(reuse_sys_cve_allowlist="true"),
            "projects.mirror", "cveAllowlist",
        ),
        (
            lambda h: change(next(iter(h.data.immutable_rules)), disabled=True),
            "projects.mirror.immutableTags repoMatches ** matches v*", "enabled",
        ),
        (
            lambda h: h.data.webhooks.find(name="ops").targets[0].update(skip_cert_verify=True),
            "projects.mirror.webhooks.ops", "insecure",
        ),
        (
            lambda h: change(h.data.webhooks.find(name="ops"), event_types=["PUSH_ARTIFACT"]),
            "projects.mirror.webhooks.ops", "events",
        ),
        (
            lambda h: change(h.data.members.find(entity_type="g"), role_id=1),
            "projects.mirror.members.groups.web", "role",
        ),
        (lambda h: h.robot("robot$ci").permissions[0].update(namespace="*"), "robots.ci", "permissions"),
    ],
)  # fmt: skip
def test_weakened_protection_is_reported_and_repaired(
    protected: HarborFixture, run: Run, stack: FakeStack, change: Change, subject: str, field: str
) -> None:
    environment = stack.environment
    change(protected)
    result = run("drift", "--json", **environment)
    assert (result.code, drifts(result.json)) == (2, {("changed", subject, field)})
    assert run("drift", "--fix", **environment).code == 0
    assert drifts(run("drift", "--json", **environment).json) == set()


def test_fix_leaves_protection_that_is_not_declared(harbor_of_stack: HarborFixture, run: Run, stack: FakeStack) -> None:
    project = harbor_of_stack.project("mirror")
    project.metadata.update(public="true", prevent_vul="true", severity="high", enable_content_trust_cosign="true")
    result = run("drift", "--fix", **stack.environment)
    assert result.code == 0
    assert "fixed: projects.mirror.public" in result.out
    assert "unmanaged: projects.mirror.preventVulnerable: high" in result.out
    assert (project.metadata["prevent_vul"], project.metadata["severity"]) == ("true", "high")
    assert project.metadata["enable_content_trust_cosign"] == "true"
