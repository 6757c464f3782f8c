"""Requests to Harbor's API for what the provider can't set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pulumi
import pulumiverse_harbor as harbor

from harbor_mirror.harbor.client import Harbor

Request = Callable[[Harbor, pulumi.ResourceHookArgs], object]


def request_hook(name: str, component: pulumi.ComponentResource, request: Request) -> pulumi.ResourceHook:
    """Return a hook that makes a request to Harbor, with the address and credentials of the component's provider.

    Bind it before the creation of a resource that stands for the setting: if the request fails, the resource is not
    created, and the next `up` tries again.
    """
    provider = component.get_provider("harbor:index/replication:Replication")
    if not isinstance(provider, harbor.Provider):
        raise pulumi.RunError(f"{name} needs a harbor.Provider: pass it with ResourceOptions(providers=...)")

    async def run(args: pulumi.ResourceHookArgs) -> None:
        url, username, password = await pulumi.Output.all(
            provider.url, provider.username, provider.password
        ).future() or ("", "", "")

        def send() -> None:
            with Harbor(url or "", username or "", password or "") as client:
                request(client, args)

        # In a thread: a hook that blocks would hold up the registration of everything else.
        await asyncio.to_thread(send)

    return pulumi.ResourceHook(name, run)
