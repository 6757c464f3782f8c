"""The Harbor provider behind the health gate."""

from __future__ import annotations

import pulumi
import pulumiverse_harbor as harbor

from .hooks.health import wait_for_health


def harbor_provider(
    name: str,
    url: str,
    username: str,
    password: pulumi.Input[str] | None,
    *,
    depends_on: pulumi.Resource | None = None,
) -> harbor.Provider:
    """Return a provider whose resources are created only when Harbor is healthy and accepts the credentials.

    The hook is on the provider itself. Every object in Harbor therefore waits for it without a depends_on, and it runs
    again when the URL or the password changes.
    """
    is_new = depends_on is not None
    gate = wait_for_health(f"{name}-healthy", url, username=username, password=password, is_new=is_new)
    return harbor.Provider(
        name,
        url=url,
        username=username,
        password=password,
        # The default is True, which accepts any certificate.
        insecure=False,
        opts=pulumi.ResourceOptions(hooks=gate, depends_on=[depends_on] if depends_on else []),
    )
