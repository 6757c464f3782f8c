"""Addresses, secrets and the upgrade guard of a cluster, without anything that runs."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harbor_mirror.cluster import manifests, names
from harbor_mirror.cluster.backends import BucketAddress, external_database, managed_connections, redis_address
from harbor_mirror.cluster.upgrade import UpgradeRefused, check_upgrade
from tests.cluster.conftest import cluster

BUCKET = BucketAddress(name="harbor-backups", endpoint="https://sg-sin-2.linodeobjects.com", region="sg-sin-2")
EXTERNAL = {"host": "pg.example.com", "username": "harbor", "password": "x", "sslMode": "verify-full"}


def test_a_redis_url_survives_every_character_of_a_password() -> None:
    redis = redis_address(cluster(redis={"host": "redis.example.com", "username": "har:bor", "password": "x"}))
    url = redis.url("p@ss/w:rd?#%", 1)
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("rediss", "redis.example.com", 6379, "/1")
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("har:bor", "p@ss/w:rd?#%")


def test_redis_is_reached_through_sentinel() -> None:
    url = redis_address(cluster()).url("secret", 2, query="?idle_timeout_seconds=30")
    assert url.startswith("redis+sentinel://:secret@redis-ha-announce-0:26379,redis-ha-announce-1:26379,")
    assert url.endswith(f"/{names.REDIS_PRIMARY}/2?idle_timeout_seconds=30")


def test_a_token_pair_is_a_key_with_its_own_certificate() -> None:
    pair = manifests.token_pair()
    certificate = x509.load_pem_x509_certificate(pair["tls.crt"].encode())
    key = serialization.load_pem_private_key(pair["tls.key"].encode(), password=None)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
    assert manifests.token_pair() != pair


def test_the_hash_of_the_keys_changes_with_each_key_and_reveals_none() -> None:
    content = {"password": "Database-Secret-1", "secret": "Core-Secret-1"}
    first = manifests.keys_hash(content)
    assert manifests.keys_hash({**content}) == first
    assert manifests.keys_hash({**content, "secret": "Core-Secret-2"}) != first
    assert not any(value in first or base64.b64encode(value.encode()).decode() in first for value in content.values())


@pytest.mark.parametrize("replicas", [{}, {"core": 8, "jobservice": 4}, {"core": 1, "jobservice": 1}])
def test_all_pods_together_stay_below_the_managed_databases_connections(replicas: dict[str, int]) -> None:
    configured = cluster(replicas=replicas)
    pods = configured.replicas.core + configured.replicas.jobservice + 1
    assert 50 <= managed_connections(configured) * pods <= 90


def test_the_dump_checks_the_databases_certificate_and_shows_no_secret() -> None:
    configured = cluster(database=EXTERNAL)
    job = manifests.dump_job(configured, external_database(configured), BUCKET)
    pod: dict[str, Any] = job["template"]["spec"]
    (dump,), (upload,) = pod["initContainers"], pod["containers"]
    environment = {entry["name"]: entry.get("value") for entry in dump["env"]}
    assert environment["PGSSLMODE"] == "verify-full"
    assert environment["PGSSLROOTCERT"] == "system"
    assert environment["PGPASSWORD"] is None
    assert "https://sg-sin-2.linodeobjects.com/harbor-backups/before-2.15.1.sql.gz" in upload["command"][-1]
    assert {entry["name"]: entry.get("value") for entry in upload["env"]} == {"ACCESS_KEY": None, "SECRET_KEY": None}


@pytest.mark.parametrize(("old", "new"), [("2.15.1", "2.15.1"), ("2.13.0", "2.15.1"), ("2.15.0", "2.15.2")])
def test_an_upgrade_of_two_minors_is_allowed(old: str, new: str) -> None:
    check_upgrade(old, new)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2.15.1", "2.15.0", "is older than 2.15.1"),
        ("2.12.0", "2.15.1", "Set `version` to a 2.14 release first"),
        ("2.15.1", "3.0.0", "no way from Harbor 2.15.1 to 3.0.0 is known"),
    ],
)
def test_other_version_changes_are_rejected_with_a_solution(old: str, new: str, says: str) -> None:
    with pytest.raises(UpgradeRefused, match=says):
        check_upgrade(old, new)
