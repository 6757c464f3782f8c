"""One pull replication policy of Harbor (Administration > Replications)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from hashlib import sha256
from typing import Any

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.facts import as_text
from harbor_mirror.harbor.rule import save_settings, to_api, to_provider
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.rule import PlannedPolicy, check_policy
from harbor_mirror.plan.schedule import ALLOW, Schedule

from .arguments import check
from .hooks.harbor_api import request_hook
from .hooks.refused import explain_refusal


@dataclass(frozen=True, kw_only=True)
class PullReplicationArgs(PlannedPolicy):
    """Arguments of PullReplication. Wrong values raise InvalidArguments.

    - `name`: the policy's name in Harbor
    - `registry_id`: the source, such as `RegistryEndpoint.registry_id`
    - `repositories`: glob of source repositories: `library/nginx`, `library/{nginx,redis}`, `team/**`
    - `namespace`: destination: a project, optionally with a path below it
    - `flatten`: number of leading components removed from the source path (0 keeps all, -1 keeps only the last)
    - `tag_matches`, `tag_excludes`: globs of tags; all tags without them
    - `labels`, `resource`: Harbor's other filters
    - `schedule`: `manual`, `hourly`, `daily`, `weekly`, or a cron of six fields in UTC
    - `allow_frequent`: accepts schedules that run more often than every five minutes
    - `override`, `enabled`, `deletion`, `copy_by_chunk`, `speed_kbps`, `description`: as in Harbor
    - `single_active`: skips a run while the previous one is still running (Harbor 2.13); None leaves it unchanged

    `is_checked`: the values were already checked with a complete stack.
    """

    registry_id: pulumi.Input[int]
    allow_frequent: InitVar[bool] = False
    is_checked: InitVar[bool] = False

    def __post_init__(self, allow_frequent: bool, is_checked: bool) -> None:
        if not is_checked:
            check(self, self.name, lambda report: self._check(report, allow_frequent))

    @classmethod
    def from_plan(cls, policy: PlannedPolicy, registry_id: pulumi.Input[int]) -> PullReplicationArgs:
        """Return the arguments for a policy of a resolved configuration."""
        return cls(**vars(policy), registry_id=registry_id, is_checked=True)

    def _check(self, report: EntryReport, allow_frequent: bool) -> None:
        check_policy(self, report)
        schedule = report.attempt("schedule", lambda: self._parse_schedule(allow_frequent))
        if schedule is not None:
            # Replace `daily`, `H` and the like with a cron for Harbor.
            object.__setattr__(self, "schedule", schedule.text)

    def _parse_schedule(self, allow_frequent: bool) -> Schedule:
        try:
            return Schedule.parse(self.schedule, name=self.name, allow_frequent=allow_frequent)
        except Refused as refused:
            reason = refused.reason.replace(ALLOW, "; pass allow_frequent=True to allow it")
            raise Refused(refused.value, reason, refused.example) from None


class PullReplication(pulumi.ComponentResource):
    """Copies the images that match the filters from an endpoint to a namespace of Harbor, by schedule or on demand.

    Creates a `harbor.Replication`, and with `single_active` a `random.RandomId` whose hook saves it in Harbor: the
    provider lacks it, and each of its updates resets it. `policy_id` is the policy's ID in Harbor.
    """

    policy_id: pulumi.Output[int]

    def __init__(self, name: str, args: PullReplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullReplication", name, {}, opts)
        settings = to_api(args)
        hooks = explain_refusal(f"{name}-rule", self, f"rule {args.name}")
        if settings:
            # Each update by the provider resets the settings that it lacks.
            update = self._save_hook(f"{name}-updated", settings)
            hooks = pulumi.ResourceHookBinding.merge(hooks, pulumi.ResourceHookBinding(after_update=[update]))
        policy = harbor.Replication(
            name,
            registry_id=args.registry_id,
            **to_provider(args),
            opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
        )
        if settings:
            self._create_settings(f"{name}-settings", args, settings, policy)
        self.policy_id = policy.replication_policy_id
        self.register_outputs({"policyId": self.policy_id})

    def _create_settings(
        self, name: str, args: PullReplicationArgs, settings: Mapping[str, Any], policy: harbor.Replication
    ) -> None:
        """Save the settings that the provider lacks. A change of them or of the policy replaces this resource."""
        arguments = json.dumps(to_provider(args), sort_keys=True)
        registry_id: pulumi.Output[int] = pulumi.Output.from_input(args.registry_id)
        random.RandomId(
            name,
            byte_length=4,
            keepers={
                "replicationPolicyId": policy.replication_policy_id.apply(str),
                "policy": registry_id.apply(lambda number: sha256(f"{number} {arguments}".encode()).hexdigest()[:16]),
                **{key: as_text(value) for key, value in settings.items()},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=pulumi.ResourceHookBinding(before_create=[self._save_hook(name, settings)]),
                delete_before_replace=True,
            ),
        )

    def _save_hook(self, name: str, settings: Mapping[str, Any]) -> pulumi.ResourceHook:
        def save(client: Harbor, args: pulumi.ResourceHookArgs) -> None:
            """`args` are of the policy after an update, or of the resource that stands for the settings."""
            policy = args.new_outputs or (args.new_inputs or {})["keepers"]
            save_settings(client, int(policy["replicationPolicyId"]), dict(settings))

        return request_hook(name, self, save)
