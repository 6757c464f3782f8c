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
    return explain_failure(
        hook, resource, lambda operation, errors: guidance(errors) if operation == "create" else None
    )


def explain_failure(
    hook: str, resource: pulumi.Resource, guidance: Callable[[str, str], str | None]
) -> pulumi.ResourceHookBinding:
    """Return a hook as `explain_failed_creation` does, for every operation: `guidance` gets its name and its errors."""

    def explain(args: pulumi.ErrorHookArgs) -> bool:
        if (text := guidance(args.failed_operation, " ".join(args.errors))) is not None:
            pulumi.log.error(text, resource)
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(hook, explain)])
