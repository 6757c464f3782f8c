"""Servers of every kind, for the tests that look at user data: what a stack's configuration can come to."""

from __future__ import annotations

from typing import Any

from harbor_mirror.host import Backup, Bucket, ExternalDatabase, ExternalRedis, HostSettings, HostSpec

BUCKET = Bucket(
    name="harbor-blobs",
    endpoint="https://us-east-1.linodeobjects.com",
    region="us-east-1",
    access_key="ACCESSKEY00001",
    secret_key="secret+key/of=the.bucket",
)
SETTINGS = Bucket(
    name="harbor-settings",
    endpoint="https://us-east-1.linodeobjects.com",
    region="us-east-1",
    access_key="READERKEY00001",
    secret_key="reader-secret-key",
)
EVERYTHING = HostSettings(
    workers=8,
    trivy=False,
    metrics=True,
    log_level="warning",
    log_megabytes=100,
    authorized_keys=("ssh-ed25519 AAAA ops@example.com",),
    blobs=BUCKET,
    database=ExternalDatabase(host="pg.example.com", username="harbor", password="pg-password"),
    redis=ExternalRedis(host="redis.example.com", password="redis-password"),
    backup=Backup(target=BUCKET, at="04:30", keep=7),
)


def example(**values: Any) -> HostSpec:
    usual = {
        "hostname": "harbor.dev.example.com",
        "version": "2.15.1",
        "admin_password": "Initial-admin-password",
        "database_password": "Initial-database-password",
        "volume_label": "harbor-dev-data",
    }
    return HostSpec(**{**usual, **values})


def examples(certificate: str, private_key: str) -> dict[str, HostSpec]:
    tls = HostSettings(certificate=certificate, private_key=private_key)
    return {
        "letsencrypt": example(acme_email="ops@example.com", installer_sha256="ab" * 32, require_data=True),
        "provided": example(tls="provided", settings=tls),
        "none": example(tls="none", hostname="harbor.internal", http_port=8080, version="2.9.5", swap_megabytes=0),
        "everything in user data": example(settings=EVERYTHING),
        "everything in a bucket": example(settings=EVERYTHING, settings_source=SETTINGS),
    }
