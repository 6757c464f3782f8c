"""An endpoint whose source has a certificate of a private authority, with the real engine and program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from harbor_mirror.harbor.endpoint import show_ca
from localcloud.engine import Result
from localcloud.http import serve
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from tests.engine.conftest import SOURCE_PASSWORD, SOURCE_USERNAME, Mirror, Source
from tests.waiting import until

REGISTRY, RANDOM_ID = "harbor:index/registry:Registry", "random:index/randomId:RandomId"
OTHER_CA = trustme.CA().cert_pem.bytes().decode()


@pytest.fixture
def private() -> Iterator[tuple[str, str]]:
    """URL and CA of a registry with credentials, whose certificate no public authority has signed."""
    registry = RegistrySimulator(SOURCE_USERNAME, SOURCE_PASSWORD)
    registry.seed()
    with trust() as trusted, serve(registry.app, certificate=trusted.certificate) as served:
        yield served.url, trusted.authority


def endpoint(mirror: Mirror) -> dict[str, Any] | None:
    """Return the stack's endpoint as Harbor has it."""
    with mirror.target.client() as client:
        return next((found for found in client.registries() if found["name"] == f"{mirror.name}-docker-registry"), None)


def configure(mirror: Mirror, private: tuple[str, str]) -> dict[str, Any]:
    """Configure the stack with the private source; return the endpoint's entry, to be changed in place."""
    mirror.section("endpoints")[mirror.name] |= {"url": private[0], "username": SOURCE_USERNAME}
    mirror.workspace.configure(mirror.config)
    mirror.workspace.set_secret(f'endpoints["{mirror.name}"].secret', SOURCE_PASSWORD)
    mirror.config = mirror.workspace.configuration()
    entry: dict[str, Any] = mirror.section("endpoints")[mirror.name]
    return entry


def planned(result: Result) -> list[tuple[str, str]]:
    """Return the changes of endpoints and of what stands for their CA."""
    return [(step.op, step.name) for step in result.changes if step.type in {REGISTRY, RANDOM_ID}]


