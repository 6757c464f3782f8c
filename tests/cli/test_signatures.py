"""Signatures, end to end: a planned rule in the simulated Harbor, and what `verify` says about the copies."""

from __future__ import annotations

from typing import Any

import pytest

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.harbor.rule import to_json
from harbor_mirror.plan.validation import validate
from localcloud.faults import Fault
from localcloud.harbor.data import Credential
from localcloud.http import free_port, serve
from localcloud.oci.images import sign, sign_as_referrer
from localcloud.oci.store import Descriptor
from localcloud.registry import RegistrySimulator
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import ADMIN, PASSWORD, STARTED, HarborFixture

REPOSITORY = "library/nginx"


@pytest.fixture
def source(servers: Any, source: RegistrySimulator) -> RegistrySimulator:
    """The usual source, with the referrers API."""
    found = RegistrySimulator(token_flow=True, store=source.store, referrers=True)
    servers[1].app = found.app
    return found


def descriptor(source: RegistrySimulator, tag: str) -> Descriptor:
    manifest = source.store.manifest(REPOSITORY, tag)
    assert manifest is not None
    return Descriptor(manifest.media_type, manifest.digest, len(manifest.body))


def replicate(mirrored: HarborFixture, **rule: Any) -> None:
    """Plan the rule `nginx`, save it in Harbor as the program does, and run it."""
    endpoint = {"type": "docker-registry", "url": "https://registry.example.com"}
    configured = {"endpoint": "hub", "repositories": REPOSITORY, "project": "mirror", "tags": "1.*", **rule}
    stack = {
        "harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": True},
        "harborPassword": "secret-1",
        "endpoints": {"hub": endpoint},
        "projects": {"mirror": {}},
        "rules": {"nginx": configured},
    }
    policy = next(policy for policy in mirrored.policies if policy.name == "nginx")
    policy.filters = to_json(validate(stack, {}).rules["nginx"].policy, 1)["filters"]
    assert mirrored.replicate(policy.id, start=STARTED).status == "Succeed"


def proof(run: Run, *options: str) -> Any:
    result = run("verify", "nginx", "--json", *options)
    (found,) = result.json["rules"]
    return found


def states(found: Any) -> dict[str, str | None]:
    return {image["source"].rpartition(":")[2]: image["signature"] for image in found["images"]}


def test_signatures_come_along_and_are_verified(mirrored: HarborFixture, source: RegistrySimulator, run: Run) -> None:
    signed, unsigned = (source.store.tags(REPOSITORY)[tag] for tag in ("1.25", "1.26"))
    for kind in ("sig", "att"):
        sign(source.store, REPOSITORY, signed, kind=kind)
    replicate(mirrored, signatures=True)
    stored = mirrored.images.tags("mirror/library/nginx")
    assert stored.keys() == {"1.25", "1.26", *(f"sha256-{signed[7:]}.{kind}" for kind in ("sig", "att"))}
    found = proof(run)
    assert found["ok"], found
    assert (found["equal"], found["signed"], found["signatures"]) == (4, 1, 1)
    expected = {"1.25": "copied", "1.26": "unsigned", **dict.fromkeys(stored.keys() - {"1.25", "1.26"})}
    assert states(found) == expected
    assert "equal 4/4, 1/1 signatures" in run("verify", "nginx").out
    listed = {tag["name"] for artifact in _artifacts(mirrored) for tag in artifact["tags"] or ()}
    assert f"sha256-{signed[7:]}.sig" not in listed, "Harbor shows it as an accessory"
    assert unsigned not in str(stored.keys())


def _artifacts(mirrored: HarborFixture) -> list[Any]:
    with Harbor(mirrored.url, ADMIN, PASSWORD) as client:
        return client.artifacts("mirror/library/nginx")


