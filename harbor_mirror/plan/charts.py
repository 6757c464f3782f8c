"""The Helm charts that a cluster gets, each pinned to a release.

Harbor's version decides its chart; the others have one release, changed together with their values in `values.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harbor_mirror.config.cluster import Cluster
from harbor_mirror.config.faults import Fault


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A release of a chart. `sha256` of its archive, where the publisher's index or a verified copy gave one."""

    name: str
    version: str
    repository: str
    sha256: str | None = None

    @property
    def archive(self) -> str:
        """File name of the archive, the same in every repository."""
        return f"{self.name}-{self.version}.tgz"


HARBOR_REPOSITORY = "https://helm.goharbor.io"
#: Harbor version -> its chart. A chart's default images are of exactly one Harbor version.
HARBOR: Mapping[str, Chart] = {
    "2.15.1": Chart(
        name="harbor",
        version="1.19.1",
        repository=HARBOR_REPOSITORY,
        sha256="345ae56788cba43f1a0ffacbf6fc6f80c392dc551153f32703c425be6ba1f720",
    ),
}
#: Redis with Sentinel: see docs/adr for the reasons.
REDIS = Chart(
    name="redis-ha",
    version="4.39.0",
    repository="https://github.com/DandyDeveloper/charts/releases/download/redis-ha-4.39.0",
    sha256="c55181ee72f0c4aef829e8737771f22679518816999d1b2b61816a0c54360ad0",
)
TRAEFIK = Chart(name="traefik", version="41.3.0", repository="https://traefik.github.io/charts/traefik")
CERT_MANAGER = Chart(name="cert-manager", version="v1.21.1", repository="https://charts.jetstack.io/charts")


def harbor_chart(cluster: Cluster) -> Chart | None:
    """Return the chart of the cluster's Harbor version; None for a version that is not known."""
    if cluster.chart is not None:
        return Chart(
            name="harbor", version=cluster.chart.version, repository=HARBOR_REPOSITORY, sha256=cluster.chart.sha256
        )
    return HARBOR.get(cluster.version)


def url(chart: Chart, cluster: Cluster) -> str:
    """Return where the chart's archive is downloaded: from the publisher, or from the cluster's own copies."""
    return f"{cluster.charts or chart.repository}/{chart.archive}"


def faults(cluster: Cluster) -> Iterator[Fault]:
    """Yield the fault of a Harbor version whose chart is not known."""
    if harbor_chart(cluster) is None:
        reason = f"has no chart here; known are {', '.join(HARBOR)}. For another, name its chart"
        yield Fault("cluster.version", cluster.version, reason, "chart: {version: 1.19.1, sha256: 345ae56788cb…}")
