"""A real Kubernetes API: etcd, kube-apiserver and the controllers, and what a test plays of the rest of a cluster."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.http import free_port
from tests.cluster.tools import program
from tests.waiting import until

STARTED_WITHIN_SECONDS = 120.0
#: What the cloud controller gives to a balancer.
ADDRESS = "203.0.113.10"
NODE = "node-1"
#: Between two looks at all pods; a round costs some milliseconds of this process and of the API server.
ROUND_SECONDS = 0.25
#: Controllers that take a node without a kubelet for a broken one.
NO_CONTROLLERS = ("node-lifecycle-controller", "taint-eviction-controller")
MERGE = "application/merge-patch+json"
Json = dict[str, Any]


class Api:
    """A client of the API server as its administrator."""

    def __init__(self, url: str, token: str, certificate: Path) -> None:
        self.url, self.token, self.certificate = url, token, certificate
        self.client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            verify=False,  # its own certificate, on this machine
            timeout=60,
        )

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig, as JSON, which is YAML too."""
        authority = base64.b64encode(self.certificate.read_bytes()).decode()
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
                "users": [{"name": "u", "user": {"token": self.token}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )

    def get(self, path: str) -> Json:
        """Return an object or a list."""
        return self._json("GET", path)

    def items(self, path: str) -> list[Json]:
        """Return the objects of a list."""
        return list(self.get(path)["items"])

    def create(self, manifest: Json, namespace: str = "default", *, dry_run: bool = False) -> Json:
        """Create an object, or only have it checked: a field that the server does not know is an error."""
        parameters = {"fieldValidation": "Strict", "fieldManager": "test"}
        if dry_run:
            parameters["dryRun"] = "All"
        path = self.path(manifest["apiVersion"], manifest["kind"], namespace)
        return self._json("POST", path, json=manifest, params=parameters)

    def path(self, api_version: str, kind: str, namespace: str) -> str:
        """Return where objects of a kind are."""
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        for resource in self.get(root)["resources"]:
            if resource["kind"] == kind and "/" not in resource["name"]:
                inside = f"/namespaces/{namespace}" if resource["namespaced"] else ""
                return f"{root}{inside}/{resource['name']}"
        raise LookupError(f"{api_version} {kind}")

    def _json(self, method: str, path: str, **arguments: Any) -> Json:
        response = self.client.request(method, path, **arguments)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        answer: Json = response.json()
        return answer


@contextmanager
def kubernetes(directory: Path, *, controllers: bool = True) -> Iterator[Api]:
    """A running API server, with its controllers if `controllers`; all data is in `directory`."""
    etcd, server, manager = map(program, ("etcd", "kube-apiserver", "kube-controller-manager"))
    token, key, ports = secrets.token_hex(16), directory / "accounts.pem", [free_port() for _ in range(3)]
    key.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (directory / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    with ExitStack() as running:
        running.enter_context(
            _process(
                directory / "etcd.log",
                etcd,
                f"--data-dir={directory / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{ports[0]}",
                f"--advertise-client-urls=http://127.0.0.1:{ports[0]}",
                f"--listen-peer-urls=http://127.0.0.1:{ports[1]}",
                "--unsafe-no-fsync",
            )
        )
        running.enter_context(
            _process(
                directory / "apiserver.log",
                server,
                f"--etcd-servers=http://127.0.0.1:{ports[0]}",
                f"--secure-port={ports[2]}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={directory}",
                f"--token-auth-file={directory / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
            )
        )
        api = Api(f"https://127.0.0.1:{ports[2]}", token, directory / "apiserver.crt")
        running.callback(api.client.close)
        until(lambda: _ready(api), seconds=STARTED_WITHIN_SECONDS)
        if not controllers:
            yield api
            return
        (directory / "kubeconfig").write_text(api.kubeconfig)
        running.enter_context(
            _process(
                directory / "controllers.log",
                manager,
                f"--kubeconfig={directory / 'kubeconfig'}",
                f"--service-account-private-key-file={key}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                f"--controllers=*,{','.join(f'-{name}' for name in NO_CONTROLLERS)}",
                "--secure-port=0",
            )
        )
        until(lambda: bool(_default_account(api)), seconds=STARTED_WITHIN_SECONDS)
        yield api


@contextmanager
def _process(log: Path, *command: str) -> Iterator[None]:
    with log.open("w") as output:
        process = _started(command, output)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(command: tuple[str, ...], output: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def _ready(api: Api) -> bool:
    try:
        return api.client.get("/readyz").is_success
    except httpx.HTTPError:
        return False


def _default_account(api: Api) -> bool:
    return api.client.get("/api/v1/namespaces/default/serviceaccounts/default").is_success


class Nodes(threading.Thread):
    """Plays scheduler, kubelet, cloud and ingress controllers: pods run, jobs' pods succeed, balancers get an address.

    `follow` is called with all pods after each round. Leaving the context raises the first error of a round.
    """

    def __init__(self, api: Api, *, follow: Callable[[Api, list[Json]], None] | None = None) -> None:
        super().__init__(daemon=True)
        self._api = Api(api.url, api.token, api.certificate)
        self._follow, self._stopping = follow, threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> Nodes:
        # A pod without a node gets no endpoint, and the plugin waits for the endpoints of services.
        self._api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()
        self._api.client.close()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        while not self._stopping.wait(ROUND_SECONDS):
            try:
                self._round()
            except httpx.TransportError:
                continue  # A busy machine; the next round does the same.
            except Exception as error:
                self._error = self._error or error

    def _round(self) -> None:
        pods = self._api.items("/api/v1/pods")
        for pod in pods:
            self._advance(pod)
        for service in self._api.items("/api/v1/services"):
            if service["spec"].get("type") == "LoadBalancer":
                self._address_of("/api/v1", "services", service)
        for ingress in self._api.items("/apis/networking.k8s.io/v1/ingresses"):
            self._address_of("/apis/networking.k8s.io/v1", "ingresses", ingress)
        if self._follow is not None:
            self._follow(self._api, pods)

    def _advance(self, pod: Json) -> None:
        meta, phase = pod["metadata"], pod["status"]["phase"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if meta.get("deletionTimestamp"):
            # A kubelet confirms the end of a pod's containers so.
            self._send("DELETE", path, {"gracePeriodSeconds": 0})
        elif "nodeName" not in pod["spec"]:
            binding = {"metadata": {"name": meta["name"]}, "target": {"kind": "Node", "name": NODE}}
            self._send("POST", f"{path}/binding", {"apiVersion": "v1", "kind": "Binding", **binding})
        elif phase == "Pending":
            self._send("PATCH", f"{path}/status", {"status": _status(pod)})

    def _address_of(self, path: str, kind: str, found: Json) -> None:
        if found.get("status", {}).get("loadBalancer"):
            return
        meta = found["metadata"]
        status = {"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}}
        self._send("PATCH", f"{path}/namespaces/{meta['namespace']}/{kind}/{meta['name']}/status", status)

    def _send(self, method: str, path: str, body: Json) -> None:
        headers = {"Content-Type": MERGE} if method == "PATCH" else {}
        response = self._api.client.request(method, path, json=body, headers=headers)
        # Between the list and this request, an object can be deleted or changed; the next round reads it again.
        assert response.is_success or response.status_code in (404, 409), f"{method} {path}: {response.text}"


def _status(pod: Json) -> Json:
    """Return the status of a pod whose containers run, or have run if it belongs to a job."""
    job = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
    state: Json = {"terminated": {"exitCode": 0, "reason": "Completed"}} if job else {"running": {}}
    ready = "False" if job else "True"
    return {
        "phase": "Succeeded" if job else "Running",
        "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [
            {
                "name": container["name"],
                "ready": not job,
                "restartCount": 0,
                "image": "x",
                "imageID": "x",
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
    }
