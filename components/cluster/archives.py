"""Archives of Helm charts: downloaded once per user, and checked before they are used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx
import pulumi

from harbor_mirror.config.cluster import Cluster
from harbor_mirror.plan.charts import Chart, url

DOWNLOAD_SECONDS = 60.0
#: Charts have about 100 kB; a larger file is not a chart.
MAXIMUM_BYTES = 16 * 1024 * 1024


def archive(chart: Chart, cluster: Cluster) -> str:
    """Return the path of a chart's archive in the user's cache. Raise pulumi.RunError if it cannot be downloaded."""
    source = url(chart, cluster)
    # One directory for each source, so that copies of a chart from two repositories are not confused.
    directory = _cache() / hashlib.sha256(source.encode()).hexdigest()[:12]
    path = directory / chart.archive
    if not path.exists():
        content = _download(source)
        directory.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=directory, delete=False) as partial:
            partial.write(content)
        Path(partial.name).replace(path)
    if chart.sha256 is not None and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != chart.sha256:
        path.unlink()
        raise pulumi.RunError(
            f"the chart {source} has the SHA-256 {found} and not {chart.sha256}: it is not the release that was "
            "checked. Look at where it comes from before you trust it (docs/cluster-operations.md, Charts)"
        )
    return str(path)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harbor-mirror" / "charts"


def _download(source: str) -> bytes:
    content = bytearray()
    try:
        with httpx.stream("GET", source, follow_redirects=True, timeout=DOWNLOAD_SECONDS) as response:
            response.raise_for_status()
            for part in response.iter_bytes():
                content += part
                if len(content) > MAXIMUM_BYTES:
                    raise pulumi.RunError(f"the chart {source} is larger than {MAXIMUM_BYTES} bytes")
    except httpx.HTTPError as error:
        raise pulumi.RunError(
            f"the chart {source} cannot be downloaded: {error}. Where the network has no way there, put copies of the "
            "charts into a repository of yours and name it in `cluster.charts` (docs/cluster-operations.md, Charts)"
        ) from None
    return bytes(content)
