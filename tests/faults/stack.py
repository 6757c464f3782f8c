"""A whole local stack for trials: a host, endpoints, projects, rules, retention; and commands that are killed.

A point is defined by a request: the n-th write that a command sends to Linode or Harbor, before or after its effect.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harbor_mirror.harbor.client import Harbor
from localcloud.boot import Boot, boot_harbor
from localcloud.cloud import LINODE_TOKEN, PARTNER_PASSWORD, PARTNER_USERNAME, LocalCloud
from localcloud.engine import Workspace
from localcloud.faults import Exchange, FaultInjector
from localcloud.harbor import HarborData
from localcloud.http import free_port
from mirrorctl.live.engine import WITHOUT_CHECKPOINTS
from tests.faults.secrets import leaks, places

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LOGIN = "/c/login"
#: Of a Harbor that no stack creates.
ADMIN_PASSWORD = "Harbor-Admin-1"
MEMBER = "alice"
#: Kinds of objects in Harbor that are tried without a host only, where a run is quicker.
PROTECTION = {
    "immutableTags": [{"tags": "v*"}, {"repositories": {"excludes": "tmp/**"}, "tags": "release-*"}],
    "webhooks": {"ops": {"type": "slack"}},
    "members": {"users": {MEMBER: "developer"}},
}
WEBHOOK_URL = "https://hooks.example.com/T0/B0/Webhook-Secret-1"
COMMAND_SECONDS = 300
#: What a host has in Linode.
COUNTS = {"servers": 1, "volumes": 1, "firewalls": 1, "addresses": 1, "buckets": 2, "keys": 3}

IN_HARBOR = {"endpoints": 2, "robots": 1, "immutable tags": 0, "webhooks": 0}
IN_HARBOR_WITH_PROTECTION = {"endpoints": 2, "robots": 2, "immutable tags": 2, "webhooks": 1}


@dataclass(frozen=True)
class Point:
    """Where a command is killed: at its `number`-th write (from 1), before or after it takes effect."""

    number: int
    when: Literal["before", "after"]
    signal: signal.Signals


class TrialCloud(LocalCloud):
    """A local cloud that counts the writes in Linode and in the Harbor of each server, and kills at one of them."""

    def __init__(self) -> None:
        self.harbors: list[Any] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.point: Point | None = None
        self._target: Exchange | None = None
        self.writes: list[str] = []
        self._lock = threading.Lock()
        super().__init__(boot=Boot(self._start_harbor), boot_seconds=0.05)
        self.watch(self.linode.faults)

    def _start_harbor(self, *arguments: Any) -> Any:
        served = boot_harbor(*arguments)
        self.harbors.append(served.harbor)
        self.watch(served.harbor.faults)
        return served

    def serve_harbor(self) -> str:
        """Start a Harbor that no stack creates, and return its URL."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        served = self._start_harbor(HarborData(), "127.0.0.1", url, ADMIN_PASSWORD, port, "2.15.2")
        self._open.callback(served.close)
        user = {"username": MEMBER, "password": "Member-Secret-1", "email": "member@example.com", "realname": MEMBER}
        with Harbor(url, "admin", ADMIN_PASSWORD) as client:
            client.request("POST", "/users", body=user)
        return url

    def watch(self, injector: FaultInjector) -> None:
        """Count the writes that a simulator gets."""
        injector.before = lambda exchange: self._meet(exchange, "before")
        injector.after = lambda exchange: self._meet(exchange, "after")

    def _meet(self, exchange: Exchange, when: str) -> None:
        # Another thread removes the point as soon as the process has ended.
        point = self.point
        if exchange.method not in WRITES or exchange.path == LOGIN or point is None:
            return
        with self._lock:
            if when == "before":
                self.writes.append(f"{exchange.method} {exchange.path}")
                if len(self.writes) == point.number:
                    # Other writes may begin before this one has its answer.
                    self._target = exchange
            if self.process is None or when != point.when or exchange is not self._target:
                return
            process, self.process = self.process, None
        process.send_signal(point.signal)
        if point.signal == signal.SIGKILL:
            process.wait()

    def left_over(self) -> dict[str, int]:
        """Return how many things Linode has, by kind."""
        cloud = self.linode.cloud
        kinds: dict[str, Sized] = {
            "servers": cloud.instances,
            "volumes": cloud.volumes,
            "firewalls": cloud.firewalls,
            "addresses": cloud.addresses,
            "buckets": cloud.buckets,
            "keys": cloud.keys,
        }
        return {kind: len(things) for kind, things in kinds.items()}


