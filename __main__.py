"""The whole program: settings -> host -> provider (gated) -> endpoints -> projects -> rules -> outputs."""

import signal
from collections.abc import Mapping

import pulumi

import settings
from components import (
    HarborHost,
    HarborHostArgs,
    HarborMaintenance,
    HarborMaintenanceArgs,
    MirrorProject,
    MirrorProjectArgs,
    PullAccess,
    PullAccessArgs,
    PullReplication,
    PullReplicationArgs,
    RegistryEndpoint,
    RegistryEndpointArgs,
    harbor_provider,
)
from harbor_mirror.plan.outputs import endpoint_output, images, pull_robot, rule_output

# So the engine ends a program whose plan it has refused; Python's own way is a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
stack = settings.load()
config = stack.configuration

host = HarborHost("harbor", HarborHostArgs.of(config.host, stack.name, stack.secrets)) if config.host else None
password = host.admin_password if host else stack.secrets.harbor_password
provider = harbor_provider("harbor", config.url, config.admin_username, password, depends_on=host)


def in_harbor_after(*needed: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of what lives in this Harbor. By depends_on, not by values: a preview then shows the names."""
    return pulumi.ResourceOptions(providers={"harbor": provider}, depends_on=needed)


endpoints = {
    name: RegistryEndpoint(
        name, RegistryEndpointArgs.of(name, endpoint, stack.secrets.endpoints.get(name)), in_harbor_after()
    )
    for name, endpoint in config.endpoints.items()
}
projects = {
    name: MirrorProject(name, MirrorProjectArgs.of(project), in_harbor_after())
    for name, project in config.projects.items()
}
rules = {
    name: PullReplication(
        name,
        PullReplicationArgs.of(name, rule, registry_id=endpoints[rule.endpoint].registry_id),
        in_harbor_after(projects[rule.project]),
    )
    for name, rule in config.rules.items()
}
access = PullAccess(
    "pull",
    PullAccessArgs(
        name=pull_robot(stack.name),
        projects=tuple(projects),
        restrict_project_creation=config.restricts_project_creation,
    ),
    in_harbor_after(*projects.values()),
)
maintained = HarborMaintenanceArgs.of(config, password)
maintenance = HarborMaintenance("harbor", maintained, in_harbor_after(provider)) if maintained.any else None

concerned: Mapping[str, Mapping[str, pulumi.Resource | None]] = {
    "endpoints": endpoints,
    "rules": rules,
    "maintenance": {"garbageCollection": maintenance},
}
for caution in stack.cautions:
    pulumi.log.warn(caution.text, concerned[caution.section][caution.name])

pulumi.export("harborUrl", config.url)
pulumi.export("registryHost", config.registry_host)
pulumi.export(
    "endpoints",
    {name: {"id": endpoints[name].registry_id, **endpoint_output(entry)} for name, entry in config.endpoints.items()},
)
pulumi.export(
    "rules", {name: {"id": rules[name].policy_id, **rule_output(name, rule)} for name, rule in config.rules.items()}
)
pulumi.export("images", images(config))
pulumi.export("pullUsername", access.username)
pulumi.export("pullPassword", access.password)
pulumi.export("adminUsername", config.admin_username)
pulumi.export("adminPassword", password)
if host:
    pulumi.export("host", {"ip": host.ip, "instanceId": host.instance_id, "volumeId": host.volume_id})
