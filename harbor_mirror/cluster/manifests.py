"""Kubernetes objects beside the charts': namespaces, secrets, network policies, the issuer, and the database dump."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from harbor_mirror.cluster.backends import (
    CORE_DB,
    JOBS_DB,
    REGISTRY_DB,
    TRIVY_DB,
    BucketAddress,
    DatabaseAddress,
    RedisAddress,
)
from harbor_mirror.cluster.names import (
    BACKUPS,
    DATABASE_CA,
    EDGE_NAMESPACE,
    ISSUER,
    KEYS,
    NAMESPACE,
    SCRAPER_LABEL,
    VERSION_ANNOTATION,
)
from harbor_mirror.config.cluster import Cluster

Manifest = dict[str, Any]

#: Harbor's own, for every URL of Redis but jobservice's.
REDIS_QUERY = "?idle_timeout_seconds=30"
METRICS_PORT = 8001
ACME_SERVER = "https://acme-v02.api.letsencrypt.org/directory"
TOKEN_KEY_BITS = 2048
#: The registry compares the key, not the dates, so the certificate lasts as long as the stack.
TOKEN_YEARS = 20
#: Dumps with the server's own version or a later one; both images are official.
DUMP_IMAGE = "docker.io/library/postgres:{major}-alpine"
UPLOAD_IMAGE = "docker.io/curlimages/curl:8.16.0"
#: `postgres` in the Alpine image, `curl_user` in the other.
DUMP_USER, UPLOAD_USER = 70, 100
NOT_MANAGED_MAJOR = "18"


def namespace(version: str) -> Manifest:
    """Return the metadata of Harbor's namespace: it admits only pods without privileges and says Harbor's version."""
    return {
        "name": NAMESPACE,
        "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
        },
        "annotations": {VERSION_ANNOTATION: version},
    }


def keys(redis: RedisAddress, secrets: dict[str, str]) -> dict[str, str]:
    """Return the content of the secret that Harbor's pods read.

    `secrets`: `admin`, `database`, `redis`, `core`, `encryption` (16 characters), `csrf` (32), `jobservice`,
    `registryHttp`, `registry` and `registryHash` (its bcrypt hash).
    """
    password = secrets["redis"]
    return {
        "HARBOR_ADMIN_PASSWORD": secrets["admin"],
        "password": secrets["database"],
        "secret": secrets["core"],
        "secretKey": secrets["encryption"],
        "CSRF_KEY": secrets["csrf"],
        "JOBSERVICE_SECRET": secrets["jobservice"],
        "REGISTRY_HTTP_SECRET": secrets["registryHttp"],
        "REGISTRY_PASSWD": secrets["registry"],
        "REGISTRY_HTPASSWD": f"harbor_registry_user:{secrets['registryHash']}",
        "redis-password": password,
        "redis-core": redis.url(password, CORE_DB, query=REDIS_QUERY),
        "redis-jobs": redis.url(password, JOBS_DB),
        "redis-registry": redis.url(password, REGISTRY_DB, query=REDIS_QUERY),
        "redis-trivy": redis.url(password, TRIVY_DB, query=REDIS_QUERY),
    }


def keys_hash(content: dict[str, str]) -> str:
    """Return a hash of a secret's content, which changes with the content and does not reveal it."""
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]


def token_pair() -> dict[str, str]:
    """Return a new key with its certificate, for the tokens that core signs and the registry checks."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=TOKEN_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "harbor-token")])
    start = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start.replace(year=start.year + TOKEN_YEARS, month=1, day=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": private.decode()}


def encoded(content: dict[str, str]) -> dict[str, str]:
    """Return a secret's content as Kubernetes stores it."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}


