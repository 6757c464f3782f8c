"""One pull replication policy of Harbor (Administration > Replications)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.rule import to_provider
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.rule import PlannedPolicy, check_policy
from harbor_mirror.plan.schedule import Schedule

from .arguments import check
from .hooks.conflict import adoption_offered


@dataclass(frozen=True, kw_only=True)
class PullReplicationArgs(PlannedPolicy):
    """Arguments of PullReplication. Wrong values raise InvalidArguments.

    - `name`: the policy's name in Harbor
    - `registry_id`: the source, such as `RegistryEndpoint.registry_id`
    - `repositories`: glob of source repositories: `library/nginx`, `library/{nginx,redis}`, `team/**`
    - `namespace`: destination: a project, and a path below it if you like
    - `flatten`: leading components cut from the source path (0 keeps all, -1 leaves only the last)
    - `tag_matches`, `tag_excludes`: globs of tags; every tag without them
    - `labels`, `resource`: Harbor's other filters
    - `schedule`: `manual`, `hourly`, `daily`, `weekly`, or a cron of six fields in UTC
    - `allow_frequent`: accepts schedules that fire more often than every five minutes
    - `override`, `enabled`, `deletion`, `copy_by_chunk`, `speed_kbps`, `description`: as in Harbor

    `is_checked` is for values that were checked before, with a whole stack.
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
        schedule = report.attempt(
            "schedule", lambda: Schedule.parse(self.schedule, name=self.name, allow_frequent=allow_frequent)
        )
        if schedule is not None:
            # Harbor gets the cron that `daily` or `H` stands for.
            object.__setattr__(self, "schedule", schedule.text)


class PullReplication(pulumi.ComponentResource):
    """Copies what the filters match from one endpoint into one namespace of Harbor, on a schedule or on demand.

    Creates a `harbor.Replication`. `policy_id` is its id in Harbor.
    """

    policy_id: pulumi.Output[int]

    def __init__(self, name: str, args: PullReplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullReplication", name, {}, opts)
        policy = harbor.Replication(
            name,
            registry_id=args.registry_id,
            **to_provider(args),
            opts=pulumi.ResourceOptions(parent=self, hooks=adoption_offered(f"{name}-rule", self, f"rule {args.name}")),
        )
        self.policy_id = policy.replication_policy_id
        self.register_outputs({"policyId": self.policy_id})
