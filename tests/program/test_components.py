"""The components in another program: their checks, and outputs as arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
import trustme
from pulumi.runtime.stack import run_pulumi_func

from components import (
    InvalidArguments,
    MirrorProjectArgs,
    PullReplication,
    PullReplicationArgs,
    RegistryEndpoint,
    RegistryEndpointArgs,
)

from .conftest import Recorder

NGINX: dict[str, Any] = {"name": "nginx", "registry_id": 7, "repositories": "library/nginx", "namespace": "mirror"}
CA = trustme.CA().cert_pem.bytes().decode()
HUB: dict[str, Any] = {"name": "hub", "type": "docker-hub"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"schedule": "0 */1 * * * *"}, "schedule: '0 */1 * * * *' runs every minute; pass allow_frequent=True"),
        ({"schedule": "0 0 31 2 *"}, "schedule: '0 0 31 2 *' has five fields"),
        ({"repositories": "{a,b"}, "repositories: '{a,b' has a brace that is not closed. Example: {a,b}"),
        ({"repositories": ""}, "repositories: '' is empty"),
        ({"tag_matches": "1.*", "tag_excludes": "*"}, "tag_excludes: '*' excludes every tag"),
        ({"namespace": "Mirror"}, "namespace: 'Mirror' is"),
        ({"flatten": 3}, "flatten: 'library/nginx' has 1 leading component, but flatten is 3"),
    ],
)
def test_a_wrong_value_of_a_rule_is_an_error(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArguments) as raised:
        PullReplicationArgs(**{**NGINX, **values})
    heading, line = str(raised.value).splitlines()
    assert heading == "PullReplicationArgs nginx: 1 fault; nothing was changed:"
    assert says in line


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(InvalidArguments, match="2 faults") as raised:
        PullReplicationArgs(**{**NGINX, "schedule": "@daily", "repositories": "library/nginx:1.27"})
    assert "Example: 0 0 0 * * *" in str(raised.value)
    assert isinstance(raised.value, pulumi.RunError), "Pulumi prints it without a traceback"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"type": "dockerhub"}, "type: 'dockerhub' is not one of docker-hub,"),
        ({"type": "docker-registry"}, "url: is missing"),
        ({"url": "https://example.com"}, "url: 'https://example.com' is"),
        ({"username": "bot"}, "username: 'bot' "),
        ({"type": "github-ghcr", "secret": "Secret-Value-1"}, "username: is missing"),
        ({"name": "x" * 65}, "name: "),
        ({"ca_certificate": "certs/ca.pem"}, "ca_certificate: is not a certificate in PEM"),
        ({"ca_certificate": CA, "insecure": True}, "caCertificate: conflicts with insecure: true"),
    ],
)
def test_a_wrong_value_of_an_endpoint_is_an_error(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArguments) as raised:
        RegistryEndpointArgs(**{**HUB, **values})
    assert says in str(raised.value)
    assert "Secret-Value-1" not in str(raised.value)


def test_a_wrong_retention_is_an_error() -> None:
    with pytest.raises(InvalidArguments, match=r"retention\.keep\[0\]: keeps nothing"):
        MirrorProjectArgs(name="mirror", retention={"keep": [{"tags": "v*"}]})
    with pytest.raises(InvalidArguments, match=r"retention\.kep: is not a known key; did you mean keep\?"):
        MirrorProjectArgs(name="mirror", retention={"kep": []})


def registered(make: Callable[[], None]) -> Recorder:
    """Return the resources that a program registers under Pulumi's mocks."""
    recorder = Recorder()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(recorder, project="team", stack="test", preview=False)

    async def run() -> None:
        await run_pulumi_func(make)

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return recorder


def test_outputs_are_accepted_and_a_plain_secret_is_encrypted() -> None:
    def make() -> None:
        later = pulumi.Output.from_input("quay-bot")
        endpoint = RegistryEndpoint(
            "quay", RegistryEndpointArgs(name="quay", type="quay", username=later, secret="Quay-Secret-1")
        )
        PullReplication(
            "nginx", PullReplicationArgs(**{**NGINX, "registry_id": endpoint.registry_id, "schedule": "daily"})
        )

    made = registered(make)
    registry = made.only("Registry").inputs
    assert (registry["accessId"], registry["endpointUrl"], registry["providerName"]) == (
        "json_file",
        "https://quay.io",
        "quay",
    )
    assert registry["accessSecret"]["value"] == '{"account_name": "quay-bot", "docker_cli_password": "Quay-Secret-1"}'
    rule = made.only("Replication").inputs
    assert rule["registryId"] == 7
    second, minute, hour, *rest = rule["schedule"].split()
    assert (second, rest) == ("0", ["*", "*", "*"])
    assert minute.isdigit()
    assert hour.isdigit()
