"""The client of Linode's API that `recover` uses: what it says when Linode fails, at each of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from harbor_mirror.http import Retry
from harbor_mirror.linode import Linode, LinodeError
from localcloud.faults import FAULTS
from localcloud.http import serve
from localcloud.linode import LinodeSimulator

TOKEN = "Token-Of-The-Account-1"
#: Every call of `recover`; each must name itself in an error.
CALLS = {
    "/linode/instances": lambda client: client.find("/linode/instances", label="harbor-dev"),
    "/volumes": lambda client: client.find("/volumes", label="harbor-dev-data"),
    "/networking/ips": lambda client: client.find("/networking/ips", region="sg-sin-2", reserved=True),
    "/object-storage/keys": lambda client: client.find("/object-storage/keys", label="harbor-dev-settings-server"),
    "/object-storage/keys/7": lambda client: client.delete("/object-storage/keys/7"),
}
#: Seconds of the shortened silence, and of the client's patience.
SILENCE, PATIENCE = 3.0, httpx.Timeout(1.0)


@pytest.fixture(scope="module")
def linode() -> Iterator[tuple[LinodeSimulator, str]]:
    with LinodeSimulator(TOKEN, lambda _: None) as simulator, serve(simulator.app) as server:  # type: ignore[arg-type,return-value]
        yield simulator, server.url


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_names_the_call_and_never_the_token(
    linode: tuple[LinodeSimulator, str], name: str, path: str
) -> None:
    simulator, url = linode
    fault = replace(FAULTS[name], path=f"{path}$", times=None, delay=SILENCE if name == "silence" else 0.0)
    with Linode(url, TOKEN, Retry(attempts=2, base_seconds=0, sleep=lambda _: None), timeout=PATIENCE) as client:
        simulator.faults.clear()
        CALLS[path](client)
        simulator.faults.add(fault)
        is_delete = path.endswith("/7")
        if is_delete and name == "404":
            CALLS[path](client)
            return
        with pytest.raises(LinodeError) as caught:
            CALLS[path](client)
    assert path in str(caught.value)
    assert "Linode" in str(caught.value)
    assert TOKEN not in str(caught.value)
    simulator.faults.clear()


def test_a_wrong_token_is_named(linode: tuple[LinodeSimulator, str]) -> None:
    with Linode(linode[1], "Another-Token") as client, pytest.raises(LinodeError, match="401") as caught:
        client.find("/volumes", label="x")
    assert "Another-Token" not in str(caught.value)
