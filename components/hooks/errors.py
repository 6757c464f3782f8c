"""Words of ours beside a provider's error, where its own do not say what to do."""

from __future__ import annotations

from collections.abc import Callable

import pulumi


def creation_explained(
    hook: str, resource: pulumi.Resource, words: Callable[[str], str | None]
) -> pulumi.ResourceHookBinding:
    """A hook that says on `resource` what `words` makes of a refused creation's errors; nothing where that is None.

    The creation stays refused, and an `up` that meets no refusal does nothing more.
    """

    def explain(args: pulumi.ErrorHookArgs) -> bool:
        if args.failed_operation == "create" and (text := words(" ".join(args.errors))) is not None:
            pulumi.log.error(text, resource)
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(hook, explain)])
