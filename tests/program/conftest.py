"""The program under Pulumi's mocks: what it registers, without an engine."""

from __future__ import annotations

import asyncio
import base64
import json
import runpy
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.settings import ROOT
from pulumi.runtime.stack import run_in_stack

PROGRAM = Path(__file__).resolve().parents[2] / "__main__.py"


@dataclass
class Registered:
    """A resource that the program registered."""

    type: str
    name: str
    inputs: Mapping[str, Any]


#: Answers to look-ups of a host's region, type, image, zone and volume.
LOOKUPS: dict[str, dict[str, Any]] = {
    "linode:index/getRegion:getRegion": {"capabilities": ["Metadata", "Block Storage", "Object Storage"]},
    "linode:index/getInstanceType:getInstanceType": {"vcpus": 4, "memory": 8192},
    "linode:index/getImage:getImage": {"capabilities": ["cloud-init"]},
    "linode:index/getDomain:getDomain": {"id": 77},
    "linode:index/getVolumes:getVolumes": {"volumes": []},
}


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Answers like a cloud, and records the registered resources."""

    resources: list[Registered] = field(default_factory=list)
    lookups: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(LOOKUPS))

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(Registered(args.typ, args.name, args.inputs))
        computed: dict[str, Any] = {}
        if args.typ == "harbor:index/registry:Registry":
            computed = {"registryId": 7}
        elif args.typ == "random:index/randomPassword:RandomPassword":
            computed = {"result": f"Generated-{args.name}"}
        elif args.typ == "linode:index/networkingIp:NetworkingIp":
            computed = {"address": "192.0.2.10"}
        elif args.typ == "linode:index/objectStorageBucket:ObjectStorageBucket":
            computed = {"s3Endpoint": "us-ord-1.linodeobjects.com"}
        elif args.typ == "linode:index/objectStorageKey:ObjectStorageKey":
            computed = {"accessKey": f"KEY-{args.name}", "secretKey": f"Secret-{args.name}"}
        elif args.typ == "random:index/randomId:RandomId":
            computed = {"hex": "c0ffee00"}
        elif args.typ == "linode:index/lkeCluster:LkeCluster":
            nodes = [{"id": "n", "instanceId": 4711, "status": "ready"}]
            pools = [{**pool, "nodes": nodes} for pool in args.inputs["pools"]]
            computed = {"kubeconfig": base64.b64encode(b"kubeconfig-1").decode(), "pools": pools}
        elif args.typ == "linode:index/databasePostgresqlV2:DatabasePostgresqlV2":
            computed = {"hostPrimary": "pg.example.net", "port": 26174, "rootUsername": "akmadmin"}
            computed |= {"rootPassword": "Database-Root-1", "caCert": "PEM of the CA"}
        elif args.typ == "linode:index/nodeBalancer:NodeBalancer":
            computed = {"ipv4": "192.0.2.20", "ipv6": "2001:db8::20"}
        return str(len(self.resources)), {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        answer = self.lookups[args.token]
        if "error" in answer:
            return {}, [("", answer["error"])]
        return answer

    def of(self, kind: str) -> list[Registered]:
        """Return the resources of a type, such as `Instance` for `linode:index/instance:Instance`."""
        return [resource for resource in self.resources if resource.type.rsplit(":", 1)[-1] == kind]

    def only(self, kind: str) -> Registered:
        """Return the only resource of a type."""
        (resource,) = self.of(kind)
        return resource


def _main() -> None:
    runpy.run_path(str(PROGRAM))


@dataclass
class Program:
    """Runs `__main__.py`; `recorder` is the last run's, also if the program ended in an error."""

    recorder: Recorder = field(default_factory=Recorder)

    def __call__(
        self, config: Mapping[str, Any], lookups: Mapping[str, dict[str, Any]] | None = None, *, preview: bool = False
    ) -> Recorder:
        """Runs it with a configuration keyed as in `Pulumi.<stack>.yaml`, without the project's name.

        `lookups`: answers to invokes, by the function's last word, where they differ from those of a usual account;
        `{"error": ...}` for one that fails.
        """
        given = {f"linode:index/{name}:{name}": answer for name, answer in (lookups or {}).items()}
        self.recorder = Recorder(lookups={**LOOKUPS, **given})
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        pulumi.runtime.set_mocks(self.recorder, project="harbor-mirror", stack="test", preview=preview)
        # It creates a stack resource, but the program runs in one of its own, as with the engine.
        ROOT.set(None)
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
        pulumi.runtime.set_all_config({f"harbor-mirror:{key}": text for key, text in texts.items()})

        interrupted = signal.getsignal(signal.SIGINT)
        try:
            loop.run_until_complete(run_in_stack(_main))
        finally:
            signal.signal(signal.SIGINT, interrupted)
            loop.close()
        return self.recorder


@pytest.fixture
def program() -> Program:
    """The program under mocks."""
    return Program()
