"""300 tag expressions in a Harbor: each run copies exactly the selected tags.

With E2E_HARBOR_URL in a Harbor elsewhere; E2E_SCRATCH_URL is then a registry that it reaches and that takes pushes.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_globs import cover
from localcloud.http import serve
from localcloud.registry import RegistrySimulator
from tests.tag_lists import expressions, tag_lists

from .conftest import Target

LISTS, EXPRESSIONS = 30, 10
#: Generous: 300 executions of some 20 tags each.
PATIENCE_SECONDS = 600.0
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

pytestmark = pytest.mark.skipif(
    "E2E_HARBOR_URL" in os.environ and "E2E_SCRATCH_URL" not in os.environ,
    reason="a Harbor elsewhere needs a registry that takes pushes: E2E_SCRATCH_URL",
)


@pytest.fixture
def scratch() -> Iterator[str]:
    """Return the address of a registry that accepts pushes."""
    if "E2E_SCRATCH_URL" in os.environ:
        yield os.environ["E2E_SCRATCH_URL"]
        return
    with serve(RegistrySimulator().app) as server:
        yield server.url


def push(registry: str, repository: str, tags: list[str]) -> None:
    """Push one small image under many tags."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    digest = f"sha256:{sha256(config).hexdigest()}"
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []})
    with httpx.Client(base_url=registry) as client:
        started = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
        client.put(
            httpx.URL(started.headers["Location"]).copy_merge_params({"digest": digest}), content=config
        ).raise_for_status()
        for tag in tags:
            headers = {"Content-Type": MANIFEST}
            path = f"/v2/{repository}/manifests/{tag}"
            client.put(path, content=manifest, headers=headers).raise_for_status()


@pytest.mark.slow
def test_each_expression_copies_exactly_what_it_selects(target: Target, scratch: str) -> None:
    run = f"hm-{uuid.uuid4().hex[:8]}"
    cases = [
        (f"{run}-{number}-{index}", f"{run}/list-{number}", tags, expression)
        for number, tags in enumerate(tag_lists(LISTS))
        for index, expression in enumerate(expressions(tags, EXPRESSIONS))
    ]
    for repository, tags in {repository: tags for _, repository, tags, _ in cases}.items():
        push(scratch, repository, tags)
    with target.client() as client:
        client.request("POST", "/registries", body={"name": run, "type": "docker-registry", "url": scratch})
        registry = next(entry["id"] for entry in client.registries() if entry["name"] == run)
        try:
            executions = {}
            for name, repository, tags, expression in cases:
                policies = make_policies(client, registry, name, repository, tags, expression)
                executions[name] = [client.start(policy) for policy in policies]
            finish(client, [execution for started in executions.values() for execution in started])
            wrong = {
                name: (expression, sorted(found), wanted)
                for name, repository, tags, expression in cases
                if (found := copied(client, f"{run}/{name}/{repository}")) != set(wanted := expression.select(tags))
            }
            print(f"{len(cases) - len(wrong)} of {len(cases)} expressions copied exactly what they select")
            assert wrong == {}
        finally:
            clean_up(client, run, registry)


def make_policies(
    client: Harbor, registry: int, name: str, repository: str, tags: list[str], expression: TagExpression
) -> list[int]:
    """Create the Harbor policies of an expression; return their IDs."""
    wanted = expression.select(tags)
    globs = cover(wanted, sorted(set(tags).difference(wanted)), 900, 20)
    assert globs is not None
    ids = []
    for index, glob in enumerate(globs):
        filters = [{"type": "name", "value": repository}, {"type": "tag", "value": glob, "decoration": "matches"}]
        body = {
            "name": f"{name}-{index}",
            "src_registry": {"id": registry},
            "dest_namespace": f"{name.rsplit('-', 2)[0]}/{name}",
            "dest_namespace_replace_count": 0,
            "filters": filters,
            "trigger": {"type": "manual"},
            "enabled": True,
            "override": True,
        }
        client.request("POST", "/replication/policies", body=body)
        found = client.get("/replication/policies", q=f"name={name}-{index}")
        ids.append(next(int(entry["id"]) for entry in found if entry["name"] == body["name"]))
    return ids


def finish(client: Harbor, executions: list[int]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    for execution in executions:
        while (status := client.execution(execution)["status"]) == "InProgress":
            assert time.monotonic() < until, "executions still run"
            time.sleep(0.2)
        assert status == "Succeed"


def copied(client: Harbor, repository: str) -> set[str]:
    return {tag["name"] for artifact in client.artifacts(repository) for tag in artifact.get("tags") or []}


def clean_up(client: Harbor, run: str, registry: int) -> None:
    for policy in client.policies():
        if policy["name"].startswith(run):
            client.request("DELETE", f"/replication/policies/{policy['id']}")
    client.request("DELETE", f"/registries/{registry}")
    if run in {project["name"] for project in client.projects()}:
        for repository in client.repositories(run):
            name = repository["name"].removeprefix(f"{run}/").replace("/", "%252F")
            client.request("DELETE", f"/projects/{run}/repositories/{name}")
        client.request("DELETE", f"/projects/{run}")
