"""The health gate: delays everything that needs Harbor until Harbor is healthy."""

from __future__ import annotations

import pulumi

from harbor_mirror.harbor.client import Harbor, check_credentials, wait_until_healthy
from harbor_mirror.plan.harbor_versions import lacking

from .refused import advising
from .threads import run_in_thread

#: A first boot installs Docker and pulls about ten images: minutes on a small Linode. A host that is not healthy
#: after this long has failed; the operator reads why on its console.
HEALTHY_WITHIN_SECONDS = 20 * 60.0
POLL_SECONDS = 0.5


def wait_for_health(
    name: str,
    url: str,
    *,
    username: str | None = None,
    password: pulumi.Input[str] | None = None,
    is_new: bool = True,
) -> pulumi.ResourceHookBinding:
    """Return hooks that delay a resource's creation and update until Harbor is healthy and accepts the credentials.

    The hooks do not run at preview, because a preview must work before Harbor exists and while it is down. The state
    contains only their name. The update fails with the message of NotHealthy or WrongCredentials; the next one tries
    again. `is_new`: the stack creates this Harbor, whose certificate may be issued while it boots.
    """

    async def healthy(_: pulumi.ResourceHookArgs) -> None:
        with advising():
            await run_in_thread(
                wait_until_healthy,
                url,
                timeout_seconds=HEALTHY_WITHIN_SECONDS,
                interval_seconds=POLL_SECONDS,
                report=pulumi.log.info,
                is_new=is_new,
            )
            if username is not None and password is not None:
                secret: pulumi.Output[str] = pulumi.Output.from_input(password)
                await run_in_thread(_log_in, url, username, await secret.future() or "")

    hook = pulumi.ResourceHook(name, healthy)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def _log_in(url: str, username: str, password: str) -> None:
    check_credentials(url, username, password)
    with Harbor(url, username, password) as client:
        for text in lacking(str(client.system_info().get("harbor_version") or "")):
            pulumi.log.warn(text)
