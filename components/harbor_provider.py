"""The Harbor provider behind the health gate."""

from __future__ import annotations

import pulumi
import pulumiverse_harbor as harbor

from .hooks.health import healthy_before


def harbor_provider(
    name: str,
    url: str,
    username: str,
    password: pulumi.Input[str] | None,
    *,
    depends_on: pulumi.Resource | None = None,
) -> harbor.Provider:
    """A provider whose resources are made only when Harbor is healthy and takes the credentials.

    The gate hangs on the provider itself: everything in Harbor comes after it without a depends_on, and it is asked
    again when url or password change.
    """
    gate = healthy_before(f"{name}-healthy", url, username=username, password=password)
    return harbor.Provider(
        name,
        url=url,
        username=username,
        password=password,
        # Its default is True: any certificate would do.
        insecure=False,
        opts=pulumi.ResourceOptions(hooks=gate, depends_on=[depends_on] if depends_on else []),
    )
