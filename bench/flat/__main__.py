"""The same objects in Harbor as the product declares for these rules, without components, hooks and checks."""

import pulumi
import pulumiverse_harbor as harbor

config = pulumi.Config()
name = config.require("name")
provider = harbor.Provider(
    "harbor", url=config.require("url"), username="admin", password=config.require_secret("password"), insecure=False
)
opts = pulumi.ResourceOptions(provider=provider)
registry = harbor.Registry(
    name,
    name=name,
    provider_name="docker-registry",
    endpoint_url=config.require("source"),
    insecure=False,
    opts=opts,
)
project = harbor.Project(
    name, name=name, public=False, vulnerability_scanning=True, force_destroy=True, storage_quota=-1, opts=opts
)
after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[project]))
for number in range(config.require_int("rules")):
    harbor.Replication(
        f"{name}-{number:04}",
        name=f"{name}-{number:04}",
        action="pull",
        registry_id=registry.registry_id,
        dest_namespace=name,
        dest_namespace_replace=0,
        filters=[{"name": f"team/app-{number}"}, {"tag": "1.*"}],
        schedule=f"0 {number % 60} {number % 24} * * *",
        override=True,
        enabled=True,
        description=(config.get("description") or "") if number == 0 else "",
        opts=after,
    )
