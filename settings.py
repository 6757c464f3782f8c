"""The only reader of the stack's configuration, and the one place where secrets are made secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi.runtime import config as stack_config
from pydantic import SecretStr

from harbor_mirror.config.faults import Caution, ConfigurationError
from harbor_mirror.config.models import Configuration
from harbor_mirror.host.of_host import host_secrets
from harbor_mirror.plan.validation import checked


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Every secret of the configuration, as Outputs that Pulumi keeps encrypted.

    `host` by path below `host`, such as `database.password`; `endpoints` by name.
    """

    harbor_password: pulumi.Output[str] | None
    host: Mapping[str, pulumi.Output[str]]
    endpoints: Mapping[str, pulumi.Output[str]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A stack: its name, its checked configuration, its secrets, and what its preview should warn of."""

    name: str
    configuration: Configuration
    secrets: Secrets
    cautions: tuple[Caution, ...]


def load() -> Settings:
    """Reads and checks the configuration of the running stack.

    Raises pulumi.RunError, which Pulumi prints without a traceback, with a line for every fault.
    """
    # pulumi.Config only answers for keys it is asked for; a key with a typo would pass unseen.
    everything = {**stack_config.get_config_env(), **stack_config.CONFIG.get()}
    found = checked(everything, pulumi.get_project(), Path.cwd(), pulumi.get_stack())
    try:
        configuration = found.sound()
    except ConfigurationError as error:
        raise pulumi.RunError(str(error)) from None
    host, endpoints, password = configuration.host, configuration.endpoints, configuration.harbor_password
    return Settings(
        name=pulumi.get_stack(),
        configuration=configuration,
        secrets=Secrets(
            harbor_password=_wrapped(password) if password is not None else None,
            host={path: _wrapped(secret) for path, secret in (host_secrets(host) if host else {}).items()},
            endpoints={name: _wrapped(entry.secret) for name, entry in endpoints.items() if entry.secret is not None},
        ),
        cautions=found.cautions,
    )


def _wrapped(secret: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(secret.get_secret_value())
