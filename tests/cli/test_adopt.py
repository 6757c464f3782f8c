"""Tests of `adopt`: what it writes, what it leaves out and why, and that it changes nothing in Harbor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from harbor_mirror.harbor.client import Harbor
from localcloud.harbor.data import Credential
from localcloud.harbor.maintenance import GC, PURGE
from mirrorctl import stack_file
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import ADMIN, PASSWORD, PULL, HarborFixture, change
from tests.cli.protection import LEFT_OUT, PROTECTION, protect

CA = trustme.CA().cert_pem.bytes().decode()


@pytest.fixture
def by_hand(mirrored: HarborFixture) -> HarborFixture:
    """A Harbor that was set up manually."""
    credential = Credential("basic", "bot", "Hub-Secret-1")
    hub = mirrored.add_registry("Docker Hub (paid)", "https://hub.docker.com", type="docker-hub", credential=credential)
    mirrored.add_project("team-a", public="true", auto_scan="true")
    mirrored.quota("team-a").storage = 5 * 1024**3
    mirrored.add_policy(
        "Base images!",
        hub,
        repositories="library/{alpine,busybox}",
        namespace="team-a/base",
        cron="0 0 3 * * *",
        description="nightly",
        speed=1024,
        override=False,
        single_active_replication=True,
    )
    return mirrored


def adopted(run: Run, folder: Path, *arguments: str) -> tuple[Any, Any]:
    """Return the report and the written configuration."""
    result = run("adopt", "--name", "hand", "--json", *arguments)
    assert result.code == 0, result.err
    return result.json, yaml.safe_load((folder / "Pulumi.hand.yaml").read_text())["config"]


def test_configuration_matches_harbor(by_hand: HarborFixture, run: Run, tmp_path: Path) -> None:
    before = by_hand.calls()
    report, config = adopted(run, tmp_path)
    assert config["harbor-mirror:harbor"] == {"url": by_hand.url, "username": "admin"}
    assert config["harbor-mirror:endpoints"] == {
        "hub": {"type": "docker-registry", "url": by_hand.registries[1].url, "name": "hub"},
        "docker-hub-paid": {
            "type": "docker-hub",
            "url": "https://hub.docker.com",
            "name": "Docker Hub (paid)",
            "username": "bot",
        },
    }
    assert config["harbor-mirror:projects"] == {
        "mirror": {"vulnerabilityScanning": False},
        "team-a": {"public": True, "quotaGb": 5},
    }
    assert config["harbor-mirror:rules"]["nginx"] == {
        "endpoint": "hub",
        "repositories": "library/nginx",
        "project": "mirror",
        "tags": "1.*",
    }
    assert config["harbor-mirror:rules"]["Base-images"] == {
        "endpoint": "docker-hub-paid",
        "repositories": "library/{alpine,busybox}",
        "project": "team-a",
        "path": "base",
        "schedule": "0 0 3 * * *",
        "description": "nightly",
        "override": False,
        "speedKbps": 1024,
        "singleActive": True,
    }
    assert report["secretsNeeded"] == ["harborPassword", "endpoints.docker-hub-paid.secret"]
    assert report["leftOut"] == []
    changed = {method for method, path in by_hand.calls()[len(before) :] if "/c/login" not in path} - {"GET"}
    assert not changed


def test_written_configuration_is_valid(by_hand: HarborFixture, run: Run, tmp_path: Path) -> None:
    _, config = adopted(run, tmp_path)
    secure = {"secure": "v1:abc"}
    config["harbor-mirror:harborPassword"] = secure
    config["harbor-mirror:endpoints"]["docker-hub-paid"]["secret"] = secure
    (tmp_path / "Pulumi.hand.yaml").write_text(yaml.safe_dump({"config": config}))
    assert stack_file.read(tmp_path / "Pulumi.hand.yaml").faults == ()
    assert by_hand.url


@pytest.mark.usefixtures("by_hand")
def test_import_file_and_script(run: Run, tmp_path: Path) -> None:
    report, _ = adopted(run, tmp_path)
    imports = json.loads((tmp_path / "import.hand.json").read_text())
    assert imports["nameTable"]["harbor"] == "urn:pulumi:hand::harbor-mirror::pulumi:providers:harbor::harbor"
    resources = {entry["name"]: entry for entry in imports["resources"]}
    assert len(resources) == len(imports["resources"])
    rule = resources["rule Base-images in Harbor"]
    assert (rule["id"], rule["logicalName"]) == ("/replication/policies/3", "Base-images")
    parent = resources[rule["parent"]]
    assert (parent["type"], parent["component"]) == ("harbor-mirror:mirror:PullReplication", True)
    script = (tmp_path / "adopt.hand.sh").read_text()
    assert script.splitlines()[2:-1] == report["commands"][:-1] or script.splitlines()[2:] == report["commands"]
    assert (tmp_path / "adopt.hand.sh").stat().st_mode & 0o111
    reasons = {(change["op"], change["name"]): change["reason"] for change in report["announced"]}
    assert "renamed from 'Base images!'" in reasons["update", "Base-images"]
    assert "saved again" in reasons["create", "Base-images-settings"]
    assert "secret" in reasons["update", "Docker Hub (paid)"]
    assert ("create", "pull") in reasons


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h.policies[1].filters.append({"type": "name", "value": "x"}), "several name filters"),
        (
            lambda h: h.policies[1].filters.append({"type": "label", "value": ["x"], "decoration": "excludes"}),
            "label excludes has no counterpart",
        ),
        (lambda h: change(h.policies[1], dest_namespace=""), "it has no destination"),
        (lambda h: change(h.policies[1], dest_namespace="gone"), "its project gone does not exist yet"),
        (lambda h: change(h.project("mirror"), registry_id=4), "is a proxy cache"),
        (lambda h: change(h.policies[1], trigger={"type": "event_based"}), "its trigger is event_based"),
        (
            lambda h: change(
                h.policies[1], trigger={"type": "scheduled", "trigger_settings": {"cron": "0 */1 * * * *"}}
            ),
            "schedule 0 */1 * * * *",
        ),
        (lambda h: h.policies[1].filters[0].update(value="{a,b"), "repositories"),
        (lambda h: change(h.policies[1], dest_namespace_replace_count=2), "flatten"),
    ],
)
def test_rules_that_cannot_be_expressed_are_left_out_with_the_reason(
    mirrored: HarborFixture, run: Run, tmp_path: Path, change: Any, reason: str
) -> None:
    change(mirrored)
    report, config = adopted(run, tmp_path)
    assert "nginx" not in config["harbor-mirror:rules"]
    assert any(text.startswith("rule nginx: ") and reason in text for text in report["leftOut"]), report["leftOut"]


@pytest.mark.usefixtures("by_hand")
def test_one_rule_with_its_endpoint_and_project(run: Run, tmp_path: Path) -> None:
    report, config = adopted(run, tmp_path, "--rule", "nginx")
    assert (report["rules"], report["endpoints"], report["projects"]) == (["nginx"], ["hub"], ["mirror"])
    assert list(config["harbor-mirror:rules"]) == ["nginx"]


def test_names_with_the_same_key_get_different_keys(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    for name in ("HUB!", "Hub "):
        number = mirrored.add_registry(name, mirrored.registries[1].url)
        mirrored.add_policy(f"of {name}", number, repositories=f"team/app-{number}")
    _, config = adopted(run, tmp_path)
    assert set(config["harbor-mirror:endpoints"]) == {"hub", "hub-2", "hub-3"}
    assert set(config["harbor-mirror:rules"]) == {"nginx", "redis", "of-HUB", "of-Hub"}


@pytest.mark.usefixtures("by_hand")
def test_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("adopt", "--name", "hand", "--rule", "ngin").code == 1
    assert run("adopt", "--name", "ha nd").code == 1
    assert run("adopt", "--name", "hand", "--into", "no/such/folder").code == 1
    assert run("adopt", "--name", "hand").code == 0
    result = run("adopt", "--name", "hand")
    assert result.code == 1
    assert "already exists" in result.err
    assert tmp_path


def kept(**fields: Any) -> dict[str, Any]:
    """Return a retention rule in Harbor's JSON."""
    return {
        "action": "retain",
        "template": "latestPushedK",
        "params": {"latestPushedK": 5},
        "scope_selectors": {"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
        "tag_selectors": [
            {"kind": "doublestar", "decoration": "matches", "pattern": "**", "extras": '{"untagged":true}'}
        ],
        **fields,
    }


def with_retention(harbor: HarborFixture, *rules: dict[str, Any], cron: str = "0 0 4 * * *") -> None:
    trigger = {"kind": "Schedule", "settings": {"cron": cron}}
    harbor.add_retention("mirror", {"algorithm": "or", "rules": list(rules), "trigger": trigger})


def test_retention_and_maintenance_are_adopted(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    selector = {"kind": "doublestar", "decoration": "repoExcludes", "pattern": "keep/**"}
    with_retention(
        mirrored,
        kept(),
        kept(template="nDaysSinceLastPull", params={"nDaysSinceLastPull": 30}, scope_selectors={"x": [selector]}),
        kept(template="always", params={}, tag_selectors=[{"decoration": "matches", "pattern": "v*"}]),
    )
    mirrored.add_schedule(GC, "Weekly", "0 0 0 * * 0", delete_untagged=True, workers=3)
    events = "pull_artifact,other"
    mirrored.add_schedule(PURGE, "Custom", "0 15 1 * * *", audit_retention_hour=720, include_event_types=events)
    report, config = adopted(run, tmp_path)
    assert report["leftOut"] == []
    assert config["harbor-mirror:projects"]["mirror"]["retention"] == {
        "schedule": "0 0 4 * * *",
        "keep": [
            {"mostRecentlyPushed": 5},
            {"pulledWithinDays": 30, "repositories": {"excludes": "keep/**"}},
            {"always": True, "tags": "v*", "untagged": False},
        ],
    }
    assert config["harbor-mirror:maintenance"] == {
        "garbageCollection": {"schedule": "0 0 0 * * 0", "deleteUntagged": True, "workers": 3},
        "auditPurge": {"schedule": "0 15 1 * * *", "retentionHours": 720, "operations": ["pull", "other"]},
    }
    imports = {
        entry["logicalName"]: entry for entry in json.loads((tmp_path / "import.hand.json").read_text())["resources"]
    }
    assert (imports["mirror-retention"]["id"], imports["mirror-retention"]["parent"]) == (
        "/retentions/1",
        "project mirror",
    )
    announced = {(change["op"], change["name"]) for change in report["announced"]}
    assert {("create", "harbor-garbage-collection"), ("create", "harbor-audit-purge")} <= announced


def test_adopting_one_rule_leaves_maintenance_out(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    mirrored.add_schedule(GC, "Custom", "0 0 5 * * *")
    report, config = adopted(run, tmp_path, "--rule", "nginx")
    assert "harbor-mirror:maintenance" not in config
    assert not [change for change in report["announced"] if change["name"] == "harbor-garbage-collection"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: with_retention(h, kept(disabled=True)), "retention of project mirror: one of its rules is disabled"),
        (lambda h: with_retention(h, kept(template="newest")), "it keeps by newest"),
        (lambda h: with_retention(h, kept(tag_selectors=[])), "more or less than one pattern"),
        (
            lambda h: with_retention(h, kept(), cron="0 0 0 31 2 *"),
            "retention of project mirror: schedule 0 0 0 31 2 *",
        ),
        (
            lambda h: h.add_schedule(GC, "Custom", "0 0 3 * * *", workers=10),
            "maintenance garbageCollection: workers 10",
        ),
        (
            lambda h: h.add_schedule(
                PURGE, "Custom", "0 0 3 * * *", audit_retention_hour=1, include_event_types="delete_user"
            ),
            "maintenance auditPurge: operations",
        ),
    ],
)
def test_settings_that_cannot_be_expressed_are_left_out_alone(
    mirrored: HarborFixture, run: Run, tmp_path: Path, change: Any, reason: str
) -> None:
    change(mirrored)
    report, config = adopted(run, tmp_path)
    assert any(reason in text for text in report["leftOut"]), report["leftOut"]
    assert "retention" not in config["harbor-mirror:projects"]["mirror"]
    assert "harbor-mirror:maintenance" not in config
    assert set(config["harbor-mirror:rules"]) == {"nginx", "redis"}


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("name", ["Pulumi.hand.yaml", "import.hand.json", "adopt.hand.sh"])
def test_existing_files_are_not_overwritten(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = run("adopt", "--name", "hand")
    assert result.code == 1
    assert f"{name} already exists" in result.err
    assert [path.name for path in tmp_path.glob("*hand*")] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_what_protects_a_project_is_adopted(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    with Harbor(mirrored.url, ADMIN, PASSWORD) as client:
        protect(client, mirrored.project("mirror").id)
    mirrored.add_project("cache", registry_id=mirrored.registries[1].id)
    mirrored.add_robot("robot$ci", "Robot-Secret-1", [{"kind": "project", "namespace": "mirror", "access": PULL}])
    change(mirrored.registries[1], ca_certificate=CA)
    report, config = adopted(run, tmp_path)
    projects = config["harbor-mirror:projects"]
    assert projects["mirror"] == {"vulnerabilityScanning": False, **PROTECTION}
    assert projects["cache"] == {"vulnerabilityScanning": False, "proxyCache": "hub"}
    left_out = [text.format("mirror") for text in LEFT_OUT]
    assert set(left_out) < set(report["leftOut"])
    assert [text for text in report["leftOut"] if text not in left_out] == [
        "robot account robot$ci: its password can't be read back; it stays as it is, and robots declares new ones",
        "CA of endpoint hub, which stays in Harbor: has no use with an http URL, which has no certificate; "
        "for example url: https://…",
    ]
    assert report["secretsNeeded"] == [
        "harborPassword",
        "projects.mirror.webhooks.ops.url",
        "projects.mirror.webhooks.ops.authHeader",
    ]
    assert "Hook-Secret-1" not in (tmp_path / "Pulumi.hand.yaml").read_text()


def test_the_ca_of_an_endpoint_is_adopted_without_what_is_around_it(
    mirrored: HarborFixture, run: Run, tmp_path: Path
) -> None:
    corp = mirrored.add_registry("corp", "https://registry.corp.example", insecure=True)
    change(mirrored.registries[corp], ca_certificate=f"subject=Acme\r\n{CA}")
    broken = mirrored.add_registry("broken", "https://other.corp.example", ca_certificate="-----BEGIN CERTIFICATE-----")
    for number in (corp, broken):
        mirrored.add_policy(f"from-{number}", number, repositories=f"team/app-{number}")
    report, config = adopted(run, tmp_path)
    url = "https://registry.corp.example"
    endpoint = {"type": "docker-registry", "url": url, "name": "corp", "caCertificate": CA}
    assert config["harbor-mirror:endpoints"]["corp"] == endpoint
    assert "CA of endpoint broken: it is not a certificate in PEM; it stays in Harbor" in report["leftOut"]
    announced = {(change["op"], change["name"]): change["reason"] for change in report["announced"]}
    assert "what Harbor has is saved again, unchanged" in announced["create", "corp-ca"]
    assert announced["update", "corp"] == "insecure, which Harbor ignores beside a CA, is switched off"


def test_a_project_whose_gate_has_no_counterpart_is_left_out(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    mirrored.project("mirror").metadata |= {"prevent_vul": "true", "severity": "negligible"}
    report, config = adopted(run, tmp_path)
    assert (config["harbor-mirror:projects"], config["harbor-mirror:rules"]) == ({}, {})
    assert "project mirror: it prevents images of severity negligible" in report["leftOut"][0]
