"""Messages at preview when the server will be replaced, and guidance when Linode fails to create a part of the host."""

from __future__ import annotations

import pulumi

from .errors import Failed, explain_failure
from .messages import show

#: Parts of Linode's error when a label is taken, of any kind of resource.
NAME_TAKEN = ("must be unique", "already exists", "already in use")
NOT_RUNNING = "to reach status running"
REPLACED = (
    "this REPLACES the server {label}{reason}: Harbor is down until the new server has booted, some minutes. "
    "The volume (all of Harbor's data), the address and the DNS record stay"
)
FORBIDDEN = (
    "this would replace the server {label}{reason}, and `protect: true` forbids it. To do it: "
    "`pulumi config set --path host.protect false`, `pulumi up`, and set it back to true. "
    "The volume, the address and the DNS record stay"
)
TAKEN = (
    "Linode already has a {what} called {label} that this stack does not know: an interrupted run left it, or "
    "another stack uses the name. `mirrorctl recover` takes over what a run of this stack left. "
    "See docs/host-failures.md, While `pulumi up` runs"
)
HALF_MADE = (
    "the server {label} was created but does not run. Look at it in Linode's Cloud Manager; then "
    "`pulumi up --replace '**harbor-instance'`, see docs/host-failures.md, While `pulumi up` runs"
)
GONE = (
    "the {what} {label} does not exist in Linode any more: `mirrorctl recover` removes it from the state; "
    "then run `pulumi up` again"
)
FAILED = (
    "Linode did not {operation} the {what} {label}. Run `pulumi up` again: it keeps what exists and does the rest. "
    "See docs/host-failures.md, While `pulumi up` runs"
)
#: Of what Linode creates a second time without an error: addresses and access keys.
LOST = (
    "Linode did not create the {what} {label}, or its answer was lost. Run `mirrorctl recover`, which finds what "
    "exists, then `pulumi up`. See docs/host-failures.md, While `pulumi up` runs"
)
#: Of a volume: the state still has the server that it was on before. Linode's plugin would therefore detach the volume
#: first, also from the new server, which uses it by then.
NOT_UPDATED = (
    "Linode did not update the {what} {label}. Run `pulumi refresh --target '**{name}'`, then `pulumi up`: without the "
    "refresh, `pulumi up` may detach the volume from the running server, and Harbor would be down until you reboot it. "
    "See docs/host-failures.md, While `pulumi up` runs"
)


class ReplacementForbidden(Exception):
    """A protected server would be replaced."""


def explain_creation(
    name: str,
    what: str,
    label: str,
    resource: pulumi.Resource,
    *,
    not_created: str = FAILED,
    not_updated: str = FAILED,
) -> pulumi.ResourceHookBinding:
    """Return a hook that explains the provider's error for a `what` of this `label` and says what to do.

    `not_created` and `not_updated` are its texts where the error itself says nothing more.
    """

    def guidance(failed: Failed) -> str:
        text = {"create": not_created, "update": not_updated}.get(failed.operation, FAILED)
        if failed.operation == "create":
            if any(part in failed.errors for part in NAME_TAKEN):
                text = TAKEN
            elif NOT_RUNNING in failed.errors:
                text = HALF_MADE
        elif "[404]" in failed.errors:
            text = GONE
        return text.format(what=what, label=label, operation=failed.operation, name=failed.name)

    return explain_failure(f"{name}-refused", resource, guidance)


def announce_replacement(
    name: str, label: str, resource: pulumi.Resource, *, exists: bool, protect: bool, reason: str
) -> pulumi.ResourceHookBinding:
    """Return a hook that announces at preview that the existing server will be replaced, or that it must not be.

    The engine enforces `protect` itself, but its error does not say what to do.
    """

    async def announce(_: pulumi.ResourceHookArgs) -> None:
        if not exists or not pulumi.runtime.is_dry_run():
            return
        if protect:
            raise ReplacementForbidden(FORBIDDEN.format(label=label, reason=reason))
        await show(pulumi.log.warn, REPLACED.format(label=label, reason=reason), resource)

    hook = pulumi.ResourceHook(f"{name}-announced", announce, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])
