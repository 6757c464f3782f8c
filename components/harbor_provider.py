"""The Harbor provider behind the health gate."""

from __future__ import annotations

import pulumi
import pulumiverse_harbor as harbor

from components.health import healthy_before


def harbor_provider(
    name: str, *, url: str, username: str, password: pulumi.Output[str], opts: pulumi.ResourceOptions
) -> harbor.Provider:
    """A provider whose resources are made only when Harbor is healthy and takes the credentials.

    The gate hangs on the provider itself: everything in Harbor comes after it without a depends_on, and it is asked
    again when url or password change.
    """
    return harbor.Provider(
        name,
        url=url,
        username=username,
        password=pulumi.Output.secret(password),
        # Its default is True: any certificate would do.
        insecure=False,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(hooks=healthy_before(f"{name}-healthy", url, username=username, password=password)),
        ),
    )