def test_a_signature_that_is_gone_from_harbor_is_missing(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run
) -> None:
    tag = f"sha256-{source.store.tags(REPOSITORY)['1.25'][7:]}.sig"
    sign(source.store, REPOSITORY, source.store.tags(REPOSITORY)["1.25"])
    replicate(mirrored, signatures=True)
    mirrored.delete_tag("mirror/library/nginx", tag)
    found = proof(run)
    assert not found["ok"]
    assert (found["missing"], found["signed"], found["signatures"]) == (1, 1, 0)
    assert states(found)["1.25"] == "missing"


def test_a_referrer_without_a_tag_does_not_come_along_and_that_is_said(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run
) -> None:
    sign_as_referrer(source.store, REPOSITORY, descriptor(source, "1.25"))
    replicate(mirrored, signatures=True)
    result = run("verify", "nginx")
    assert result.code == 0, "no rule can copy it, so verify does not fail"
    says = "its signature is an OCI referrer without a tag, which Harbor does not copy from this source"
    assert f"signature missing: {mirrored.url.removeprefix('http://')}/mirror/library/nginx:1.25 ({says})" in result.out
    assert "equal 2/2, 0/1 signatures" in result.out


def test_rules_without_signatures_are_examined_on_request(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run
) -> None:
    sign(source.store, REPOSITORY, source.store.tags(REPOSITORY)["1.25"])
    replicate(mirrored)
    source.requests.clear()
    plain = proof(run)
    assert (plain["signed"], set(states(plain).values())) == (None, {None})
    assert not [entry.path for entry in source.requests if "referrers" in entry.path or ".sig" in entry.path]
    found = proof(run, "--signatures")
    assert found["ok"]
    assert states(found) == {"1.25": "missing", "1.26": "unsigned"}
    assert "signatures: true of the rule copies it)" in run("verify", "nginx", "--signatures").out


def test_a_source_without_the_referrers_api_is_asked_once(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run
) -> None:
    replicate(mirrored, signatures=True)
    source.faults.add(Fault("/referrers/", 404, times=9))
    source.requests.clear()
    assert set(states(proof(run)).values()) == {"unsigned"}
    assert len([entry for entry in source.requests if "/referrers/" in entry.path]) <= 2


def test_a_source_that_does_not_tell_leaves_the_signature_unknown(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run
) -> None:
    replicate(mirrored, signatures=True)
    source.faults.add(Fault("/referrers/", 403, times=9))
    found = proof(run)
    assert found["ok"]
    assert (found["signed"], set(states(found).values())) == (None, {None})


def test_from_another_harbor_the_signatures_follow_their_image(mirrored: HarborFixture, run: Run) -> None:
    port = free_port()
    other = HarborFixture(f"http://127.0.0.1:{port}")
    other.add_project("team")
    images = {tag: other.push("team/app", tag, f"app-{tag}").digest for tag in ("1.0", "2.0")}
    with serve(other.app, port=port):
        for digest in images.values():
            sign(other.images, "team/app", digest)
        manifest = other.images.manifest("team/app", images["1.0"])
        assert manifest is not None
        image = Descriptor(manifest.media_type, manifest.digest, len(manifest.body))
        referrer = sign_as_referrer(other.images, "team/app", image)
        credential = Credential("basic", ADMIN, PASSWORD)
        registry = mirrored.add_registry("other", other.url, type="harbor", credential=credential)
        policy = mirrored.add_policy("app", registry, repositories="team/app", tags="1.*")
        mirrored.replicate(policy, start=STARTED)
        assert mirrored.images.tags("mirror/team/app").keys() == {"1.0", f"sha256-{images['1.0'][7:]}.sig"}
        assert mirrored.images.manifest("mirror/team/app", referrer.digest) is not None
        given = {"MIRRORCTL_SOURCE_OTHER_USERNAME": ADMIN, "MIRRORCTL_SOURCE_OTHER_PASSWORD": PASSWORD}
        (found,) = run("verify", "app", "--signatures", "--json", **given).json["rules"]
        assert (found["ok"], found["signed"], found["signatures"]) == (True, 1, 1)
