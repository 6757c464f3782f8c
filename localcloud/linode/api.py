"""Linode's API v4 as one ASGI application, with its state and a fault injector in front."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from localcloud.faults import Exchange, FaultInjector
from localcloud.linode import (
    addresses,
    catalog,
    databases,
    disks,
    domains,
    events,
    firewalls,
    instances,
    kubernetes,
    machine,
    nodebalancers,
    objects,
    s3,
    volumes,
)
from localcloud.linode.machine import Instance
from localcloud.linode.routing import error_body, http_exception, routes
from localcloud.linode.state import Boot, Cloud
from localcloud.linode.volumes import Volume

_FAMILIES = (
    catalog,
    events,
    instances,
    disks,
    addresses,
    volumes,
    firewalls,
    domains,
    objects,
    kubernetes,
    databases,
    nodebalancers,
)
VERSIONS = ("/v4", "/v4beta")


class LinodeSimulator:
    """A simulated Linode account: serve `app` as the API and `s3` as object storage.

    `token`: the only one accepted. `boot`: starts what runs in an instance, called in a thread of its own
    `boot_seconds` after creation. `job_seconds`: how long every other job takes. `zones`: initial DNS zones.
    """

    def __init__(
        self,
        token: str,
        boot: Boot,
        *,
        boot_seconds: float = 1.0,
        job_seconds: float = 0.2,
        zones: tuple[str, ...] = ("example.com",),
    ) -> None:
        self.cloud = Cloud(boot, boot_seconds, job_seconds)
        for zone in zones:
            domains.seed(self.cloud, zone)
        operations = [operation for family in _FAMILIES for operation in family.OPERATIONS]
        mounted = routes(self.cloud, operations, token)
        api = Starlette(
            routes=[Mount(version, routes=mounted) for version in VERSIONS],
            exception_handlers={HTTPException: http_exception, Exception: http_exception},
        )
        self.app = self.faults = FaultInjector(api, error_body, lambda: self.cloud.closing)
        self.s3 = s3.application(self.cloud)

    @property
    def requests(self) -> list[Exchange]:
        """Every request so far."""
        return self.faults.requests

    @property
    def instances(self) -> list[Instance]:
        """All instances, oldest first."""
        with self.cloud.lock:
            return list(self.cloud.instances.values())

    @property
    def volumes(self) -> list[Volume]:
        """All volumes, oldest first."""
        with self.cloud.lock:
            return list(self.cloud.volumes.values())

    def close(self) -> None:
        """Stop timers and every guest."""
        self.cloud.closing = True
        self.cloud.timers.close()
        for instance in self.instances:
            machine.stop_guest(instance)

    def __enter__(self) -> LinodeSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
