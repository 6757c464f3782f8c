"""Computes the capacity of a host, a cluster and several regions from published limits and a few measurements.

python -m bench.scale             print the tables of docs/scale.md
python -m bench.scale --measure   measure the CPU time of a request to Debian's docker-registry, which Harbor's registry
                                  is based on; CPU time does not depend on other load
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

# --- Published limits (Linode's, as of November 2026) ----------------------------------------------------------------
#: Outgoing network of a plan in Mbit/s, and its CPUs (linode.com/pricing, and the API's /linode/types).
PLANS = {
    "g6-standard-2": (4_000, 2),
    "g6-standard-4": (5_000, 4),
    "g6-standard-6": (6_000, 6),
    "g6-dedicated-4": (5_000, 4),
}
#: Object storage endpoint: requests per second of a bucket (default, and on request), egress of an account in Gbit/s
#: (techdocs.akamai.com, object-storage-product-limits).
STORAGE = {"E1": (750, 2_000, 2), "E3": (2_000, 20_000, 10)}

# --- Measured with --measure on a cloud machine; assumptions about Harbor are marked ----------------------------------
REGISTRY_MANIFEST_MS = 2.4
REGISTRY_BLOB_MS_PER_MB = 0.85
#: Assumption, not measured: core authenticates, checks the project, asks the database, and passes the request on.
CORE_REQUEST_MS = 12.0
#: Assumption: how much of a machine's CPU may be used before answers become slow.
USABLE_CPU = 0.7
PORT, LAYER_MB, LAYER_REQUESTS = 18_777, 32, 10


@dataclass(frozen=True)
class Image:
    """A typical image, with the requests and the bytes of one pull."""

    layers: int = 8
    megabytes: float = 200.0
    #: Token, index, manifest, config.
    small_requests: int = 4


@dataclass(frozen=True)
class Harbor:
    """A way to run Harbor. `redirect`: layers come from the bucket, not through Harbor."""

    name: str
    plan: str
    machines: int
    storage: str | None
    redirect: bool

    @property
    def cpu(self) -> float:
        """Return how many CPU seconds per second are available for requests."""
        return PLANS[self.plan][1] * self.machines * USABLE_CPU

    @property
    def own_megabytes(self) -> float:
        """Return how many MB per second the machines can send."""
        return PLANS[self.plan][0] * self.machines / 8


@dataclass(frozen=True)
class Limit:
    """A bottleneck, and the pulls per second that it allows."""

    what: str
    pulls: float


def limits(harbor: Harbor, image: Image) -> Iterator[Limit]:
    """Yield the bottlenecks for pulls of images that nodes do not have yet."""
    requests = image.small_requests + image.layers
    seconds = requests * CORE_REQUEST_MS / 1000 + image.small_requests * REGISTRY_MANIFEST_MS / 1000
    if not harbor.redirect:
        seconds += image.megabytes * REGISTRY_BLOB_MS_PER_MB / 1000
        yield Limit("network of the machines", harbor.own_megabytes / image.megabytes)
    yield Limit("CPU of the machines", harbor.cpu / seconds)
    if harbor.storage is not None:
        rate, _, egress = STORAGE[harbor.storage]
        # Layers and config are one object each; manifests are in the bucket, too.
        yield Limit("requests to the bucket", rate / (image.layers + image.small_requests - 1))
        yield Limit("egress of object storage", egress * 1000 / 8 / image.megabytes)


def first(harbor: Harbor, image: Image) -> Limit:
    """Return the lowest limit."""
    return min(limits(harbor, image), key=lambda limit: limit.pulls)


HOST = Harbor("one host", "g6-standard-4", 1, None, redirect=False)
CLUSTER = Harbor("one cluster", "g6-dedicated-4", 3, "E3", redirect=True)
WAYS = (
    HOST,
    replace(HOST, name="one larger host", plan="g6-standard-6"),
    CLUSTER,
    replace(CLUSTER, name="the same, layers through Harbor", redirect=False),
    replace(CLUSTER, name="three regions, a cluster each", machines=9),
)
REGIONS = {"three regions, a cluster each": 3}


def capacity(harbor: Harbor, image: Image) -> Limit:
    """Return the lowest limit of all regions together."""
    regions = REGIONS.get(harbor.name, 1)
    single = first(replace(harbor, machines=harbor.machines // regions), image)
    return Limit(single.what, single.pulls * regions)


def rollout_seconds(harbor: Harbor, image: Image, nodes: int) -> float:
    """Return how long it takes until every node has a new image, if all pull at once."""
    return nodes / capacity(harbor, image).pulls


def replication_seconds(megabytes: float, workers: int, mbit_per_worker: float, out: float) -> float:
    """Return how long a replication takes. Each worker copies one repository at a time; the network is the limit."""
    return megabytes * 8 / min(workers * mbit_per_worker, out)


def tables(nodes: int = 1000) -> Iterator[str]:
    """Yield the tables of docs/scale.md as Markdown."""
    image = Image()
    yield "| Way | Pulls a second | Layers a second | Saturates first | 1,000 nodes have a new image after |"
    yield "| --- | --- | --- | --- | --- |"
    for way in WAYS:
        limit = capacity(way, image)
        layers = limit.pulls * image.layers
        wait = rollout_seconds(way, image, nodes)
        machines = f"{way.machines} x {way.plan}"
        yield f"| {way.name} ({machines}) | {limit.pulls:.1f} | {layers:.0f} | {limit.what} | {wait:.0f} s |"
    yield ""
    yield "| Way | " + " | ".join(limit.what for limit in limits(replace(CLUSTER, redirect=False), image)) + " |"
    yield "| --- | --- | --- | --- | --- |"
    order = [limit.what for limit in limits(replace(CLUSTER, redirect=False), image)]
    for way in WAYS[:4]:
        found = {limit.what: f"{limit.pulls:.1f}" for limit in limits(way, image)}
        yield f"| {way.name} | " + " | ".join(found.get(what, "-") for what in order) + " |"
    yield ""
    yield "| 100 GB replicated with | Time |"
    yield "| --- | --- |"
    for workers in (4, 10, 20):
        seconds = replication_seconds(100_000, workers, 100, PLANS["g6-standard-4"][0])
        yield f"| {workers} workers, 100 Mbit/s from the source each | {seconds / 60:.0f} min |"


# --- Measurement -----------------------------------------------------------------------------------------------------


def measure(requests: int = 500) -> Iterator[str]:
    """Yield CPU time of docker-registry for a manifest, and for a MB of a layer."""
    with TemporaryDirectory() as directory:
        root = Path(directory)
        config = root / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: 127.0.0.1:{PORT}}}\n"
        )
        command = ["docker-registry", "serve", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as registry:  # noqa: S603
            try:
                manifest, megabyte = _cpu_times(registry.pid, requests)
            finally:
                registry.terminate()
    yield f"manifest: {manifest * 1000:.2f} ms of CPU a request"
    yield f"layer:    {megabyte * 1000:.2f} ms of CPU a MB"


def _cpu_times(pid: int, requests: int) -> tuple[float, float]:
    """Return CPU seconds of a request for a manifest, and of a MB of a layer."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
        _await(client)
        layer = os.urandom(LAYER_MB * 1024 * 1024)
        blob = _push(client, layer)
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": len(layer)}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}
        client.put("/v2/a/manifests/1", json=manifest, headers={"Content-Type": kind}).raise_for_status()
        before = _cpu(pid)
        for _ in range(requests):
            client.get("/v2/a/manifests/1", headers={"Accept": kind}).raise_for_status()
        middle = _cpu(pid)
        for _ in range(LAYER_REQUESTS):
            client.get(f"/v2/a/blobs/{blob}").raise_for_status()
        after = _cpu(pid)
    return (middle - before) / requests, (after - middle) / LAYER_REQUESTS / LAYER_MB


def _await(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            client.get("/v2/").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)


def _push(client: httpx.Client, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    place = client.post("/v2/a/blobs/uploads/").headers["Location"]
    client.put(f"{place}&digest={digest}", content=content).raise_for_status()
    return digest


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the tables, or a measurement."""
    for line in measure() if "--measure" in sys.argv[1:] else tables():
        print(line)


if __name__ == "__main__":
    main()
