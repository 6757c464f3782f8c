"""From the configuration's `host` to the server: every key arrives, and what cannot be served is said in its words."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from harbor_mirror.config.models import Host
from harbor_mirror.host import Bucket, HostSettings, harbor_yml, settings_document
from harbor_mirror.host.of_host import faults, host_secrets, own_buckets, settings_of, spec_of
from harbor_mirror.host.user_data import cloud_config

BUCKET = Bucket(
    name="harbor-blobs", endpoint="https://us-ord-1.linodeobjects.com", region="us-ord-1",
    access_key="BLOBS-KEY-0001", secret_key="blobs-secret-1",
)  # fmt: skip
DATABASE = {"host": "pg.example.com", "username": "harbor", "password": "Database-Pw-1"}
REDIS = {"host": "redis.example.com", "password": "Redis-Password-1"}
FOREIGN = {
    "name": "harbor-backups", "endpoint": "https://s3.example.com", "region": "eu-1",
    "accessKey": "BACKUP-KEY-01", "secretKey": "backup-secret-1",
}  # fmt: skip


def host(**values: Any) -> Host:
    found: Host = Host.read({"region": "sg-sin-2", "hostname": "harbor.example.com", **values})
    return found


def document(made: Host) -> dict[str, Any]:
    """The settings document of a host."""
    secrets = {path: secret.get_secret_value() for path, secret in host_secrets(made).items()}
    found: dict[str, Any] = json.loads(
        settings_document(settings_of(made, secrets, dict.fromkeys(own_buckets(made), BUCKET)))
    )
    return found


@pytest.mark.parametrize(
    ("values", "where", "expected"),
    [
        ({"service": {"workers": 8}}, "workers", 8),
        ({}, "workers", None),
        ({"service": {"trivy": False}}, "trivy", False),
        ({"service": {"metrics": True}}, "harbor.metric.enabled", True),
        ({"service": {"logLevel": "warning"}}, "harbor.log.level", "warning"),
        ({"objectStorage": {}, "authorizedKeys": ["ssh-ed25519 A "]}, "authorizedKeys", ["ssh-ed25519 A"]),
        ({"authorizedKeys": ["ssh-ed25519 A "]}, "authorizedKeys", []),
        ({"objectStorage": {"blobs": True}}, "harbor.storage_service.s3.bucket", "harbor-blobs"),
        ({"objectStorage": {"blobs": True}}, "harbor.storage_service.s3.secretkey", "blobs-secret-1"),
        ({"objectStorage": {"blobs": True}}, "places.blobs", "https://us-ord-1.linodeobjects.com/harbor-blobs"),
        ({"objectStorage": {}, "backup": {}}, "backup.target", "backup:harbor-blobs/harbor"),
        ({"backup": {"directory": "/mnt/backup", "at": "04:30", "keep": 7}}, "backup.target", "/mnt/backup"),
        ({"backup": {"directory": "/mnt/backup", "at": "04:30", "keep": 7}}, "backup.at", "04:30"),
        ({"backup": {"directory": "/mnt/backup", "at": "04:30", "keep": 7}}, "backup.keep", 7),
        ({"objectStorage": {}, "backup": {"bucket": FOREIGN}}, "backup.target", "backup:harbor-backups/harbor"),
        (
            {"objectStorage": {}, "backup": {"bucket": FOREIGN}},
            "backup.environment.RCLONE_CONFIG_BACKUP_SECRET_ACCESS_KEY",
            "backup-secret-1",
        ),
        (
            {"objectStorage": {}, "database": {**DATABASE, "name": "h", "sslMode": "verify-full", "maxOpenConns": 50}},
            "harbor.external_database.harbor",
            {
                "host": "pg.example.com", "port": 5432, "db_name": "h", "username": "harbor",
                "password": "Database-Pw-1", "ssl_mode": "verify-full", "max_idle_conns": 50, "max_open_conns": 50,
            },
        ),
        ({"objectStorage": {}, "redis": REDIS}, "harbor.external_redis.host", "redis.example.com:6379"),
        ({"objectStorage": {}, "redis": REDIS}, "harbor.external_redis.password", "Redis-Password-1"),
        ({"objectStorage": {}, "redis": REDIS}, "harbor.external_redis.tlsOptions.enable", True),
    ],
)  # fmt: skip
def test_a_key_arrives_in_the_settings_document(values: dict[str, Any], where: str, expected: object) -> None:
    made = host(**values)
    assert faults(made) == []
    found: Any = document(made)
    for part in where.split("."):
        found = found[part]
    assert found == expected


def test_what_decides_the_boot_arrives_in_user_data() -> None:
    made = host(acmeEmail="ops@example.com", requireData=True, swapMb=4096, installerSha256="ab" * 32)
    spec = spec_of(
        made,
        HostSettings(),
        volume_label="v",
        admin_password="Password-1",
        database_password="Password-2",
        source=BUCKET,
    )
    written = {entry["path"]: entry["content"] for entry in yaml.safe_load(cloud_config(spec))["write_files"]}
    assert "email ops@example.com" in written["/etc/harbor-mirror/Caddyfile"]
    assert "REQUIRE_DATA=1" in written["/etc/harbor-mirror/bootstrap.env"]
    assert f"INSTALLER_SHA256={'ab' * 32}" in written["/etc/harbor-mirror/bootstrap.env"]
    assert yaml.safe_load(cloud_config(spec))["swap"]["size"] == 4096 * 1024**2
    assert "harbor_admin_password: Password-1" in harbor_yml(spec)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": "2.16.0"}, "host.version: Harbor 2.16.0 is not known here: "),
        ({"tls": "none"}, "host.tls: none sends passwords in clear, so it is for private networks"),
        (
            {"tls": "provided", "certificate": "x", "certificateKey": "y", "objectStorage": {}},
            "host.certificate: is not PEM.",
        ),
        (
            {"objectStorage": {}, "redis": REDIS, "version": "2.11.2"},
            "host.redis.tls: Harbor before 2.13 ignores it and would speak in clear",
        ),
        (
            {"objectStorage": {}, "redis": {**REDIS, "password": "S3CRET $HOME"}},
            "host.redis.password: must be 8 to 128 of A-Z a-z 0-9 . _ -",
        ),
        (
            {"objectStorage": {}, "database": {**DATABASE, "password": "S3CRET pw"}},
            "host.database.password: must be 8 to 128 of A-Z a-z 0-9 . _ -",
        ),
        (
            {"backup": {"directory": "/mnt/harbor/backup"}},
            "host.backup.directory: must be an absolute directory outside /mnt/harbor. Example: /mnt/backup",
        ),
        (
            {"objectStorage": {}, "backup": {"bucket": {**FOREIGN, "endpoint": "http://s3.example.com"}}},
            "host.backup.bucket.endpoint: is not an https URL.",
        ),
        (
            {"objectStorage": {}, "backup": {"bucket": {**FOREIGN, "secretKey": "S3CRET #1"}}},
            "host.backup.bucket.secretKey: is not a key Harbor can pass on",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_the_configurations_words(values: dict[str, Any], says: str) -> None:
    said = [str(fault) for fault in faults(host(**values))]
    assert any(line.startswith(says) for line in said), said
    assert "S3CRET" not in " ".join(said)


def test_faults_of_several_parts_come_at_once() -> None:
    wrong = {"database": {**DATABASE, "password": "short"}, "redis": {**REDIS, "password": "short"}}
    assert len(faults(host(objectStorage={}, backup={"directory": "backup"}, **wrong))) == 3
