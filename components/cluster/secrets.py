"""Passwords and keys of a Harbor on a cluster: generated once, and kept in the state."""

from __future__ import annotations

import pulumi
import pulumi_random as random

from harbor_mirror.config.cluster import ENCRYPTION_KEY_LENGTH

#: Letters and digits only: these travel through URLs, environment variables and configuration files.
PASSWORD_LENGTH = 32


class GeneratedSecrets(pulumi.ComponentResource):
    """Generates `values`: passwords and keys, by use. `protect` keeps `encryption`: data is unreadable without it."""

    values: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, *, protect: bool, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("harbor-mirror:cluster:GeneratedSecrets", name, {}, opts)

        def password(use: str, length: int = PASSWORD_LENGTH, *, keep: bool = False) -> random.RandomPassword:
            return random.RandomPassword(
                f"{name}-{use}",
                length=length,
                special=False,
                min_upper=1,
                min_lower=1,
                min_numeric=1,
                opts=pulumi.ResourceOptions(parent=self, protect=keep and protect, retain_on_delete=keep and protect),
            )

        registry = password("registry")
        self.values = {
            "admin": password("admin").result,
            "encryption": password("encryption", ENCRYPTION_KEY_LENGTH, keep=True).result,
            "core": password("core").result,
            "csrf": password("csrf").result,
            "jobservice": password("jobservice").result,
            "registryHttp": password("registry-http").result,
            "redis": password("redis").result,
            "registry": registry.result,
            "registryHash": registry.bcrypt_hash,
        }
        self.register_outputs({})
