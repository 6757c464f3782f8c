"""Adds guidance when an object exists in Harbor already: the provider reports only status 409."""

from __future__ import annotations

import pulumi

from .errors import explain_failed_creation


def suggest_adoption(name: str, resource: pulumi.Resource, what: str) -> pulumi.ResourceHookBinding:
    """Return a hook that suggests `adopt` if `resource` exists in Harbor; `what` names it, such as "rule nginx".

    The hook sends no requests, so it changes neither previews nor updates without a conflict.
    """

    text = (
        f"{what} is in this Harbor already: `mirrorctl recover` takes it over, whether a killed run or "
        "somebody else created it. For a stack of all that a Harbor has: `mirrorctl adopt`"
    )
    return explain_failed_creation(f"{name}-already-there", resource, lambda errors: text if "409" in errors else None)
