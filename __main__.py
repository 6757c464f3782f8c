"""The whole program: settings -> host -> provider (gated) -> endpoints -> projects -> rules -> outputs."""

from urllib.parse import urlsplit

import pulumi

import settings
from components import (
    HarborHost,
    HarborHostArgs,
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
from harbor_mirror.model.outputs import image_map, rule_output

stack = settings.load()
config = stack.configuration

host = None
if config.host:
    args = HarborHostArgs(label=f"harbor-{stack.stack}", host=config.host, certificate_key=stack.certificate_key)
    host = HarborHost("harbor", args)
    url, username, password = host.url, "admin", stack.harbor_password or host.initial_admin_password
else:
    url, username, password = config.harbor.url, config.harbor.username, stack.harbor_password

provider = harbor_provider(
    "harbor", url=url, username=username, password=password, opts=pulumi.ResourceOptions(depends_on=host)
)
in_harbor = pulumi.ResourceOptions(providers={"harbor": provider})

endpoints = {
    name: RegistryEndpoint(name, RegistryEndpointArgs.of(name, endpoint, stack.endpoint_secrets.get(name)), in_harbor)
    for name, endpoint in config.endpoints.items()
}
projects = {
    name: MirrorProject(name, MirrorProjectArgs.of(project), in_harbor) for name, project in config.projects.items()
}
rules = {
    name: PullReplication(
        name,
        PullReplicationArgs.of(
            name,
            rule,
            registry_id=endpoints[rule.endpoint].registry_id,
            project=projects[rule.project].project_name,
        ),
        in_harbor,
    )
    for name, rule in config.rules.items()
}
