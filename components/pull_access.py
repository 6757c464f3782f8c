"""The robot account with which deployments pull from the mirror; it has no other permissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.project import ADMINISTRATORS
from harbor_mirror.harbor.robot import to_provider

from .hooks.refused import explain_refusal


@dataclass(frozen=True, kw_only=True)
class PullAccessArgs:
    """Arguments of PullAccess.

    - `name`: the robot's name in Harbor, without Harbor's prefix `robot$`
    - `projects`: names of the projects to pull from
    - `restrict_project_creation`: allows only administrators to create projects, in the whole Harbor
    """

    name: pulumi.Input[str]
    projects: Sequence[pulumi.Input[str]]
    restrict_project_creation: bool = True


class PullAccess(pulumi.ComponentResource):
    """Creates a system robot account that can only pull, and only from the given projects.

    Creates a `harbor.RobotAccount` and, with `restrict_project_creation`, a `harbor.ConfigSystem`. Without the latter,
    everybody who can log in may create projects, even a robot account that may only pull (measured: 201). Deployments
    log in with `username` and `password`; the password is secret.
    """

    username: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(self, name: str, args: PullAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:PullAccess", name, {}, opts)
        hooks = explain_refusal(f"{name}-access", self, "pull access")
        children = pulumi.ResourceOptions(parent=self, hooks=hooks)
        # Keep the first name: a new name would replace the robot account and its password.
        once = pulumi.ResourceOptions(parent=self, ignore_changes=["name"], hooks=hooks)
        robot = harbor.RobotAccount(name, **to_provider(args.name, args.projects), opts=once)
        if args.restrict_project_creation:
            harbor.ConfigSystem(name, project_creation_restriction=ADMINISTRATORS, opts=children)
        self.username = robot.full_name
        self.password = pulumi.Output.secret(robot.secret)
        self.register_outputs({"username": self.username, "password": self.password})
