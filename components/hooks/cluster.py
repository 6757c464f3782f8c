"""Hooks of a cluster: the upgrade guard, and guidance when Linode refuses to create a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from harbor_mirror.cluster.names import VERSION_ANNOTATION
from harbor_mirror.cluster.upgrade import check_upgrade

from .errors import Failed, explain_failure
from .host import NAME_TAKEN

TAKEN = (
    "Linode has a {what} called {label} already, and this stack does not know it. An update that was cut off left it: "
    "run `mirrorctl recover`, then `pulumi up`. Another stack uses the name: rename this stack"
)
FAILED = (
    "Linode did not {operation} the {what} {label}. Run `pulumi up` again: it keeps what exists and creates what is "
    "missing. More in docs/cluster-operations.md, An update of a cluster was cut off"
)


def explain_creation(name: str, what: str, label: str, resource: pulumi.Resource) -> pulumi.ResourceHookBinding:
    """Return a hook that adds guidance when Linode refuses to create a `what` with this label."""

    def guidance(failed: Failed) -> str:
        is_taken = failed.operation == "create" and any(part in failed.errors for part in NAME_TAKEN)
        return (TAKEN if is_taken else FAILED).format(what=what, label=label, operation=failed.operation)

    return explain_failure(f"{name}-refused", resource, guidance)


def guard_upgrade(name: str, restored_from: str | None) -> pulumi.ResourceHookBinding:
    """Return hooks for Harbor's namespace that reject a version which its database cannot follow, at preview.

    `restored_from`: the version from which the database was restored to the new one's dump.
    """

    def guard(args: pulumi.ResourceHookArgs) -> None:
        old, new = _version(args.old_inputs), _version(args.new_inputs)
        if old and new and old != restored_from:
            check_upgrade(old, new)

    hook = pulumi.ResourceHook(f"{name}-upgrade", guard, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_update=[hook])


def _version(inputs: Mapping[str, Any] | None) -> str | None:
    annotations = ((inputs or {}).get("metadata") or {}).get("annotations") or {}
    version: str | None = annotations.get(VERSION_ANNOTATION)
    return version
