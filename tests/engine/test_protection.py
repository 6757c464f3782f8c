"""What protects a project, a proxy cache and a robot account, with the real engine: set, kept, never weakened."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.engine import names
from tests.engine.conftest import Mirror, Source


def metadata(mirror: Mirror) -> dict[str, Any]:
    with mirror.target.client() as client:
        return dict(client.project(mirror.name)["metadata"])


@pytest.mark.slow
def test_a_gate_set_in_harbor_is_not_switched_off(mirror: Mirror) -> None:
    mirror.apply().ok()
    assert metadata(mirror)["prevent_vul"] == "false"
    with mirror.target.client() as client:
        path = f"/projects/{client.project(mirror.name)['project_id']}"
        client.request("PUT", path, body={"metadata": {"prevent_vul": "true", "severity": "high"}})
    assert mirror.workspace.preview("--expect-no-changes").code == 0

    project = mirror.section("projects")[mirror.name]
    project["public"] = True
    refused = mirror.apply()
    assert refused.code != 0
    assert f"set that under projects.{mirror.name} to keep it, or preventVulnerable: false" in refused.output
    assert (metadata(mirror)["prevent_vul"], metadata(mirror)["public"]) == ("true", "false")

    project["preventVulnerable"] = "high"
    mirror.apply().ok()
    assert (metadata(mirror)["prevent_vul"], metadata(mirror)["public"]) == ("true", "true")
    project["preventVulnerable"] = False
    mirror.apply().ok()
    assert metadata(mirror)["prevent_vul"] == "false"
    assert mirror.workspace.preview("--expect-no-changes").code == 0


@pytest.mark.slow
def test_protection_is_created_changed_and_removed(mirror: Mirror) -> None:
    project = mirror.section("projects")[mirror.name]
    project |= {
        "preventVulnerable": "critical",
        "cveAllowlist": {"cves": ["CVE-2024-45337"], "expires": "2030-01-31"},
        "sbom": True,
        "immutableTags": [{"tags": "v*"}, {"repositories": {"excludes": "tmp/**"}, "tags": "release-*"}],
        "webhooks": {"ops": {"type": "slack"}},
    }
    mirror.workspace.configure(mirror.config)
    mirror.workspace.set_secret(f"projects.{mirror.name}.webhooks.ops.url", "https://hooks.example.com/T0/B0/x")
    mirror.config = mirror.workspace.configuration()
    mirror.workspace.up().ok()
    assert mirror.workspace.preview("--expect-no-changes").code == 0
    with mirror.target.client() as client:
        live = client.project(mirror.name)
        path = f"/projects/{live['project_id']}"
        allowlist = live["cve_allowlist"]
        assert ([item["cve_id"] for item in allowlist["items"]], allowlist["expires_at"]) == (
            ["CVE-2024-45337"],
            1_896_048_000,
        )
        (webhook,) = client.get_all(f"{path}/webhook/policies")
        assert (webhook["event_types"], webhook["targets"][0].get("skip_cert_verify")) == (["REPLICATION"], None)
        assert len(client.get_all(f"{path}/immutabletagrules")) == 2

    # The provider's update of the project resets the expiry, and a hook restores it.
    mirror.section("projects")[mirror.name]["public"] = True
    mirror.section("projects")[mirror.name]["immutableTags"].pop(0)
    mirror.apply().ok()
    with mirror.target.client() as client:
        assert client.project(mirror.name)["cve_allowlist"]["expires_at"] == 1_896_048_000
        assert len(client.get_all(f"{path}/immutabletagrules")) == 1
    assert mirror.workspace.preview("--expect-no-changes").code == 0


@pytest.mark.slow
def test_a_proxy_cache_and_a_robot(mirror: Mirror, source: Source) -> None:
    cache, robot = f"{mirror.name}-cache", f"{mirror.name}-ci"
    mirror.section("projects")[cache] = {"proxyCache": mirror.name}
    mirror.config["harbor-mirror:robots"] = {robot: {"projects": [mirror.name], "rights": "push", "expiresDays": 30}}
    mirror.apply().ok()
    assert mirror.workspace.preview("--expect-no-changes").code == 0
    outputs = mirror.workspace.outputs(secrets=True)
    host = outputs["registryHost"]
    assert outputs["proxyCaches"] == {
        cache: {"endpoint": mirror.name, "source": source.url.partition("//")[2], "place": f"{host}/{cache}"}
    }
    assert outputs["robots"][robot]["username"].endswith(robot)
    assert mirror.workspace.outputs()["robots"][robot]["password"] == "[secret]"
    with mirror.target.client() as client:
        assert client.project(cache)["registry_id"] == outputs["endpoints"][mirror.name]["id"]
        account = next(found for found in client.robots() if found["name"] == outputs["robots"][robot]["username"])
        rights = {access["action"] for access in account["permissions"][0]["access"]}
        assert (rights, account["duration"]) == ({"pull", "push"}, 30)

    # Harbor can't give a project another endpoint: the update fails, and the stack still has the project.
    mirror.section("endpoints")["other"] = {"type": "docker-registry", "url": source.url, "name": f"{cache}-other"}
    mirror.section("projects")[cache] = {"proxyCache": "other"}
    refused = mirror.apply()
    assert refused.code != 0
    assert f"project {cache} is in this Harbor already" in refused.output
    mirror.section("projects")[cache] = {"proxyCache": mirror.name}
    mirror.apply().ok()
    again = mirror.workspace.preview().ok()
    assert not names(again.changes, "create"), again.output

    # With forceDestroy the project is deleted and created again.
    mirror.section("projects")[cache] = {"proxyCache": mirror.name, "forceDestroy": True}
    mirror.apply().ok()
    mirror.section("projects")[cache] = {"proxyCache": "other", "forceDestroy": True}
    mirror.apply().ok()
    with mirror.target.client() as client:
        other = mirror.workspace.outputs()["endpoints"]["other"]["id"]
        assert client.project(cache)["registry_id"] == other
