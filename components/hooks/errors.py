"""Adds guidance when a provider's error does not say what to do."""

from __future__ import annotations

from collections.abc import Callable

import pulumi


def explain_failed_creation(
    hook: str, resource: pulumi.Resource, guidance: Callable[[str], str | None]
) -> pulumi.ResourceHookBinding:
    """Return a hook that shows guidance on `resource` if its creation fails, unless `guidance` returns None.

    The creation still fails. If it succeeds, the hook does nothing.
    """

    def explain(args: pulumi.ErrorHookArgs) -> bool:
        if args.failed_operation == "create" and (text := guidance(" ".join(args.errors))) is not None:
            pulumi.log.error(text, resource)
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(hook, explain)])
