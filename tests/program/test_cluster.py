"""The program's resources for a cluster, their values, and the checks before."""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import Any

import pulumi
import pytest

import components.cluster.release
from harbor_mirror.cluster import names
from tests.unit.test_host_of_configuration import AUTHORITY

from .conftest import PROGRAM, Program, Recorder

CLUSTER = {
    "region": "sg-sin-2",
    "hostname": "harbor.example.com",
    "dnsZone": "example.com",
    "adminCidrs": ["203.0.113.0/24"],
}
CAPABILITIES = ["Kubernetes", "NodeBalancers", "Managed Databases", "Object Storage"]
LOOKUPS: dict[str, dict[str, Any]] = {
    "getRegion": {"capabilities": CAPABILITIES},
    "getLkeVersions": {"versions": [{"id": "1.33"}, {"id": "1.34"}]},
    "getInstances": {"instances": [{"ipAddress": "198.51.100.7"}]},
}
MISSING = {"error": "invoking: Failed to get it: [404] Not found"}
EXISTING: dict[str, Any] = {
    "dnsZone": None,
    "adminCidrs": None,
    "existing": {"kubeconfig": "kubeconfig-2", "ingressClass": "nginx", "clusterIssuer": "acme"},
    "managedDatabase": {"allowCidrs": ["198.51.100.0/24"]},
}


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components.cluster.release, "archive", lambda chart, _: f"/charts/{chart.archive}")


def run(program: Program, lookups: dict[str, dict[str, Any]] | None = None, **cluster: Any) -> Recorder:
    settings = {key: value for key, value in {**CLUSTER, **cluster}.items() if value is not None}
    return program({"cluster": settings, "projects": {"mirror": {}}}, {**LOOKUPS, **(lookups or {})})


def charts(recorder: Recorder) -> dict[str, dict[str, Any]]:
    return {str(found.inputs["name"]): dict(found.inputs) for found in recorder.of("Chart")}


def test_firewalls_at_linode_accept_only_the_required_clients(program: Program) -> None:
    recorder = run(program, webCidrs=["10.0.0.0/8"])
    engine = recorder.only("LkeCluster").inputs
    assert engine["controlPlane"]["acl"] == {"enabled": True, "addresses": [{"ipv4s": ["203.0.113.0/24"]}]}
    assert recorder.only("DatabasePostgresqlV2").inputs["allowLists"] == ["198.51.100.7/32"]
    (rule,) = recorder.only("Firewall").inputs["inbounds"]
    assert rule["ipv4s"] == ["10.0.0.0/8"]
    assert rule["ports"] == "80,443"
    assert recorder.only("Firewall").inputs["inboundPolicy"] == "DROP"


def test_the_dns_records_point_to_the_address(program: Program) -> None:
    recorder = run(program)
    records = {found.inputs["recordType"]: found.inputs for found in recorder.of("DomainRecord")}
    assert records["A"]["target"] == "192.0.2.20"
    assert records["AAAA"]["target"] == "2001:db8::20"
    assert {found["name"] for found in records.values()} == {"harbor"}
    assert charts(recorder)["harbor"]["values"]["externalURL"] == "https://harbor.example.com"


def test_lets_encrypt_brings_cert_manager_and_an_issuer(program: Program) -> None:
    recorder = run(program, acmeEmail="ops@example.com")
    assert charts(recorder).keys() == {"harbor", "redis-ha", "traefik", "cert-manager"}
    (issuer,) = [found for found in recorder.resources if found.type.endswith(":Issuer")]
    assert issuer.inputs["spec"]["acme"]["email"] == "ops@example.com"
    assert issuer.inputs["spec"]["acme"]["solvers"] == [{"http01": {"ingress": {"ingressClassName": "traefik"}}}]


