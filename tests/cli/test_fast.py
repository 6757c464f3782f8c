"""Which changes may run without checkpoints.

tests/data/previews has what the engine prints for `pulumi preview --json` and `pulumi destroy --preview-only --json`,
without the resources' values: stacks on an existing Harbor, and of a server (those of tests/data/previous).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirrorctl.live.fast_path import judge
from tests.cli.conftest import ROOT, Run
from tests.cli.fake_stack import FakeStack

PREVIEWS = ROOT / "tests" / "data" / "previews"


def preview(name: str) -> Any:
    return json.loads((PREVIEWS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["first-update", "destruction", "rules-of-a-server"])
def test_changes_in_harbor_only_are_fast(name: str) -> None:
    report = judge(preview(name))
    assert report.fast
    assert report.obstacles == ()
    assert sum(report.changes.values()) > 1


def test_a_server_is_never_created_replaced_or_destroyed_without_checkpoints() -> None:
    replaced = judge(preview("replaced-server"))
    assert not replaced.fast
    assert ("replace", "harbor-instance") in {(obstacle.op, obstacle.name) for obstacle in replaced.obstacles}
    destroyed = judge(preview("destroyed-server"))
    reasons = {obstacle.name: obstacle.reason for obstacle in destroyed.obstacles}
    for name in ("harbor-instance", "harbor-data", "harbor-admin"):
        assert reasons[name] == "belongs to the server or the cluster"


def test_what_recover_cannot_find_keeps_its_checkpoints() -> None:
    report = judge(preview("protection"))
    found = {obstacle.type.rpartition(":")[2]: obstacle.reason for obstacle in report.obstacles}
    assert found == dict.fromkeys(("ImmutableTagRule", "ProjectWebhook"), "`mirrorctl recover` cannot find it")


STACK = "urn:pulumi:dev::harbor-mirror::"
PROJECT = "harbor-mirror:mirror:MirrorProject$"


@pytest.mark.parametrize(
    ("op", "resource", "fast"),
    [
        ("same", "linode:index/instance:Instance::server", True),
        ("update", "linode:index/instance:Instance::server", False),
        ("create", "random:index/randomPassword:RandomPassword::mine", False),
        ("create", "harbor-mirror:host:HarborHost$random:index/randomId:RandomId::bucket", False),
        ("create", "harbor-mirror:cluster:HarborCluster$kubernetes:core/v1:Namespace::harbor", False),
        ("update", f"{PROJECT}harbor:index/projectWebhook:ProjectWebhook::ops", True),
        ("delete", f"{PROJECT}harbor:index/projectWebhook:ProjectWebhook::ops", False),
        ("replace", f"{PROJECT}harbor:index/project:Project::mirror", True),
        ("create", f"{PROJECT}random:index/randomId:RandomId::mirror-settings", True),
        ("create", "aws:s3/bucket:Bucket::mine", False),
        # The name of a resource may contain the separator.
        ("create", "harbor:index/replication:Replication::linode:index::x", True),
    ],
)
def test_each_kind_of_change(op: str, resource: str, fast: bool) -> None:
    assert judge({"steps": [{"op": op, "urn": f"{STACK}{resource}"}]}).fast is fast


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not what `pulumi preview --json` prints"),
        ("[]", "is not what `pulumi preview --json` prints"),
        ('{"changeSummary": {}}', "is not what `pulumi preview --json` prints"),
        ('{"steps": [], "diagnostics": [{"severity": "error", "message": "rules.a: bad\\nmore"}]}', "rules.a: bad"),
    ],
)
def test_a_preview_that_says_nothing_is_an_error(content: str, message: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "preview.json"
    file.write_text(content)
    result = run("fast", str(file))
    assert result.code == 1
    assert message in result.err
    assert result.out == ""


def test_a_file_that_cannot_be_read_is_an_error(run: Run, tmp_path: Path) -> None:
    result = run("fast", str(tmp_path / "missing.json"))
    assert result.code == 1
    assert "missing.json" in result.err


def test_pulumi_cloud_keeps_its_checkpoints(run: Run, tmp_path: Path) -> None:
    stack = FakeStack(tmp_path, "https://harbor.example.com", "https://registry.example.com")
    result = run("fast", str(PREVIEWS / "first-update.json"), "--cwd", str(tmp_path), **stack.environment)
    assert result.code == 2
    assert "Pulumi Cloud, which keeps a journal" in result.err
    assert result.out == ""
