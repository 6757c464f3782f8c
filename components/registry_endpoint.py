"""A source registry as Harbor knows it (Administration > Registries)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.endpoint import to_provider
from harbor_mirror.plan.endpoint import PlannedEndpoint, check_values
from harbor_mirror.plan.registry_types import access_id, access_secret, url_of
from harbor_mirror.plan.report import EntryReport

from .arguments import check
from .hooks.conflict import suggest_adoption


@dataclass(frozen=True, kw_only=True)
class RegistryEndpointArgs:
    """Arguments of RegistryEndpoint. Wrong values raise InvalidArguments; values of Outputs can't be checked.

    - `name`: the endpoint's name in Harbor
    - `type`: the registry type as Harbor names it: `docker-hub`, `docker-registry`, `github-ghcr`, `quay`, ...
    - `url`: the registry's URL; not needed for types with a fixed URL
    - `username`, `secret`: credentials; none for anonymous access. The secret is encrypted in the state
    - `description`: free text
    - `insecure`: accepts any certificate from the source

    `is_checked`: the values were already checked with a complete stack.
    """

    name: str
    type: str
    url: pulumi.Input[str] | None = None
    username: pulumi.Input[str] | None = None
    secret: pulumi.Input[str] | None = None
    description: pulumi.Input[str] = ""
    insecure: pulumi.Input[bool] = False
    is_checked: InitVar[bool] = False

    def __post_init__(self, is_checked: bool) -> None:
        if not is_checked:
            check(self, self.name, self._check)

    @classmethod
    def from_plan(cls, endpoint: PlannedEndpoint) -> RegistryEndpointArgs:
        """Return the arguments for an endpoint of a resolved configuration."""
        return cls(
            name=endpoint.name,
            type=endpoint.type,
            url=endpoint.url,
            username=endpoint.username,
            secret=endpoint.plain_secret,
            description=endpoint.description,
            insecure=endpoint.insecure,
            is_checked=True,
        )

    def _check(self, report: EntryReport) -> None:
        values = {"url": self.url, "username": self.username, "secret": self.secret}
        plain = {field: value for field, value in values.items() if value is None or isinstance(value, str)}
        check_values(self.name, self.type, plain, report)


class RegistryEndpoint(pulumi.ComponentResource):
    """Creates a source registry for replication rules. Harbor tests the credentials and rejects unreachable registries.

    Creates a `harbor.Registry`. `registry_id` is its ID in Harbor, `name` its name there.
    """

    registry_id: pulumi.Output[int]
    name: str

    def __init__(self, name: str, args: RegistryEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:RegistryEndpoint", name, {}, opts)
        self.name = args.name
        access_id, access_secret = _credentials(args)
        arguments = to_provider(
            name=args.name,
            type=args.type,
            url=_url(args),
            access_id=access_id,
            access_secret=access_secret,
            description=args.description,
            insecure=args.insecure,
        )
        registry = harbor.Registry(
            # Use the name in Harbor, which contains the type, as the logical name. With a new type, the new registry is
            # then created first, the rules are updated, and the old registry is deleted last. With one name for both,
            # Harbor would answer 412 in every update.
            args.name,
            **arguments,
            opts=pulumi.ResourceOptions(
                parent=self, hooks=suggest_adoption(f"{name}-endpoint", self, f"endpoint {args.name}")
            ),
        )
        self.registry_id = registry.registry_id
        self.register_outputs({"registryId": self.registry_id})


def _url(args: RegistryEndpointArgs) -> pulumi.Input[str]:
    if args.url is None or isinstance(args.url, str):
        return url_of(args.type, args.url)
    return args.url


def _credentials(args: RegistryEndpointArgs) -> tuple[pulumi.Input[str] | None, pulumi.Output[str] | None]:
    """Return access ID and access secret in the form that Harbor expects for this registry type."""
    if args.secret is None:
        return args.username, None
    pair = pulumi.Output.all(args.username, pulumi.Output.secret(args.secret))
    secret = pair.apply(lambda known: access_secret(args.type, *known) or "")
    if args.username is None or isinstance(args.username, str):
        return access_id(args.type, args.username, ""), secret
    username: pulumi.Output[str] = pulumi.Output.from_input(args.username)
    return username.apply(lambda known: access_id(args.type, known, "") or ""), secret
