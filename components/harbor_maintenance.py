"""Harbor's own housekeeping: garbage collection and the purge of the audit log, both global settings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor

from harbor_mirror.config.models import AuditPurge, Configuration, GarbageCollection
from harbor_mirror.harbor import maintenance as housekeeping
from harbor_mirror.harbor.client import Harbor
from harbor_mirror.plan.outputs import MANUAL
from harbor_mirror.plan.schedule import parse_maintenance

#: Crons that the provider reads back as words of its own: sent as crons they would differ at every preview.
PROVIDERS_WORDS = {"0 0 * * * *": "Hourly", "0 0 0 * * *": "Daily", "0 0 0 * * 0": "Weekly"}


def provider_schedule(schedule: str, *, name: str) -> str | None:
    """A maintenance schedule as the provider keeps it; None for one that is started by hand."""
    cron = parse_maintenance(schedule, name=name).cron
    return PROVIDERS_WORDS.get(cron, cron) or None


@dataclass(frozen=True, kw_only=True)
class HarborMaintenanceArgs:
    """What to set, None for what is left as it is; `url`, `username` and `password` are Harbor's."""

    garbage_collection: GarbageCollection | None
    audit_purge: AuditPurge | None
    url: str
    username: str
    password: pulumi.Output[str] | None

    @property
    def any(self) -> bool:
        """Whether there is anything to set."""
        return self.garbage_collection is not None or self.audit_purge is not None

    @classmethod
    def of(cls, configuration: Configuration, password: pulumi.Output[str] | None) -> HarborMaintenanceArgs:
        """What the entry `maintenance` means in a stack."""
        return cls(
            garbage_collection=configuration.garbage_collection,
            audit_purge=configuration.audit_purge,
            url=configuration.url,
            username=configuration.admin_username,
            password=password,
        )


class HarborMaintenance(pulumi.ComponentResource):
    """Both schedules are Harbor's only ones of their kind: leaving the configuration, garbage collection stops, and
    the purge stays as it was last set."""

    def __init__(self, name: str, args: HarborMaintenanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:HarborMaintenance", name, {}, opts)
        collection = args.garbage_collection
        if collection is not None and collection.schedule != MANUAL:
            harbor.GarbageCollection(
                f"{name}-garbage-collection",
                schedule=provider_schedule(collection.schedule, name="garbageCollection") or "",
                # Always stated: Harbor's own default is to delete them.
                delete_untagged=collection.delete_untagged,
                workers=collection.workers,
                opts=pulumi.ResourceOptions(parent=self),
            )
        if args.audit_purge is not None:
            self._purge(f"{name}-audit-purge", args, housekeeping.audit_purge(args.audit_purge))
        self.register_outputs({})

    def _purge(self, name: str, args: HarborMaintenanceArgs, body: dict[str, Any]) -> None:
        """By a hook: the provider's own resource lacks a parameter that Harbor demands since 2.13, and gets 400."""

        async def set_schedule(_: pulumi.ResourceHookArgs) -> None:
            password = await args.password.future() if args.password is not None else None

            def put() -> None:
                with Harbor(args.url, args.username, password or "") as client:
                    client.request("PUT", housekeeping.PURGE_SCHEDULE, body=body)

            await asyncio.to_thread(put)

        hook = pulumi.ResourceHook(name, set_schedule)
        random.RandomId(
            name,
            byte_length=4,
            keepers={**body["schedule"], **{key: str(value) for key, value in body["parameters"].items()}},
            opts=pulumi.ResourceOptions(
                parent=self, hooks=pulumi.ResourceHookBinding(before_create=[hook]), delete_before_replace=True
            ),
        )
