"""What the tests of the cluster run for real, and why they are left out where it is missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import httpx
import pytest

from harbor_mirror.plan.charts import Chart
from localcloud.engine import Workspace
from tests.programs import left_out

PROJECT = Path(__file__).resolve().parents[2]
WHY = "the Kubernetes programs are not built; `make cluster-tools` builds them (about 20 minutes, once per user)"


@cache
def programs() -> Path:
    """Return the directory that `make cluster-tools` builds into."""
    script = PROJECT / "ci" / "cluster-tools" / "install.sh"
    done = subprocess.run(["bash", str(script), "--path"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def program(name: str) -> str:
    """Return the path of a built program. Leaves the test out if it is missing."""
    path = programs() / name
    if not path.exists():
        left_out(WHY)
    return str(path)


def archive(chart: Chart) -> Path:
    """Return a copy of a chart's archive. Skips the test if it cannot be had.

    Looked for in HARBOR_MIRROR_CHARTS, beside the clone, in this user's cache, and at the publisher.
    """
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harbor-mirror" / "charts"
    given = os.environ.get("HARBOR_MIRROR_CHARTS")
    places = [*([Path(given)] if given else []), PROJECT.parent / "shared" / "charts", cached]
    for place in places:
        if (found := place / chart.archive).exists():
            return _verify_checksum(found, chart)
    try:
        response = httpx.get(f"{chart.repository}/{chart.archive}", follow_redirects=True, timeout=10)
        response.raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"left out: the chart {chart.archive} is neither here nor to be had: {type(error).__name__}")
    cached.mkdir(parents=True, exist_ok=True)
    partial = cached / f"{chart.archive}.{os.getpid()}"
    partial.write_bytes(response.content)
    return _verify_checksum(Path(shutil.move(partial, cached / chart.archive)), chart)


def _verify_checksum(path: Path, chart: Chart) -> Path:
    if chart.sha256 is not None and "HARBOR_MIRROR_CHARTS" not in os.environ:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == chart.sha256, path
    return path


def recover(workspace: Workspace) -> None:
    """Do what docs/cluster-operations.md says before the next `up`."""
    done = workspace.mirrorctl("recover", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
