"""The state of the simulated account."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from localcloud.linode import catalog
from localcloud.linode.addresses import Address, pool
from localcloud.linode.events import Entity, Event
from localcloud.linode.timers import Timers

if TYPE_CHECKING:
    from localcloud.linode.databases import Database
    from localcloud.linode.domains import Domain
    from localcloud.linode.firewalls import Firewall
    from localcloud.linode.kubernetes import Cluster
    from localcloud.linode.machine import Instance
    from localcloud.linode.nodebalancers import NodeBalancer
    from localcloud.linode.objects import Bucket, Key
    from localcloud.linode.volumes import Volume

# Ids look like the real ones: large and rising, one series for all kinds.
FIRST_ID = 71_000_001


class Guest(Protocol):
    """Software that runs in a booted instance."""

    def stop(self) -> None:
        """Stop; return when nothing is served and no volume is used any more."""


Boot = Callable[["Instance"], Guest]


class Cloud:
    """The account's state. Read and change it under `lock` only."""

    def __init__(self, boot: Boot, boot_seconds: float, job_seconds: float) -> None:
        self.boot = boot
        self.boot_seconds = boot_seconds
        self.job_seconds = job_seconds
        self.closing = False
        #: Instances created from now on stay in `provisioning`.
        self.never_running = False
        # Host and port of the S3 server; without one, responses have Linode's own names.
        self.s3_host = ""
        self.lock = threading.RLock()
        self.timers = Timers(self.lock)
        self.regions: catalog.Catalog = catalog.regions()
        self.types: catalog.Catalog = catalog.types()
        self.images: catalog.Catalog = catalog.images()
        self.endpoints: catalog.Catalog = catalog.endpoints()
        self.events: dict[int, Event] = {}
        self.instances: dict[int, Instance] = {}
        self.volumes: dict[int, Volume] = {}
        self.addresses: dict[str, Address] = {}
        self.firewalls: dict[int, Firewall] = {}
        self.domains: dict[int, Domain] = {}
        self.buckets: dict[tuple[str, str], Bucket] = {}
        self.keys: dict[int, Key] = {}
        self.clusters: dict[int, Cluster] = {}
        self.databases: dict[int, Database] = {}
        self.nodebalancers: dict[int, NodeBalancer] = {}
        #: What clusters give as theirs: the kubeconfig of an API server that a test runs.
        self.kubeconfig = ""
        self.pool = pool()
        self._ids: Iterator[int] = itertools.count(FIRST_ID)

    def next_id(self) -> int:
        """Return an unused ID."""
        return next(self._ids)

    def event(self, action: str, entity: Entity, secondary: Entity | None = None, *, done: bool = False) -> Event:
        """Add an event to the account's log; `done`: it has finished already."""
        event = Event(self.next_id(), action, entity, now(), secondary)
        if done:
            event.finish()
        self.events[event.id] = event
        return event


def now() -> str:
    """Return the time as the API writes it: UTC, seconds, no zone."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
