"""Adds guidance when Harbor refuses an object: the provider reports a status and Harbor's few words."""

from __future__ import annotations

import pulumi

from harbor_mirror.config.paths import join_path

from .errors import explain_failed_creation, explain_failure

UNHEALTHY = (
    "Harbor tested the source of endpoint {name} and can't use it: check that Harbor reaches the URL, and the "
    "credentials. If a private authority signed the source's certificate, set {path}.caCertificate to the "
    "certificate of that authority (Harbor 2.15 and later)"
)


def suggest_adoption(name: str, resource: pulumi.Resource, what: str) -> pulumi.ResourceHookBinding:
    """Return a hook that suggests `adopt` if `resource` exists in Harbor; `what` names it, such as "rule nginx".

    The hook sends no requests, so it changes neither previews nor updates without a conflict.
    """

    text = _already_there(what)
    return explain_failed_creation(f"{name}-already-there", resource, lambda errors: text if "409" in errors else None)


def explain_endpoint(key: str, resource: pulumi.Resource, name: str) -> pulumi.ResourceHookBinding:
    """Return a hook that explains why Harbor refused an endpoint: it exists, or Harbor can't use the source."""

    def guidance(operation: str, errors: str) -> str | None:
        if operation == "create" and "409" in errors:
            return _already_there(f"endpoint {name}")
        return UNHEALTHY.format(name=name, path=join_path("endpoints", key)) if "unhealthy" in errors else None

    return explain_failure(f"{key}-endpoint-already-there", resource, guidance)


def _already_there(what: str) -> str:
    return (
        f"{what} is in this Harbor already: `mirrorctl recover` takes it over, whether a killed run or "
        "somebody else created it. For a stack of all that a Harbor has: `mirrorctl adopt`"
    )
