"""Values of the Helm charts, made from the configuration.

No value holds a secret: each is read from a Kubernetes Secret, and what the chart would otherwise generate at every
rendering is given, so that an unchanged program shows no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harbor_mirror.cluster.backends import BucketAddress, DatabaseAddress, RedisAddress
from harbor_mirror.cluster.names import (
    BLOBS,
    CERTIFICATE,
    DATABASE_CA,
    INGRESS_CLASS,
    ISSUER,
    KEYS,
    REDIS_PRIMARY,
    SIGNING_PAIR,
)
from harbor_mirror.config.cluster import Cluster

Values = dict[str, Any]

#: Jobs that one jobservice pod runs at a time, Harbor's default.
WORKERS = 10
#: Parts of an upload to the bucket, as on a host: fewer requests, and copies within Linode's limits.
CHUNK_BYTES = 10 * 1024 * 1024
COPY_THRESHOLD_BYTES = 5 * 1024 * 1024 * 1024
#: Pods that Linode's balancer may send requests to.
EDGE_REPLICAS = 2
#: CPU and memory that the scheduler sets aside for a pod. No limits but Trivy's: a registry that is killed in the
#: middle of an upload costs more than memory.
REQUESTS = {
    "core": ("200m", "256Mi"),
    "portal": ("50m", "64Mi"),
    "registry": ("200m", "256Mi"),
    "registryctl": ("50m", "128Mi"),
    "jobservice": ("200m", "256Mi"),
    "exporter": ("50m", "64Mi"),
    "redis": ("100m", "128Mi"),
    "edge": ("200m", "128Mi"),
}
TRIVY_RESOURCES = {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


def harbor_values(
    cluster: Cluster, database: DatabaseAddress, bucket: BucketAddress, redis: RedisAddress, keys_hash: str
) -> Values:
    """Return the values of Harbor's chart. `keys_hash` changes with the secrets, so that pods restart with them."""
    annotations = {"harbor-mirror.dev/keys": keys_hash}
    replicas, service = cluster.replicas, cluster.service
    values: Values = {
        "externalURL": cluster.url,
        "expose": _exposure(cluster),
        # Everything that must last is in the bucket and in the database: pods hold nothing.
        "persistence": {"enabled": False, "imageChartStorage": _storage(cluster, bucket)},
        "database": {
            "type": "external",
            "external": {
                "host": database.host,
                "port": str(database.port),
                "username": database.username,
                "coreDatabase": database.name,
                "sslmode": database.ssl_mode,
                "existingSecret": KEYS,
            },
            "maxIdleConns": min(50, database.max_open_conns),
            "maxOpenConns": database.max_open_conns,
        },
        "redis": {
            "type": "external",
            "external": {
                "addr": ",".join(redis.nodes),
                "sentinelMasterSet": redis.primary,
                "tlsOptions": {"enable": redis.tls},
                "username": redis.username,
            },
        },
        "logLevel": service.log_level,
        "existingSecretAdminPassword": KEYS,
        "existingSecretSecretKey": KEYS,
        "updateStrategy": {"type": "RollingUpdate"},
        "metrics": {"enabled": service.metrics},
        "core": {
            **_pods(replicas.core, "core", annotations),
            "existingSecret": KEYS,
            "secretName": SIGNING_PAIR,
            "existingXsrfSecret": KEYS,
            "extraEnvVars": _from_keys({"_REDIS_URL_CORE": "redis-core", "_REDIS_URL_REG": "redis-registry"}),
        },
        "portal": _pods(replicas.portal, "portal", {}),
        "jobservice": {
            **_pods(replicas.jobservice, "jobservice", annotations),
            "existingSecret": KEYS,
            "maxJobWorkers": service.workers or WORKERS,
            # A log in a file is on one pod only, and the API is asked at any.
            "jobLoggers": ["database"],
            "extraEnvVars": _from_keys({"JOB_SERVICE_POOL_REDIS_URL": "redis-jobs"}),
        },
        "registry": {
            **_pods(replicas.registry, None, annotations),
            "existingSecret": KEYS,
            "credentials": {"username": "harbor_registry_user", "existingSecret": KEYS},
            "registry": {
                "resources": _requests("registry"),
                "extraEnvVars": _from_keys({"REGISTRY_REDIS_PASSWORD": "redis-password"}),
            },
            "controller": {
                "resources": _requests("registryctl"),
                "extraEnvVars": _from_keys({"REGISTRY_REDIS_PASSWORD": "redis-password"}),
            },
        },
        "trivy": {
            "enabled": service.trivy,
            **_pods(replicas.trivy, None, annotations),
            "resources": TRIVY_RESOURCES,
        },
        "exporter": {
            **_pods(1, "exporter", annotations),
            "extraEnvVars": _from_keys({"HARBOR_REDIS_URL": "redis-jobs"}),
        },
    }
    if database.ca_is_private or cluster.authorities:
        values["caBundleSecretName"] = DATABASE_CA
    return values