def test_an_existing_cluster_gets_no_second_ingress_or_issuer(program: Program) -> None:
    recorder = run(program, **EXISTING)
    for kind in ("LkeCluster", "NodeBalancer", "Firewall", "DomainRecord"):
        assert not recorder.of(kind)
    assert charts(recorder).keys() == {"harbor", "redis-ha"}
    ingress = charts(recorder)["harbor"]["values"]["expose"]["ingress"]
    assert ingress["className"] == "nginx"
    assert ingress["annotations"] == {"cert-manager.io/cluster-issuer": "acme"}
    (provider,) = [found for found in recorder.resources if found.type == "pulumi:providers:kubernetes"]
    # Secrets come to mocks in the SDK's envelope.
    assert provider.inputs["kubeconfig"]["value"] == "kubeconfig-2"
    assert "upsertExistingObjects" not in provider.inputs


@pytest.mark.parametrize("managed", [True, False])
def test_harbor_trusts_the_authorities_of_external_services(program: Program, managed: bool) -> None:
    database = {"host": "pg.example.com", "username": "harbor", "password": "Database-Pw-1", "sslMode": "verify-full"}
    redis = {"host": "redis.example.com", "password": "Redis-Pw-1", "caCertificate": AUTHORITY}
    recorder = run(program, redis=redis, database=None if managed else {**database, "caCertificate": AUTHORITY})
    assert charts(recorder)["harbor"]["values"]["caBundleSecretName"] == names.DATABASE_CA
    (secret,) = [found for found in recorder.of("Secret") if found.inputs["metadata"]["name"] == names.DATABASE_CA]
    trusted = base64.b64decode(secret.inputs["data"]["value"]["ca.crt"]).decode()
    assert trusted.endswith(AUTHORITY)
    assert (trusted == AUTHORITY) is not managed, "the authority of the managed database comes first"


def test_no_value_of_a_chart_has_a_secret(program: Program) -> None:
    recorder = run(program, service={"metrics": True})
    generated = [f"Generated-{found.name}" for found in recorder.of("RandomPassword")]
    assert len(generated) > 5
    shown = str(charts(recorder))
    for secret in [*generated, "Database-Root-1", "Secret-harbor-blobs-server"]:
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode() not in shown


def test_the_dump_runs_before_the_chart_changes(program: Program) -> None:
    recorder = run(program)
    job = recorder.only("Job")
    assert job.name == "harbor-release-dump-2.15.1"
    assert job.inputs["metadata"]["namespace"] == names.NAMESPACE
    order = [found.name for found in recorder.resources]
    assert order.index(job.name) < order.index("harbor-release-harbor")


@pytest.mark.parametrize(
    ("lookups", "says"),
    [
        ({"getRegion": MISSING}, "cluster.region: 'sg-sin-2' is not a Linode region"),
        (
            {"getRegion": {"capabilities": CAPABILITIES[1:]}},
            "cluster.region: 'sg-sin-2' lacks Kubernetes; take another region.",
        ),
        ({"getInstanceType": MISSING}, "cluster.pool.type: 'g6-standard-4' is not a Linode plan"),
        (
            {"getInstanceType": {"vcpus": 1, "memory": 1024}},
            "cluster.pool.type: 'g6-standard-4' has 1 CPU and 1024 MB, and a node needs 2 and 4096",
        ),
        ({"getDomain": {"error": "was not found"}}, "cluster.dnsZone: 'example.com' is not a zone of this Linode"),
    ],
)
def test_missing_offers_of_linode_are_reported_before_resources_are_registered(
    program: Program, lookups: dict[str, dict[str, Any]], says: str
) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        run(program, lookups)
    assert says in str(refused.value)
    assert not program.recorder.of("LkeCluster")


def test_a_stack_without_a_cluster_does_not_need_the_kubernetes_sdk() -> None:
    code = (
        "import sys; sys.modules['pulumi_kubernetes'] = None; import components; "
        "from components import HarborHost, Mirror; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_a_stack_with_a_cluster_names_the_missing_sdk() -> None:
    code = (
        "import sys; sys.modules['pulumi_kubernetes'] = None\n"
        "try: from components import HarborCluster\nexcept Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True, check=False)
    assert "pip install -r requirements-cluster.txt" in done.stdout, done.stderr
