"""What a server needs besides the configuration: generated names, passwords and buckets, which exist at `up` only."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An object storage bucket and the key pair for it."""

    name: str
    endpoint: str
    """`https://` and the S3 endpoint, without the bucket's name."""
    region: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ServerValues:
    """Generated values that user data contains; a change of one of them replaces the server."""

    volume_label: str
    admin_password: str = field(repr=False)
    """The INITIAL password: Harbor reads it at the first boot on a blank volume and never again."""
    database_password: str = field(repr=False)
    settings_bucket: Bucket | None = None
    """Bucket that the server reads its settings from, with a read-only key; without it they are in user data."""
    proxy_password: str | None = field(default=None, repr=False)
    """Password at the proxy of the configuration."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            expected: type = Bucket if entry.name == "settings_bucket" else str
            if not isinstance(value, expected) and not (value is None and entry.default is None):
                raise TypeError(f"{entry.name} is a {type(value).__name__}; create ServerValues inside `apply`")
            if isinstance(value, str) and ("__str__ on an Output" in value or "pulumi.output.Output" in value):
                raise ValueError(
                    f"{entry.name} is the text of an unresolved Output; create ServerValues inside `apply`"
                )

    @property
    def signing_key(self) -> str:
        return signing_key(self.database_password)


def signing_key(database_password: str) -> str:
    """Return the key that signs settings and backups of a stack.

    Derived from a password that the stack has anyway: another random resource would show up in every preview.
    """
    return hmac.new(database_password.encode(), b"harbor-mirror signing key", hashlib.sha256).hexdigest()


def signature(key: str, purpose: str, data: bytes) -> str:
    """Return the signature that `files/harbor-config.py` verifies; `purpose` separates settings from backups."""
    return hmac.new(key.encode(), purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()
