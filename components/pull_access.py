"""How deployments pull from the mirror: a robot account that can do that and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

NEVER_EXPIRES = -1


@dataclass(frozen=True, kw_only=True)
class PullAccessArgs:
    """`name` is the robot's in Harbor, without the `robot$` that Harbor puts in front."""

    name: str
    projects: tuple[str, ...]
    restrict_project_creation: bool = True


class PullAccess(pulumi.ComponentResource):
    """A system robot that may pull from the given projects only.

    Harbor lets anybody who can log in create projects, even a robot that may only pull (measured: 201), unless
    project creation is for administrators; `restrict_project_creation` sets that, for the whole Harbor.
    """

    username: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(self, name: str, args: PullAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullAccess", name, {}, opts)
        children = pulumi.ResourceOptions(parent=self)
        robot = harbor.RobotAccount(
            name,
            name=args.name,
            level="system",
            duration=NEVER_EXPIRES,
            description="Pulls from the mirror's projects; managed by harbor-mirror",
            permissions=[
                harbor.RobotAccountPermissionArgs(
                    kind="project",
                    namespace=project,
                    accesses=[harbor.RobotAccountPermissionAccessArgs(action="pull", resource="repository")],
                )
                for project in args.projects
            ],
            opts=children,
        )
        if args.restrict_project_creation:
            harbor.ConfigSystem(name, project_creation_restriction="adminonly", opts=children)
        self.username = robot.full_name
        self.password = pulumi.Output.secret(robot.secret)
        self.register_outputs({"username": self.username, "password": self.password})
