"""The settings document: the part of a host's configuration that can change without replacing the server.

The server reads it from the stack's settings bucket, or from user data if there is no bucket, verifies its signature
and merges it into `harbor.yml` (docs/adr/0100).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harbor_mirror.config.host import Host
from harbor_mirror.host.values import Bucket, signature

#: Key of the settings document in the settings bucket.
SETTINGS_OBJECT = "settings.json"
#: Where the server writes the certificates of `authorities`; Harbor adds them to what its services trust.
AUTHORITIES_FILE = "/var/lib/harbor-mirror/authorities.crt"
#: Size at which a service's log file is rotated.
LOG_MEGABYTES = 50
#: The registry's own default: 10 MiB parts.
CHUNK_BYTES = 10 * 1024 * 1024
#: Linode's guide for Harbor: Object Storage answers 500 to larger multipart copies.
COPY_THRESHOLD_BYTES = 5 * 1024**3
METRICS_PORT = 9090


def settings_document(host: Host, secrets: Mapping[str, str], buckets: Mapping[str, Bucket], signing_key: str) -> str:
    """Return the signed settings as JSON; the same arguments give the same text.

    `secrets` are those of `host.secrets` in plain text, `buckets` those of `host.own_buckets`. The document contains
    secrets. Its keys: `schema` (1), `harbor` (merged into harbor.yml), `workers` (null: by the server's memory),
    `trivy`, `places` (where blobs and database are: the server refuses to change them), `certificate`, `privateKey`,
    `authorizedKeys` (null: leave those of the server's creation), `backup`, `maintenanceWindow`, `authorities` (only if
    there are any), `signature`.
    """
    blobs = buckets.get("blobs")
    window = host.maintenance_window
    document: dict[str, Any] = {
        "schema": 1,
        "harbor": _overlay(host, secrets, blobs),
        "workers": host.service.workers,
        "trivy": host.service.trivy,
        "places": {
            "blobs": f"{blobs.endpoint}/{blobs.name}" if blobs else "volume",
            "database": _database_address(host),
        },
        "certificate": host.certificate or "",
        "privateKey": secrets.get("certificateKey", ""),
        # Without a bucket the document is in user data, where a changed key would replace the server.
        "authorizedKeys": [key.strip() for key in host.authorized_keys] if host.object_storage else None,
        "backup": _backup(host, secrets, buckets),
        "maintenanceWindow": None if window is None else {"day": window.day, "hour": window.hour},
    }
    if host.authorities:
        document["authorities"] = host.authorities
    signed = signature(signing_key, "settings", json.dumps(document, sort_keys=True).encode())
    return json.dumps({**document, "signature": signed}, sort_keys=True)


def rclone_environment(remote: str, bucket: Bucket) -> dict[str, str]:
    """Return environment variables that configure `bucket` as rclone's `remote`, so that no secret is an argument."""
    options = {
        "type": "s3",
        "provider": "Other",
        "env_auth": "false",
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "access_key_id": bucket.access_key,
        "secret_access_key": bucket.secret_key,
        # A key limited to one bucket may not ask whether the bucket exists.
        "no_check_bucket": "true",
    }
    return {f"RCLONE_CONFIG_{remote.upper()}_{name.upper()}": value for name, value in options.items()}


def _overlay(host: Host, secrets: Mapping[str, str], blobs: Bucket | None) -> dict[str, Any]:
    overlay: dict[str, Any] = {
        "log": {"level": host.service.log_level, "local": {"rotate_size": f"{LOG_MEGABYTES}M"}},
    }
    if host.service.metrics:
        overlay["metric"] = {"enabled": True, "port": METRICS_PORT, "path": "/metrics"}
    if blobs is not None:
        overlay["storage_service"] = _storage(blobs)
    if host.authorities:
        # The name of the key is misleading: it is the trust store of core, jobservice, registry, Trivy and exporter.
        overlay.setdefault("storage_service", {})["ca_bundle"] = AUTHORITIES_FILE
    if host.database is not None:
        overlay["external_database"] = {
            "harbor": {
                "host": host.database.host,
                "port": host.database.port,
                "db_name": host.database.name,
                "username": host.database.username,
                "password": secrets["database.password"],
                "ssl_mode": host.database.ssl_mode,
                "max_idle_conns": min(50, host.database.max_open_conns),
                "max_open_conns": host.database.max_open_conns,
            }
        }
    if host.redis is not None:
        overlay["external_redis"] = {
            "host": f"{host.redis.host}:{host.redis.port}",
            "username": host.redis.username,
            "password": secrets["redis.password"],
            "registry_db_index": 1,
            "jobservice_db_index": 2,
            "trivy_db_index": 5,
            "idle_timeout_seconds": 30,
            # Harbor requires the key rootCA as soon as TLS is on; null means the system's certificates.
            **({"tlsOptions": {"enable": True, "rootCA": None}} if host.redis.tls else {}),
        }
    return overlay


def _storage(blobs: Bucket) -> dict[str, Any]:
    return {
        "s3": {
            "region": blobs.region,
            "regionendpoint": blobs.endpoint,
            "bucket": blobs.name,
            "accesskey": blobs.access_key,
            "secretkey": blobs.secret_key,
            "secure": True,
            "v4auth": True,
            "chunksize": CHUNK_BYTES,
            "multipartcopythresholdsize": COPY_THRESHOLD_BYTES,
            "rootdirectory": "/harbor",
        },
        # Clients then need to reach this server only, not the bucket's endpoint.
        "redirect": {"disable": True},
    }


def _database_address(host: Host) -> str:
    if host.database is None:
        return "volume"
    return f"{host.database.host}:{host.database.port}/{host.database.name}"


def _backup(host: Host, secrets: Mapping[str, str], buckets: Mapping[str, Bucket]) -> dict[str, Any] | None:
    backup = host.backup
    if backup is None:
        return None
    bucket = None
    if backup.bucket is not None:
        bucket = Bucket(
            name=backup.bucket.name,
            endpoint=backup.bucket.endpoint,
            region=backup.bucket.region,
            access_key=backup.bucket.access_key,
            secret_key=secrets["backup.bucket.secretKey"],
        )
    elif backup.directory is None:
        bucket = buckets["backup"]
    return {
        "at": backup.at,
        "keep": backup.keep,
        "recipient": backup.recipient,
        "versioned": backup.versioned,
        "target": backup.directory if bucket is None else f"backup:{bucket.name}/harbor",
        "environment": {} if bucket is None else rclone_environment("backup", bucket),
    }
