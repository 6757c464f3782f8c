"""Requests to Harbor's API for what the provider can't set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.client import Harbor


def request_before_creation(
    name: str, component: pulumi.ComponentResource, request: Callable[[Harbor], object]
) -> pulumi.ResourceHookBinding:
    """Return a hook that makes a request to Harbor before a resource of `component` is created.

    If the request fails, the resource is not created, so the next `up` tries again. The address and the credentials are
    those of the component's `harbor` provider.
    """
    provider = component.get_provider("harbor:index/replication:Replication")
    if not isinstance(provider, harbor.Provider):
        raise pulumi.RunError(f"{name} needs a harbor.Provider: pass it with ResourceOptions(providers=...)")

    async def run(_: pulumi.ResourceHookArgs) -> None:
        url, username, password = await pulumi.Output.all(
            provider.url, provider.username, provider.password
        ).future() or ("", "", "")

        def send() -> None:
            with Harbor(url or "", username or "", password or "") as client:
                request(client)

        # In a thread: a hook that blocks would hold up the registration of everything else.
        await asyncio.to_thread(send)

    return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook(name, run)])
