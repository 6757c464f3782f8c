"""Servers of every kind, for the tests that look at user data: what a stack's configuration can lead to."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from harbor_mirror.host import Bucket
from tests.host.machine import Server

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
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
#: Every key that can change while the server lives.
EVERYTHING: dict[str, Any] = {
    "objectStorage": {"blobs": True},
    "service": {"workers": 8, "trivy": False, "metrics": True, "logLevel": "warning"},
    "authorizedKeys": ["ssh-ed25519 AAAA ops@example.com"],
    "database": {"host": "pg.example.com", "username": "harbor", "password": "pg-password"},
    "redis": {"host": "redis.example.com", "password": "redis-password"},
    "backup": {"at": "04:30", "keep": 7, "recipient": RECIPIENT, "versioned": True},
    "maintenanceWindow": {"day": "tuesday", "hour": 5},
}


def example(**keys: Any) -> Server:
    return Server.of(**{"hostname": "harbor.dev.example.com", "volume_label": "harbor-dev-data", **keys})


def examples() -> dict[str, Server]:
    # Digests like real ones: they hardly compress.
    names = [f"goharbor/harbor-image-{number}" for number in range(12)]
    images = {name: f"sha256:{sha256(name.encode()).hexdigest()}" for name in names}
    proxy = {"url": "http://proxy.example.com:3128", "username": "harbor", "password": "proxy-password"}
    settings = {key: EVERYTHING[key] for key in ("service", "maintenanceWindow")}
    return {
        "letsencrypt": example(acmeEmail="ops@example.com", installerSha256="ab" * 32, requireData=True),
        "none": example(tls="none", hostname="harbor.internal", httpPort=8080, version="2.9.5", swapMb=0),
        "settings in user data": example(**settings, backup={"directory": "/mnt/backup", "recipient": RECIPIENT}),
        "everything in a bucket": example(**EVERYTHING, settings_bucket=SETTINGS),
        "proxy": example(proxy=proxy, proxy_password="proxy-password"),
        "pinned images behind a proxy": example(imageDigests=images, proxy=proxy, proxy_password="proxy-password"),
        "pinned images, a proxy, settings in a bucket": example(
            **EVERYTHING, settings_bucket=SETTINGS, imageDigests=images, proxy=proxy, proxy_password="proxy-password"
        ),
        "pinned images": example(imageDigests=images),
    }
