"""A source registry as Harbor knows it (Administration > Registries)."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import Any

import pulumi
import pulumi_random as random
import pulumiverse_harbor as harbor

from harbor_mirror.config.certificates import EXAMPLE_AUTHORITY, read_authorities
from harbor_mirror.config.refusal import Findings
from harbor_mirror.harbor.endpoint import CA, show_ca, to_api, to_provider
from harbor_mirror.plan.endpoint import PlannedEndpoint, check_ca, check_values
from harbor_mirror.plan.registry_types import access_id, access_secret, url_of
from harbor_mirror.plan.report import EntryReport

from .arguments import check
from .hooks.endpoint import CertifiedEndpoint
from .hooks.refused import explain_endpoint


@dataclass(frozen=True, kw_only=True)
class RegistryEndpointArgs:
    """Arguments of RegistryEndpoint. Wrong values raise InvalidArguments; values of Outputs can't be checked.

    - `name`: the endpoint's name in Harbor
    - `type`: the registry type as Harbor names it: `docker-hub`, `docker-registry`, `github-ghcr`, `quay`, ...
    - `url`: the registry's URL; not needed for types with a fixed URL
    - `username`, `secret`: credentials; none for anonymous access. The secret is encrypted in the state
    - `description`: free text
    - `insecure`: accepts any certificate from the source
    - `ca_certificate`: PEM certificates of authorities of the source; empty for none, None to leave Harbor's as it is

    `is_checked`: the values were already checked with a complete stack.
    """

    name: str
    type: str
    url: pulumi.Input[str] | None = None
    username: pulumi.Input[str] | None = None
    secret: pulumi.Input[str] | None = None
    description: pulumi.Input[str] = ""
    insecure: pulumi.Input[bool] = False
    ca_certificate: pulumi.Input[str] | None = None
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
            ca_certificate=endpoint.ca_certificate,
            is_checked=True,
        )

    def _check(self, report: EntryReport) -> None:
        values = {"url": self.url, "username": self.username, "secret": self.secret}
        plain = {field: value for field, value in values.items() if value is None or isinstance(value, str)}
        check_values(self.name, self.type, plain, report)
        if isinstance(self.ca_certificate, str):
            self._check_ca(self.ca_certificate, report)

    def _check_ca(self, pem: str, report: EntryReport) -> None:
        try:
            pem = pem and read_authorities(pem)
        except ValueError as error:
            report.fault("ca_certificate", None, str(error), EXAMPLE_AUTHORITY)
            return
        url = self.url if isinstance(self.url, str) else ""
        report.add(Findings.of(check_ca(pem, url, self.insecure is True)))


class RegistryEndpoint(pulumi.ComponentResource):
    """Creates a source registry for replication rules. Harbor tests the credentials and rejects unreachable registries.

    Creates a `harbor.Registry`, and with `ca_certificate` a `random.RandomId` whose hook creates the endpoint or saves
    the CA in it, because the provider lacks the CA. `registry_id` is its ID in Harbor, `name` its name there.
    """

    registry_id: pulumi.Output[int]
    name: str

    def __init__(self, name: str, args: RegistryEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:mirror:RegistryEndpoint", name, {}, opts)
        self.name = args.name
        access_id, access_secret = _credentials(args)
        values: dict[str, Any] = {
            "name": args.name,
            "type": args.type,
            "url": _url(args),
            "access_id": access_id,
            "access_secret": access_secret,
            "description": args.description,
            "insecure": args.insecure,
        }
        options = pulumi.ResourceOptions(parent=self, hooks=explain_endpoint(name, self, args.name))
        if args.ca_certificate is not None:
            pem: pulumi.Output[str] = pulumi.Output.from_input(args.ca_certificate)
            options = pulumi.ResourceOptions.merge(options, self._save_ca(name, args.name, values, pem))
        registry = harbor.Registry(
            # Use the name in Harbor, which contains the type, as the logical name. With a new type, the new registry is
            # then created first, the rules are updated, and the old registry is deleted last. With one name for both,
            # Harbor would answer 412 in every update.
            args.name,
            **to_provider(**values),
            opts=options,
        )
        self.registry_id = registry.registry_id
        self.register_outputs({"registryId": self.registry_id})

    def _save_ca(self, key: str, name: str, values: dict[str, Any], pem: pulumi.Output[str]) -> pulumi.ResourceOptions:
        """Create the resource that stands for the CA; return what the endpoint's resource needs beside it."""
        known = pulumi.Output.all(**values, ca_certificate=pem).apply(lambda plain: to_api(**plain))
        certified = CertifiedEndpoint(f"{key}-endpoint", self, known)
        saved = random.RandomId(
            f"{name}-ca",
            byte_length=4,
            # Previews show the CA here, and a change of it runs the hook again.
            keepers={"endpoint": name, CA: pem.apply(show_ca)},
            opts=pulumi.ResourceOptions(parent=self, hooks=certified.save_hook()),
        )
        return pulumi.ResourceOptions(
            depends_on=[saved], hooks=certified.endpoint_hooks(), transforms=[certified.import_after(saved)]
        )


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
