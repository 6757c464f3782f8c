"""Reads the running stack's configuration, and makes its secrets secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi.runtime import config as stack_config
from pydantic import SecretStr

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import resolve_stack


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Secrets as Outputs that Pulumi encrypts; `host` and `cluster` by path below, such as `database.password`."""

    harbor_password: pulumi.Output[str] | None
    host: Mapping[str, pulumi.Output[str]]
    cluster: Mapping[str, pulumi.Output[str]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A stack: its name, what it declares, and its secrets."""

    name: str
    mirror: PlannedMirror
    secrets: Secrets


def load() -> Settings:
    """Return the running stack, resolved.

    Raise pulumi.RunError, which Pulumi prints without a traceback, with a line for every fault.
    """
    # pulumi.Config answers only for the keys it is asked for, so a misspelled key would go unnoticed.
    settings = {**stack_config.get_config_env(), **stack_config.CONFIG.get()}
    try:
        mirror = resolve_stack(settings, pulumi.get_project(), Path.cwd(), pulumi.get_stack()).require()
    except ConfigurationError as error:
        raise pulumi.RunError(str(error)) from None
    host, cluster = mirror.configuration.host, mirror.configuration.cluster
    password = mirror.configuration.harbor_password
    return Settings(
        name=pulumi.get_stack(),
        mirror=mirror,
        secrets=Secrets(
            harbor_password=_encrypted(password) if password is not None else None,
            host={path: _encrypted(secret) for path, secret in (host.secrets if host else {}).items()},
            cluster={path: _encrypted(secret) for path, secret in (cluster.secrets if cluster else {}).items()},
        ),
    )


def _encrypted(secret: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(secret.get_secret_value())
