"""From the configuration's `host` to what the server is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import SecretStr
from pydantic.alias_generators import to_camel

from harbor_mirror.config.faults import Fault
from harbor_mirror.config.models import Host
from harbor_mirror.host.spec import (
    Backup,
    Bucket,
    ExternalDatabase,
    ExternalRedis,
    HostSettings,
    HostSpec,
    SpecError,
)

#: Stands for secrets that do not exist before `up`, in a form that passes the spec's checks.
_PLACEHOLDER = "placeholder-1"
_BUCKET = Bucket(
    name="bucket",
    endpoint="https://us-east-1.linodeobjects.com",
    region="us-east-1",
    access_key=_PLACEHOLDER,
    secret_key=_PLACEHOLDER,
)
#: What the spec calls otherwise than the configuration.
_NAMES = {"private_key": "certificate_key", "target": "directory"}

Made = TypeVar("Made")


def host_secrets(host: Host) -> dict[str, SecretStr]:
    """The configuration's secrets by their path below `host`."""
    bucket = host.backup.bucket if host.backup else None
    found = {
        "certificateKey": host.certificate_key,
        "database.password": host.database.password if host.database else None,
        "redis.password": host.redis.password if host.redis else None,
        "backup.bucket.secretKey": bucket.secret_key if bucket else None,
    }
    return {path: secret for path, secret in found.items() if secret is not None}


def spec_of(
    host: Host,
    settings: HostSettings,
    *,
    volume_label: str,
    admin_password: str,
    database_password: str,
    source: Bucket | None = None,
) -> HostSpec:
    """The server's spec; `source` is the bucket from which it reads its settings. Raises SpecError."""
    return HostSpec(
        hostname=host.hostname,
        version=host.version,
        tls=host.tls,
        http_port=host.http_port,
        admin_password=admin_password,
        database_password=database_password,
        volume_label=volume_label,
        acme_email=host.acme_email or "",
        installer_sha256=host.installer_sha256 or "",
        require_data=host.require_data,
        swap_megabytes=host.swap_mb,
        settings=settings,
        settings_source=source,
    )


def settings_of(host: Host, secrets: Mapping[str, str], buckets: Mapping[str, Bucket]) -> HostSettings:
    """What may change while the server lives. Raises SpecError, with the part's name in each line.

    `secrets`: those of `host_secrets`, in plain; `buckets`: those of `own_buckets`.
    """
    service = host.service
    return HostSettings(
        workers=service.workers,
        trivy=service.trivy,
        metrics=service.metrics,
        log_level=service.log_level,
        certificate=host.certificate or "",
        private_key=secrets.get("certificateKey", ""),
        # In user data a changed key would replace the server.
        authorized_keys=host.authorized_keys if host.object_storage else (),
        blobs=buckets.get("blobs"),
        database=_part("database", lambda: _database(host, secrets)),
        redis=_part("redis", lambda: _redis(host, secrets)),
        backup=_part("backup", lambda: _backup(host, secrets, buckets)),
    )


def _database(host: Host, secrets: Mapping[str, str]) -> ExternalDatabase | None:
    if host.database is None:
        return None
    return ExternalDatabase(**_plain(host.database), password=secrets["database.password"])


def _redis(host: Host, secrets: Mapping[str, str]) -> ExternalRedis | None:
    return None if host.redis is None else ExternalRedis(**_plain(host.redis), password=secrets["redis.password"])


def _backup(host: Host, secrets: Mapping[str, str], buckets: Mapping[str, Bucket]) -> Backup | None:
    backup = host.backup
    if backup is None:
        return None
    target: Bucket | str
    if backup.directory is not None:
        target = backup.directory
    elif (bucket := backup.bucket) is not None:
        secret = secrets["backup.bucket.secretKey"]
        target = _part("bucket", lambda: Bucket(**_plain(bucket), secret_key=secret))
    else:
        target = buckets["backup"]
    return Backup(target=target, at=backup.at, keep=backup.keep)


def _plain(section: Any) -> dict[str, Any]:
    """A section's values but for its secrets: the spec's parts call them as the section does."""
    values = {name: getattr(section, name) for name in type(section).model_fields}
    return {name: value for name, value in values.items() if not isinstance(value, SecretStr)}


def _part(name: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except SpecError as error:
        raise SpecError("\n".join(f"{name}.{line}" for line in str(error).splitlines())) from None


def own_buckets(host: Host) -> tuple[str, ...]:
    """Which buckets of its own a host has beside that of its settings: `blobs`, `backup`."""
    backup = host.backup
    asked = {
        "blobs": host.object_storage is not None and host.object_storage.blobs,
        "backup": backup is not None and backup.bucket is None and backup.directory is None,
    }
    return tuple(name for name, is_so in asked.items() if is_so)


def faults(host: Host) -> list[Fault]:
    """What only the spec can see: an unknown version, plain HTTP on a public name, a certificate that is not PEM."""
    secrets = {path: secret.get_secret_value() for path, secret in host_secrets(host).items()}
    buckets = dict.fromkeys(own_buckets(host), _BUCKET)
    parts: tuple[Callable[[], object], ...] = (
        lambda: _part("database", lambda: _database(host, secrets)),
        lambda: _part("redis", lambda: _redis(host, secrets)),
        lambda: _part("backup", lambda: _backup(host, secrets, buckets)),
    )
    # Each part by itself, so that all faults are said at once.
    wrong = [fault for part in parts for fault in _tried(part)]
    return wrong or _tried(
        lambda: spec_of(
            host,
            settings_of(host, secrets, buckets),
            volume_label="harbor-data",
            admin_password=_PLACEHOLDER,
            database_password=_PLACEHOLDER,
            source=_BUCKET if host.object_storage else None,
        )
    )


def _tried(make: Callable[[], object]) -> list[Fault]:
    try:
        make()
    except SpecError as error:
        return [_fault(line) for line in str(error).splitlines()]
    return []


def _fault(line: str) -> Fault:
    """From `HostSpec: settings.redis.tls: reason`, where the spec's classes and its level `settings` are not ours."""
    where, _, reason = line.partition(": ")
    inner, _, rest = reason.partition(": ")
    if re.fullmatch(r"[a-z_.]+", inner) and rest:
        where, reason = f"{where}.{inner}", rest
    parts = [part for part in where.split(".") if part.islower() and part != "settings"]
    path = ".".join(["host", *(to_camel(_NAMES.get(part, part)) for part in parts)])
    reason, _, example = reason.partition(". Example: ")
    return Fault(path, None, reason.rstrip("."), example)