def network_policies(cluster: Cluster) -> dict[str, Manifest]:
    """Return the specs of the network policies in Harbor's namespace, by name: only what is named here gets in."""
    existing = cluster.existing
    edge: Manifest = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": EDGE_NAMESPACE}}}
    policies: dict[str, Manifest] = {
        "deny-all": {"podSelector": {}, "policyTypes": ["Ingress"]},
        "allow-harbor": {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
        },
        "allow-edge": {
            "podSelector": {"matchExpressions": [{"key": "component", "operator": "In", "values": ["core", "portal"]}]},
            "policyTypes": ["Ingress"],
            # The namespace of an existing ingress controller is unknown.
            "ingress": [{"from": [{"namespaceSelector": {}} if existing and existing.ingress_class else edge]}],
        },
    }
    if cluster.tls == "letsencrypt":
        solver = {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
        policies["allow-acme"] = {
            "podSelector": solver,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"namespaceSelector": {}}]}],
        }
    if cluster.service.metrics:
        scraper: Manifest = {"namespaceSelector": {"matchLabels": {SCRAPER_LABEL: "true"}}}
        policies["allow-metrics"] = {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [scraper], "ports": [{"port": METRICS_PORT, "protocol": "TCP"}]}],
        }
    return policies


def issuer(cluster: Cluster, ingress_class: str) -> Manifest:
    """Return the spec of cert-manager's issuer."""
    acme: Manifest = {
        "server": ACME_SERVER,
        "privateKeySecretRef": {"name": f"{ISSUER}-account"},
        "solvers": [{"http01": {"ingress": {"ingressClassName": ingress_class}}}],
    }
    if cluster.acme_email is not None:
        acme["email"] = cluster.acme_email
    return {"acme": acme}


def dump_job(cluster: Cluster, database: DatabaseAddress, bucket: BucketAddress) -> Manifest:
    """Return the spec of the job that puts a dump of the database into the bucket before Harbor changes it."""
    major = NOT_MANAGED_MAJOR if cluster.database else cluster.managed_database.version
    path = f"before-{cluster.version}.sql.gz"
    ca = "/ca/ca.crt" if database.ca_is_private else "system"
    environment = [
        *_plain(
            PGHOST=database.host,
            PGPORT=str(database.port),
            PGDATABASE=database.name,
            PGUSER=database.username,
            PGSSLMODE=database.ssl_mode,
        ),
        # libpq verifies certificates against a given file; `system` needs the strictest mode.
        *(_plain(PGSSLROOTCERT=ca) if database.ca_is_private or database.ssl_mode == "verify-full" else []),
        _secret("PGPASSWORD", KEYS, "password"),
    ]
    volumes: list[Manifest] = [{"name": "dump", "emptyDir": {}}]
    mounts = [{"name": "dump", "mountPath": "/dump"}]
    if database.ca_is_private:
        volumes.append({"name": "ca", "secret": {"secretName": DATABASE_CA}})
    dump = {
        "name": "dump",
        "image": DUMP_IMAGE.format(major=major),
        "command": ["sh", "-ec", f"pg_dump --no-owner --no-privileges --compress=6 --file=/dump/{path}"],
        "env": environment,
        "volumeMounts": [*mounts, *([{"name": "ca", "mountPath": "/ca"}] if database.ca_is_private else [])],
        "securityContext": _unprivileged(DUMP_USER),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    target = f"{bucket.endpoint}/{bucket.name}/{path}"
    upload = {
        "name": "upload",
        "image": UPLOAD_IMAGE,
        "command": [
            "sh",
            "-ec",
            # The credentials on standard input: the arguments of a process are no place for them.
            f'printf \'user = "%s:%s"\\n\' "$ACCESS_KEY" "$SECRET_KEY" | curl --config - --fail --silent --show-error '
            f"--retry 5 --aws-sigv4 aws:amz:{bucket.region}:s3 --upload-file /dump/{path} {target}",
        ],
        "env": [
            _secret("ACCESS_KEY", BACKUPS, "access-key"),
            _secret("SECRET_KEY", BACKUPS, "secret-key"),
        ],
        "volumeMounts": mounts,
        "securityContext": _unprivileged(UPLOAD_USER),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "backoffLimit": 5,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {"fsGroup": UPLOAD_USER},
                "initContainers": [dump],
                "containers": [upload],
                "volumes": volumes,
            }
        },
    }


def _plain(**variables: str) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _secret(variable: str, secret: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _unprivileged(user: int) -> Manifest:
    return {
        "runAsUser": user,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
