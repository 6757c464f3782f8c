"""Keeps an update of a project from switching off protection that somebody set in Harbor."""

from __future__ import annotations

from typing import Any

import pulumi

from harbor_mirror.config.faults import in_yaml
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor.client import Harbor

from .harbor_api import request_hook


class Unprotected(RuntimeError):
    """An update would switch off the protection of a project."""


def keep_protection(name: str, component: pulumi.ComponentResource, declared: Any) -> pulumi.ResourceHookBinding:
    """Return a hook that rejects the update of a project with protection that the arguments `declared` do not set.

    Each update by the provider writes all settings. Unset ones get their default, which is no protection.
    """

    def refuse(client: Harbor, _: pulumi.ResourceHookArgs) -> None:
        live = project_mapping.undeclared(client.project(declared.name), declared)
        if live:
            kept = ", ".join(f"{key}: {in_yaml(value)}" for key, value in live.items())
            off = ", ".join(f"{key}: {project_mapping.OFF[key]}" for key in live)
            raise Unprotected(
                f"project {declared.name} has {kept} in Harbor, which the provider would switch off with this change; "
                f"set that under projects.{declared.name} to keep it, or {off}"
            )

    return pulumi.ResourceHookBinding(before_update=[request_hook(name, component, refuse)])
