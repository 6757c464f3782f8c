"""Requests to Harbor's API for what the provider can't set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.client import Harbor

from .refused import advising
from .threads import run_in_thread

#: A type of resource, by which Pulumi finds the provider of its package.
_RESOURCE = "harbor:index/replication:Replication"
Request = Callable[[Harbor, pulumi.ResourceHookArgs], object]
Answer = TypeVar("Answer")


def has_own_provider(component: pulumi.ComponentResource) -> bool:
    """Return whether the component was given a provider, whose address and credentials a hook can use."""
    return isinstance(component.get_provider(_RESOURCE), harbor.Provider)


def required_provider(name: str, component: pulumi.ComponentResource) -> harbor.Provider:
    """Return the component's provider. Raise RunError, which mentions `name`, if it was given none."""
    provider = component.get_provider(_RESOURCE)
    if not isinstance(provider, harbor.Provider):
        raise pulumi.RunError(f"{name} needs a harbor.Provider: pass it with ResourceOptions(providers=...)")
    return provider


def request_hook(name: str, component: pulumi.ComponentResource, request: Request) -> pulumi.ResourceHook:
    """Return a hook that makes a request to Harbor, with the address and credentials of the component's provider.

    Bind it before the creation of a resource that stands for the setting: if the request fails, the resource is not
    created, and the next `up` tries again.
    """
    provider = required_provider(name, component)

    async def run(args: pulumi.ResourceHookArgs) -> None:
        await send_request(provider, lambda client: request(client, args))

    return pulumi.ResourceHook(name, run)


async def send_request(provider: harbor.Provider, request: Callable[[Harbor], Answer]) -> Answer:
    """Make a request to Harbor with the address and credentials of a provider, and return its result."""
    url, username, password = await pulumi.Output.all(provider.url, provider.username, provider.password).future() or (
        "",
        "",
        "",
    )

    def send() -> Answer:
        with advising(), Harbor(url or "", username or "", password or "") as client:
            return request(client)

    return await run_in_thread(send)
