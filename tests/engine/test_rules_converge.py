"""Changes of several properties that converge in one `up`: moves, switches, and objects that exist in Harbor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harbor_mirror.harbor.client import HarborError
from localcloud.engine import Result

from .conftest import Mirror


def touched(result: Result) -> set[tuple[str, str]]:
    """Return (operation, type) of every change."""
    return {(step.op, step.type.rpartition(":")[2]) for step in result.ok().changes}


def unchanged(mirror: Mirror) -> bool:
    return mirror.workspace.preview("--expect-no-changes").code == 0


@pytest.mark.slow
def test_a_rule_moves_to_another_endpoint_in_place(mirror: Mirror) -> None:
    other = f"{mirror.name}-other"
    mirror.section("endpoints")[other] = dict(mirror.section("endpoints")[mirror.name])
    mirror.rule["schedule"] = "0 30 2 * * *"
    mirror.apply().ok()
    before = mirror.policy()
    mirror.rule["endpoint"] = other
    assert touched(mirror.apply()) == {("update", "Replication")}
    after = mirror.policy()
    assert after["id"] == before["id"], "its executions stay"
    assert after["src_registry"]["name"] == f"{other}-docker-registry"
    assert after["trigger"] == before["trigger"]
    assert unchanged(mirror)


def test_a_rule_moves_while_its_old_endpoint_is_deleted(mirror: Mirror) -> None:
    mirror.apply().ok()
    before = mirror.policy()["id"]
    other = f"{mirror.name}-other"
    endpoints = mirror.section("endpoints")
    endpoints[other] = endpoints.pop(mirror.name)
    mirror.rule["endpoint"] = other
    mirror.apply().ok()
    assert mirror.policy()["id"] == before
    with mirror.target.client() as client:
        ours = [entry["name"] for entry in client.registries() if entry["name"].startswith(mirror.name)]
    assert ours == [f"{other}-docker-registry"]
    assert unchanged(mirror)


@pytest.mark.slow
def test_a_rule_is_disabled_and_enabled(mirror: Mirror) -> None:
    mirror.rule["schedule"] = "0 30 2 * * *"
    mirror.apply().ok()
    before = mirror.policy()
    mirror.rule["enabled"] = False
    assert touched(mirror.apply()) == {("update", "Replication")}
    assert not mirror.policy().get("enabled")
    with mirror.target.client() as client, pytest.raises(HarborError, match="412"):
        client.request("POST", "/replication/executions", body={"policy_id": before["id"]})
    mirror.rule["enabled"] = True
    assert touched(mirror.apply()) == {("update", "Replication")}
    after = mirror.policy()
    assert after["enabled"] is True
    assert (after["id"], after["trigger"]) == (before["id"], before["trigger"])
    assert unchanged(mirror)


@pytest.mark.slow
def test_a_rule_renamed_with_its_project_and_endpoint_at_once(mirror: Mirror) -> None:
    mirror.rule["schedule"] = "0 30 2 * * *"
    mirror.apply().ok()
    new = f"{mirror.name}-new"
    for section in ("endpoints", "projects", "rules"):
        entries = mirror.section(section)
        entries[new] = entries.pop(mirror.name)
    mirror.section("rules")[new] |= {"endpoint": new, "project": new}
    mirror.apply().ok()
    policy = mirror.policy(new)
    assert policy["dest_namespace"] == new
    assert policy["src_registry"]["name"] == f"{new}-docker-registry"
    assert policy["trigger"]["trigger_settings"]["cron"] == "0 30 2 * * *"
    assert unchanged(mirror)


@pytest.mark.slow
def test_a_retention_is_created_changed_and_deleted(mirror: Mirror) -> None:
    project = mirror.section("projects")[mirror.name]
    project["retention"] = {"schedule": "0 0 0 * * *", "keep": [{"mostRecentlyPushed": 5}]}
    mirror.apply().ok()
    assert unchanged(mirror)
    found = retention(mirror)
    assert found["trigger"]["settings"]["cron"] == "0 0 0 * * *"
    assert [(rule["template"], rule["params"]) for rule in found["rules"]] == [("latestPushedK", {"latestPushedK": 5})]
    project["retention"]["keep"] = [{"tags": "v*", "always": True}, {"repositories": "team/**", "pulledWithinDays": 30}]
    assert touched(mirror.apply()) == {("update", "RetentionPolicy")}
    assert [rule["template"] for rule in retention(mirror)["rules"]] == ["always", "nDaysSinceLastPull"]
    assert mirror.workspace.refresh("--expect-no-changes").code == 0
    del project["retention"]
    assert touched(mirror.apply()) == {("delete", "RetentionPolicy")}
    assert not retention(mirror)["rules"]


def retention(mirror: Mirror) -> Any:
    with mirror.target.client() as client:
        metadata = client.get(f"/projects/{mirror.name}")["metadata"]
        return client.get(f"/retentions/{metadata['retention_id']}")


@pytest.mark.slow
def test_maintenance_is_set_as_configured_and_a_second_up_changes_nothing(mirror: Mirror) -> None:
    mirror.config["harbor-mirror:maintenance"] = {
        "garbageCollection": {"schedule": "0 0 0 * * 0", "workers": 2},
        "auditPurge": {"retentionHours": 720, "operations": ["pull", "other"]},
    }
    mirror.apply().ok()
    with mirror.target.client() as client:
        collection, purge = client.get("/system/gc/schedule"), client.get("/system/purgeaudit/schedule")
    assert collection["schedule"]["cron"] == "0 0 0 * * 0"
    assert '"delete_untagged":false' in collection["job_parameters"].replace(" ", "")
    assert purge["schedule"]["cron"] == "0 30 2 * * *"
    assert "pull_artifact,other" in purge["job_parameters"]
    assert mirror.workspace.up("--expect-no-changes").code == 0
    assert mirror.workspace.refresh("--expect-no-changes").code == 0
    mirror.config["harbor-mirror:maintenance"]["auditPurge"]["schedule"] = "0 45 4 * * *"
    mirror.apply().ok()
    with mirror.target.client() as client:
        assert client.get("/system/purgeaudit/schedule")["schedule"]["cron"] == "0 45 4 * * *"


#: Makes by hand what the stack is about to create; returns the paths in the API, to be deleted in this order.
ByHand = Callable[[Mirror], tuple[str, ...]]


def a_project(mirror: Mirror) -> tuple[str, ...]:
    with mirror.target.client() as client:
        client.request("POST", "/projects", body={"project_name": mirror.name, "metadata": {"public": "false"}})
    return (f"/projects/{mirror.name}",)


def an_endpoint(mirror: Mirror) -> tuple[str, ...]:
    return (_endpoint(mirror, f"{mirror.name}-docker-registry"),)


def a_rule(mirror: Mirror) -> tuple[str, ...]:
    endpoint = _endpoint(mirror, f"{mirror.name}-by-hand")
    registry = int(endpoint.rpartition("/")[2])
    body = {"name": mirror.name, "src_registry": {"id": registry}, "trigger": {"type": "manual"}}
    with mirror.target.client() as client:
        client.request("POST", "/replication/policies", body=body)
    return f"/replication/policies/{mirror.policy()['id']}", endpoint


def _endpoint(mirror: Mirror, name: str) -> str:
    body = {"name": name, "type": "docker-registry", "url": mirror.section("endpoints")[mirror.name]["url"]}
    with mirror.target.client() as client:
        client.request("POST", "/registries", body=body)
        return f"/registries/{next(entry['id'] for entry in client.registries() if entry['name'] == name)}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by_hand", "named"),
    [(a_project, "project {name}"), (an_endpoint, "endpoint {name}-docker-registry"), (a_rule, "rule {name}")],
    ids=["project", "endpoint", "rule"],
)
def test_objects_that_exist_in_harbor_suggest_adopt(mirror: Mirror, by_hand: ByHand, named: str) -> None:
    paths = by_hand(mirror)
    assert mirror.workspace.preview().code == 0, "a preview does not ask Harbor"
    result = mirror.apply()
    with mirror.target.client() as client:
        for path in paths:
            client.request("DELETE", path)
    assert result.code != 0
    sentence = f"{named.format(name=mirror.name)} is in this Harbor already: `mirrorctl recover`"
    said = [name for severity, name, text in result.diagnostics if severity == "error" and sentence in text]
    assert said == [mirror.name], "once, on the component concerned"
