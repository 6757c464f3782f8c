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
#: A certificate of an authority that nobody uses.
AUTHORITY = """-----BEGIN CERTIFICATE-----
MIIBjjCCATWgAwIBAgIUUq6jQ9QKeWE/WpkXFELnglEaVgkwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRRXhhbXBsZSBBdXRob3JpdHkwIBcNMjYxMTI4MDAyNDU0WhgP
MjEyNjExMDQwMDI0NTRaMBwxGjAYBgNVBAMMEUV4YW1wbGUgQXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE29ucpBMu1D/zw13pBzDv9D494hqMqbyE
cnQkA5dB9tGEkF3/0wllUqhFxCai8t3P2nGG0A0qQ23ICrF8Q4D4OaNTMFEwHQYD
VR0OBBYEFJQdcoqHcXUoCLWOLcZyf2IVI8RWMB8GA1UdIwQYMBaAFJQdcoqHcXUo
CLWOLcZyf2IVI8RWMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIg
SAyhsSkh7nETaVqOhsElg1z+nODh5s0yV/XyC3wEKEwCIEUvcIVtlhmHZ3aiduJh
9oz2xIRxl+gGiFiQdixuF1Iu
-----END CERTIFICATE-----
"""
KEY = "-----BEGIN PRIVATE KEY-----\nS3CRET\n-----END PRIVATE KEY-----\n"
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
        (
            {"objectStorage": {}, "database": {**DATABASE, "sslMode": "verify-full", "caCertificate": AUTHORITY}},
            "authorities",
            AUTHORITY,
        ),
        (
            {"objectStorage": {"blobs": True}, "redis": {**REDIS, "caCertificate": f"Issuer: us\n{AUTHORITY}"}},
            "authorities",
            AUTHORITY,
        ),
        (
            {"objectStorage": {"blobs": True}, "redis": {**REDIS, "caCertificate": AUTHORITY}},
            "harbor.storage_service.ca_bundle",
            "/var/lib/harbor-mirror/authorities.crt",
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


def written_files(made: Host, **values: Any) -> dict[str, str]:
    """Return the files that user data writes, by path."""
    server = ServerValues(volume_label="v", admin_password="Password-1", database_password="Password-2", **values)
    loaded = yaml.safe_load(cloud_config(made, server))
    return {entry["path"]: entry["content"] for entry in loaded["write_files"]}


def test_the_proxy_reaches_harbor_and_every_service_that_fetches_something() -> None:
    proxy = {"url": "http://proxy.example.com:3128", "username": "har bor", "password": "p@ss:$HOME #1"}
    configured = {"noProxy": ["10.0.0.0/8", ".Example.com", "registry.internal"], "components": ["core", "jobservice"]}
    assert faults(proxy={**proxy, **configured}) == []
    made = host(proxy={**proxy, **configured})
    secret = made.secrets["proxy.password"].get_secret_value()
    files = written_files(made, proxy_password=secret)
    address = "http://har%20bor:p%40ss%3A%24HOME%20%231@proxy.example.com:3128"
    assert yaml.safe_load(files["/etc/harbor-mirror/harbor.yml"])["proxy"] == {
        "http_proxy": address,
        "https_proxy": address,
        "no_proxy": "10.0.0.0/8,.example.com,registry.internal",
        "components": ["core", "jobservice"],
    }
    environment = dict(line.split("=", 1) for line in files["/etc/harbor-mirror/proxy.env"].splitlines())
    assert {environment[name] for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")} == {address}
    assert environment["no_proxy"] == "localhost,127.0.0.1,::1,10.0.0.0/8,.example.com,registry.internal"
    for service in ("docker", "caddy", "apt-daily", "apt-daily-upgrade"):
        drop_in = files[f"/etc/systemd/system/{service}.service.d/proxy.conf"]
        assert drop_in == "[Service]\nEnvironmentFile=/etc/harbor-mirror/proxy.env\n"
    private = ("/etc/harbor-mirror/harbor.yml", "/etc/harbor-mirror/proxy.env")
    assert [path for path, text in files.items() if address in text] == list(private)
    assert secret not in repr(made)


def test_a_proxy_without_credentials_and_a_host_without_a_proxy() -> None:
    files = written_files(host(proxy={"url": "http://10.0.0.1:3128/"}))
    assert "http_proxy=http://10.0.0.1:3128\n" in files["/etc/harbor-mirror/proxy.env"]
    without = written_files(host())
    assert not [path for path in without if "proxy" in path]
    assert "proxy" not in yaml.safe_load(without["/etc/harbor-mirror/harbor.yml"])


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
    written = written_files(made, settings_bucket=BUCKET)
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
            {"objectStorage": {}, "database": {**DATABASE, "caCertificate": AUTHORITY}},
            "host.database.caCertificate: is not used with sslMode: require, which accepts every certificate. "
            "Example: sslMode: verify-full",
        ),
        (
            {"objectStorage": {}, "redis": {**REDIS, "tls": False, "caCertificate": AUTHORITY}},
            "host.redis.caCertificate: is not used with tls: false",
        ),
        (
            {"objectStorage": {}, "redis": {**REDIS, "caCertificate": AUTHORITY[:200] + "-----END CERTIFICATE-----"}},
            "host.redis.caCertificate: '-----BEGIN CERTIFICATE-----",
        ),
        (
            {"objectStorage": {}, "redis": {**REDIS, "caCertificate": f"{AUTHORITY}{KEY}"}},
            "host.redis.caCertificate: '[secret]' contains a private key",
        ),
        (
            {"proxy": {"url": "http://harbor:S3CRET@proxy.example.com:3128"}},
            "host.proxy.url: 'http://[secret]@proxy.example.com:3128' has credentials; they belong in username and",
        ),
        ({"proxy": {"url": "proxy.example.com:3128"}}, "host.proxy.url: 'proxy.example.com:3128' is not an http"),
        ({"proxy": {"url": "http://proxy.example.com"}}, "host.proxy.url: 'http://proxy.example.com' has no port"),
        (
            {"proxy": {"url": "http://proxy.example.com:3128", "username": "harbor"}},
            "host.proxy.password: is missing; a proxy needs both or neither of them. "
            "Example: pulumi config set --path --secret host.proxy.password",
        ),
        (
            {"proxy": {"url": "http://proxy.example.com:3128", "password": "S3CRET"}},
            "host.proxy.username: is missing",
        ),
        (
            {"proxy": {"url": "http://proxy.example.com:3128", "noProxy": ["10.0.0.0/8,.example.com"]}},
            "host.proxy.noProxy[0]: '10.0.0.0/8,.example.com' is not a host, a domain, an address or a network",
        ),
        (
            {"proxy": {"url": "http://proxy.example.com:3128", "components": ["registry"]}},
            "host.proxy.components[0]: 'registry' is not one of core, jobservice, trivy",
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
