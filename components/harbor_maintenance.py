"""Harbor's own maintenance: garbage collection and the purge of the audit log, both global settings of Harbor."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor

from harbor_mirror.harbor import maintenance
from harbor_mirror.plan.maintenance import PlannedAuditPurge, PlannedGarbageCollection

from .hooks.harbor_api import request_hook
from .hooks.refused import explain_refusal


@dataclass(frozen=True, kw_only=True)
class HarborMaintenanceArgs:
    """Arguments of HarborMaintenance: the settings to change; None leaves a setting unchanged."""

    garbage_collection: PlannedGarbageCollection | None = None
    audit_purge: PlannedAuditPurge | None = None


class HarborMaintenance(pulumi.ComponentResource):
    """Sets the schedules of garbage collection and audit log purge; a Harbor has one of each.

    Creates a `harbor.GarbageCollection`, and a `random.RandomId` whose hook sets the purge: the provider's resource for
    the purge lacks a parameter that Harbor requires since 2.13, and fails with 400. When the resources are deleted,
    garbage collection stops, and the purge keeps its last settings. Needs a `harbor` provider in `opts`.
    """

    def __init__(self, name: str, args: HarborMaintenanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:HarborMaintenance", name, {}, opts)
        collection = args.garbage_collection
        if collection is not None and not collection.schedule.is_manual:
            harbor.GarbageCollection(
                f"{name}-garbage-collection",
                **maintenance.garbage_collection_to_provider(collection),
                opts=pulumi.ResourceOptions(
                    parent=self, hooks=explain_refusal(f"{name}-maintenance", self, "maintenance")
                ),
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
            # Previews show the settings here, and a change of them runs the hook again.
            keepers={**body["schedule"], **{key: str(value) for key, value in body["parameters"].items()}},
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=pulumi.ResourceHookBinding(before_create=[hook]),
                delete_before_replace=True,
            ),
        )
