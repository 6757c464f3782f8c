"""Measures how long mirrorctl takes, and the shortest possible time. Run it on an idle machine; it is not a test.

python -m bench.mirrorctl [RULES]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harbor_mirror.harbor.client import Harbor as HarborClient
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.registry import RegistrySimulator

PROJECT = Path(__file__).resolve().parents[1]
PASSWORD = "Bench-Admin-1"  # noqa: S105 - of a Harbor that lives for this run
REPEATS = 5


def best(action: Callable[[], object]) -> float:
    """Return the seconds of the fastest run: other load on the machine only makes runs slower."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return min(taken)


def python(*arguments: str, **environment: str) -> Callable[[], object]:
    """Return an action that runs Python in the project's directory and discards its output."""
    return lambda: subprocess.run(  # noqa: S603 - the arguments are ours
        [sys.executable, *arguments], cwd=PROJECT, env=environment, capture_output=True, check=True
    )


def fill(client: HarborClient, source: str, rules: int) -> None:
    """Create one endpoint and many scheduled rules, and start each rule once."""
    client.request("POST", "/registries", body={"name": "hub", "type": "docker-registry", "url": source})
    endpoint = client.registries()[0]["id"]
    for number in range(rules):
        body = {
            **{"name": f"rule-{number:04}", "src_registry": {"id": endpoint}, "dest_namespace": "mirror"},
            **{"filters": [{"type": "name", "value": "tool"}], "enabled": True, "override": True},
            "trigger": {"type": "scheduled", "trigger_settings": {"cron": f"0 {number % 60} {number % 24} * * *"}},
        }
        client.request("POST", "/replication/policies", body=body)
    for policy in client.policies():
        client.start(policy["id"])


def main() -> None:
    """Print each time and its ratio to the shortest possible time."""
    rules = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    nothing = best(python("-c", "pass"))
    shown = best(python("-m", "mirrorctl", "--help"))
    print(f"mirrorctl --help: {shown:.2f} s, {shown / nothing:.1f} times an empty Python")

    source, port = RegistrySimulator(), free_port()
    source.seed()
    url = f"http://127.0.0.1:{port}"
    harbor = HarborSimulator(HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD)
    with harbor, serve(source.app) as registry, serve(harbor.app, port=port):
        with HarborClient(url, "admin", PASSWORD) as client:
            fill(client, registry.url, rules)
            while any(client.get("/replication/executions", status="InProgress", page_size="1")):
                time.sleep(0.5)
            asked = best(lambda: (client.policies(), client.executions()))
        environment = {"HARBOR_URL": url, "HARBOR_USERNAME": "admin", "HARBOR_PASSWORD": PASSWORD}
        taken = best(python("-m", "mirrorctl", "status", "--json", **environment))
    print(f"mirrorctl status, {rules} rules: {taken:.2f} s, {taken / asked:.1f} times the lists alone")


if __name__ == "__main__":
    main()
