"""One pull replication policy of Harbor (Administration > Replications)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.config.models import Rule
from harbor_mirror.plan.filters import join
from harbor_mirror.plan.outputs import MANUAL, cron

from .hooks.conflict import adoption_offered


@dataclass(frozen=True, kw_only=True)
class PullReplicationArgs:
    """`schedule` is Harbor's cron (six fields, UTC) or `manual`; `namespace` starts with the destination project."""

    registry_id: pulumi.Input[int]
    repositories: str
    namespace: str
    flatten: int = 0
    tag_matches: str | None = None
    tag_excludes: str | None = None
    labels: tuple[str, ...] = ()
    resource: str | None = None
    schedule: str = MANUAL
    override: bool = True
    enabled: bool = True
    deletion: bool = False
    copy_by_chunk: bool = False
    speed_kbps: int = -1
    description: str = ""

    @classmethod
    def of(cls, name: str, rule: Rule, *, registry_id: pulumi.Input[int]) -> PullReplicationArgs:
        """What an entry under `rules` means."""
        return cls(
            registry_id=registry_id,
            repositories=join(rule.repositories),
            namespace=rule.namespace,
            flatten=rule.flatten,
            tag_matches=join(rule.tags.matches, "tag") if rule.tags.matches else None,
            tag_excludes=join(rule.tags.excludes, "tag") if rule.tags.excludes else None,
            labels=rule.labels,
            resource=rule.resource,
            schedule=cron(name, rule),
            override=rule.override,
            enabled=rule.enabled,
            deletion=rule.deletion,
            copy_by_chunk=rule.copy_by_chunk,
            speed_kbps=rule.speed_kbps,
            description=rule.description,
        )

    def filters(self) -> list[harbor.ReplicationFilterArgs]:
        """One kind of filter a block: of several kinds in one block the provider sends the last and drops the rest."""
        blocks = [harbor.ReplicationFilterArgs(name=self.repositories)]
        if self.tag_matches is not None:
            blocks.append(harbor.ReplicationFilterArgs(tag=self.tag_matches, decoration="matches"))
        if self.tag_excludes is not None:
            blocks.append(harbor.ReplicationFilterArgs(tag=self.tag_excludes, decoration="excludes"))
        if self.labels:
            blocks.append(harbor.ReplicationFilterArgs(labels=list(self.labels), decoration="matches"))
        if self.resource is not None:
            blocks.append(harbor.ReplicationFilterArgs(resource=self.resource))
        return blocks


class PullReplication(pulumi.ComponentResource):
    """Pulls what its filters match from one endpoint into one namespace."""

    policy_id: pulumi.Output[int]

    def __init__(self, name: str, args: PullReplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullReplication", name, {}, opts)
        policy = harbor.Replication(
            name,
            name=name,
            action="pull",
            registry_id=args.registry_id,
            filters=args.filters(),
            dest_namespace=args.namespace,
            # Always stated: the provider's default is 0, Harbor's own is -1.
            dest_namespace_replace=args.flatten,
            schedule=args.schedule,
            override=args.override,
            enabled=args.enabled,
            deletion=args.deletion,
            copy_by_chunk=args.copy_by_chunk,
            speed=args.speed_kbps,
            description=args.description,
            opts=pulumi.ResourceOptions(parent=self, hooks=adoption_offered(f"{name}-rule", self, f"rule {name}")),
        )
        self.policy_id = policy.replication_policy_id
        self.register_outputs({"policyId": self.policy_id})
