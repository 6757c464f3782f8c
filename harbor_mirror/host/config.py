"""Harbor's own configuration file, and the settings document that overlays it on the host.

`harbor.yml` as user data carries it is complete and stays as it is for the life of a server. What may change is laid
over it on the host from the settings document (`files/harbor-config.py`), which comes from user data or, in a stack
with a settings bucket, from there.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from harbor_mirror.host.spec import Bucket, HostSettings, HostSpec
from harbor_mirror.host.versions import release

#: Key of the settings document in the settings bucket.
SETTINGS_OBJECT = "settings.json"
#: The volume is mounted at /mnt/harbor; Harbor's core mounts the whole of this directory, so nothing else lives in it.
DATA_VOLUME = "/mnt/harbor/data"
#: Where Caddy finds Harbor. A string of this form makes Harbor's compose file publish on loopback only (2.9 to 2.15).
LOOPBACK = "127.0.0.1:8080"
LOG_FILES = 10
#: The registry's own default: 10 MiB parts.
CHUNK_BYTES = 10 * 1024 * 1024
#: Linode's guide for Harbor: larger copies in parts are answered 500 by Object Storage.
COPY_THRESHOLD_BYTES = 5 * 1024**3
METRICS_PORT = 9090


def harbor_yml(spec: HostSpec) -> str:
    """`/etc/harbor-mirror/harbor.yml`, made for the spec's version and never migrated.

    Block style with a bare `data_volume`, because Harbor's `prepare` reads that line with grep and awk.
    """
    minor = release(spec.version).minor
    front: dict[str, Any] = {"http": {"port": spec.http_port}}
    if spec.tls != "none":
        # Without external_url Harbor would name its loopback port to clients.
        front = {"external_url": f"https://{spec.hostname}", "http": {"port": LOOPBACK}}
    jobs = {"max_job_workers": 5, "job_loggers": ["STD_OUTPUT", "FILE"], "logger_sweeper_duration": 1}
    if minor >= (2, 13):
        jobs["max_job_duration_hours"] = 24
    log_file = {"rotate_count": LOG_FILES, "rotate_size": "50M", "location": "/var/log/harbor"}
    return _yaml(
        {
            "hostname": spec.hostname,
            **front,
            "harbor_admin_password": spec.admin_password,
            # Harbor's template has these numbers; left out they would be unlimited.
            "database": {"password": spec.database_password, "max_idle_conns": 100, "max_open_conns": 900},
            "data_volume": DATA_VOLUME,
            "jobservice": jobs,
            "notification": {"webhook_job_max_retry": 3, "webhook_job_http_client_timeout": 3},
            "log": {"level": "info", "local": log_file},
            # Left out, abandoned uploads would be kept for ever.
            "upload_purging": {"enabled": True, "age": "168h", "interval": "24h", "dryrun": False},
            "_version": f"{minor[0]}.{minor[1]}.0",
        }
    )


def settings_document(settings: HostSettings) -> str:
    """What may change on a server, as JSON: the same settings give the same text, byte for byte.

    Keys: `schema` (1), `harbor` (laid over harbor.yml, map by map), `workers` (null: by the server's memory), `trivy`,
    `places` (where blobs and database live: the host refuses to change them), `certificate`, `privateKey`,
    `authorizedKeys`, `backup` (null or `at`, `keep`, `target`, `environment` for rclone). It holds secrets.
    """
    return json.dumps(
        {
            "schema": 1,
            "harbor": _overlay(settings),
            "workers": settings.workers,
            "trivy": settings.trivy,
            "places": {
                "blobs": f"{settings.blobs.endpoint}/{settings.blobs.name}" if settings.blobs else "volume",
                "database": _address(settings),
            },
            "certificate": settings.certificate,
            "privateKey": settings.private_key,
            "authorizedKeys": [key.strip() for key in settings.authorized_keys],
            "backup": _backup(settings),
        },
        sort_keys=True,
    )


def rclone_environment(remote: str, bucket: Bucket) -> dict[str, str]:
    """Environment that makes `bucket` known to rclone as `remote`: no secret in an argument list."""
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


def _overlay(settings: HostSettings) -> dict[str, Any]:
    overlay: dict[str, Any] = {
        "log": {"level": settings.log_level, "local": {"rotate_size": f"{settings.log_megabytes}M"}},
    }
    if settings.metrics:
        overlay["metric"] = {"enabled": True, "port": METRICS_PORT, "path": "/metrics"}
    if settings.blobs:
        overlay["storage_service"] = {
            "s3": {
                "region": settings.blobs.region,
                "regionendpoint": settings.blobs.endpoint,
                "bucket": settings.blobs.name,
                "accesskey": settings.blobs.access_key,
                "secretkey": settings.blobs.secret_key,
                "secure": True,
                "v4auth": True,
                "chunksize": CHUNK_BYTES,
                "multipartcopythresholdsize": COPY_THRESHOLD_BYTES,
                "rootdirectory": "/harbor",
            },
            # Clients then need to reach this server only, not the bucket's endpoint.
            "redirect": {"disable": True},
        }
    if settings.database:
        overlay["external_database"] = {
            "harbor": {
                "host": settings.database.host,
                "port": settings.database.port,
                "db_name": settings.database.name,
                "username": settings.database.username,
                "password": settings.database.password,
                "ssl_mode": settings.database.ssl_mode,
                "max_idle_conns": min(50, settings.database.max_open_conns),
                "max_open_conns": settings.database.max_open_conns,
            }
        }
    if settings.redis:
        overlay["external_redis"] = {
            "host": f"{settings.redis.host}:{settings.redis.port}",
            "username": settings.redis.username,
            "password": settings.redis.password,
            "registry_db_index": 1,
            "jobservice_db_index": 2,
            "trivy_db_index": 5,
            "idle_timeout_seconds": 30,
            # Harbor asks for rootCA as soon as TLS is on; empty means the system's.
            **({"tlsOptions": {"enable": True, "rootCA": None}} if settings.redis.tls else {}),
        }
    return overlay


def _address(settings: HostSettings) -> str:
    if settings.database is None:
        return "volume"
    return f"{settings.database.host}:{settings.database.port}/{settings.database.name}"


def _backup(settings: HostSettings) -> dict[str, Any] | None:
    backup = settings.backup
    if backup is None:
        return None
    if isinstance(backup.target, str):
        return {"at": backup.at, "keep": backup.keep, "target": backup.target, "environment": {}}
    return {
        "at": backup.at,
        "keep": backup.keep,
        "target": f"backup:{backup.target.name}/harbor",
        "environment": rclone_environment("backup", backup.target),
    }


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False, width=4096)
