"""Every chart with our values, rendered by Helm and checked by a Kubernetes API server, for each supported option."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harbor_mirror.cluster import manifests, names, values
from harbor_mirror.cluster.backends import (
    BucketAddress,
    DatabaseAddress,
    external_database,
    managed_connections,
    redis_address,
)
from harbor_mirror.config.cluster import Cluster
from harbor_mirror.plan import charts
from tests.cluster.conftest import cluster
from tests.cluster.kubernetes import Api
from tests.cluster.tools import archive, program

Manifest = dict[str, Any]
BUCKET = BucketAddress(name="harbor-blobs-1", endpoint="https://sg-sin-2.linodeobjects.com", region="sg-sin-2")
EXTERNAL = {"host": "pg.example.com", "username": "harbor", "password": "Database-Secret-1"}
REDIS = {"host": "redis.example.com", "password": "Redis-Secret-1"}
#: Each option of `cluster` that reaches a chart or an object.
OPTIONS: Mapping[str, dict[str, Any]] = {
    "defaults": {},
    "one pod of each": {"replicas": dict.fromkeys(("core", "portal", "registry", "jobservice", "trivy"), 1)},
    "many pods": {"replicas": {"core": 5, "registry": 4, "jobservice": 3}},
    "no scanner": {"service": {"trivy": False}},
    "metrics, workers, log level": {"service": {"metrics": True, "workers": 30, "logLevel": "debug"}},
    "database elsewhere": {"database": {**EXTERNAL, "sslMode": "verify-full", "port": 6432}},
    "redis elsewhere": {"redis": REDIS},
    "redis elsewhere with a user, without TLS": {"redis": {**REDIS, "username": "harbor", "tls": False}},
    "layers through Harbor": {"objectStorage": {"redirect": False, "region": "us-ord"}},
    "another port and a given certificate": {
        "httpsPort": 8443,
        "tls": "provided",
        "certificate": "PEM",
        "certificateKey": "KEY",
    },
    "let's encrypt with an address": {"acmeEmail": "ops@example.com"},
    "an existing cluster": {
        "existing": {"kubeconfig": "x", "ingressClass": "nginx", "clusterIssuer": "letsencrypt"},
        "managedDatabase": {"allowCidrs": ["10.0.0.0/8"]},
    },
}


def database(configured: Cluster) -> DatabaseAddress:
    if configured.database is not None:
        return external_database(configured)
    return DatabaseAddress(
        host="a1-akamai-prod.g2a.akamaidb.net",
        port=26174,
        name="defaultdb",
        username="akmadmin",
        ssl_mode="verify-ca",
        ca_is_private=True,
        max_open_conns=managed_connections(configured),
    )


def harbor_values(configured: Cluster) -> values.Values:
    return values.harbor_values(configured, database(configured), BUCKET, redis_address(configured), "hash-1")


def render(tmp: Path, chart: charts.Chart, namespace: str, chart_values: values.Values) -> list[Manifest]:
    """Return the objects that Helm makes of a chart."""
    file = tmp / f"{chart.name}.yaml"
    file.write_text(yaml.safe_dump(chart_values))
    # Charts choose between versions of an API; the plugin asks the server for them.
    apis = ["--api-versions", "policy/v1,policy/v1/PodDisruptionBudget"]
    command = [program("helm"), "template", chart.name, str(archive(chart)), "--namespace", namespace]
    done = subprocess.run(
        [*command, "--values", str(file), "--kube-version", "1.34.4", "--no-hooks", "--skip-tests", *apis],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def harbor(tmp: Path, configured: Cluster) -> list[Manifest]:
    chart = charts.harbor_chart(configured)
    assert chart is not None
    return render(tmp, chart, names.NAMESPACE, harbor_values(configured))


def pod_specs(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return the pod templates' specs by their owner's name."""
    owners = [owner for owner in objects if owner["kind"] in ("Deployment", "StatefulSet", "Job")]
    return {owner["metadata"]["name"]: owner["spec"]["template"]["spec"] for owner in owners}


def admit(api: Api, objects: list[Manifest], namespace: str) -> None:
    """Have the API server check each object strictly, and each pod template as a pod by the namespace's policy."""
    for manifest in objects:
        api.create(manifest, manifest["metadata"].get("namespace", namespace), dry_run=True)
    for name, spec in pod_specs(objects).items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
        # Accounts are not there in a dry run; what else a pod may do is what is checked.
        api.create({**pod, "spec": {**spec, "serviceAccountName": "default"}}, namespace, dry_run=True)


@pytest.fixture(scope="session")
def namespaces(checker: Api) -> Api:
    """The API server with the namespaces as the program makes them, and with the accounts that pods need."""
    for metadata in (
        manifests.namespace("2.15.1"),
        {"name": names.EDGE_NAMESPACE},
        {"name": names.CERTIFICATES_NAMESPACE},
    ):
        checker.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        checker.create(account, metadata["name"])
    return checker


@pytest.mark.parametrize("option", OPTIONS)
def test_the_api_server_accepts_harbors_chart_with_every_option(tmp_path: Path, namespaces: Api, option: str) -> None:
    configured = cluster(**OPTIONS[option])
    objects = harbor(tmp_path, configured)
    admit(namespaces, objects, names.NAMESPACE)
    assert objects == harbor(tmp_path, configured), "rendered twice, the chart is not the same"
    text = yaml.safe_dump(objects)
    for secret in ("Database-Secret-1", "Redis-Secret-1", "Harbor12345", "not-a-secure-key", "changeit"):
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode() not in text
    assert not [owner for owner in objects if owner["kind"] == "PersistentVolumeClaim"]


