"""What an operator reads when the server is to be replaced, and when Linode refuses to make a part of the host."""

from __future__ import annotations

import pulumi

from .errors import creation_explained

#: The part of Linode's answer that tells a name taken, by whatever resource.
NAME_TAKEN = ("must be unique", "already exists", "already in use")
NOT_RUNNING = "to reach status running"
REPLACED = (
    "this REPLACES the server {label}: Harbor is away until the new one has booted, some minutes. "
    "Volume (all of Harbor's data), address and DNS record stay"
)
FORBIDDEN = (
    "this would replace the server {label}, and `protect: true` forbids it. To do it all the same: "
    "`pulumi config set --path host.protect false`, `pulumi up`, and set it back to true. "
    "Volume, address and DNS record stay"
)
TAKEN = (
    "Linode has a {what} called {label} already, and this stack does not know it: a run that was cut off left it, or "
    "another stack uses the name. docs/host-failures.md, While `pulumi up` runs, has both ways out"
)
HALF_MADE = (
    "the server {label} was made and does not run. Look at it in Linode's Cloud Manager; then "
    "`pulumi up --replace '**harbor-instance'`, see docs/host-failures.md, While `pulumi up` runs"
)
FAILED = (
    "Linode did not make the {what} {label}. Run `pulumi up` again: what is there stays, what is missing is made. "
    "More in docs/host-failures.md, While `pulumi up` runs"
)


class ReplacementForbidden(Exception):
    """A protected server would be replaced."""


def explained(name: str, what: str, label: str, resource: pulumi.Resource) -> pulumi.ResourceHookBinding:
    """A hook that says beside the provider's error what it means for a `what` of this `label`, and where to go on."""

    def words(said: str) -> str:
        text = TAKEN if any(part in said for part in NAME_TAKEN) else HALF_MADE if NOT_RUNNING in said else FAILED
        return text.format(what=what, label=label)

    return creation_explained(f"{name}-refused", resource, words)


def announced(
    name: str, label: str, resource: pulumi.Resource, *, exists: bool, protect: bool
) -> pulumi.ResourceHookBinding:
    """A hook before a server's creation that says at preview what becomes of the one that `exists`.

    The engine itself holds `protect`, with an error that names no way out; this one stands beside it.
    """

    def announce(_: pulumi.ResourceHookArgs) -> None:
        if not exists or not pulumi.runtime.is_dry_run():
            return
        if protect:
            raise ReplacementForbidden(FORBIDDEN.format(label=label))
        pulumi.log.warn(REPLACED.format(label=label), resource)

    hook = pulumi.ResourceHook(f"{name}-announced", announce, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])
