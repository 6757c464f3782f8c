"""The only reader of the stack's configuration, and the one place where secrets are made secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import config as stack_config
from pydantic import SecretStr

from harbor_mirror.model.checks import cautions
from harbor_mirror.model.config import Configuration
from harbor_mirror.model.faults import Caution, ConfigurationError
from harbor_mirror.model.parse import parse


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A stack's checked configuration; secrets come as Outputs that Pulumi keeps encrypted."""

    stack: str
    configuration: Configuration
    cautions: tuple[Caution, ...]
    harbor_password: pulumi.Output[str] | None
    certificate_key: pulumi.Output[str] | None
    endpoint_secrets: Mapping[str, pulumi.Output[str]]


def load() -> Settings:
    """Reads and checks the configuration of the running stack.

    Raises pulumi.RunError, which Pulumi prints without a traceback, with a line for every fault.
    """
    try:
        configuration = parse(_raw(pulumi.get_project()))
    except ConfigurationError as error:
        raise pulumi.RunError(str(error)) from None
    host = configuration.host
    return Settings(
        stack=pulumi.get_stack(),
        configuration=configuration,
        cautions=tuple(cautions(configuration)),
        harbor_password=_secret(configuration.harbor_password),
        certificate_key=_secret(host.certificate_key) if host else None,
        endpoint_secrets={
            name: secret
            for name, endpoint in configuration.endpoints.items()
            if (secret := _secret(endpoint.secret)) is not None
        },
    )


def _raw(project: str) -> dict[str, Any]:
    # pulumi.Config only answers for keys it is asked for; a key with a typo would pass unseen.
    everything: dict[str, str] = {**stack_config.get_config_env(), **stack_config.CONFIG.get()}
    prefix = f"{project}:"
    return {key.removeprefix(prefix): _value(text) for key, text in everything.items() if key.startswith(prefix)}


def _value(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _secret(value: SecretStr | None) -> pulumi.Output[str] | None:
    return None if value is None else pulumi.Output.secret(value.get_secret_value())