@pytest.mark.parametrize("option", OPTIONS)
def test_the_api_server_accepts_our_own_objects_with_every_option(namespaces: Api, option: str) -> None:
    configured = cluster(**OPTIONS[option])
    policies = [
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}
        for name, spec in manifests.network_policies(configured).items()
    ]
    dump = manifests.dump_job(configured, database(configured), BUCKET)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "dump"}, "spec": dump}
    admit(namespaces, [*policies, job], names.NAMESPACE)


def test_the_api_server_accepts_redis_with_our_values(tmp_path: Path, namespaces: Api) -> None:
    objects = render(tmp_path, charts.REDIS, names.NAMESPACE, values.redis_values())
    admit(namespaces, objects, names.NAMESPACE)
    services = {manifest["metadata"]["name"] for manifest in objects if manifest["kind"] == "Service"}
    assert {node.partition(":")[0] for node in names.REDIS_NODES} <= services
    config = yaml.safe_dump(objects)
    assert f"sentinel down-after-milliseconds {names.REDIS_PRIMARY} " in config


@pytest.mark.parametrize("port", [443, 8443])
def test_the_api_server_accepts_traefik_with_our_values(tmp_path: Path, namespaces: Api, port: int) -> None:
    configured = cluster(httpsPort=port, tls="provided", certificate="PEM", certificateKey="KEY")
    objects = render(tmp_path, charts.TRAEFIK, names.EDGE_NAMESPACE, values.edge_values(configured, "4711"))
    admit(namespaces, objects, names.EDGE_NAMESPACE)
    (service,) = [manifest for manifest in objects if manifest["kind"] == "Service"]
    prefix = "service.beta.kubernetes.io/linode-loadbalancer"
    assert service["metadata"]["annotations"][f"{prefix}-nodebalancer-id"] == "4711"
    assert service["metadata"]["annotations"][f"{prefix}-preserve"] == "true"
    assert sorted(entry["port"] for entry in service["spec"]["ports"]) == [80, port]
    (deployment,) = [manifest for manifest in objects if manifest["kind"] == "Deployment"]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--entryPoints.websecure.http.encodedCharacters.allowEncodedPercent=true" in arguments
    assert "--entryPoints.websecure.transport.respondingTimeouts.readTimeout=0" in arguments


def test_the_api_server_accepts_cert_manager_with_our_values(tmp_path: Path, namespaces: Api) -> None:
    objects = render(tmp_path, charts.CERT_MANAGER, names.CERTIFICATES_NAMESPACE, values.certificate_values())
    admit(namespaces, objects, names.CERTIFICATES_NAMESPACE)
    (issuers,) = [found for found in objects if found["metadata"]["name"] == "issuers.cert-manager.io"]
    namespaces.create(issuers)


def test_a_pod_of_each_part_survives_the_loss_of_a_node(tmp_path: Path) -> None:
    objects = harbor(tmp_path, cluster())
    budgets = {found["metadata"]["name"] for found in objects if found["kind"] == "PodDisruptionBudget"}
    replicas = {
        owner["metadata"]["name"]: owner["spec"]["replicas"]
        for owner in objects
        if owner["kind"] in ("Deployment", "StatefulSet")
    }
    assert budgets == replicas.keys()
    assert set(replicas.values()) == {2}
    for name, spec in pod_specs(objects).items():
        (spread,) = spec["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname", name
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert {"livenessProbe", "readinessProbe"} <= container.keys(), name
            assert container["securityContext"]["runAsNonRoot"]


def test_a_url_that_the_chart_writes_without_a_password_gets_it(tmp_path: Path) -> None:
    specs = pod_specs(harbor(tmp_path, cluster(service={"metrics": True})))
    read = {
        (owner, variable["name"]): variable["valueFrom"]["secretKeyRef"]
        for owner, spec in specs.items()
        for container in spec["containers"]
        for variable in container.get("env", [])
        if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == names.KEYS
    }
    keys = {"redis", "database"} | {"admin", "core", "encryption", "csrf", "jobservice", "registryHttp", "registry"}
    content = manifests.keys(redis_address(cluster()), {**dict.fromkeys(keys, "x"), "registryHash": "$2a$"})
    assert {reference["key"] for reference in read.values()} <= content.keys()
    for where in (
        ("harbor-core", "_REDIS_URL_CORE"),
        ("harbor-core", "_REDIS_URL_REG"),
        ("harbor-core", "POSTGRESQL_PASSWORD"),
        ("harbor-jobservice", "JOB_SERVICE_POOL_REDIS_URL"),
        ("harbor-registry", "REGISTRY_REDIS_PASSWORD"),
        ("harbor-exporter", "HARBOR_REDIS_URL"),
    ):
        assert where in read


def test_the_table_names_the_harbor_that_a_chart_installs() -> None:
    for version, chart in charts.HARBOR.items():
        shown = subprocess.run(
            [program("helm"), "show", "chart", str(archive(chart))], capture_output=True, text=True, check=True
        )
        metadata = yaml.safe_load(shown.stdout)
        assert (metadata["version"], metadata["appVersion"]) == (chart.version, version)
        assert chart.sha256 is not None
