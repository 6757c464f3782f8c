"""An API server that checks objects, shared by the tests that store nothing in it, and a world for each other test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harbor_mirror.config.cluster import Cluster
from localcloud.cloud import LocalCloud
from localcloud.tls import Trust, trust
from tests.cluster.kubernetes import Api, kubernetes
from tests.cluster.rehearsal import Rehearsal, rehearsal
from tests.plugins import REAL_PLUGINS

CLUSTER = {"region": "sg-sin-2", "hostname": "harbor.example.com", "adminCidrs": ["203.0.113.0/24"]}


def cluster(**settings: object) -> Cluster:
    """Return a cluster's configuration: the usual one with changes."""
    read: Cluster = Cluster.read({**CLUSTER, **settings})
    return read


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server that only checks objects."""
    with kubernetes(tmp_path_factory.mktemp("kubernetes"), controllers=False) as server:
        yield server


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with kubernetes(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def certificate() -> Iterator[Trust]:
    """A certificate for the Harbor that tests play; the local cloud's programs trust it, too."""
    with trust("localhost") as files, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(files.authorities))
        yield files


@pytest.fixture
def cloud(certificate: Trust) -> Iterator[LocalCloud]:  # noqa: ARG001 - trusts it
    if REAL_PLUGINS:
        pytest.skip("left out: plays Linode with the stand-in provider")
    with LocalCloud() as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, cloud: LocalCloud, certificate: Trust, api: Api) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path, cloud, certificate, api, "ha") as played:
        yield played
