"""The move to a second Harbor, rehearsed with the very rule that docs/cluster-operations.md shows."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.rule import to_json
from harbor_mirror.plan.validation import validate
from localcloud.harbor.data import Credential
from localcloud.http import free_port, serve
from tests.cli.conftest import ROOT, Run
from tests.cli.harbor_fixture import ADMIN, PASSWORD, HarborFixture
from tests.waiting import until

PAGE = ROOT / "docs" / "cluster-operations.md"
IMAGES = (("mirror/library/nginx", "1.25"), ("mirror/library/nginx", "1.26"), ("mirror/team/sub/tool", "v1"))


def documented() -> dict[str, Any]:
    """Return the stack's configuration of the page, by setting."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config = {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}
    config["endpoints"]["old"] |= {"username": ADMIN, "secret": PASSWORD}
    return {
        **config,
        "harbor": {"url": "https://harbor-ha.example.com"},
        "harborPassword": "x",
        "projects": {"mirror": {}},
    }


def test_the_documented_rule_copies_everything_to_its_old_place(harbor: HarborFixture, run: Run) -> None:
    port = free_port()
    old = HarborFixture(f"http://127.0.0.1:{port}")
    old.add_project("mirror")
    digests = {(name, tag): old.push(name, tag, f"{name}-{tag}").digest for name, tag in IMAGES}
    harbor.add_project("mirror")
    policy = validate(documented()).rules["move"].policy
    with serve(old.app, port=port), Harbor(harbor.url, ADMIN, PASSWORD) as client:
        endpoint = harbor.add_registry("old", old.url, type="harbor", credential=Credential("basic", ADMIN, PASSWORD))
        client.request("POST", "/replication/policies", body=to_json(policy, endpoint))
        (created,) = client.policies()
        execution = client.start(created["id"])
        until(lambda: client.execution(execution)["status"] != "InProgress")
        given = {"MIRRORCTL_SOURCE_OLD_USERNAME": ADMIN, "MIRRORCTL_SOURCE_OLD_PASSWORD": PASSWORD}
        proof = run("verify", "move", "--json", **given)
    assert proof.code == 0, proof.out + proof.err
    for (name, tag), digest in digests.items():
        assert harbor.images.tags(name)[tag] == digest
