"""A whole mirror: host or existing Harbor, provider, endpoints, projects, rules, pull access and maintenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.outputs import endpoint_output, proxy_cache_outputs, pull_robot, rule_output
from harbor_mirror.plan.rule import PlannedRule

from .arguments import encrypt
from .harbor_maintenance import HarborMaintenance, HarborMaintenanceArgs
from .harbor_provider import harbor_provider
from .mirror_project import MirrorProject, MirrorProjectArgs
from .pull_access import PullAccess, PullAccessArgs
from .pull_replication import PullReplication, PullReplicationArgs
from .registry_endpoint import RegistryEndpoint, RegistryEndpointArgs
from .team_robot import TeamRobot, TeamRobotArgs

if TYPE_CHECKING:
    from .harbor_cluster import HarborCluster
    from .harbor_host import HarborHost


class Mirror:
    """Creates everything that a resolved configuration declares: the server or cluster, and the objects in Harbor.

    It is not a resource itself: a parent would change the URN of each resource in existing stacks. `outputs` are the
    stack's outputs (docs/outputs.md).
    """

    outputs: dict[str, Any]

    def __init__(self, plan: PlannedMirror, *, stack: str) -> None:
        self._plan = plan
        secret = plan.configuration.harbor_password
        password = encrypt({"harborPassword": secret})["harborPassword"] if secret else None
        self._server = self._create_server(stack, password)
        password = self._server.admin_password if self._server else password
        self._provider = harbor_provider("harbor", plan.url, plan.admin_username, password, depends_on=self._server)
        self.endpoints = {
            key: RegistryEndpoint(key, RegistryEndpointArgs.from_plan(endpoint), self._after())
            for key, endpoint in plan.endpoints.items()
        }
        self.projects = {
            name: MirrorProject(
                name, MirrorProjectArgs.from_plan(project, self._registry_id(project.proxy_cache)), self._after()
            )
            for name, project in plan.projects.items()
        }
        self.rules = {name: self._create_rule(rule) for name, rule in plan.rules.items()}
        self.access = PullAccess(
            "pull",
            PullAccessArgs(
                name=pull_robot(stack),
                projects=tuple(plan.projects),
                restrict_project_creation=plan.restricts_project_creation,
            ),
            self._after(*self.projects.values()),
        )
        self.robots = {
            name: TeamRobot(
                name, TeamRobotArgs.from_plan(robot), self._after(*(self.projects[key] for key in robot.projects))
            )
            for name, robot in plan.robots.items()
        }
        self.maintenance = self._create_maintenance()
        self._warn()
        self.outputs = self._collect_outputs(password)

    def _create_server(self, stack: str, password: pulumi.Output[str] | None) -> HarborHost | HarborCluster | None:
        """Create the server or the cluster, if any. Imports are local: each needs an SDK that other stacks lack."""
        configuration = self._plan.configuration
        if configuration.host:
            from .harbor_host import HarborHost, HarborHostArgs

            return HarborHost("harbor", HarborHostArgs.from_configuration(configuration.host, stack, password))
        if configuration.cluster:
            from .harbor_cluster import HarborCluster, HarborClusterArgs

            return HarborCluster("harbor", HarborClusterArgs.from_configuration(configuration.cluster, stack, password))
        return None

    def _after(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        """Resource options for objects in this Harbor. Ordered by depends_on so that previews show real names."""
        return pulumi.ResourceOptions(providers={"harbor": self._provider}, depends_on=resources)

    def _create_rule(self, rule: PlannedRule) -> PullReplication:
        args = PullReplicationArgs.from_plan(rule.policy, self.endpoints[rule.endpoint].registry_id)
        return PullReplication(rule.name, args, self._after(self.projects[rule.project]))

    def _registry_id(self, endpoint: str | None) -> pulumi.Output[int] | None:
        return None if endpoint is None else self.endpoints[endpoint].registry_id

    def _create_maintenance(self) -> HarborMaintenance | None:
        args = HarborMaintenanceArgs(
            garbage_collection=self._plan.garbage_collection, audit_purge=self._plan.audit_purge
        )
        if args == HarborMaintenanceArgs():
            return None
        return HarborMaintenance("harbor", args, self._after(self._provider))

    def _warn(self) -> None:
        """Show each warning on the resource that it concerns."""
        resources: Mapping[str, Mapping[str, pulumi.Resource | None]] = {
            "endpoints": self.endpoints,
            "projects": self.projects,
            "robots": self.robots,
            "rules": self.rules,
            "maintenance": {"garbageCollection": self.maintenance},
        }
        for caution in self._plan.cautions:
            if caution.section == "host":
                pulumi.log.warn(f"{caution.path}: {caution.text}", self._server)
            else:
                pulumi.log.warn(caution.text, resources.get(caution.section, {}).get(caution.name))

    def _collect_outputs(self, password: pulumi.Input[str] | None) -> dict[str, Any]:
        plan = self._plan
        return {
            "harborUrl": plan.url,
            "registryHost": plan.registry_host,
            "endpoints": {
                key: {"id": self.endpoints[key].registry_id, **endpoint_output(endpoint)}
                for key, endpoint in plan.endpoints.items()
            },
            "rules": {
                name: {"id": self.rules[name].policy_id, **rule_output(rule)} for name, rule in plan.rules.items()
            },
            "images": dict(plan.images),
            "pullUsername": self.access.username,
            "pullPassword": self.access.password,
            **self._robot_outputs(),
            **proxy_cache_outputs(plan.projects.values(), plan.endpoints, plan.registry_host),
            "adminUsername": plan.admin_username,
            "adminPassword": password,
            **(self._server.stack_output() if self._server else {}),
        }

    def _robot_outputs(self) -> dict[str, Any]:
        """Return the output `robots`; no output without robots, so that existing stacks do not change."""
        robots = {name: {"username": robot.username, "password": robot.password} for name, robot in self.robots.items()}
        return {"robots": robots} if robots else {}
