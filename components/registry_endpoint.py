"""A source registry as Harbor knows it (Administration > Registries)."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.config.models import Endpoint
from harbor_mirror.config.parse import endpoint_name
from harbor_mirror.plan.registry_types import access_id, access_secret, provider_name, url_of

from .hooks.conflict import adoption_offered


@dataclass(frozen=True, kw_only=True)
class RegistryEndpointArgs:
    """`name` is the name in Harbor, `provider_name` the provider's word for the kind of registry."""

    name: str
    provider_name: str
    url: str
    username: str | None = None
    secret: pulumi.Input[str] | None = None
    description: str = ""
    insecure: bool = False

    @classmethod
    def of(cls, key: str, endpoint: Endpoint, secret: pulumi.Output[str] | None) -> RegistryEndpointArgs:
        """What an entry under `endpoints` means."""
        return cls(
            name=endpoint_name(key, endpoint),
            provider_name=provider_name(endpoint.type),
            url=url_of(endpoint.type, endpoint.url),
            username=access_id(endpoint.type, endpoint.username, None if secret is None else ""),
            secret=None
            if secret is None
            else secret.apply(lambda value: access_secret(endpoint.type, endpoint.username, value) or ""),
            description=endpoint.description,
            insecure=endpoint.insecure,
        )


class RegistryEndpoint(pulumi.ComponentResource):
    """Harbor tries the credentials when it is created and changed, and refuses what it cannot reach."""

    registry_id: pulumi.Output[int]
    name: str

    def __init__(self, name: str, args: RegistryEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:RegistryEndpoint", name, {}, opts)
        self.name = args.name
        registry = harbor.Registry(
            # The name in Harbor is the logical name too: with a new type the new registry is made first, the rules
            # move over in place, and the old one goes last. Under one name Harbor answers 412 for ever.
            args.name,
            name=args.name,
            provider_name=args.provider_name,
            endpoint_url=args.url,
            access_id=args.username,
            access_secret=None if args.secret is None else pulumi.Output.secret(args.secret),
            description=args.description,
            insecure=args.insecure,
            opts=pulumi.ResourceOptions(
                parent=self, hooks=adoption_offered(f"{name}-endpoint", self, f"endpoint {args.name}")
            ),
        )
        self.registry_id = registry.registry_id
        self.register_outputs({"registryId": self.registry_id})
