"""The stand-ins under the real engine: one stack of all three packages, from preview to destroy.

Harbor is a small one of the test's own, the Linode API the local cloud's.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_linode as linode
import pulumi_random as random
import pulumiverse_harbor as harbor
import pytest
from pulumi import automation as auto
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.http import serve
from localcloud.linode import LinodeSimulator
from localcloud.providers import Providers

LINODE_TOKEN = "engine-test-token"
ADMIN_PASSWORD = "Harbor-Admin-1"
SECRETS = {
    "password": ADMIN_PASSWORD,
    "token": LINODE_TOKEN,
    "root": "Root-Pass-Mark-99",
    "endpoint": "Endpoint-Secret-Mark",
    "user data": "VVNFUi1EQVRBLU1BUks=",
}
ABSENT = object()


class Idle:
    """A guest in which nothing runs."""

    def stop(self) -> None:
        pass


@dataclass
class SmallHarbor:
    """Keeps what it is sent, by path, as Harbor shows it again; `objects` is open to tests that play the other hand."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    last: int = 0

    @property
    def app(self) -> Starlette:
        routes = [Route("/api/v2.0/{path:path}", self.answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
        return Starlette(routes=routes)

    async def answer(self, request: Request) -> Response:
        path = request.path_params["path"]
        self.calls.append(f"{request.method} {path}")
        credentials = base64.b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {credentials}":
            return JSONResponse({"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}, 401)
        body = json.loads(await request.body() or b"null")
        if path == "configurations":
            if request.method == "PUT":
                self.settings |= body
            values = {"robot_name_prefix": "robot$", "quota_per_project_enable": True} | self.settings
            return JSONResponse({key: {"value": value} for key, value in values.items()})
        if (
            path.startswith(("quotas", "projects/")) and "repositories" in path + str(request.url.query)
        ) or "quotas" in path:
            return JSONResponse([])
        if request.method == "POST":
            return self._create(path, body)
        if path not in self.objects:
            return JSONResponse({"errors": [{"code": "NOT_FOUND", "message": f"{path} not found"}]}, 404)
        if request.method == "DELETE":
            del self.objects[path]
        elif request.method == "PUT":
            kept = {key: value for key, value in self.objects[path].items() if key in ("id", "project_id", "type")}
            self.objects[path] = self._shown(path, body) | kept
        elif request.method == "GET":
            return JSONResponse(self.objects[path])
        return JSONResponse({})

    def _create(self, path: str, body: dict[str, Any]) -> Response:
        if body.get("trigger", {}).get("trigger_settings", {}).get("cron", "").startswith("0 *"):
            message = "* is not allowed for the Minutes field of the cron setting of replication policy"
            return JSONResponse({"errors": [{"code": "BAD_REQUEST", "message": message}]}, 400)
        self.last += 1
        own = f"{path}/{self.last}"
        self.objects[own] = self._shown(path, body) | {"id": self.last, "project_id": self.last}
        answer = {"id": self.last, "secret": "Robot-Secret-Mark-0123456789abcde"} if path == "robots" else {}
        return JSONResponse(answer, 201, {"Location": f"/api/v2.0/{own}"})

    @staticmethod
    def _shown(path: str, body: dict[str, Any]) -> dict[str, Any]:
        shown = dict(body)
        shown.pop("id", None)
        if path.startswith("projects"):
            shown["name"] = shown.pop("project_name")
        if path.startswith("registries"):
            shown |= {"status": "healthy"}
            flat = {key: shown.pop(key) for key in ("access_key", "access_secret") if key in shown}
            shown["credential"] = {**shown.get("credential", {}), **flat, "access_secret": "*****"}
        if path.startswith("robots") and "$" not in shown["name"]:
            prefix = f"{shown['permissions'][0]['namespace']}+" if shown["level"] == "project" else ""
            shown["name"] = f"robot${prefix}{shown['name']}"
        return shown


@dataclass
class Stage:
    """The clouds, and what the program wants of them."""

    harbor: SmallHarbor
    harbor_url: str
    linode: LinodeSimulator
    linode_url: str
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self, name: str) -> dict[str, Any]:
        defaults: dict[str, dict[str, Any]] = {
            "instance": {
                "label": "engine-host",
                "tags": ["blue", "amber"],
                "user_data": SECRETS["user data"],
            },
            "registry": {
                "provider_name": "docker-hub",
                "description": "first",
                "access_id": "bot",
                "access_secret": SECRETS["endpoint"],
            },
            "replication": {
                "schedule": "0 0 3 * * *",
                "filters": [{"name": "library/nginx"}, {"tag": "1.*"}, {"resource": "image"}],
            },
            "project": {"public": False},
            "firewall": {},
        }
        given = {**defaults[name], **self.wanted.get(name, {})}
        return {key: value for key, value in given.items() if value is not ABSENT}

    def program(self) -> None:
        """Everything at once: a host, its Harbor (whose address is only known once the host is there), and a rule."""
        cloud = linode.Provider("cloud", url=self.linode_url, token=LINODE_TOKEN, event_poll_ms=20)
        on_cloud = pulumi.ResourceOptions(provider=cloud)
        firewall = linode.Firewall(
            "firewall",
            label="engine-fw",
            inbound_policy="DROP",
            outbound_policy="ACCEPT",
            inbounds=[{"label": "web", "action": "ACCEPT", "protocol": "TCP", "ports": "443", "ipv4s": ["0.0.0.0/0"]}],
            opts=on_cloud,
            **self.settings("firewall"),
        )
        address = linode.NetworkingIp("address", public=True, reserved=True, region="us-east", opts=on_cloud)
        wanted = self.settings("instance")
        user_data = wanted.pop("user_data")
        instance = linode.Instance(
            "instance",
            region="us-east",
            type="g6-standard-1",
            image="linode/debian12",
            root_pass=SECRETS["root"],
            firewall_id=firewall.id.apply(int),
            ipv4s=[address.address],
            metadatas=[{"user_data": pulumi.Output.secret(user_data)}],
            opts=pulumi.ResourceOptions(provider=cloud, delete_before_replace=True),
            **wanted,
        )
        linode.Volume(
            "volume", label="engine-data", region="us-east", size=20, linode_id=instance.id.apply(int), opts=on_cloud
        )
        linode.DomainRecord(
            "record",
            domain_id=linode.get_domain_output(
                domain="example.com", opts=pulumi.InvokeOptions(provider=cloud)
            ).id.apply(int),
            name="harbor",
            record_type="A",
            target=address.address,
            opts=on_cloud,
        )
        password = random.RandomPassword("password", length=24, min_numeric=3, override_special="-_")
        url = instance.status.apply(lambda _: self.harbor_url)
        mirror = harbor.Provider("harbor", url=url, username="admin", password=ADMIN_PASSWORD, insecure=False)
        in_harbor = pulumi.ResourceOptions(provider=mirror)
        project = harbor.Project("project", name="mirror", opts=in_harbor, **self.settings("project"))
        registry = harbor.Registry(
            "registry",
            name="hub",
            endpoint_url="https://hub.docker.com",
            opts=in_harbor,
            **self.settings("registry"),
        )
        harbor.Replication(
            "replication",
            name="nginx",
            action="pull",
            registry_id=registry.registry_id,
            dest_namespace=project.name,
            opts=in_harbor,
            **self.settings("replication"),
        )
        robot = harbor.RobotAccount(
            "robot",
            name="puller",
            level="system",
            permissions=[
                {
                    "kind": "project",
                    "namespace": project.name,
                    "accesses": [{"action": "pull", "resource": "repository"}],
                }
            ],
            opts=in_harbor,
        )
        if adopted := self.wanted.get("adopted"):
            options = pulumi.ResourceOptions(provider=mirror, import_=adopted["id"])
            harbor.Registry(
                "adopted",
                name="partner",
                provider_name="docker-registry",
                endpoint_url=adopted["url"],
                description="made by hand",
                opts=options,
            )
        harbor.ConfigSystem("settings", project_creation_restriction="adminonly", opts=in_harbor)
        pulumi.export("robot", robot.full_name)
        pulumi.export("password", password.result)


def find_pulumi() -> Path:
    """The engine: PULUMI_CLI, the checkout's own, or the one on PATH."""
    candidates = [os.environ.get("PULUMI_CLI"), ".tools/bin/pulumi", shutil.which("pulumi")]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return Path(candidate).resolve()
    raise RuntimeError(
        "no pulumi: set PULUMI_CLI to its path, or run `make demo` once, which builds it into .tools/bin"
    )


@pytest.fixture
def stage() -> Iterator[Stage]:
    small = SmallHarbor()
    api = LinodeSimulator(LINODE_TOKEN, lambda _: Idle(), boot_seconds=0.05, job_seconds=0.02)
    with serve(small.app) as harbor_server, serve(api.app) as linode_server:
        yield Stage(small, harbor_server.url, api, linode_server.url)
    api.close()


@pytest.fixture
def stack(stage: Stage, tmp_path: Path) -> Iterator[auto.Stack]:
    home = tmp_path
    with Providers() as providers, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{find_pulumi().parent}{os.pathsep}{os.environ['PATH']}")
        environment = {
            **providers.env,
            "PULUMI_HOME": str(home / "home"),
            "PULUMI_BACKEND_URL": f"file://{home}",
            "PULUMI_CONFIG_PASSPHRASE": "engine-test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        options = auto.LocalWorkspaceOptions(env_vars=environment, work_dir=str(home))
        made = auto.create_or_select_stack("test", project_name="providers", program=stage.program, opts=options)
        yield made


def up(stack: auto.Stack) -> dict[str, list[str]]:
    """Runs `up`; the resources by what was done to them, unchanged ones left out."""
    done: dict[str, list[str]] = {}

    def note(event: auto.EngineEvent) -> None:
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            operation = str(getattr(metadata.op, "value", metadata.op))
            if operation not in ("same", "read"):
                done.setdefault(operation, []).append(metadata.urn.rsplit("::", 1)[1])

    stack.up(on_event=note)
    return {operation: sorted(names) for operation, names in done.items()}


def refresh(stack: auto.Stack) -> set[str]:
    """Runs `refresh`; what it found to be so or otherwise."""
    return {str(operation) for operation in stack.refresh().summary.resource_changes or {}}


def state(stack: auto.Stack) -> dict[str, dict[str, Any]]:
    """The resources as they lie in the backend, secrets encrypted (the Automation API's own export shows them)."""
    file = Path(stack.workspace.work_dir) / ".pulumi" / "stacks" / "providers" / "test.json"
    latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
    return {row["urn"].rsplit("::", 1)[1]: row for row in latest.get("resources", [])}


NAMES = [
    "address",
    "cloud",
    "firewall",
    "harbor",
    "instance",
    "password",
    "project",
    "record",
    "registry",
    "replication",
    "robot",
    "settings",
    "volume",
]


# One story: each step goes on from where the one before it ended.


def a_preview_with_unknowns_sends_nothing_that_writes(stage: Stage, stack: auto.Stack) -> None:
    stack.preview()
    assert stage.harbor.calls == []
    assert {seen.method for seen in stage.linode.requests} == {"GET"}


def the_first_up_creates_everything(stage: Stage, stack: auto.Stack) -> None:
    created = up(stack)
    assert list(created) == ["create"]
    assert [name for name in created["create"] if name in NAMES] == NAMES
    resources = state(stack)
    assert resources["replication"]["id"] == next(f"/{path}" for path in stage.harbor.objects if "policies" in path)
    assert resources["instance"]["id"] == str(stage.linode.instances[0].id)
    assert resources["password"]["id"] == "none"
    assert stack.outputs()["robot"].value == "robot$puller"
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", stack.outputs()["password"].value)
    assert stage.harbor.settings["project_creation_restriction"] == "adminonly"
    assert stage.harbor.settings["robot_token_duration"] == 30


def no_secret_stands_in_the_state(_: Stage, stack: auto.Stack) -> None:
    resources = state(stack)
    written = json.dumps(resources)
    secrets = SECRETS | {"robot": "Robot-Secret-Mark", "random": stack.outputs()["password"].value}
    assert [name for name, value in secrets.items() if value in written] == []
    for name, properties in {
        "registry": ["accessSecret"],
        "robot": ["secret"],
        "instance": ["rootPass", "metadatas"],
        "password": ["result", "bcryptHash"],
    }.items():
        for secret in properties:
            assert "ciphertext" in json.dumps(resources[name]["outputs"][secret]), (name, secret)


def a_second_up_changes_nothing_and_asks_harbor_nothing(stage: Stage, stack: auto.Stack) -> None:
    stage.harbor.calls.clear()
    assert up(stack) == {}
    assert stage.harbor.calls == []


def a_refresh_of_what_nobody_touched_is_clean(_: Stage, stack: auto.Stack) -> None:
    # The first refresh sees what came later: the firewall's device, the address's host, the volume in the config.
    stack.refresh()
    assert up(stack) == {}
    assert refresh(stack) == {"same"}


MANY = {"override": False, "enabled": False, "description": "x", "dest_namespace_replace": -1, "speed": 9}


CHANGES: tuple[dict[str, dict[str, Any]], ...] = (
    {"replication": {"schedule": "0 0 4 * * *"}},
    {
        "replication": {"filters": [{"tag": "2.*"}, {"name": "library/nginx"}]},
        "registry": {"description": "second"},
        "project": {"public": True},
    },
    {
        "replication": MANY,
        "registry": {"access_secret": "Endpoint-Secret-Mark-2"},
        "instance": {"tags": ["cyan"]},
        "firewall": {"tags": ["teal"]},
    },
    {"replication": {"filters": ABSENT, "schedule": "manual"}},
)


def changed_properties_are_updated_in_place(stage: Stage, stack: auto.Stack) -> None:
    for changes in CHANGES:
        for resource, change in changes.items():
            stage.wanted[resource] = stage.wanted.get(resource, {}) | change
        assert up(stack) == {"update": sorted(changes)}


def the_order_of_filters_and_tags_means_nothing(stage: Stage, stack: auto.Stack) -> None:
    blocks = [{"tag": "3.*"}, {"name": "library/alpine"}, {"resource": "image"}]
    stage.wanted["replication"]["filters"] = blocks
    stage.wanted["instance"]["tags"] = ["one", "two", "three"]
    assert up(stack) == {"update": ["instance", "replication"]}
    stage.wanted["replication"]["filters"] = blocks[::-1]
    stage.wanted["instance"]["tags"] = ["three", "ONE", "two"]
    assert up(stack) == {}


def a_refused_update_fails_with_harbors_reason_and_the_next_one_repairs(stage: Stage, stack: auto.Stack) -> None:
    path = next(path for path in stage.harbor.objects if "policies" in path)
    kept = stage.harbor.objects.pop(path)
    stage.wanted["replication"]["description"] = "lost"
    with pytest.raises(auto.CommandError, match=r"unexpected status code got: 404 expected: 200"):
        up(stack)
    stage.harbor.objects[path] = kept
    # The same program again: state has the refused values, yet the engine knows that they were refused.
    assert up(stack) == {"update": ["replication"]}


def drift_is_seen_where_the_plugin_sees_it(stage: Stage, stack: auto.Stack) -> None:
    path = next(path for path in stage.harbor.objects if "policies" in path)
    policy = stage.harbor.objects[path]
    policy |= {"description": "drifted", "filters": [], "speed": 1, "single_active_replication": True}
    assert refresh(stack) == {"same"}
    assert up(stack) == {}
    policy |= {"override": True, "dest_namespace": "elsewhere"}
    assert refresh(stack) == {"same", "update"}
    assert up(stack) == {"update": ["replication"]}
    assert stage.harbor.objects[path]["dest_namespace"] == "mirror"


def another_registry_type_deletes_first(stage: Stage, stack: auto.Stack) -> None:
    stage.harbor.calls.clear()
    stage.wanted["registry"]["provider_name"] = "docker-registry"
    done = up(stack)
    assert done.pop("update") == ["replication"]
    assert {name for names in done.values() for name in names} == {"registry"}
    calls = [call for call in stage.harbor.calls if "registries" in call and "GET" not in call]
    assert [call.split()[0] for call in calls] == ["DELETE", "POST"]


def new_user_data_replaces_the_instance_and_keeps_the_rest(stage: Stage, stack: auto.Stack) -> None:
    before = state(stack)
    stage.wanted["instance"]["user_data"] = "T1RIRVI="
    stage.harbor.calls.clear()
    asked = len(stage.linode.requests)
    stack.preview()
    # The new host's id is not known yet, so neither is what hangs on it; and nothing is written.
    assert {seen.method for seen in stage.linode.requests[asked:]} == {"GET"}
    assert stage.harbor.calls == []
    done = up(stack)
    assert done.pop("update") == ["volume"]
    assert set(done) == {"delete-replaced", "create-replacement", "replace"}
    assert {name for names in done.values() for name in names} == {"instance"}
    after = state(stack)
    assert after["instance"]["id"] != before["instance"]["id"]
    assert after["address"]["id"] == before["address"]["id"]
    assert after["volume"]["id"] == before["volume"]["id"]


def what_was_made_by_hand_is_adopted(stage: Stage, stack: auto.Stack) -> None:
    by_hand = {"id": 99, "name": "partner", "url": "https://r.example", "type": "docker-registry"}
    stage.harbor.objects["registries/99"] = {**by_hand, "description": "made by hand", "credential": {}}
    stage.wanted["adopted"] = {"id": "/registries/98", "url": "https://r.example"}
    with pytest.raises(auto.CommandError, match="'/registries/98' does not exist"):
        up(stack)
    stage.wanted["adopted"]["id"] = "/registries/99"
    assert up(stack) == {"import": ["adopted"]}
    assert up(stack) == {}


def bad_values_are_refused_at_preview(stage: Stage, stack: auto.Stack) -> None:
    stage.wanted["instance"]["label"] = "ab"
    with pytest.raises(auto.CommandError, match=r"expected length of label to be in the range \(3 - 50\), got ab"):
        stack.preview()
    del stage.wanted["instance"]["label"]


def destroy_leaves_nothing(stage: Stage, stack: auto.Stack) -> None:
    stack.destroy()
    assert stage.harbor.objects == {}
    assert stage.linode.instances == []
    assert state(stack) == {}


STORY: tuple[Callable[[Stage, auto.Stack], None], ...] = (
    a_preview_with_unknowns_sends_nothing_that_writes,
    the_first_up_creates_everything,
    no_secret_stands_in_the_state,
    a_second_up_changes_nothing_and_asks_harbor_nothing,
    a_refresh_of_what_nobody_touched_is_clean,
    changed_properties_are_updated_in_place,
    the_order_of_filters_and_tags_means_nothing,
    a_refused_update_fails_with_harbors_reason_and_the_next_one_repairs,
    drift_is_seen_where_the_plugin_sees_it,
    another_registry_type_deletes_first,
    new_user_data_replaces_the_instance_and_keeps_the_rest,
    what_was_made_by_hand_is_adopted,
    bad_values_are_refused_at_preview,
    destroy_leaves_nothing,
)


def test_the_engine_finds_the_plugins_manners_in_the_stand_ins(stage: Stage, stack: auto.Stack) -> None:
    for step in STORY:
        step(stage, stack)
