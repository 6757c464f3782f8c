"""The metadata service is closed to everything but root: real nftables rules in network namespaces of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.machine import Machine

Make = Callable[..., Machine]
#: A host with a container, and the metadata service behind it: three network namespaces. Prints one line a request.
NETWORK = (Path(__file__).parent / "metadata-network.sh").read_text()


def _asked(server: Machine, script: str) -> list[str]:
    status, output = server.run("unshare", "--net", "bash", "-c", NETWORK + script)
    assert status == 0, output
    return [line for line in output.splitlines() if line.endswith((" open", " closed"))]


@pytest.fixture
def server(machine: Make) -> Machine:
    """A machine with the real nft."""
    made = machine()
    made.path("/usr/local/bin/nft").unlink()
    return made


def test_only_root_reads_user_data_from_before_docker_on(server: Machine) -> None:
    unit = server.text("/etc/systemd/system/harbor-metadata.service")
    load = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    asked = _asked(
        server,
        f"""
        ask without-rules-caddy caddy
        {load[0]}
        {load[0]}
        ask root env
        ask caddy caddy
        ask container container
        """,
    )
    assert asked[:2] == ["without-rules-caddy open"] * 2, "the test's network lets everybody in"
    assert asked[2:] == ["root open"] * 2 + ["caddy closed"] * 2 + ["container closed"] * 2


def test_flushed_rules_are_loaded_again(server: Machine) -> None:
    asked = _asked(
        server,
        """
        nft -f /etc/harbor-mirror/metadata.nft
        nft flush ruleset
        ask flushed caddy
        /usr/local/sbin/harbor-status --packages
        ask hourly caddy
        ask container container
        """,
    )
    assert asked == ["flushed open"] * 2 + ["hourly closed"] * 2 + ["container closed"] * 2


def test_nothing_starts_while_the_metadata_service_is_open(machine: Make) -> None:
    server = machine()
    server.stub("nft-fails", "1\n")
    assert server.bootstrap() == 1
    assert server.failed == "metadata: the metadata service could not be closed"
    assert not server.called("apt-get")
    assert not server.called("docker")
    assert server.bootstrap() == 0, server.output
    assert server.calls.index("nft -f /etc/harbor-mirror/metadata.nft") == 0, "before anything else"
