"""What stands in Harbor already can't be created: the way out, beside the provider's bare 409."""

from __future__ import annotations

import pulumi


def adoption_offered(name: str, resource: pulumi.Resource, what: str) -> pulumi.ResourceHookBinding:
    """A hook that explains a refused creation on `resource`; `what` is such as "rule nginx".

    Asks Harbor nothing: a preview stays as it is, and so does an `up` that meets no conflict.
    """

    def explain(args: pulumi.ErrorHookArgs) -> bool:
        if args.failed_operation == "create" and any("409" in error for error in args.errors):
            text = f"{what} is in this Harbor already: `python -m mirrorctl adopt` brings it into the stack as it is"
            pulumi.log.error(text, resource)
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-already-there", explain)])
