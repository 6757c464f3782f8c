"""Every change of rules, endpoints and projects reaches an existing Harbor in one `up`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.engine import Result, names
from localcloud.registry import RegistrySimulator

from .conftest import SOURCE_PASSWORD, SOURCE_USERNAME, Mirror

#: Property of a rule -> (new value, where the policy in Harbor shows it, what it then shows).
CHANGES: dict[str, tuple[Any, str, Any]] = {
    "schedule": ("0 0 */6 * * *", "trigger", {"type": "scheduled", "trigger_settings": {"cron": "0 0 */6 * * *"}}),
    "tags": ({"excludes": "*-rc*"}, "filters.tag", {"type": "tag", "value": "*-rc*", "decoration": "excludes"}),
    "repositories": ("nowhere/*", "filters.name", {"type": "name", "value": "nowhere/*"}),
    "resource": ("image", "filters.resource", {"type": "resource", "value": "image"}),
    "path": ("below/here", "dest_namespace", "{name}/below/here"),
    "flatten": (1, "dest_namespace_replace_count", 1),
    "override": (False, "override", None),
    "enabled": (False, "enabled", None),
    "deletion": (True, "deletion", True),
    "copyByChunk": (True, "copy_by_chunk", True),
    "speedKbps": (2048, "speed", 2048),
    "description": ("Base images", "description", "Base images"),
}


def shown(policy: Any, where: str) -> Any:
    """Return the properties that Harbor reports; it omits those that are false."""
    first, _, kind = where.partition(".")
    value = policy.get(first)
    if kind:
        return next((entry for entry in value if entry["type"] == kind), None)
    return value


def updated(result: Result, kind: str) -> list[str]:
    """Return the logical names of the updated resources of `kind`; fail if anything else has changed."""
    assert result.code == 0, result.output
    assert {step.op for step in result.changes} <= {"update"}, result.output
    return [step.name for step in result.changes if step.type == kind]


@pytest.mark.slow
def test_each_property_of_a_rule_changes_alone(mirror: Mirror) -> None:
    """Create an equal rule for each property, then change one property of each rule."""
    rules = mirror.section("rules")
    like = rules.pop(mirror.name)
    rules |= {f"{mirror.name}-{field}": dict(like, path=field.lower()) for field in CHANGES}
    assert mirror.apply().code == 0
    before = {field: mirror.policy(f"{mirror.name}-{field}") for field in CHANGES}
    for field, (value, _, _) in CHANGES.items():
        rules[f"{mirror.name}-{field}"][field] = value
    assert sorted(updated(mirror.apply(), "harbor:index/replication:Replication")) == sorted(rules)
    for field, (_, where, expected) in CHANGES.items():
        after = mirror.policy(f"{mirror.name}-{field}")
        if isinstance(expected, str):
            expected = expected.format(name=mirror.name)
        assert shown(after, where) == expected, field
        # Registries stand in a policy whole, with times of their own.
        moved = {where.partition(".")[0], "update_time", "replicate_deletion", "src_registry", "dest_registry"}
        assert {k: v for k, v in after.items() if k not in moved} == {
            k: v for k, v in before[field].items() if k not in moved
        }, field
    assert mirror.workspace.up("--expect-no-changes").code == 0
    refreshed = mirror.workspace.refresh("--expect-no-changes")
    assert refreshed.code == 0, refreshed.output


def test_a_renamed_rule_keeps_its_schedule(mirror: Mirror) -> None:
    mirror.rule["schedule"] = "0 30 2 * * *"
    assert mirror.apply().code == 0
    rules = mirror.section("rules")
    rules[f"{mirror.name}-new"] = rules.pop(mirror.name)
    result = mirror.apply().ok()
    assert f"{mirror.name}-new" in names(result.changes, "create")
    assert mirror.policy(f"{mirror.name}-new")["trigger"]["trigger_settings"]["cron"] == "0 30 2 * * *"
    with mirror.target.client() as client:
        assert mirror.name not in {policy["name"] for policy in client.policies()}


def test_a_removed_rule_is_deleted_and_the_others_stay(mirror: Mirror) -> None:
    mirror.section("rules")[f"{mirror.name}-other"] = dict(mirror.rule, path="other")
    assert mirror.apply().code == 0
    del mirror.section("rules")[f"{mirror.name}-other"]
    result = mirror.apply().ok()
    assert {step.op for step in result.changes} == {"delete"}
    with mirror.target.client() as client:
        ours = {policy["name"] for policy in client.policies() if policy["name"].startswith(mirror.name)}
    assert ours == {mirror.name}


@pytest.mark.slow
def test_an_endpoints_type_changes_while_its_rule_uses_it(mirror: Mirror) -> None:
    assert mirror.apply().code == 0
    before = mirror.policy()
    mirror.section("endpoints")[mirror.name]["type"] = "jfrog-artifactory"
    mirror.apply().ok()
    after = mirror.policy()
    assert after["id"] == before["id"], "the rule moved in place, with its executions"
    assert after["src_registry"]["name"] == f"{mirror.name}-jfrog-artifactory"
    with mirror.target.client() as client:
        ours = [entry["name"] for entry in client.registries() if entry["name"].startswith(mirror.name)]
    assert ours == [f"{mirror.name}-jfrog-artifactory"]
    assert mirror.workspace.preview("--expect-no-changes").code == 0


def test_a_renamed_endpoint_keeps_its_rule(mirror: Mirror) -> None:
    assert mirror.apply().code == 0
    before = mirror.policy()["id"]
    endpoints = mirror.section("endpoints")
    endpoints[f"{mirror.name}-new"] = endpoints.pop(mirror.name)
    mirror.rule["endpoint"] = f"{mirror.name}-new"
    mirror.apply().ok()
    assert mirror.policy()["id"] == before
    assert mirror.policy()["src_registry"]["name"] == f"{mirror.name}-new-docker-registry"


def test_a_renamed_project_keeps_its_rule(mirror: Mirror) -> None:
    assert mirror.apply().code == 0
    projects = mirror.section("projects")
    projects[f"{mirror.name}-new"] = projects.pop(mirror.name)
    mirror.rule["project"] = f"{mirror.name}-new"
    mirror.apply().ok()
    assert mirror.policy()["dest_namespace"] == f"{mirror.name}-new"


@pytest.mark.slow
def test_a_rotated_secret_reaches_harbor_and_never_the_state(
    mirror: Mirror, locked_source: tuple[RegistrySimulator, str]
) -> None:
    registry, url = locked_source
    mirror.section("endpoints")[mirror.name] |= {"url": url, "username": SOURCE_USERNAME}
    mirror.workspace.configure(mirror.config)
    mirror.workspace.set_secret(f"endpoints.{mirror.name}.secret", SOURCE_PASSWORD)
    printed = mirror.workspace.up().ok().output
    registry.set_credentials(SOURCE_USERNAME, "Rotated-Secret-2")
    mirror.workspace.set_secret(f"endpoints.{mirror.name}.secret", "Rotated-Secret-2")
    result = mirror.workspace.up("--diff")
    assert updated(result, "harbor:index/registry:Registry") == [f"{mirror.name}-docker-registry"]
    with mirror.target.client() as client:
        endpoint = next(entry for entry in client.registries() if entry["name"].startswith(mirror.name))
        client.ping_registry(endpoint["id"])
    everything = printed + result.output + mirror.workspace.export()
    everything += json.dumps(mirror.workspace.outputs()) + (mirror.workspace.directory / "events.json").read_text()
    for secret in (SOURCE_PASSWORD, "Rotated-Secret-2", mirror.target.password):
        assert secret not in everything


@pytest.mark.parametrize("command", ["preview", "up"])
def test_an_object_that_exists_in_harbor_suggests_adopt(mirror: Mirror, command: str) -> None:
    if command == "preview":
        assert mirror.workspace.preview().code == 0, "a preview does not ask Harbor"
        return
    with mirror.target.client() as client:
        client.request("POST", "/projects", body={"project_name": mirror.name, "metadata": {"public": "false"}})
    result = mirror.apply()
    assert result.code != 0
    assert "409" in result.output
    with mirror.target.client() as client:
        client.request("DELETE", f"/projects/{mirror.name}")
