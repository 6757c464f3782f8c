"""From the configuration's `host` to the server: every key arrives, and what cannot work is a fault of the key."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.host import Host
from harbor_mirror.host import Bucket, ServerValues, cloud_config, settings_document
from harbor_mirror.plan.validation import validate

BUCKET = Bucket(
    name="harbor-blobs", endpoint="https://us-ord-1.linodeobjects.com", region="us-ord-1",
    access_key="BLOBS-KEY-0001", secret_key="blobs-secret-1",
)  # fmt: skip
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
DATABASE = {"host": "pg.example.com", "username": "harbor", "password": "Database-Pw-1"}
REDIS = {"host": "redis.example.com", "password": "Redis-Password-1"}
FOREIGN = {
    "name": "harbor-backups", "endpoint": "https://s3.example.com", "region": "eu-1",
    "accessKey": "BACKUP-KEY-01", "secretKey": "backup-secret-1",
}  # fmt: skip


def host(**values: Any) -> Host:
    found: Host = Host.read({"region": "sg-sin-2", "hostname": "harbor.example.com", **values})
    return found


def document(host: Host) -> dict[str, Any]:
    """Return the settings document of a host."""
    secrets = {path: secret.get_secret_value() for path, secret in host.secrets.items()}
    loaded: dict[str, Any] = json.loads(
        settings_document(host, secrets, dict.fromkeys(host.own_buckets, BUCKET), "key")
    )
    return loaded


def cautions(**values: Any) -> dict[str, str]:
    """Return the cautions about this host by key."""
    raw = {"region": "sg-sin-2", "hostname": "harbor.example.com", "maintenanceWindow": {}, **values}
    raw = {key: value for key, value in raw.items() if value is not None}
    mirror = validate({"host": raw, "projects": {"mirror": {}}})
    return {caution.name: caution.text for caution in mirror.cautions if caution.section == "host"}


def faults(**values: Any) -> list[str]:
    """Return the faults of a stack with this host."""
    raw = {"region": "sg-sin-2", "hostname": "harbor.example.com", **values}
    try:
        validate({"host": raw, "projects": {"mirror": {}}})
    except ConfigurationError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("values", "where", "expected"),
    [
        ({"service": {"workers": 8}}, "workers", 8),
        ({}, "workers", None),
        ({"service": {"trivy": False}}, "trivy", False),
        ({"service": {"metrics": True}}, "harbor.metric.enabled", True),
        ({"service": {"logLevel": "warning"}}, "harbor.log.level", "warning"),
        ({"objectStorage": {}, "authorizedKeys": ["ssh-ed25519 A "]}, "authorizedKeys", ["ssh-ed25519 A"]),
        ({"objectStorage": {}}, "authorizedKeys", []),
        ({"authorizedKeys": ["ssh-ed25519 A "]}, "authorizedKeys", None),
        ({"maintenanceWindow": {}}, "maintenanceWindow", {"day": "sunday", "hour": 4}),
        ({}, "maintenanceWindow", None),
        ({"backup": {"directory": "/mnt/backup", "recipient": RECIPIENT}}, "backup.recipient", RECIPIENT),
        ({"objectStorage": {}, "backup": {"versioned": True}}, "backup.versioned", True),
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
    assert faults(**values) == []
    found: Any = document(host(**values))
    for part in where.split("."):
        found = found[part]
    assert found == expected


def test_a_boot_setting_arrives_in_user_data() -> None:
    digest = f"sha256:{'cd' * 32}"
    made = host(
        acmeEmail="ops@example.com",
        requireData=True,
        swapMb=4096,
        installerSha256="ab" * 32,
        imageDigests={"goharbor/harbor-core": digest},
    )
    values = ServerValues(
        volume_label="v", admin_password="Password-1", database_password="Password-2", settings_bucket=BUCKET
    )
    loaded = yaml.safe_load(cloud_config(made, values))
    written = {entry["path"]: entry["content"] for entry in loaded["write_files"]}
    assert "email ops@example.com" in written["/etc/harbor-mirror/Caddyfile"]
    assert "REQUIRE_DATA=1" in written["/etc/harbor-mirror/bootstrap.env"]
    assert f"INSTALLER_SHA256={'ab' * 32}" in written["/etc/harbor-mirror/bootstrap.env"]
    assert written["/etc/harbor-mirror/images"] == f"goharbor/harbor-core {digest}\n"
    assert loaded["swap"]["size"] == 4096 * 1024**2
    assert "harbor_admin_password: Password-1" in written["/etc/harbor-mirror/harbor.yml"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": "2.16.0"}, "host.version: '2.16.0' is not a supported Harbor version"),
        ({"tls": "none"}, "host.tls: 'none' sends passwords unencrypted, so it needs a private hostname"),
        (
            {"tls": "provided", "certificate": "x", "certificateKey": "y", "objectStorage": {}},
            "host.certificate: 'x' is not PEM.",
        ),
        (
            {"objectStorage": {}, "redis": REDIS, "version": "2.11.2"},
            "host.redis.tls: true is ignored by Harbor before 2.13, which connects unencrypted",
        ),
        (
            {"objectStorage": {}, "redis": {**REDIS, "password": "S3CRET $HOME"}},
            "host.redis.password: '[secret]' must be 8 to 128 of A-Z a-z 0-9 . _ -",
        ),
        (
            {"objectStorage": {}, "database": {**DATABASE, "password": "S3CRET pw"}},
            "host.database.password: '[secret]' must be 8 to 128 of A-Z a-z 0-9 . _ -",
        ),
        (
            {"webCidrs": ["10.0.0.0/8"]},
            "host.webCidrs: [10.0.0.0/8] admits private networks only, and Let's Encrypt must reach port 80 or 443",
        ),
        (
            {"backup": {"directory": "/mnt/backup", "recipient": "age1x"}},
            "host.backup.recipient: 'age1x' is not an age",
        ),
        (
            {"backup": {"directory": "/mnt/backup", "versioned": True}},
            "host.backup.versioned: true has no use with a directory",
        ),
        (
            {"imageDigests": {"goharbor/harbor-core": "v2"}},
            "host.imageDigests.goharbor/harbor-core: 'v2' is not an image",
        ),
        (
            {"backup": {"directory": "/mnt/harbor/backup"}},
            "host.backup.directory: '/mnt/harbor/backup' must be an absolute directory outside /mnt/harbor",
        ),
        (
            {"objectStorage": {}, "backup": {"bucket": {**FOREIGN, "endpoint": "http://s3.example.com"}}},
            "host.backup.bucket.endpoint: 'http://s3.example.com' is not an https URL.",
        ),
        (
            {"objectStorage": {}, "backup": {"bucket": {**FOREIGN, "secretKey": "S3CRET #1"}}},
            "host.backup.bucket.secretKey: '[secret]' is not a storage key that Harbor can use",
        ),
    ],
)
def test_an_impossible_value_is_a_fault_of_its_key(values: dict[str, Any], says: str) -> None:
    said = faults(**values)
    assert any(line.startswith(says) for line in said), said
    assert "S3CRET" not in " ".join(said)


def test_faults_of_several_parts_come_at_once() -> None:
    wrong = {"database": {**DATABASE, "password": "short"}, "redis": {**REDIS, "password": "short"}}
    assert len(faults(objectStorage={}, version="2.16.0", backup={"directory": "backup"}, **wrong)) == 4


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"tls": "none", "hostname": "harbor.internal"}, "tls", "port 80 is open to 0.0.0.0/0, ::/0"),
        (
            {"tls": "none", "hostname": "10.0.0.5", "webCidrs": ["10.0.0.0/8"]},
            "tls",
            "sends the administrator's password",
        ),
        ({"webCidrs": ["8.8.8.0/24", "10.0.0.0/8"]}, "webCidrs", "does not admit all of IPv4"),
        ({"adminCidrs": ["0.0.0.0/0"]}, "adminCidrs", "opens SSH to a large part of the internet"),
        ({"adminCidrs": ["128.0.0.0/1"]}, "adminCidrs", "opens SSH to a large part of the internet"),
        ({"adminCidrs": ["::/0"]}, "adminCidrs", "opens SSH to a large part of the internet"),
        ({"backup": {"directory": "/mnt/backup"}}, "backup", "is not encrypted"),
        ({"maintenanceWindow": None}, "maintenanceWindow", "is not set"),
    ],
)
def test_insecure_options_get_a_warning(values: dict[str, Any], key: str, says: str) -> None:
    assert says in cautions(**values)[key]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"webCidrs": ["0.0.0.0/1", "128.0.0.0/1"]},
        {"adminCidrs": ["203.0.113.0/24", "2001:db8::/32"]},
        {"backup": {"directory": "/mnt/backup", "recipient": RECIPIENT}},
        {"tls": "none", "hostname": "localhost"},
    ],
)
def test_secure_options_get_no_warning(values: dict[str, Any]) -> None:
    assert cautions(**values) == {}
