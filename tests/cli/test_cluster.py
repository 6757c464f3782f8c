"""`check` and `explain` of a stack with a cluster: offline, whole, with what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import ROOT, Run

EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.prod-ha.yaml").read_text())


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(**cluster: Any) -> None:
        config = EXAMPLE["config"]
        section = {**config["harbor-mirror:cluster"], **cluster}
        (tmp_path / "Pulumi.ha.yaml").write_text(
            yaml.safe_dump({"config": {**config, "harbor-mirror:cluster": section}})
        )

    return write


def test_explain_says_what_is_billed_and_what_stays(write: Any, run: Run) -> None:
    write(protect=False, managedDatabase={"nodes": 1})
    report = run("explain", "--json").json
    kinds = {resource["what"]: resource for resource in report["resources"]}
    assert kinds["Cluster nodes"]["size"] == "3 of g6-dedicated-4"
    assert kinds["Managed database"]["size"] == "1 node of g6-dedicated-2, PostgreSQL 16, with daily backups"
    assert not any(resource["outlives"] for resource in report["resources"])
    write(protect=True)
    assert "NodeBalancer: 1, with its address and firewall; stays when the stack is destroyed" in run("explain").out
    write(database={"host": "pg.example.com", "username": "harbor", "password": {"secure": "v1:abc"}})
    assert "Managed database" not in {resource["what"] for resource in run("explain", "--json").json["resources"]}


def test_check_reports_every_fault_of_a_cluster_at_once(write: Any, run: Run) -> None:
    write(
        adminCidrs=[],
        version="2.99.0",
        pool={"count": 3, "autoscaler": {"min": 4, "max": 6}},
        httpsPort=8443,
        dnsZone="example.org",
    )
    done = run("check")
    assert done.code != 0
    for path in (
        "cluster.adminCidrs:",
        "cluster.version:",
        "cluster.pool.count:",
        "cluster.managedDatabase.allowCidrs:",
        "cluster.httpsPort:",
        "cluster.hostname:",
    ):
        assert path in done.out + done.err, path
    assert "Traceback" not in done.out + done.err


def test_a_secret_of_a_cluster_in_plain_text_is_a_fault_that_does_not_show_it(write: Any, run: Run) -> None:
    write(existing={"kubeconfig": "very-secret"}, pool=None)
    done = run("check")
    assert done.code != 0
    assert "very-secret" not in done.out + done.err
    assert "pulumi config set --path --secret" in done.out + done.err
