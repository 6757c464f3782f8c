"""How deployments pull from the mirror: a robot account that can do only that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.project import ADMINISTRATORS
from harbor_mirror.harbor.robot import to_provider


@dataclass(frozen=True, kw_only=True)
class PullAccessArgs:
    """Arguments of PullAccess.

    - `name`: the robot's name in Harbor, without the `robot$` that Harbor puts in front
    - `projects`: names of the projects to pull from
    - `restrict_project_creation`: lets only administrators create projects, in the whole Harbor
    """

    name: pulumi.Input[str]
    projects: Sequence[pulumi.Input[str]]
    restrict_project_creation: bool = True


class PullAccess(pulumi.ComponentResource):
    """A system robot that may pull from the given projects only.

    Creates a `harbor.RobotAccount` and, with `restrict_project_creation`, a `harbor.ConfigSystem`: without that,
    anybody who can log in may create projects, even a robot that may only pull (measured: 201). `username` and
    `password` are what deployments log in with; the password is secret.
    """

    username: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(self, name: str, args: PullAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullAccess", name, {}, opts)
        children = pulumi.ResourceOptions(parent=self)
        # A new name would replace the robot account and its password: what a robot is called is decided once.
        once = pulumi.ResourceOptions(parent=self, ignore_changes=["name"])
        robot = harbor.RobotAccount(name, **to_provider(args.name, args.projects), opts=once)
        if args.restrict_project_creation:
            harbor.ConfigSystem(name, project_creation_restriction=ADMINISTRATORS, opts=children)
        self.username = robot.full_name
        self.password = pulumi.Output.secret(robot.secret)
        self.register_outputs({"username": self.username, "password": self.password})
