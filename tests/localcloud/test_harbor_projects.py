"""Rights and gates of projects, proxy caches, signatures, endpoints with a CA, and the limits of Harbor's database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.oci.client import RegistryError, Remote
from localcloud.oci.images import move_tag, push_image
from localcloud.providers import Providers
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from tests.localcloud.conftest import PASSWORD, RunningHarbor
from tests.localcloud.providers_replay import Engine

ROBOT = {"name": "r", "level": "system", "duration": -1, "permissions": []}
#: Schedules of 64 and 65 characters.
CRON_64, CRON_65 = f"0 10{',1' * 26} * * * *", f"0 1{',1' * 27} * * * *"


@pytest.fixture
def project(harbor: RunningHarbor) -> str:
    """The path of a private project."""
    return f"/projects/{harbor.make('/projects', {'project_name': 'team'})}"


def message(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["message"]


def test_members(harbor: RunningHarbor, project: str) -> None:
    user = {"username": "alice", "email": "a@example.com", "realname": "Alice", "password": "Alice-Secret-1"}
    harbor.make("/users", user)
    group = harbor.make("/usergroups", {"group_name": "devs", "group_type": 2})
    alice = harbor.make(f"{project}/members", {"role_id": 2, "member_user": {"username": "alice"}})
    harbor.make(f"{project}/members", {"role_id": 3, "member_group": {"id": group}})
    again = harbor.http.post(f"{project}/members", json={"role_id": 3, "member_user": {"username": "alice"}})
    assert message(again) == (409, "The project member specified already exist")
    unknown = harbor.http.post(f"{project}/members", json={"role_id": 3, "member_user": {"username": "nobody"}})
    assert unknown.status_code == 404
    harbor.http.put(f"{project}/members/{alice}", json={"role_id": 4}).raise_for_status()
    shown = {member["entity_name"]: member["role_name"] for member in harbor.http.get(f"{project}/members").json()}
    assert shown == {"admin": "projectAdmin", "alice": "maintainer", "devs": "guest"}
    harbor.http.delete(f"{project}/members/{alice}").raise_for_status()
    assert harbor.http.get(f"{project}/members/{alice}").status_code == 404


def test_an_immutable_tag_is_not_overwritten(harbor: RunningHarbor) -> None:
    rule = harbor.rule("tool", "tool")
    harbor.run(rule)
    selector = {"kind": "doublestar", "pattern": "**"}
    body = {
        "disabled": True,
        "action": "immutable",
        "template": "immutable_template",
        "scope_selectors": {"repository": [{**selector, "decoration": "repoMatches"}]},
        "tag_selectors": [{**selector, "decoration": "matches", "pattern": "v*"}],
    }
    number = harbor.make("/projects/mirror/immutabletagrules", body)
    assert harbor.http.post("/projects/mirror/immutabletagrules", json=body).status_code == 409
    (shown,) = harbor.http.get("/projects/mirror/immutabletagrules").json()
    assert "disabled" not in shown, "Harbor enables each new rule"
    before = harbor.data.images.tags("mirror/tool")["v1"]
    move_tag(harbor.source.store, "tool", "v1", "moved")
    done = harbor.run(rule)
    assert (done["status"], harbor.data.images.tags("mirror/tool")["v1"]) == ("Failed", before)
    assert "configured as immutable" in harbor.log(done)
    harbor.http.put(f"/projects/mirror/immutabletagrules/{number}", json={**body, "id": number}).raise_for_status()
    assert harbor.run(rule)["status"] == "Succeed"


class Receiver:
    """A webhook's target."""

    def __init__(self) -> None:
        self.received: list[tuple[str | None, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.received.append((request.headers.get("Authorization"), await request.json()))
        await Response()(scope, receive, send)


def test_a_webhook_reports_a_failed_replication(harbor: RunningHarbor) -> None:
    receiver = Receiver()
    harbor.make("/projects", {"project_name": "mirror"})
    with serve(receiver) as served:
        target = {"type": "http", "address": f"{served.url}/hook?x=1", "auth_header": "Bearer Hook-Secret-1"}
        policy = {"name": "ops", "enabled": True, "targets": [target], "event_types": ["REPLICATION"]}
        for wrong, text in (
            ({"event_types": []}, "empty event type"),
            ({"event_types": ["X"]}, "unsupported event type X"),
            ({"targets": []}, "empty notification target with policy ops"),
            ({"targets": [{**target, "type": "mail"}]}, "unsupported target type mail with policy ops"),
        ):
            answer = harbor.http.post("/projects/mirror/webhook/policies", json=policy | wrong)
            assert message(answer) == (400, text)
        number = harbor.make("/projects/mirror/webhook/policies", policy)
        shown = harbor.http.get(f"/projects/mirror/webhook/policies/{number}").json()
        assert shown["targets"] == [{**target, "address": f"{served.url}/hook", "payload_format": "Default"}]
        harbor.source.faults.add(Fault("/blobs/", status=500, times=None))
        assert harbor.run(harbor.rule("tool", "tool"))["status"] == "Failed"
    ((authorization, event),) = receiver.received
    assert (authorization, event["type"]) == ("Bearer Hook-Secret-1", "REPLICATION")
    assert event["event_data"]["replication"]["job_status"] == "Failed"


@pytest.fixture
def cache(harbor: RunningHarbor) -> Iterator[Remote]:
    """A client of Harbor's registry, where `cache` is a proxy cache of the endpoint."""
    harbor.make("/projects", {"project_name": "cache", "registry_id": harbor.endpoint})
    with Remote(harbor.url, "admin", PASSWORD) as remote:
        yield remote


def test_a_pull_through_a_proxy_cache(harbor: RunningHarbor, cache: Remote) -> None:
    latest = harbor.source.store.tags("library/nginx")["latest"]
    assert cache.manifest("cache/library/nginx", "latest").digest == latest
    assert harbor.http.get("/projects/cache/repositories").json()[0]["name"] == "cache/library/nginx"
    moved = move_tag(harbor.source.store, "library/nginx", "latest", "moved")
    assert cache.manifest("cache/library/nginx", "latest").digest == moved
    harbor.source.faults.add(Fault("/v2/", status=503, times=None))
    assert cache.manifest("cache/library/nginx", "latest").digest == moved, "what is cached is served without it"
    with pytest.raises(RegistryError):
        cache.manifest("cache/library/nginx", "1.25.0")


def test_a_copied_signature_is_an_accessory_of_its_image(harbor: RunningHarbor) -> None:
    digest = harbor.source.store.tags("tool")["v1"]
    push_image(harbor.source.store, "tool", f"sha256-{digest.removeprefix('sha256:')}.sig", "signature")
    assert harbor.run(harbor.rule("tool", "tool"))["status"] == "Succeed"
    (artifact,) = harbor.http.get("/projects/mirror/repositories/tool/artifacts?with_accessory=true").json()
    assert artifact["digest"] == digest
    (accessory,) = artifact["accessories"]
    assert (accessory["type"], accessory["subject_artifact_digest"]) == ("signature.cosign", digest)
    path = f"/projects/mirror/repositories/tool/artifacts/{digest}/accessories"
    assert harbor.http.get(path).json() == [accessory]


def test_metadata_one_by_one_and_allowlists(harbor: RunningHarbor, project: str) -> None:
    harbor.http.put(f"{project}/metadatas/prevent_vul", json={"prevent_vul": "true"}).raise_for_status()
    harbor.http.put(f"{project}/metadatas/severity", json={"severity": "critical"}).raise_for_status()
    assert harbor.http.put(f"{project}/metadatas/severity", json={"severity": "x"}).status_code == 400
    assert harbor.http.put(f"{project}/metadatas/auto_sbom_generation", json={}).status_code == 400
    cves = {"items": [{"cve_id": "CVE-2026-1"}], "expires_at": 1893456000}
    body = {"metadata": {"reuse_sys_cve_allowlist": "false", "auto_sbom_generation": "true"}, "cve_allowlist": cves}
    harbor.http.put(project, json=body).raise_for_status()
    shown = harbor.http.get(project).json()
    assert shown["metadata"] == {
        **{"public": "false", "prevent_vul": "true", "severity": "critical", "reuse_sys_cve_allowlist": "false"},
        **{"auto_sbom_generation": "true"},
    }
    assert {name: shown["cve_allowlist"][name] for name in cves} == cves
    harbor.http.put("/system/CVEAllowlist", json=cves).raise_for_status()
    assert harbor.http.get("/system/CVEAllowlist").json()["items"] == cves["items"]


def test_an_endpoint_with_a_ca_certificate(harbor: RunningHarbor) -> None:
    source = RegistrySimulator()
    source.seed()
    with trust() as files, serve(source.app, certificate=files.certificate) as served:
        body = {"name": "private", "type": "docker-registry", "url": served.url}
        assert message(harbor.http.post("/registries", json=body)) == (400, "the registry is unhealthy")
        authority = files.authorities.read_text().rpartition("-----BEGIN CERTIFICATE-----")
        number = harbor.make("/registries", {**body, "ca_certificate": authority[1] + authority[2]})
        assert harbor.http.get(f"/registries/{number}").json()["ca_certificate"]
        assert harbor.run(harbor.rule("tool", "tool", src_registry={"id": number}))["status"] == "Succeed"


def filters(characters: int) -> list[dict[str, str]]:
    """Filters whose compact JSON has this many characters."""
    empty = [{"type": "name", "value": "tool"}, {"type": "tag", "value": "", "decoration": "matches"}]
    available = characters - len(json.dumps(empty, separators=(",", ":")))
    return [empty[0], {**empty[1], "value": "x" * available}]


@pytest.mark.parametrize(
    ("create", "fits", "too_long", "status"),
    [
        (lambda h, v: h.rule(f"r{len(str(v))}", "tool", filters=v), filters(1024), filters(1025), 500),
        (lambda h, v: h.rule(f"r{len(v)}", "tool", v), CRON_64, CRON_65, 500),
        (lambda h, v: h.rule(v, "tool"), "n" * 256, "n" * 257, 500),
        (lambda h, v: h.rule(f"r{len(v)}", "tool", dest_namespace=v), "n" * 256, "n" * 257, 500),
        (lambda h, v: endpoint(h, name=v), "é" * 32, "é" * 33, 400),
        (lambda h, v: endpoint(h, access_secret=v), "s" * 3050, "s" * 3051, 500),
        (lambda h, v: endpoint(h, access_key=v), "u" * 255, "u" * 256, 500),
        (lambda h, v: h.make("/projects", {"project_name": v}), "p" * 255, "p" * 256, 422),
        (lambda h, v: h.make("/robots", robot(v)), "d" * 1024, "d" * 1025, 500),
        (lambda h, v: h.make("/robots", robot("", v)), "n" * 255, "n" * 256, 500),
        (lambda h, v: unchecked_endpoint(h, v), f"http://{'u' * 249}", f"http://{'u' * 250}", 500),
        (lambda h, v: webhook(h, v), "n" * 256, "n" * 257, 500),
        (lambda h, v: schedule(h, "/system/gc/schedule", cron=v), CRON_64, CRON_65, 500),
        (lambda h, v: schedule(h, "/system/purgeaudit/schedule", hours=v), 240_000, 240_001, 400),
        (lambda h, v: retention(h, v), [1, 2], [1, 1], 409),
    ],
    ids=[
        *("filters", "cron", "rule name", "namespace", "endpoint name in bytes", "secret", "username", "project"),
        *(
            "robot description",
            "robot name",
            "endpoint url",
            "webhook name",
            "GC cron",
            "purge hours",
            "equal retention rules",
        ),
    ],
)
def test_limits(harbor: RunningHarbor, create: Callable[..., Any], fits: Any, too_long: Any, status: int) -> None:
    create(harbor, fits)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        create(harbor, too_long)
    assert refused.value.response.status_code == status


def endpoint(harbor: RunningHarbor, *, name: str = "", **credential: str) -> int:
    registry = harbor.http.get(f"/registries/{harbor.endpoint}").json()
    body = {"name": name or str(len(str(credential))), "type": "docker-registry", "url": registry["url"]}
    return harbor.make("/registries", body | ({"credential": credential} if credential else {}))


def robot(description: str, name: str = "") -> dict[str, Any]:
    access = [{"resource": "repository", "action": "pull"}]
    permissions = [{"kind": "project", "namespace": "library", "access": access}]
    name = name or f"r{len(description)}"
    return {**ROBOT, "name": name, "description": description, "permissions": permissions}


def unchecked_endpoint(harbor: RunningHarbor, url: str) -> int:
    # Harbor asks no server of this type.
    return harbor.make("/registries", {"name": f"e{len(url)}", "type": "huawei-SWR", "url": url})


def webhook(harbor: RunningHarbor, name: str) -> None:
    target = {"type": "http", "address": "https://hooks.example.com"}
    body = {"name": name, "enabled": True, "event_types": ["REPLICATION"], "targets": [target]}
    harbor.http.post("/projects/library/webhook/policies", json=body).raise_for_status()


def schedule(harbor: RunningHarbor, path: str, *, cron: str = "0 0 0 * * *", hours: int = 1) -> None:
    parameters = {"audit_retention_hour": hours, "include_event_types": "pull_artifact"} if "purge" in path else {}
    body = {"schedule": {"type": "Custom", "cron": cron}, "parameters": parameters}
    harbor.http.post(path, json=body).raise_for_status()


def retention(harbor: RunningHarbor, counts: list[int]) -> None:
    project = harbor.make("/projects", {"project_name": f"kept-{len(set(counts))}"})
    rules = [{"action": "retain", "template": "latestPushedK", "params": {"latestPushedK": count}} for count in counts]
    trigger = {"kind": "Schedule", "settings": {"cron": ""}}
    body = {"algorithm": "or", "scope": {"level": "project", "ref": project}, "trigger": trigger, "rules": rules}
    answer = harbor.http.post("/retentions", json=body)
    if answer.status_code == 409:
        assert message(answer)[1] == "rule 1 is conflict with rule 0"
    answer.raise_for_status()


@pytest.fixture
def engine(harbor: RunningHarbor) -> Iterator[Engine]:
    """The stand-in Harbor provider on this Harbor."""
    config = {"url": harbor.url, "username": "admin", "password": PASSWORD, "insecure": True}
    with Providers({}) as providers:
        engine = Engine(providers.port, "harbor", config)
        yield engine
        engine.close()


def test_the_stand_in_provider_manages_rights_and_gates(harbor: RunningHarbor, project: str, engine: Engine) -> None:
    harbor.make("/users", {"username": "alice", "password": "Alice-Secret-1", "email": "a@b", "realname": "A"})
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "devs": ("harbor:index/group:Group", {"groupName": "devs", "groupType": 2}),
        "alice": (
            "harbor:index/projectMemberUser:ProjectMemberUser",
            {"projectId": project, "userName": "alice", "role": "developer"},
        ),
        "group": (
            "harbor:index/projectMemberGroup:ProjectMemberGroup",
            {"projectId": project, "groupName": "devs", "type": "internal", "role": "guest"},
        ),
        "hook": (
            "harbor:index/projectWebhook:ProjectWebhook",
            {
                **{"projectId": project, "name": "ops", "address": "https://hooks.example.com/x"},
                **{"notifyType": "slack", "eventsTypes": ["REPLICATION"], "skipCertVerify": False},
            },
        ),
        "releases": (
            "harbor:index/immutableTagRule:ImmutableTagRule",
            {"projectId": project, "repoMatching": "**", "tagMatching": "v*"},
        ),
        "robot": (
            "harbor:index/robotAccount:RobotAccount",
            {
                **{"name": "ci", "level": "project"},
                "permissions": [
                    {
                        **{"kind": "project", "namespace": "team"},
                        "accesses": [{"resource": "repository", "action": "pull"}],
                    }
                ],
            },
        ),
    }
    for name, (token, inputs) in resources.items():
        assert engine.up(name, token, inputs) == "create"
        assert engine.up(name, token, inputs) == "same"
        assert engine.refresh(name) == {}
    token, inputs = resources["alice"]
    assert engine.up("alice", token, inputs | {"role": "maintainer"}) == "update"
    shown = {member["entity_name"]: member["role_name"] for member in harbor.http.get(f"{project}/members").json()}
    assert shown == {"admin": "projectAdmin", "alice": "maintainer", "devs": "guest"}
    (robot_row,) = harbor.data.robots
    assert robot_row.name == "robot$team+ci"
    (webhook,) = harbor.http.get(f"{project}/webhook/policies").json()
    assert (webhook["enabled"], webhook["targets"][0]["type"]) == (True, "slack")
    for name in reversed(resources):
        engine.delete(name)
    assert len(harbor.http.get(f"{project}/members").json()) == 1