def mirrorctl(mirror: Mirror, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command for the stack; return its exit code and its report."""
    result = mirror.workspace.mirrorctl(*arguments, "--stack", mirror.workspace.stack, "--json")
    return result.returncode, json.loads(result.stdout)


def drift(mirror: Mirror, *options: str) -> tuple[int, list[tuple[str, str, str, bool]]]:
    """Return the exit code of `mirrorctl drift`, and kind, field, value and outcome of its findings about endpoints."""
    code, report = mirrorctl(mirror, "drift", *options)
    wanted = f"endpoints.{mirror.name}"
    found = [finding for finding in report["findings"] if finding["subject"] == wanted]
    return code, [(item["kind"], item["field"], item["live"], item["fixed"]) for item in found]


@pytest.mark.slow
def test_a_rule_copies_from_a_source_with_a_private_ca(mirror: Mirror, private: tuple[str, str]) -> None:
    url, ca = private
    name, stands_for_it = f"{mirror.name}-docker-registry", f"{mirror.name}-docker-registry-ca"
    entry = configure(mirror, private)

    # Harbor refuses the source, and the message says what to set.
    refused = mirror.apply()
    assert refused.code != 0
    assert f"set endpoints.{mirror.name}.caCertificate to the certificate of that authority" in " ".join(
        refused.output.split()
    )
    assert endpoint(mirror) is None

    entry["caCertificate"] = ca
    mirror.workspace.configure(mirror.config)
    preview = mirror.workspace.preview("--diff").ok()
    assert planned(preview) == [("create", stands_for_it), ("create", name)]
    assert show_ca(ca) in preview.output
    assert endpoint(mirror) is None, "a preview changes nothing"
    mirror.workspace.up().ok()
    live = endpoint(mirror)
    assert live is not None
    assert (live["url"], live["credential"]["access_key"], live.get("insecure", False)) == (url, SOURCE_USERNAME, False)
    assert show_ca(live["ca_certificate"]) == show_ca(ca)
    assert SOURCE_PASSWORD not in mirror.workspace.export()
    assert mirror.workspace.preview("--expect-no-changes").code == 0
    mirror.workspace.refresh().ok()
    assert mirror.workspace.preview("--expect-no-changes").code == 0
    with mirror.target.client() as client:
        number = client.start(mirror.policy()["id"])
        until(lambda: client.execution(number)["status"] != "InProgress", seconds=120, every=0.2)
        assert client.execution(number)["status"] == "Succeed"
    code, report = mirrorctl(mirror, "verify")
    assert code == 0, report

    # Somebody replaces the CA by hand, and takes it away: the only way that Harbor accepts is to trust everybody.
    with mirror.target.client() as client:
        path = f"/registries/{live['id']}"
        client.request("PUT", path, body={"ca_certificate": ca + OTHER_CA})
        assert drift(mirror) == (2, [("changed", "caCertificate", show_ca(ca + OTHER_CA), False)])
        client.request("PUT", path, body={"ca_certificate": "", "insecure": True})
    seen = [("changed", "insecure", "true"), ("changed", "caCertificate", "none")]
    assert drift(mirror) == (2, [(*finding, False) for finding in seen])
    assert drift(mirror, "--fix") == (0, [(*finding, True) for finding in seen])
    assert drift(mirror) == (0, [])

    # The provider's update sends no CA; a hook saves it first, also if somebody took it away.
    with mirror.target.client() as client:
        client.request("PUT", path, body={"ca_certificate": "", "insecure": True})
    entry["description"] = "with a private CA"
    mirror.apply().ok()
    live = endpoint(mirror)
    assert live is not None
    assert (live["description"], show_ca(live.get("ca_certificate", ""))) == ("with a private CA", show_ca(ca))

    # A new CA is one update, which the preview shows.
    entry["caCertificate"] = ca + OTHER_CA
    mirror.workspace.configure(mirror.config)
    preview = mirror.workspace.preview("--diff").ok()
    assert {change for change in planned(preview) if "delete" not in change[0]} == {
        ("replace", stands_for_it),
        ("create-replacement", stands_for_it),
    }
    assert show_ca(ca + OTHER_CA) in preview.output
    mirror.workspace.up().ok()
    live = endpoint(mirror)
    assert live is not None
    assert show_ca(live["ca_certificate"]) == show_ca(ca + OTHER_CA)
    assert mirror.workspace.preview("--expect-no-changes").code == 0

    mirror.workspace.destroy().ok()
    assert endpoint(mirror) is None


@pytest.mark.slow
def test_what_a_killed_run_left_is_taken_over_and_another_endpoint_is_not(
    mirror: Mirror, source: Source, private: tuple[str, str]
) -> None:
    configure(mirror, private)["caCertificate"] = private[1]
    body = {"name": f"{mirror.name}-docker-registry", "type": "docker-registry"}
    with mirror.target.client() as client:
        client.request("POST", "/registries", body={**body, "url": source.url})
        other = endpoint(mirror)
        assert other is not None
        refused = mirror.apply()
        assert refused.code != 0
        assert f"this Harbor has another endpoint called {body['name']}, with {source.url}" in refused.output
        assert endpoint(mirror) == other
        client.request("DELETE", f"/registries/{other['id']}")

        # What the hook of a run that was killed has created.
        credential = {"type": "basic", "access_key": SOURCE_USERNAME, "access_secret": SOURCE_PASSWORD}
        body |= {"url": private[0], "ca_certificate": private[1]}
        client.request("POST", "/registries", body={**body, "credential": credential})
    left = endpoint(mirror)
    assert left is not None
    mirror.workspace.up().ok()
    live = endpoint(mirror)
    assert live is not None
    assert live["id"] == left["id"]
    assert mirror.workspace.preview("--expect-no-changes").code == 0

    # Somebody deletes it with its rule.
    with mirror.target.client() as client:
        client.request("DELETE", f"/replication/policies/{mirror.policy()['id']}")
        client.request("DELETE", f"/registries/{left['id']}")
    mirror.workspace.up("--refresh").ok()
    live = endpoint(mirror)
    assert live is not None
    assert show_ca(live["ca_certificate"]) == show_ca(private[1])
    assert mirror.policy()["src_registry"]["id"] == live["id"]
    assert mirror.workspace.preview("--expect-no-changes").code == 0
