"""The real engine and the real Kubernetes plugin on a real API server, with Linode simulated."""

from __future__ import annotations

import base64
import json

import pytest

from harbor_mirror.cluster import names
from harbor_mirror.harbor.client import Harbor
from localcloud.engine import names as named
from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import serve
from tests.cluster.documents import shell_blocks
from tests.cluster.rehearsal import REDIS_PASSWORD, Rehearsal
from tests.programs import program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
HOST_URL, HOST_PASSWORD = "https://harbor.example.com", "Host-Harbor-1"
CHART = {"version": "1.19.1", "sha256": "345ae56788cba43f1a0ffacbf6fc6f80c392dc551153f32703c425be6ba1f720"}


def test_the_life_of_a_cluster(stack: Rehearsal) -> None:
    program("kubectl", "kubernetes-client")
    planned = stack.preview().ok()
    assert "linode:index/lkeCluster:LkeCluster" in {step.type for step in planned.changes}
    assert not stack.at_linode

    stack.up().ok()
    label = f"harbor-{stack.workspace.stack}"
    assert {f"cluster {label}", f"database {label}-db", f"balancer {label}", f"firewall {label}"} <= {*stack.at_linode}
    (cluster,) = stack.cloud.linode.cloud.clusters.values()
    (database,) = stack.cloud.linode.cloud.databases.values()
    nodes = [node.addresses[0] for node in stack.cloud.linode.instances]
    assert database.allowed == sorted(f"{address}/32" for address in nodes)
    assert cluster.acl == {
        "enabled": True,
        "addresses": {"ipv4": ["203.0.113.0/24"], "ipv6": ["2001:db8::/64"]},
    }
    (balancer,) = stack.cloud.linode.cloud.nodebalancers.values()
    service = stack.api.get("/api/v1/namespaces/traefik/services/traefik")
    annotation = "service.beta.kubernetes.io/linode-loadbalancer-nodebalancer-id"
    assert service["metadata"]["annotations"][annotation] == str(balancer.id)
    outputs = stack.workspace.outputs(secrets=True)
    assert outputs["cluster"] == {
        "ip": balancer.address,
        "id": str(cluster.id),
        "databaseId": str(database.id),
    }
    keys = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.KEYS}")["data"]
    assert base64.b64decode(keys["HARBOR_ADMIN_PASSWORD"]).decode() == outputs["adminPassword"]
    trivy = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.TRIVY}")["data"]
    assert REDIS_PASSWORD in base64.b64decode(trivy["redisURL"]).decode()
    (job,) = stack.api.items(f"/apis/batch/v1/namespaces/{names.NAMESPACE}/jobs")
    assert job["status"]["succeeded"] == 1

    unchanged = stack.preview("--expect-no-changes")
    assert unchanged.code == 0, unchanged.output
    refreshed = stack.workspace.pulumi("refresh", "--yes", "--skip-preview", events=True).ok()
    assert not refreshed.changes
    assert stack.preview("--expect-no-changes").code == 0

    state = stack.workspace.export()
    for secret in (outputs["adminPassword"], database.password, REDIS_PASSWORD):
        assert secret not in state
        assert base64.b64encode(secret.encode()).decode() not in state
    configmaps = json.dumps(stack.api.items(f"/api/v1/namespaces/{names.NAMESPACE}/configmaps"))
    for secret in (database.password, REDIS_PASSWORD):
        assert secret not in configmaps

    check_changed_secret(stack)
    check_upgrade(stack)
    check_way_back(stack)
    stack.destroy().ok()
    assert stack.at_linode == []


def check_changed_secret(stack: Rehearsal) -> None:
    """A changed secret restarts the pods that read it."""
    stack.workspace.set_secret("cluster.redis.password", "Redis-Secret-2")
    updated = named(stack.up().ok().changes, "update")
    for part in ("core", "jobservice", "registry"):
        assert any(name.endswith(f"harbor/harbor-{part}") for name in updated), updated
    keys = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.KEYS}")["data"]
    assert base64.b64decode(keys["redis-password"]).decode() == "Redis-Secret-2"


def check_upgrade(stack: Rehearsal) -> None:
    """An upgrade dumps the database first, and an unsupported upgrade is rejected."""
    for version, reason in (
        ("2.14.4", "Harbor 2.14.4 is older than 2.15.1"),
        ("2.18.0", "cannot go to 2.18.0 in one step"),
    ):
        stack.change(version=version, chart=CHART)
        for result in (stack.preview(), stack.up()):
            assert result.code != 0
            assert reason in result.output, result.output
    (job,) = stack.api.items(f"/apis/batch/v1/namespaces/{names.NAMESPACE}/jobs")
    assert job["metadata"]["name"] == "harbor-dump-2-15-1"

    stack.change(version="2.16.0", chart=CHART)
    order = [step.name for step in stack.up().ok().changes]
    dump = next(number for number, name in enumerate(order) if "dump-2.16.0" in name)
    harbor = [number for number, name in enumerate(order) if "apps/v1/Deployment" in name]
    assert all(dump < number for number in harbor)
    assert harbor_version(stack) == "2.16.0"
    assert stack.preview("--expect-no-changes").code == 0


