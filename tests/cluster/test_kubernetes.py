"""What the tests play of a cluster: nodes run pods, jobs end, balancers and ingresses get an address."""

from __future__ import annotations

from typing import Any

from tests.cluster.kubernetes import ADDRESS, Api, Nodes
from tests.waiting import until

PATIENCE_SECONDS = 90.0
SPACE = "played"


def workload(kind: str, api_version: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": kind.lower()}
    pod = {"containers": [{"name": "one", "image": "one"}], **({"restartPolicy": "Never"} if kind == "Job" else {})}
    template = {"metadata": {"labels": labels}, "spec": pod}
    selector = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    body = {**selector, **spec, "template": template}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": kind.lower()}, "spec": body}


def test_the_played_nodes_do_what_a_cluster_does(api: Api) -> None:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    with Nodes(api):
        api.create(workload("Deployment", "apps/v1", replicas=2), SPACE)
        api.create(workload("Job", "batch/v1"), SPACE)
        port = {"port": 80, "targetPort": 8080}
        balancer = {"type": "LoadBalancer", "selector": {"app": "deployment"}, "ports": [port]}
        api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"}, "spec": balancer}, SPACE)
        deployment = f"/apis/apps/v1/namespaces/{SPACE}/deployments/deployment"
        until(lambda: api.get(deployment)["status"].get("availableReplicas") == 2, seconds=PATIENCE_SECONDS, every=0.2)
        job = f"/apis/batch/v1/namespaces/{SPACE}/jobs/job"
        until(lambda: api.get(job)["status"].get("succeeded") == 1, seconds=PATIENCE_SECONDS, every=0.2)
        service = f"/api/v1/namespaces/{SPACE}/services/edge"
        until(lambda: api.get(service)["status"]["loadBalancer"] != {}, seconds=PATIENCE_SECONDS, every=0.2)
        assert api.get(service)["status"]["loadBalancer"]["ingress"][0]["ip"] == ADDRESS
        api.client.delete(f"/api/v1/namespaces/{SPACE}").raise_for_status()
        gone = f"/api/v1/namespaces/{SPACE}"
        until(lambda: api.client.get(gone).status_code == 404, seconds=PATIENCE_SECONDS, every=0.2)
