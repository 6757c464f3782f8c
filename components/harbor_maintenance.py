"""Harbor's own maintenance: garbage collection and the purge of the audit log, both global settings of Harbor."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor

from harbor_mirror.harbor import maintenance
from harbor_mirror.plan.maintenance import PlannedAuditPurge, PlannedGarbageCollection

from .hooks.harbor_api import request_hook


@dataclass(frozen=True, kw_only=True)
class HarborMaintenanceArgs:
    """Arguments of HarborMaintenance: what to set, None for what is left as it is."""

    garbage_collection: PlannedGarbageCollection | None = None
    audit_purge: PlannedAuditPurge | None = None


class HarborMaintenance(pulumi.ComponentResource):
    """Garbage collection and the purge of the audit log. Harbor has one schedule of each kind.

    Creates a `harbor.GarbageCollection`, and a `random.RandomId` whose hook sets the purge: the provider's own resource
    for that lacks a parameter that Harbor demands since 2.13, and gets 400. When the resources are deleted, garbage
    collection stops, and the purge stays as it was last set. Needs a `harbor` provider in `opts`.
    """

    def __init__(self, name: str, args: HarborMaintenanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:HarborMaintenance", name, {}, opts)
        collection = args.garbage_collection
        if collection is not None and not collection.schedule.is_manual:
            harbor.GarbageCollection(
                f"{name}-garbage-collection",
                **maintenance.garbage_collection_to_provider(collection),
                opts=pulumi.ResourceOptions(parent=self),
            )
        if args.audit_purge is not None:
            self._create_purge(f"{name}-audit-purge", args.audit_purge)
        self.register_outputs({})

    def _create_purge(self, name: str, purge: PlannedAuditPurge) -> None:
        body = maintenance.audit_purge_to_json(purge)
        hook = request_hook(name, self, lambda client, _: client.request("PUT", maintenance.PURGE_SCHEDULE, body=body))
        random.RandomId(
            name,
            byte_length=4,
            # The preview shows them, and a change runs the hook again.
            keepers={**body["schedule"], **{key: str(value) for key, value in body["parameters"].items()}},
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=pulumi.ResourceHookBinding(before_create=[hook]),
                delete_before_replace=True,
            ),
        )
