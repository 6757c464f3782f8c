"""What stands in Harbor already can't be created: the way out, beside the provider's bare 409."""

from __future__ import annotations

import pulumi

from .errors import creation_explained


def adoption_offered(name: str, resource: pulumi.Resource, what: str) -> pulumi.ResourceHookBinding:
    """A hook that explains a refused creation on `resource`; `what` is such as "rule nginx".

    Asks Harbor nothing: a preview stays as it is, and so does an `up` that meets no conflict.
    """

    text = f"{what} is in this Harbor already: `python -m mirrorctl adopt` brings it into the stack as it is"
    return creation_explained(f"{name}-already-there", resource, lambda said: text if "409" in said else None)