def check_way_back(stack: Rehearsal) -> None:
    """The commands of docs/cluster-operations.md stop Harbor, reach its services, and start the version before."""
    stop, _, start = shell_blocks("Go back after a failed upgrade")
    (database,) = stack.cloud.linode.cloud.databases.values()
    admitted = database.allowed
    stack.shell(stop)
    assert replicas(stack) == []

    (reach,) = shell_blocks("Reach the database and the buckets")
    known = set(stack.shell(f"{reach}\nenv").splitlines())
    assert f"PGHOST={database.json()['hosts']['primary']}" in known
    assert f"PGPASSWORD={database.password}" in known
    keys = {key.access_key: key.secret_key for key in stack.cloud.linode.cloud.keys.values()}
    for bucket in ("BLOBS", "BACKUPS"):
        prefix = f"RCLONE_CONFIG_{bucket}_"
        (access,) = [key for key in keys if f"{prefix}ACCESS_KEY_ID={key}" in known]
        assert f"{prefix}SECRET_ACCESS_KEY={keys[access]}" in known

    database.allowed = ["203.0.113.7/32"]
    stack.shell(start)
    assert replicas(stack) == [2, 2, 2, 2]
    assert database.allowed == admitted
    assert harbor_version(stack) == "2.15.1"


def replicas(stack: Rehearsal) -> list[int]:
    deployments = stack.api.items(f"/apis/apps/v1/namespaces/{names.NAMESPACE}/deployments")
    return [found["spec"]["replicas"] for found in deployments]


def harbor_version(stack: Rehearsal) -> str:
    space = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}")
    return str(space["metadata"]["annotations"][names.VERSION_ANNOTATION])


def test_protected_parts_stay_when_the_stack_is_destroyed(stack: Rehearsal) -> None:
    stack.change(protect=True)
    stack.up().ok()
    before = stack.at_linode
    refused = stack.destroy()
    assert refused.code != 0
    assert "protect" in refused.output
    stack.workspace.pulumi("destroy", "--yes", "--skip-preview", "--exclude-protected").ok()
    label = f"harbor-{stack.workspace.stack}"
    kept = {f"cluster {label}", f"database {label}-db", f"balancer {label}"}
    assert kept <= {*stack.at_linode} <= {*before}
    assert [name for name in stack.at_linode if name.startswith("bucket")]
    stack.workspace.pulumi("state", "unprotect", "--all", "--yes").ok()


def test_an_existing_cluster_is_left_unchanged(stack: Rehearsal) -> None:
    stack.use_existing_cluster()
    stack.up().ok()
    assert stack.in_kubernetes() == [names.NAMESPACE]
    assert not stack.cloud.linode.cloud.clusters
    assert stack.preview("--expect-no-changes").code == 0
    stack.destroy().ok()
    assert stack.in_kubernetes() == []
    assert stack.at_linode == []


def test_a_harbor_that_was_moved_is_taken_over(stack: Rehearsal) -> None:
    """What docs/cluster-operations.md says after the dump of a host's Harbor was restored, which test_data.py does."""
    program("kubectl", "kubernetes-client")
    stop, _, _, _, start, take_over = shell_blocks("Move from a host to a cluster")
    stack.up().ok()
    stack.shell(stop)
    moved = stack.harbor.data = host_harbor(stack.cloud.hub_url)
    numbers = numbers_of(moved)
    for name, content in (("secretkey", "not-a-secure-key"), ("password", HOST_PASSWORD)):
        (stack.workspace.directory / name).write_text(content)
    stack.shell(start)
    keys = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.KEYS}")["data"]
    assert base64.b64decode(keys["secretKey"]).decode() == "not-a-secure-key"

    stack.shell(take_over.replace("mirrorctl verify", ""))
    assert numbers_of(moved) == numbers
    assert stack.preview("--expect-no-changes").code == 0


def numbers_of(data: HarborData) -> list[tuple[str, int]]:
    """Return names and numbers of projects, endpoints and rules."""
    return [(row.name, row.id) for table in (data.projects, data.registries, data.policies) for row in table]


def host_harbor(hub_url: str) -> HarborData:
    """Return the data of a Harbor with the stack's endpoint, project and rule, under numbers that no new one has."""
    data = HarborData()
    simulator = HarborSimulator(data, hostname="localhost", external_url=HOST_URL, admin_password=HOST_PASSWORD)
    simulator.start()
    with serve(simulator.app) as server, Harbor(server.url, "admin", HOST_PASSWORD) as harbor:
        for name in ("another", "mirror"):
            harbor.request("POST", "/projects", body={"project_name": name, "metadata": {"public": "false"}})
        for name in ("another", "hub-docker-registry"):
            harbor.request("POST", "/registries", body={"name": name, "type": "docker-registry", "url": hub_url})
        for name in ("another", "app"):
            source = {"id": harbor.registries()[-1]["id"]}
            harbor.request("POST", "/replication/policies", body={"name": name, "src_registry": source})
    simulator.close()
    return data
