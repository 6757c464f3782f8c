"""Addresses and credentials of what Harbor stores its data in; known only once these exist."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from harbor_mirror.cluster.names import REDIS_NODES, REDIS_PRIMARY
from harbor_mirror.config.cluster import Cluster

#: Harbor's own numbering of databases within Redis (its chart's defaults).
CORE_DB, JOBS_DB, REGISTRY_DB, TRIVY_DB = 0, 1, 2, 5
#: PostgreSQL's own default limit is 100, of which some are for its administrator and for dumps.
MANAGED_CONNECTIONS = 90
#: With fewer, core waits for connections on a single pull.
FEWEST_CONNECTIONS = 5


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """Where PostgreSQL is. `ca_is_private`: its certificate is of a CA that no system knows."""

    host: str
    port: int
    name: str
    username: str
    ssl_mode: str
    ca_is_private: bool
    max_open_conns: int


@dataclass(frozen=True, kw_only=True)
class BucketAddress:
    """Where a bucket is."""

    name: str
    endpoint: str
    region: str


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """Where Redis is. `primary`: the name under which Sentinel knows it; empty without Sentinel."""

    nodes: tuple[str, ...]
    primary: str
    username: str
    tls: bool

    def url(self, password: str, database: int, *, query: str = "") -> str:
        """Return the URL of one database in Redis, in the form that Harbor reads."""
        scheme = f"redis{'s' if self.tls else ''}{'+sentinel' if self.primary else ''}"
        credentials = f"{quote(self.username, safe='')}:{quote(password, safe='')}"
        primary = f"/{self.primary}" if self.primary else ""
        return f"{scheme}://{credentials}@{','.join(self.nodes)}{primary}/{database}{query}"


def redis_address(cluster: Cluster) -> RedisAddress:
    """Return the address of the Redis elsewhere, or of the one in the cluster."""
    if cluster.redis is None:
        return RedisAddress(nodes=REDIS_NODES, primary=REDIS_PRIMARY, username="", tls=False)
    redis = cluster.redis
    return RedisAddress(nodes=(f"{redis.host}:{redis.port}",), primary="", username=redis.username, tls=redis.tls)


def managed_connections(cluster: Cluster) -> int:
    """Return how many connections each pod may open, so that all of them together stay below the database's limit."""
    pods = cluster.replicas.core + cluster.replicas.jobservice + 1
    return max(FEWEST_CONNECTIONS, MANAGED_CONNECTIONS // pods)


def external_database(cluster: Cluster) -> DatabaseAddress:
    """Return the address of the database elsewhere. Raise ValueError for a cluster with a managed one."""
    database = cluster.database
    if database is None:
        raise ValueError("this cluster's database is Linode's managed one")
    return DatabaseAddress(
        host=database.host,
        port=database.port,
        name=database.name,
        username=database.username,
        ssl_mode=database.ssl_mode,
        ca_is_private=database.ca_certificate is not None,
        max_open_conns=database.max_open_conns,
    )