def _exposure(cluster: Cluster) -> Values:
    existing = cluster.existing
    annotations: Values = {}
    if cluster.tls == "letsencrypt":
        issuer = existing.cluster_issuer if existing else None
        annotations = {"cert-manager.io/cluster-issuer": issuer} if issuer else {"cert-manager.io/issuer": ISSUER}
    return {
        "type": "ingress",
        "tls": {"enabled": True, "certSource": "secret", "secret": {"secretName": CERTIFICATE}},
        "ingress": {
            "hosts": {"core": cluster.hostname},
            "className": (existing.ingress_class if existing else None) or INGRESS_CLASS,
            "annotations": annotations,
        },
    }


def _storage(cluster: Cluster, bucket: BucketAddress) -> Values:
    return {
        "type": "s3",
        "disableredirect": not cluster.object_storage.redirect,
        "s3": {
            "region": bucket.region,
            "bucket": bucket.name,
            "regionendpoint": bucket.endpoint,
            "existingSecret": BLOBS,
            "secure": True,
            "v4auth": True,
            "chunksize": str(CHUNK_BYTES),
            "multipartcopythresholdsize": str(COPY_THRESHOLD_BYTES),
            "rootdirectory": "/harbor",
        },
    }


def _pods(replicas: int, part: str | None, annotations: Values) -> Values:
    """What every part of Harbor has in common."""
    return {
        "replicas": replicas,
        "podDisruptionBudget": {"enabled": replicas > 1, "minAvailable": 1},
        "topologySpreadConstraints": [
            # Not required: with one node fewer, two pods on one node serve better than one pod.
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "podAnnotations": annotations,
        "automountServiceAccountToken": False,
        **({"resources": _requests(part)} if part else {}),
    }


def _requests(part: str) -> Values:
    cpu, memory = REQUESTS[part]
    return {"requests": {"cpu": cpu, "memory": memory}}


def _from_keys(variables: Mapping[str, str]) -> list[Values]:
    """Environment variables from the secret; they override what the chart writes, without password, to ConfigMaps."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": KEYS, "key": key}}} for name, key in variables.items()
    ]


def redis_values() -> Values:
    """Return the values of the Redis chart: a primary and two replicas with Sentinel, in memory only.

    Harbor keeps queues, sessions and caches in it; schedules are in the database, from which jobservice restores them.
    """
    return {
        "replicas": 3,
        "hardAntiAffinity": False,
        "topologySpreadConstraints": {
            "enabled": True,
            "maxSkew": "1",
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
        },
        "podDisruptionBudget": {"maxUnavailable": 1},
        "auth": True,
        "existingSecret": KEYS,
        "authKey": "redis-password",
        # A volume would outlive the cluster, and be billed.
        "persistentVolume": {"enabled": False},
        "redis": {"masterGroupName": REDIS_PRIMARY, "resources": _requests("redis")},
        "sentinel": {"resources": _requests("redis")},
    }


def edge_values(cluster: Cluster, nodebalancer_id: str) -> Values:
    """Return the values of Traefik's chart, behind the NodeBalancer of this stack."""
    prefix = "service.beta.kubernetes.io/linode-loadbalancer"
    return {
        "deployment": {"replicas": EDGE_REPLICAS},
        "podDisruptionBudget": {"enabled": True, "minAvailable": 1},
        "ingressClass": {"enabled": True, "isDefaultClass": False, "name": INGRESS_CLASS},
        "providers": {"kubernetesCRD": {"enabled": False}, "kubernetesIngress": {"enabled": True}},
        "ingressRoute": {"dashboard": {"enabled": False}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "service": {
            "annotations": {f"{prefix}-nodebalancer-id": nodebalancer_id, f"{prefix}-preserve": "true"},
            # Connections reach only nodes with a pod, with the client's address.
            "spec": {"externalTrafficPolicy": "Local"},
        },
        "ports": {
            "web": {
                "http": {"redirections": {"entryPoint": {"to": "websecure", "scheme": "https", "permanent": True}}}
            },
            "websecure": {
                "exposedPort": cluster.https_port,
                # Harbor's API has repository names with %252F in its paths.
                "http": {"encodedCharacters": {"allowEncodedSlash": True, "allowEncodedPercent": True}},
                # Traefik gives up after a minute otherwise, in the middle of a large layer.
                "transport": {"respondingTimeouts": {"readTimeout": 0, "writeTimeout": 0}},
            },
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "traefik"}},
            }
        ],
        "resources": _requests("edge"),
    }


def certificate_values() -> Values:
    """Return the values of cert-manager's chart."""
    return {"crds": {"enabled": True, "keep": False}, "startupapicheck": {"enabled": False}}