class TrialStack:
    """A stack in a trial cloud: with a host, or on a Harbor that it does not create."""

    def __init__(self, cloud: TrialCloud, directory: Path, name: str, *, has_host: bool = True) -> None:
        self.cloud, self.name, self.has_host = cloud, name, has_host
        #: What commands have printed, by a name for each.
        self.outputs: dict[str, str] = {}
        # A stack without a host needs no token of Linode.
        environment = {key: value for key, value in cloud.env.items() if has_host or not key.startswith("LINODE_")}
        self.workspace = Workspace(directory / name, name, environment)
        self.workspace.create()
        partner = {"type": "docker-registry", "url": cloud.partner_url, "username": PARTNER_USERNAME}
        self.rules: dict[str, Any] = {
            "nginx": _rule("hub", "library/nginx", "1.*"),
            "app": {**_rule("partner", "team/app", "v*"), "singleActive": True},
        }
        self.config: dict[str, Any] = {
            **(_host() if has_host else {"harbor-mirror:harbor": {"url": cloud.serve_harbor()}}),
            "harbor-mirror:endpoints": {"hub": {"type": "docker-registry", "url": cloud.hub_url}, "partner": partner},
            "harbor-mirror:projects": {
                "mirror": {
                    "forceDestroy": True,
                    "retention": {"keep": [{"mostRecentlyPushed": 10}], "schedule": "daily"},
                }
            },
            "harbor-mirror:rules": self.rules,
        }
        if not has_host:
            self.config["harbor-mirror:projects"]["mirror"] |= PROTECTION
            self.config["harbor-mirror:projects"]["cache"] = {"proxyCache": "hub", "forceDestroy": True}
            self.config["harbor-mirror:robots"] = {"ci": {"projects": ["mirror"], "rights": "push"}}
        self.workspace.configure(self.config)
        self.workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
        if not has_host:
            self.workspace.set_secret("harborPassword", ADMIN_PASSWORD)
            self.workspace.set_secret("projects.mirror.webhooks.ops.url", WEBHOOK_URL)

    def change(self) -> None:
        """Change a rule, add one, and upgrade Harbor on a host, which replaces the server."""
        config = self.workspace.configuration()
        if self.has_host:
            config["harbor-mirror:host"]["version"] = "2.15.2"
        config["harbor-mirror:rules"]["nginx"]["tags"] = "1.2*"
        config["harbor-mirror:rules"]["redis"] = _rule("hub", "library/redis", "*")
        self.rules["redis"] = config["harbor-mirror:rules"]["redis"]
        self.workspace.configure(config)

    def use_harbor(self, url: str) -> None:
        """Reach the existing Harbor at another URL."""
        config = self.workspace.configuration()
        config["harbor-mirror:harbor"]["url"] = url
        self.workspace.configure(config)

    def killed(self, command: Literal["up", "destroy"], point: Point) -> bool:
        """Run a command that is killed at a point; return whether it sent so many writes.

        Without a host, where no generated password can be lost, the command writes no checkpoints.
        """
        # A test that runs in the background of a shell has SIGINT ignored, and its children too.
        arguments = [
            "env",
            "--default-signal=INT",
            "pulumi",
            command,
            "--yes",
            "--skip-preview",
            "--color",
            "never",
            "--non-interactive",
        ]
        self.cloud.writes.clear()
        with (self.workspace.directory / "killed.log").open("ab") as log:
            process = subprocess.Popen(
                arguments,
                cwd=self.workspace.directory,
                env={**self.workspace.environment(), **({} if self.has_host else WITHOUT_CHECKPOINTS)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self.cloud.process, self.cloud.point = process, point
            process.wait(COMMAND_SECONDS)
            is_reached = self.cloud.process is None
        self.cloud.point = self.cloud.process = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return is_reached

    def recover(self, *options: str, answer: str = "y\n") -> subprocess.CompletedProcess[str]:
        """Run `mirrorctl recover` as a person who confirms it once."""
        done = self.workspace.mirrorctl("recover", *options, stdin=answer)
        self.outputs[f"recover {len(self.outputs)}"] = done.stdout + done.stderr
        return done

    def secrets(self) -> set[str]:
        """Return every secret of the stack: its own, those of its state, and those that Linode made for it."""
        outputs = self.workspace.outputs(secrets=True)
        state = json.loads(self.workspace.pulumi("stack", "export", "--show-secrets").ok().output)
        passwords = {
            json.loads(resource["outputs"]["result"]["plaintext"])
            for resource in state["deployment"]["resources"]
            if resource["type"] == "random:index/randomPassword:RandomPassword"
        }
        keys = {key.secret_key for key in self.cloud.linode.cloud.keys.values()}
        given = {PARTNER_PASSWORD, LINODE_TOKEN} if self.has_host else {PARTNER_PASSWORD, ADMIN_PASSWORD, WEBHOOK_URL}
        robots = {robot["password"] for robot in outputs.get("robots", {}).values()}
        return {outputs["pullPassword"], *given, *robots, *passwords, *keys}

    def leaks(self) -> tuple[int, list[str]]:
        """Return how many places were searched for the stack's secrets, and those that have one."""
        secrets = self.secrets()
        for options in (["preview", "--diff"], ["preview", "--json"], ["preview", "--debug", "--logtostderr", "-v=9"]):
            self.outputs[" ".join(options)] = self.workspace.pulumi(*options, events=True).output
        searched = places(self.workspace.directory, self.outputs)
        return len(searched), leaks(searched, secrets)

    def left_over(self) -> dict[str, int]:
        """Return how many things a destroyed stack has left, by kind: in Linode, or in a Harbor that it shared."""
        left = self.cloud.left_over()
        if not self.has_host:
            data = self.cloud.harbors[-1].data
            left |= {"endpoints": len(data.registries), "rules": len(data.policies), "robots": len(data.robots)}
            left["projects"] = sum(project.name != "library" for project in data.projects)
        return {kind: count for kind, count in left.items() if count}

    def faults(self) -> list[str]:
        """Return what differs from a stack that was never interrupted: orphans, duplicates, lost rules, changes."""
        found = []
        left = self.cloud.left_over()
        if left != (COUNTS if self.has_host else dict.fromkeys(COUNTS, 0)):
            found.append(f"Linode has {left}")
        if not self.cloud.harbors:
            return [*found, "no Harbor has started"]
        data = self.cloud.harbors[-1].data
        rules = Counter(policy.name for policy in data.policies)
        if rules != Counter(list(self.rules)):
            found.append(f"Harbor has the rules {dict(rules)}")
        counts = {
            "endpoints": len(data.registries),
            "robots": len(data.robots),
            "immutable tags": len(data.immutable_rules),
            "webhooks": len(data.webhooks),
        }
        if counts != (IN_HARBOR if self.has_host else IN_HARBOR_WITH_PROTECTION):
            found.append(f"Harbor has {counts}")
        again = self.workspace.preview("--expect-no-changes")
        if again.code != 0:
            found.append(f"the next preview has changes: {again.changes}")
        return found


def _host() -> dict[str, Any]:
    host = {"region": "sg-sin-2", "hostname": "localhost", "tls": "none", "httpPort": free_port(), "volumeGb": 20}
    host |= {"adminCidrs": ["203.0.113.0/24"], "objectStorage": {"blobs": True}, "version": "2.15.1"}
    return {"harbor-mirror:host": host}


def _rule(endpoint: str, repositories: str, tags: str) -> dict[str, Any]:
    return {"endpoint": endpoint, "repositories": repositories, "tags": tags, "project": "mirror"}
