"""A setting that the provider lacks: saved through Harbor's API, shown by the preview, and kept by every update."""

from __future__ import annotations

import pytest

from localcloud.engine import names
from tests.engine.conftest import Mirror

REPLICATION, RANDOM_ID = "harbor:index/replication:Replication", "random:index/randomId:RandomId"


@pytest.mark.slow
def test_single_active_is_set_kept_and_reset(mirror: Mirror) -> None:
    settings = f"{mirror.name}-settings"
    mirror.apply().ok()
    assert not mirror.policy().get("single_active_replication")

    mirror.rule["singleActive"] = True
    mirror.workspace.configure(mirror.config)
    preview = mirror.workspace.preview().ok()
    assert [(step.op, step.name) for step in preview.changes if step.type == RANDOM_ID] == [("create", settings)]
    assert not [step for step in preview.changes if step.type == REPLICATION]
    assert not mirror.policy().get("single_active_replication"), "a preview changes nothing"
    mirror.workspace.up().ok()
    assert mirror.policy()["single_active_replication"] is True
    assert mirror.workspace.preview("--expect-no-changes").code == 0

    # The provider's update resets what it does not know.
    mirror.rule["description"] = "changed"
    changed = mirror.apply().ok()
    assert names(changed.steps, "update") == [mirror.name]
    assert mirror.policy()["single_active_replication"] is True
    assert mirror.policy()["description"] == "changed"

    # So does its repair of what somebody changed by hand.
    with mirror.target.client() as client:
        policy = dict(mirror.policy())
        client.update_policy(policy["id"], {**policy, "enabled": False})
    mirror.workspace.up("--refresh").ok()
    assert mirror.policy()["enabled"] is True
    assert mirror.policy()["single_active_replication"] is True

    mirror.rule["singleActive"] = False
    mirror.apply().ok()
    assert not mirror.policy().get("single_active_replication")
    assert mirror.workspace.preview("--expect-no-changes").code == 0
