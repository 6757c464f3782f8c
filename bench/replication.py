"""How long a replication takes with more jobs at a time (`service.workers`), simulated on this machine.

python -m bench.replication [REPOSITORIES]      default: 60

A source that answers each request after a tenth of a second stands for its distance and for what it gives to each
connection. Harbor copies one repository per job. All copies are made in one run; compare the ratios.
"""

from __future__ import annotations

import sys
import time

from harbor_mirror.harbor.client import Harbor
from localcloud.faults import Fault
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator

PASSWORD = "Bench-Admin-1"  # noqa: S105 - of a Harbor that lives for this run
#: 4: Harbor on less than 7 GB of memory; 10: on more; the others with `service.workers`.
WORKERS = (1, 4, 10, 20)
DELAY_SECONDS = 0.1
POLL_SECONDS = 0.05


def replicate(source: str, workers: int) -> float:
    """Return the seconds until a new Harbor has copied everything."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    simulator = HarborSimulator(
        HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, workers=workers
    )
    with simulator, serve(simulator.app, port=port), Harbor(url, "admin", PASSWORD) as client:
        client.request("POST", "/registries", body={"name": "source", "type": "docker-registry", "url": source})
        body = {
            **{"name": "all", "src_registry": {"id": client.registries()[0]["id"]}, "dest_namespace": "mirror"},
            **{"filters": [{"type": "name", "value": "team/**"}], "enabled": True, "trigger": {"type": "manual"}},
        }
        client.request("POST", "/replication/policies", body=body)
        began = time.perf_counter()
        client.start(client.policies()[0]["id"])
        while (status := client.executions()[0]["status"]) == "InProgress":
            time.sleep(POLL_SECONDS)
        if status != "Succeed":
            raise RuntimeError(f"the replication ended with {status}")
        return time.perf_counter() - began


def main() -> None:
    """Print the table as Markdown."""
    repositories = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    source = RegistrySimulator()
    for number in range(repositories):
        push_image(source.store, f"team/app-{number:03}", "1.0", f"app {number}")
    source.faults.add(Fault("/v2/", delay=DELAY_SECONDS, times=None))
    print(f"| Jobs at a time | {repositories} repositories, s | Times as fast as one job |\n| --- | --- | --- |")
    with serve(source.app) as server:
        alone = 0.0
        for workers in WORKERS:
            seconds = replicate(server.url, workers)
            alone = alone or seconds
            print(f"| {workers} | {seconds:.1f} | {alone / seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
