"""Tests of `verify`: every difference between a source and Harbor, although Harbor reports Succeed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from localcloud.faults import Fault
from localcloud.harbor.data import Credential
from localcloud.http import free_port, serve
from localcloud.oci.images import move_tag, push_image, push_multi_arch
from localcloud.oci.store import references
from localcloud.registry import RegistrySimulator
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD, STARTED, HarborFixture


@pytest.fixture
def synced(mirrored: HarborFixture, source: RegistrySimulator) -> HarborFixture:
    """A Harbor whose two rules have run once."""
    for policy in mirrored.policies:
        mirrored.replicate(policy.id, start=STARTED)
    source.requests.clear()
    return mirrored


def rule(report: Any, name: str) -> Any:
    return next(found for found in report["rules"] if found["rule"] == name)


def statuses(report: Any, name: str) -> dict[str, str]:
    return {image["destination"].partition("/")[2]: image["status"] for image in rule(report, name)["images"]}


@pytest.mark.usefixtures("synced")
def test_everything_equal(run: Run, source: RegistrySimulator) -> None:
    result = run("verify", "--json")
    assert result.code == 0
    assert result.json["ok"] is True
    assert statuses(result.json, "nginx") == {
        "mirror/library/nginx:1.25": "equal",
        "mirror/library/nginx:1.26": "equal",
    }
    wanted = source.store.tags("library/nginx")["1.26"]
    image = next(image for image in rule(result.json, "nginx")["images"] if image["source"].endswith(":1.26"))
    assert image["sourceDigest"] == image["harborDigest"] == wanted
    assert rule(result.json, "nginx")["bytes"] > 0


def test_nothing_is_pulled(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    run("verify")
    assert {entry.method for entry in source.requests if "/manifests/" in entry.path} == {"HEAD"}
    assert {method for method, path in synced.calls() if "/v2/" in path and "/manifests/" in path} == {"HEAD"}


def test_a_missing_tag(synced: HarborFixture, run: Run) -> None:
    synced.delete_tag("mirror/library/nginx", "1.25")
    result = run("verify", "nginx", "--json")
    assert result.code == 2
    assert statuses(result.json, "nginx")["mirror/library/nginx:1.25"] == "missing"
    assert rule(result.json, "nginx")["missing"] == 1


def test_a_tag_that_harbor_lists_and_does_not_serve(synced: HarborFixture, run: Run) -> None:
    synced.faults.add(Fault("/manifests/1.25", 404, times=9, method="HEAD"))
    result = run("verify", "nginx")
    assert result.code == 2
    assert "Harbor lists it but does not serve it" in result.out


def test_a_moved_tag_with_override_on_and_off(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    move_tag(source.store, "library/nginx", "1.26", "moved")
    result = run("verify", "nginx")
    assert result.code == 2
    assert "different: " in result.out
    assert re.search(
        r"different: .* \(Harbor's was pushed at \d{4}-\d\d-\d\d \d\d:\d\d UTC; "
        r"the last run \(2026-11-25 08:00 UTC\) succeeded\)",
        result.out,
    )
    synced.policies[1].override = False
    assert "override is off" in run("verify", "nginx").out


@pytest.mark.parametrize(
    ("execution", "reason"),
    [
        (None, "the rule has never run"),
        ({"status": "InProgress"}, "the rule is running"),
        ({"status": "Failed", "status_text": "no such host"}, "ended as Failed: no such host"),
    ],
)
def test_reasons_for_missing_images(
    mirrored: HarborFixture, run: Run, execution: dict[str, Any] | None, reason: str
) -> None:
    if execution:
        mirrored.add_execution(1, **execution)
    result = run("verify", "nginx")
    assert result.code == 2
    assert reason in result.out


def test_a_filter_that_was_changed_in_harbor(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    mirrored.policies[1].filters = [{"type": "name", "value": "library/nginx"}, {"type": "tag", "value": "1.25"}]
    mirrored.replicate(1)
    result = run("verify", "nginx", **stack.environment)
    assert result.code == 2
    assert "1.26 (the filter in Harbor does not match it" in result.out


def test_an_extra_tag(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    synced.push("mirror/library/nginx", "by-hand", "by-hand")
    source.store.delete_tag("library/nginx", "1.25")
    result = run("verify", "nginx", "--json")
    assert result.code == 2
    found = {image["destination"].partition(":")[2][-7:]: image for image in rule(result.json, "nginx")["images"]}
    extras = {image["destination"].rpartition(":")[2]: image["reason"] for image in found.values()
              if image["status"] == "extra"}  # fmt: skip
    assert extras == {"by-hand": "outside of the rule's tag filter", "1.25": "gone from hub; deletion is off"}


def test_images_of_other_rules_are_not_extra(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    synced.add_policy("nginx-2", 1, repositories="library/*", tags="2.*")
    synced.replicate(3)
    assert source.store.tags("library/nginx").keys() == synced.images.tags("mirror/library/nginx").keys()
    assert run("verify", "nginx").code == 0


def test_multi_arch_children(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    push_multi_arch(source.store, "library/nginx", "1.27", "multi")
    synced.replicate(1)
    result = run("verify", "nginx", "--json")
    assert result.code == 0
    image = next(image for image in rule(result.json, "nginx")["images"] if image["source"].endswith(":1.27"))
    assert (image["children"], image["missingChildren"]) == (3, [])
    index = synced.images.manifest("mirror/library/nginx", image["harborDigest"])
    assert index is not None
    lost = references(index.body)[1].digest
    synced.delete_manifest("mirror/library/nginx", lost)
    result = run("verify", "nginx", "--json")
    assert result.code == 2
    image = next(image for image in rule(result.json, "nginx")["images"] if image["source"].endswith(":1.27"))
    assert (image["status"], image["missingChildren"]) == ("missing", [lost])


def test_an_empty_match(synced: HarborFixture, run: Run) -> None:
    synced.add_policy("typo", 1, repositories="library/nginx", tags="9.*")
    result = run("verify", "typo")
    assert result.code == 2
    assert "matches no image at hub" in result.out
    assert run("verify", "typo", "--allow-empty").code == 0


def test_a_repository_that_does_not_exist_at_the_source(synced: HarborFixture, run: Run) -> None:
    synced.add_policy("typo", 1, repositories="library/ngin")
    result = run("verify", "typo")
    assert result.code == 2
    assert "has no repository library/ngin" in result.out


def test_a_proxy_cache_destination(synced: HarborFixture, run: Run) -> None:
    synced.project("mirror").registry_id = 1
    result = run("verify", "nginx")
    assert result.code == 2
    assert "project mirror is a proxy cache" in result.out


def test_a_destination_that_cannot_be_computed(synced: HarborFixture, run: Run) -> None:
    synced.add_policy("deep", 1, repositories="library/nginx", dest_namespace_replace_count=2)
    result = run("verify", "deep")
    assert result.code == 2
    assert "flatten is 2" in result.out


def test_a_thousand_tags_cost_a_thousand_heads(mirrored: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    push_image(source.store, "ci/builds", None, "build")
    digest = source.store.digests("ci/builds")[0]
    manifest = source.store.manifest("ci/builds", digest)
    assert manifest is not None
    for number in range(1000):
        source.store.put_manifest("ci/builds", f"build-{number:04}", manifest.body, manifest.media_type)
    mirrored.replicate(mirrored.add_policy("builds", 1, repositories="ci/*"))
    source.requests.clear()
    result = run("verify", "builds", "--json")
    assert result.code == 0
    assert rule(result.json, "builds")["equal"] == 1000
    heads = [entry for entry in source.requests if entry.method == "HEAD"]
    assert len(heads) <= 1000


def test_exact_tags_need_no_tag_list(synced: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    synced.policies[1].filters[1]["value"] = "{1.25,1.26}"
    result = run("verify", "nginx", "--json")
    assert (result.code, rule(result.json, "nginx")["equal"]) == (0, 2)
    assert not [entry for entry in source.requests if entry.path.endswith("/tags/list")]


def test_digest_lines_and_resume(synced: HarborFixture, run: Run, source: RegistrySimulator, tmp_path: Path) -> None:
    result = run("verify", "--digests")
    assert result.code == 0
    digests = synced.images.tags("mirror/library/nginx")
    host = synced.url.removeprefix("http://")
    assert f"{digests['1.25']} {host}/mirror/library/nginx:1.25" in result.out.splitlines()
    assert len(result.out.splitlines()) == 3
    assert run("verify", "--resume", str(tmp_path / "known")).code == 0
    source.requests.clear()
    assert run("verify", "--resume", str(tmp_path / "known")).code == 0
    assert not [entry for entry in source.requests if "/manifests/" in entry.path]


def test_a_line_for_each_image(synced: HarborFixture, run: Run) -> None:
    result = run("verify", "--images")
    assert result.code == 0
    host, digest = synced.url.removeprefix("http://"), synced.images.tags("mirror/library/nginx")["1.25"]
    assert f"equal: {digest} {host}/mirror/library/nginx:1.25" in result.out.splitlines()
    assert re.search(r"^nginx +1 +1 +2 +[0-9.]+ kB +equal 2/2", result.out, re.MULTILINE)


@pytest.mark.usefixtures("synced")
def test_a_source_that_limits_requests_leaves_the_rest_unchecked(
    run: Run, source: RegistrySimulator, tmp_path: Path
) -> None:
    source.faults.add(
        Fault("/manifests/", method="HEAD", skip=1, times=None, status=429, headers={"Retry-After": "86400"})
    )
    result = run("verify", "nginx", "--json", "--resume", str(tmp_path / "known"))
    assert result.code == 2
    assert rule(result.json, "nginx")["unchecked"] == 1
    assert len((tmp_path / "known").read_text().splitlines()) == 1


def test_source_credentials(mirrored: HarborFixture, run: Run, tmp_path: Path) -> None:
    private = RegistrySimulator("alice", "Alice-Secret-1", token_flow=True)
    push_image(private.store, "team/app", "1", "app")
    with serve(private.app) as server:
        credential = Credential("basic", "alice", "Alice-Secret-1")
        partner = mirrored.add_registry("my.partner", server.url, credential=credential)
        mirrored.replicate(mirrored.add_policy("app", partner, repositories="team/app"))
        result = run("verify", "app")
        assert result.code == 2
        assert "is refused without credentials" in result.out
        given = {
            "MIRRORCTL_SOURCE_MY_PARTNER_USERNAME": "alice",
            "MIRRORCTL_SOURCE_MY_PARTNER_PASSWORD": "Alice-Secret-1",
        }
        assert run("verify", "app", **given).code == 0
        (tmp_path / ".docker").mkdir()
        host = server.url.removeprefix("http://")
        auth = "YWxpY2U6QWxpY2UtU2VjcmV0LTE="
        (tmp_path / ".docker" / "config.json").write_text(f'{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}')
        assert run("verify", "app").code == 0
        wrong = given | {"MIRRORCTL_SOURCE_MY_PARTNER_PASSWORD": "Wrong-Secret-1"}
        result = run("verify", "app", **wrong)
        assert result.code == 2
        assert "Wrong-Secret-1" not in result.out + result.err


def test_a_harbor_as_source(mirrored: HarborFixture, run: Run) -> None:
    """Repositories are listed without the catalogue, which only administrators may read; labels are compared."""
    port = free_port()
    other = HarborFixture(f"http://127.0.0.1:{port}")
    other.add_project("team")
    for name, tag in (("team/app", "1"), ("team/app", "2"), ("team/sub/web", "1")):
        other.push(name, tag, f"{name}-{tag}").labels = ["release", "tested"] if tag == "1" else []
    with serve(other.app, port=port):
        credential = Credential("basic", ADMIN, PASSWORD)
        registry = mirrored.add_registry("other", other.url, type="harbor", credential=credential)
        mirrored.add_policy("all", registry, repositories="team/**")
        mirrored.replicate(3)
        other.faults.requests.clear()
        given = {"MIRRORCTL_SOURCE_OTHER_USERNAME": ADMIN, "MIRRORCTL_SOURCE_OTHER_PASSWORD": PASSWORD}
        result = run("verify", "all", "--json", **given)
        assert (result.code, rule(result.json, "all")["equal"]) == (0, 3)
        assert not [path for _, path in other.calls() if "_catalog" in path]
        mirrored.policies[3].filters.append({"type": "label", "value": ["release"], "decoration": "matches"})
        mirrored.delete_tag("mirror/team/app", "2")
        result = run("verify", "all", "--json", **given)
        assert (result.code, rule(result.json, "all")["equal"]) == (0, 2)


def test_a_stacks_harbor_is_read_with_the_pull_credentials(synced: HarborFixture, run: Run, stack: FakeStack) -> None:
    result = run("verify", "--digests", "--stack", "dev", **stack.environment)
    assert result.code == 0
    assert "harbor.example.com/mirror/library/nginx:1.25" in result.out
    assert ["stack", "output", "--json", "--show-secrets", "--stack", "dev", "--non-interactive"] in stack.calls()
    synced.data.robots.clear()
    result = run("verify", **stack.environment)
    assert result.code == 2
    assert "is refused to robot$puller" in result.out


def test_source_credentials_of_the_stack(synced: HarborFixture, run: Run, stack: FakeStack) -> None:
    private = RegistrySimulator("alice", "Source-Secret-1")
    push_image(private.store, "library/nginx", "1.25", "nginx-1.25")
    push_image(private.store, "library/nginx", "1.26", "nginx-1.26")
    with serve(private.app) as server:
        stack.outputs["endpoints"]["hub"]["url"] = server.url
        assert run("verify", "nginx", **stack.environment).code == 2
        stack.config["endpoints"]["hub"] |= {"username": "alice", "secret": "Source-Secret-1"}
        assert run("verify", "nginx", **stack.environment).code == 0
    assert len(synced.policies) == 2


# What Harbor does with several repositories (measured on Harbor 2.15.2)


def test_repositories_without_matching_tags_need_no_destination(
    mirrored: HarborFixture, run: Run, source: RegistrySimulator
) -> None:
    """Harbor leaves them out before it computes destinations, so their number of path components does not matter."""
    push_image(source.store, "team/deep/app", "7", "app")
    push_image(source.store, "team/other", "8", "other")
    mirrored.add_policy("team", 1, repositories="team/**", tags="7", dest_namespace_replace_count=2)
    assert mirrored.replicate(3).status == "Succeed"
    result = run("verify", "team", "--json")
    assert result.code == 0, result.out
    assert statuses(result.json, "team") == {"mirror/app:7": "equal"}


def test_a_missing_repository_among_several_namespaces_is_left_out(
    mirrored: HarborFixture, run: Run, source: RegistrySimulator
) -> None:
    """Harbor reads the catalogue for such a filter, and never requests the name that is missing."""
    push_image(source.store, "team/app", "1", "app")
    mirrored.add_policy("two", 1, repositories="{team/app,nope/x/y}")
    assert mirrored.replicate(3).status == "Succeed"
    result = run("verify", "two")
    assert result.code == 0, result.out
    assert "has no repository nope/x/y; Harbor leaves it out" in result.err


def test_a_registry_below_a_prefix(mirrored: HarborFixture, run: Run, source: RegistrySimulator) -> None:
    async def below(scope: Any, receive: Any, send: Any) -> None:
        await source.app({**scope, "path": scope.get("path", "").removeprefix("/prefix")}, receive, send)

    with serve(below) as server:
        hub = mirrored.add_registry("prefixed", f"{server.url}/prefix")
        policy = mirrored.add_policy("below", hub, repositories="library/nginx", tags="2.*")
        assert mirrored.replicate(policy).status == "Succeed"
        result = run("verify", "below", "--json")
    assert result.code == 0, result.out
    (image,) = rule(result.json, "below")["images"]
    assert image["status"] == "equal"
    assert image["source"].endswith("/prefix/library/nginx:2.0")


def test_two_repositories_of_one_rule_in_one_place(
    mirrored: HarborFixture, run: Run, source: RegistrySimulator
) -> None:
    push_image(source.store, "a/app", "1", "first")
    push_image(source.store, "b/app", "2", "second")
    mirrored.add_policy("both", 1, repositories="{a,b}/app", dest_namespace_replace_count=-1)
    assert mirrored.replicate(3).status == "Succeed"
    assert run("verify", "both").code == 0, "neither tag is an extra of the other repository"
    push_image(source.store, "b/app", "1", "third")
    mirrored.replicate(3)
    result = run("verify", "both")
    assert result.code == 2
    assert re.search(r"different: .*/mirror/app:1 \(.*/app:1 of the same rule lands in the same place", result.out)
    assert "gone from" not in result.out


def test_an_image_that_was_overwritten_by_hand(synced: HarborFixture, run: Run) -> None:
    """The reason contains facts only: they do not show which side has changed."""
    synced.push("mirror/library/nginx", "1.25", "by-hand")
    result = run("verify", "nginx")
    assert result.code == 2
    assert re.search(
        r"different: .*:1.25 \(Harbor's was pushed at .* UTC; the last run \(.* UTC\) succeeded\)", result.out
    )
    assert "moved" not in result.out


@pytest.mark.usefixtures("synced")
def test_a_new_release_that_the_lock_lacks(
    run: Run, stack: FakeStack, source: RegistrySimulator, tmp_path: Path
) -> None:
    stack.outputs["rules"]["nginx"] |= {"tags": {"matches": ["1.2[56]"], "excludes": []}}
    stack.outputs["rules"]["nginx"] |= {"rule": "nginx", "expression": {"semver": "^1.25"}}
    assert run("verify", "nginx", **stack.environment).code == 0
    push_image(source.store, "library/nginx", "1.31", "nginx-1.31")
    push_image(source.store, "library/nginx", "1.31-alpine", "nginx-1.31-alpine")
    result = run("verify", "nginx", **stack.environment)
    assert result.code == 2
    assert re.search(
        r"^bad: nginx: the lock lacks 1 tags of \S+/library/nginx: 1\.31; run mirrorctl resolve$",
        result.out,
        re.MULTILINE,
    )
    # A glob may match a release that nobody has locked: the lock file is what counts.
    locked: dict[str, Any] = {"source": "hub", "repositories": ["library/nginx"], "expression": {"semver": "^1.25"}}
    locked |= {"tags": {"library/nginx": ["1.25"]}}
    locked |= {"policies": [{"name": "nginx", "repositories": "library/nginx", "matches": "1.2[56]"}]}
    (tmp_path / "mirror.lock.dev.yaml").write_text(json.dumps({"rules": {"nginx": locked}}))
    assert "library/nginx: 1.31, 1.26; run mirrorctl" in run("verify", "nginx", **stack.environment).out


def test_the_name_of_a_rule_means_all_its_policies(synced: HarborFixture, run: Run, stack: FakeStack) -> None:
    first = {"rule": "nginx", "expression": {"latest": 1}, "tags": {"matches": ["1.25"], "excludes": []}}
    stack.outputs["rules"]["nginx"] |= first
    second = synced.add_policy("nginx-2", 1, repositories="library/redis", tags="7")
    more = {"id": second, "repositories": ["library/redis"], "tags": {"matches": ["7"], "excludes": []}}
    stack.outputs["rules"]["nginx-2"] = {**stack.outputs["rules"]["nginx"], **more}
    report = run("verify", "nginx", "--json", **stack.environment).json
    assert [proof["rule"] for proof in report["rules"]] == ["nginx", "nginx-2"]
