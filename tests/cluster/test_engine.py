"""The real engine and the real Kubernetes plugin on a real API server, with Linode simulated."""

from __future__ import annotations

import base64
import json

import pytest

from harbor_mirror.cluster import names
from localcloud.engine import names as named
from tests.cluster.rehearsal import REDIS_PASSWORD, Rehearsal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_a_cluster_is_created_unchanged_by_a_second_up_and_deleted(stack: Rehearsal) -> None:
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

    stack.destroy().ok()
    assert stack.at_linode == []


def test_an_upgrade_dumps_the_database_first_and_unsupported_upgrades_are_rejected(stack: Rehearsal) -> None:
    stack.up().ok()
    chart = {"version": "1.19.1", "sha256": "345ae56788cba43f1a0ffacbf6fc6f80c392dc551153f32703c425be6ba1f720"}

    for version, reason in (
        ("2.14.4", "Harbor 2.14.4 is older than 2.15.1"),
        ("2.18.0", "cannot go to 2.18.0 in one step"),
    ):
        stack.change(version=version, chart=chart)
        for result in (stack.preview(), stack.up()):
            assert result.code != 0
            assert reason in result.output, result.output
    (job,) = stack.api.items(f"/apis/batch/v1/namespaces/{names.NAMESPACE}/jobs")
    assert job["metadata"]["name"] == "harbor-dump-2-15-1"

    stack.change(version="2.16.0", chart=chart)
    done = stack.up().ok()
    order = [step.name for step in done.changes]
    dump = next(number for number, name in enumerate(order) if "dump-2.16.0" in name)
    harbor = [number for number, name in enumerate(order) if "apps/v1/Deployment" in name]
    assert all(dump < number for number in harbor)
    space = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}")
    assert space["metadata"]["annotations"][names.VERSION_ANNOTATION] == "2.16.0"
    assert stack.preview("--expect-no-changes").code == 0


def test_a_changed_secret_restarts_the_pods_that_read_it(stack: Rehearsal) -> None:
    stack.up().ok()
    stack.workspace.set_secret("cluster.redis.password", "Redis-Secret-2")
    changed = stack.up().ok()
    updated = named(changed.changes, "update")
    for part in ("core", "jobservice", "registry"):
        assert any(name.endswith(f"harbor/harbor-{part}") for name in updated), updated
    keys = stack.api.get(f"/api/v1/namespaces/{names.NAMESPACE}/secrets/{names.KEYS}")["data"]
    assert base64.b64decode(keys["redis-password"]).decode() == "Redis-Secret-2"


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
    stack.change(
        existing={"ingressClass": "nginx"},
        adminCidrs=None,
        managedDatabase={"allowCidrs": ["198.51.100.0/24"]},
    )
    stack.workspace.set_secret("cluster.existing.kubeconfig", stack.api.kubeconfig)
    stack.up().ok()
    assert stack.in_kubernetes() == [names.NAMESPACE]
    assert not stack.cloud.linode.cloud.clusters
    assert stack.preview("--expect-no-changes").code == 0
    stack.destroy().ok()
    assert stack.in_kubernetes() == []
    assert stack.at_linode == []
