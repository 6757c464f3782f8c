"""A robot account for a team's programs, with permissions in some projects."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.config.protection import Robot
from harbor_mirror.harbor.robot import account_to_provider
from harbor_mirror.plan.report import EntryReport
from harbor_mirror.plan.robot import PlannedRobot, plan_robot

from .arguments import check
from .hooks.refused import explain_refusal


@dataclass(frozen=True, kw_only=True)
class TeamRobotArgs(PlannedRobot):
    """Arguments of TeamRobot. Wrong values raise InvalidArguments.

    - `name`: the robot account's name in Harbor, without Harbor's prefix `robot$`
    - `projects`: names of the projects that it may use
    - `rights`: `pull`, `push`, or Harbor's permissions of a project such as `artifact:list`
    - `expires_days`: days after its creation on which it stops working; None for never
    - `enabled`: whether it can log in
    - `description`: free text
    """

    def __post_init__(self) -> None:
        check(self, self.name, self._resolve)

    def _resolve(self, report: EntryReport) -> None:
        robot = Robot.model_construct(projects=self.projects, rights=self.rights)
        if planned := plan_robot(self.name, robot, report):
            object.__setattr__(self, "rights", planned.rights)

    @classmethod
    def from_plan(cls, robot: PlannedRobot) -> TeamRobotArgs:
        """Return the arguments for a robot account of a resolved configuration."""
        return cls(**vars(robot))


class TeamRobot(pulumi.ComponentResource):
    """Creates a system robot account with permissions in some projects.

    Creates a `harbor.RobotAccount`; replacing it issues a new password. Programs log in with `username` and `password`;
    the password is secret.
    """

    username: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(self, name: str, args: TeamRobotArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:TeamRobot", name, {}, opts)
        robot = harbor.RobotAccount(
            f"{name}-robot",
            **account_to_provider(args),
            # Names are unique in Harbor: delete the old account first.
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,
                hooks=explain_refusal(f"{name}-robot", self, f"robot account {args.name}"),
            ),
        )
        self.username = robot.full_name
        self.password = pulumi.Output.secret(robot.secret)
        self.register_outputs({"username": self.username, "password": self.password})
