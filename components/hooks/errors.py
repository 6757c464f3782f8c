"""Adds guidance when a provider's error does not say what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pulumi

from .messages import show


@dataclass(frozen=True)
class Failed:
    """A failed operation: `create`, `update` or `delete` of the resource `name`, with the provider's errors."""

    operation: str
    name: str
    errors: str


def explain_failure(
    hook: str, resource: pulumi.Resource, guidance: Callable[[Failed], str]
) -> pulumi.ResourceHookBinding:
    """Return a hook that shows guidance on `resource` if an operation fails.

    The operation still fails. If it succeeds, the hook does nothing.
    """

    async def explain(args: pulumi.ErrorHookArgs) -> bool:
        text = guidance(Failed(args.failed_operation, args.name, " ".join(args.errors)))
        await show(pulumi.log.error, text, resource)
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(hook, explain)])
