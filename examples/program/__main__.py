"""Mirrors nginx into an existing Harbor with the components of harbor-mirror, beside your own resources.

    pip install '/path/to/harbor-mirror[pulumi]'
    pulumi config set harborUrl https://harbor.example.com
    pulumi config set --secret harborPassword
    pulumi up

Wrong values, such as a cron of five fields, stop the preview with the reason and a correct example.
"""

import pulumi
import pulumiverse_harbor as harbor
from harbor_mirror.components import (
    MirrorProject,
    MirrorProjectArgs,
    PullReplication,
    PullReplicationArgs,
    RegistryEndpoint,
    RegistryEndpointArgs,
)

config = pulumi.Config()
provider = harbor.Provider(
    "harbor",
    url=config.require("harborUrl"),
    username=config.require("harborUsername"),
    password=config.require_secret("harborPassword"),
    insecure=False,
)
in_harbor = pulumi.ResourceOptions(providers={"harbor": provider})

source = RegistryEndpoint(
    "source",
    RegistryEndpointArgs(name="team-source", type="docker-registry", url=config.require("sourceUrl")),
    in_harbor,
)
project = MirrorProject(
    "images",
    MirrorProjectArgs(name="team-images", quota_gb=50, retention={"keep": [{"mostRecentlyPushed": 10}]}),
    in_harbor,
)
nginx = PullReplication(
    "nginx",
    PullReplicationArgs(
        name="team-nginx",
        registry_id=source.registry_id,
        repositories="library/nginx",
        tag_matches="1.*",
        namespace=project.name,
        schedule=config.get("schedule") or "daily",
    ),
    # The namespace is plain text, so the order must be stated.
    pulumi.ResourceOptions(providers={"harbor": provider}, depends_on=[project]),
)

pulumi.export("policyId", nginx.policy_id)
