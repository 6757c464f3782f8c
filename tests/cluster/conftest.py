"""A real Kubernetes API for the tests of this folder, one per test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harbor_mirror.config.cluster import Cluster
from tests.cluster.kubernetes import Api, kubernetes

CLUSTER = {"region": "sg-sin-2", "hostname": "harbor.example.com", "adminCidrs": ["203.0.113.0/24"]}


def cluster(**settings: object) -> Cluster:
    """Return a cluster's configuration: the usual one with changes."""
    read: Cluster = Cluster.read({**CLUSTER, **settings})
    return read


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
