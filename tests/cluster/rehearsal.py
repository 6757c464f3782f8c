"""A stack with a cluster on this machine: Linode simulated, Kubernetes real, nodes and Harbor itself played."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from harbor_mirror.cluster import names
from harbor_mirror.plan import charts
from localcloud.cloud import LocalCloud
from localcloud.engine import Workspace
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import free_port, serve
from localcloud.tls import Trust
from tests.cluster.kubernetes import Api, Json, Nodes
from tests.cluster.tools import archive, program

PLUGIN = "pulumi-resource-kubernetes"
PLUGIN_VERSION = "4.34.2"
REDIS_PASSWORD = "Redis-Secret-1"
#: Nothing looks into them here: Traefik is played.
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIEXAMPLE\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEXAMPLE\n-----END PRIVATE KEY-----"
STAND_IN = Path(__file__).parent / "charts" / "traefik"


class PlayedHarbor:
    """Serves the Harbor simulator as long as a pod of core is ready. `data` is what the database would contain.

    A blank one gets the administrator's password of the cluster's secret.
    """

    def __init__(self, port: int, certificate: Path) -> None:
        self.port, self.certificate, self.data = port, certificate, HarborData()
        self._running: ExitStack | None = None

    def follow(self, api: Api, pods: list[Json]) -> None:
        """Start or stop by what the pods are."""
        cores = [pod for pod in pods if pod["metadata"].get("labels", {}).get("component") == "core"]
        serving = any(pod.get("status", {}).get("phase") == "Running" for pod in cores)
        if serving and self._running is None:
            self._start(api)
        elif not serving:
            self.close()

    def close(self) -> None:
        """Stop serving; what Harbor knows stays."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _start(self, api: Api) -> None:
        secret = api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.KEYS}")
        password = base64.b64decode(secret["data"]["HARBOR_ADMIN_PASSWORD"]).decode()
        url = f"https://localhost:{self.port}"
        self._running = ExitStack()
        harbor = HarborSimulator(self.data, hostname="localhost", external_url=url, admin_password=password)
        harbor.start()
        self._running.callback(harbor.close)
        self._running.enter_context(serve(harbor.app, port=self.port, certificate=self.certificate))


class Rehearsal:
    """A stack and everything it needs."""

    def __init__(self, workspace: Workspace, cloud: LocalCloud, api: Api, harbor: PlayedHarbor) -> None:
        self.workspace, self.cloud, self.api, self.harbor = workspace, cloud, api, harbor
        self.up, self.preview, self.destroy = workspace.up, workspace.preview, workspace.destroy

    def change(self, **cluster: Any) -> None:
        """Change the configuration's cluster; None takes a key away."""
        config = self.workspace.configuration()
        section = config["harbor-mirror:cluster"] | cluster
        config["harbor-mirror:cluster"] = {key: value for key, value in section.items() if value is not None}
        self.workspace.configure(config)

    def use_existing_cluster(self) -> None:
        """Change the configuration to a Kubernetes cluster that exists already, with an ingress controller."""
        self.change(
            existing={"ingressClass": "nginx"},
            adminCidrs=None,
            managedDatabase={"allowCidrs": ["198.51.100.0/24"]},
        )
        self.workspace.set_secret("cluster.existing.kubeconfig", self.api.kubeconfig)

    def shell(self, commands: str) -> str:
        """Run commands of the documentation with the cluster's kubeconfig, confirmed; return what they show."""
        kubeconfig = self.workspace.directory / "kubeconfig"
        kubeconfig.write_text(self.api.kubeconfig)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", confirmed(commands)],
            cwd=self.workspace.directory,
            env={**self.workspace.environment(), "KUBECONFIG": str(kubeconfig)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def at_linode(self) -> list[str]:
        """Labels of everything that Linode would bill or that blocks a name."""
        account = self.cloud.linode.cloud
        with account.lock:
            labels = [
                *(f"cluster {found.label}" for found in account.clusters.values()),
                *(f"database {found.label}" for found in account.databases.values()),
                *(f"balancer {found.label}" for found in account.nodebalancers.values()),
                *(f"firewall {found.label}" for found in account.firewalls.values()),
                *(f"bucket {label}" for _, label in account.buckets),
                *(f"key {found.label}" for found in account.keys.values()),
                *(f"instance {found.label}" for found in account.instances.values()),
            ]
        return sorted(labels)

    def in_kubernetes(self) -> list[str]:
        """Names of the namespaces that are not Kubernetes' own."""
        own = {"default", "kube-system", "kube-public", "kube-node-lease"}
        found = {space["metadata"]["name"] for space in self.api.items("/api/v1/namespaces")}
        return sorted(found - own)


def confirmed(commands: str) -> str:
    """Return commands as they are without a person who confirms them."""
    commands = re.sub("pulumi (up|refresh|destroy)", r"pulumi \1 --yes --skip-preview --non-interactive", commands)
    return commands.replace("mirrorctl recover", f"{sys.executable} -m mirrorctl recover --yes")


def chart_directory(tmp: Path) -> Path:
    """Return a directory with Harbor's real chart and a stand-in for Traefik's."""
    directory = tmp / "charts"
    directory.mkdir()
    harbor = charts.HARBOR["2.15.1"]
    shutil.copy(archive(harbor), directory)
    subprocess.run([program("helm"), "package", str(STAND_IN), "-d", str(directory)], check=True, capture_output=True)
    return directory


def install_plugin(workspace: Workspace) -> None:
    """Put the real Kubernetes plugin where the engine looks for it."""
    home = workspace.directory / "home" / "plugins" / f"resource-kubernetes-v{PLUGIN_VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    link = home / PLUGIN
    if not link.exists():
        link.symlink_to(program(PLUGIN))


@contextmanager
def rehearsal(tmp: Path, cloud: LocalCloud, trust: Trust, api: Api, stack: str) -> Iterator[Rehearsal]:
    """A configured stack, not yet up; its world is gone afterwards, so that nothing needs to be deleted."""
    port = free_port()
    cloud.linode.cloud.kubeconfig = api.kubeconfig
    files = Starlette(routes=[Mount("/", StaticFiles(directory=chart_directory(tmp)))])
    with ExitStack() as running:
        repository = running.enter_context(serve(files)).url
        workspace = Workspace(tmp / stack, stack, {**cloud.env, "XDG_CACHE_HOME": str(tmp / "cache")})
        workspace.create()
        install_plugin(workspace)
        cluster = {
            "region": "sg-sin-2",
            "hostname": "localhost",
            "httpsPort": port,
            "tls": "provided",
            "certificate": CERTIFICATE,
            "adminCidrs": ["203.0.113.0/24", "2001:db8::/64"],
            "charts": repository,
            "redis": {"host": "redis.example.com"},
        }
        config: Json = {
            "harbor-mirror:cluster": cluster,
            "harbor-mirror:endpoints": {"hub": {"type": "docker-registry", "url": cloud.hub_url}},
            "harbor-mirror:projects": {"mirror": {"forceDestroy": True}},
            "harbor-mirror:rules": {"app": {"endpoint": "hub", "repositories": "**", "project": "mirror"}},
        }
        workspace.configure(config)
        workspace.set_secret("cluster.certificateKey", KEY)
        workspace.set_secret("cluster.redis.password", REDIS_PASSWORD)
        harbor = PlayedHarbor(port, trust.certificate)
        running.callback(harbor.close)
        running.enter_context(Nodes(api, follow=harbor.follow))
        yield Rehearsal(workspace, cloud, api, harbor)
