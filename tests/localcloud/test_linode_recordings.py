"""Compares the simulated Linode API with recordings of the real provider plugin (data/linode/recordings.jsonl.gz).

Each line is a recorded account: phases (one command of the engine each) with calls in order. The requests are the real
plugin's. The answers are those of a stub that was written for the recording. They contain the fields that the plugin
needs, so the simulator must return each of them with the same JSON type. If the stub is known to differ from the real
API, the simulator follows the real API, and DIFFERENCES lists the difference.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.faults import Fault
from localcloud.http import serve
from localcloud.linode import LinodeSimulator

RECORDINGS = Path(__file__).parents[1] / "data" / "linode" / "recordings.jsonl.gz"
TOKEN = "recorded-token"
PATIENCE = 20.0
_SETTLED = ("running", "offline", "active", "finished")
_IDS = ("id", "linode_id", "disk_id", "volume_id", "firewall_id", "config_id", "entity.id")
_IP = re.compile(r"\d+\.\d+\.\d+\.\d+")
_INJECTED = (429, 500, 502, 503)

# What is answered differently on purpose: pattern over "phase: METHOD path: finding" -> why.
DIFFERENCES = {
    r"GET /v\w+/linode/types: data is shorter": (
        "the provider asks for page 100 of one page; the stub ignored the number, the real API pages"
    ),
    r"rdns is null, recorded str": "a reserved address has a default name only while it is assigned (real API)",
    r"/configs.*: (data\[\]\.)?init_rd is missing": "the real API calls this field initrd in its answers",
    r"/configs.*: (data\[\]\.)?interfaces is list, recorded null": "the real API answers [] for null",
    r"/ips: ipv4\.reserved is shorter": "the real API lists an instance's reserved addresses among its public ones",
    r"/access: cors_xml is null, recorded str": "the real API has no CORS document where CORS is off",
    r"POST \S+/attach: linode_label is str, recorded null": "the real API knows the label at once",
    r"13[ef]-\S+: .*devices.sdc is null, recorded dict": "the stub's profile was mended by hand before these",
    r" \S+/ips: ipv6\.(link_local|slaac) is dict, recorded null": "every Linode has IPv6 addresses (real API)",
    r"PUT \S+/networking/ips/IP: status 400, recorded 200": (
        "the real API looks the name up; in these recordings the A record came later, or pointed elsewhere"
    ),
}
# The instance was being deleted at that moment: here it may be gone already.
MOMENTARY = r"15e-destroy: PUT .*linode_id is null, recorded number"

# The 32 requests that brought about what this phase starts from were not recorded.
LEFT_OUT = ("06b-downsize",)


@dataclass
class Account:
    """One replay: a fresh simulator, and what is called what there."""

    api: LinodeSimulator
    http: httpx.Client
    names: dict[Any, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    agreed: int = 0
    calls: int = 0


class _Nothing:
    def stop(self) -> None:
        """There is nothing to stop."""


def recorded() -> list[list[dict[str, Any]]]:
    return [json.loads(line) for line in gzip.decompress(RECORDINGS.read_bytes()).splitlines()]


def _replay(phases: list[dict[str, Any]]) -> Account:
    with (
        LinodeSimulator(TOKEN, lambda _: _Nothing(), boot_seconds=0.02, job_seconds=0.01) as api,
        serve(api.app) as server,
    ):
        api.cloud.never_running = "never-running" in phases[0]["phase"]
        with httpx.Client(base_url=server.url, timeout=PATIENCE, verify=False) as http:
            account = Account(api, http)
            for phase in (phase for phase in phases if phase["phase"] not in LEFT_OUT):
                calls = phase["calls"]
                for number, call in enumerate(calls):
                    _ask(account, phase["phase"], call, final=not _repeated(call, calls[number + 1 :]))
            return account


def _repeated(call: dict[str, Any], later: list[dict[str, Any]]) -> bool:
    """Return whether this is a poll other than the last one before a change to the resource."""
    for other in later:
        if other["method"] != "GET" and other["path"].startswith(call["path"]):
            return False
        if all(call.get(key) == other.get(key) for key in ("method", "path", "filter")):
            return True
    return False


def _ask(account: Account, phase: str, call: dict[str, Any], *, final: bool) -> None:
    account.calls += 1
    path = "/".join(str(account.names.get(part, part)) for part in _keys(call["path"]))
    headers = {} if call.get("anonymous") else {"Authorization": f"Bearer {TOKEN}"}
    if call["status"] == 401:
        headers["Authorization"] = "Bearer wrong"
    if "filter" in call:
        headers["X-Filter"] = json.dumps(_ours(account, json.loads(call["filter"])))
    status, answer = call["status"], call["response"]
    if status in _INJECTED or (status == 400 and path.endswith("/detach")):
        account.api.faults.add(Fault(f"{path}$", method=call["method"], status=status, takes_effect="created" in phase))
    if status == 404 and path.rpartition("/")[2].isdigit():
        _remove_behind_its_back(account, path)
    body = _ours(account, call["body"]) if "body" in call else None
    if call.get("dropped"):
        account.api.faults.add(Fault(f"{path}$", method=call["method"], close="before", takes_effect=True))
        with pytest.raises(httpx.RemoteProtocolError):
            account.http.request(call["method"], path, json=body, headers=headers)
        account.agreed += 1
        return

    def ask() -> httpx.Response:
        return account.http.request(
            call["method"], path, params=call.get("query"), headers=headers, **({} if body is None else {"json": body})
        )

    response = ask()
    if final and call["method"] == "GET" and status == 200:
        deadline = time.monotonic() + PATIENCE
        while not _caught_up(answer, response.json()) and time.monotonic() < deadline:
            time.sleep(0.005)
            response = ask()
    found = [] if response.status_code == status else [f"status {response.status_code}, recorded {status}"]
    if not found:
        found = _compare(answer, response.json(), "")
        if not final:
            # A poll that was repeated: what changes meanwhile may have changed sooner or later than there.
            found = [finding for finding in found if not re.search(r"is null, recorded|, recorded null", finding)]
        _learn(account, answer, response.json())
    where = _IP.sub("IP", re.sub(r"/\d+(?=/|$)", "/N", call["path"]))
    account.findings += [f"{phase}: {call['method']} {where}: {finding}" for finding in found]
    account.agreed += not found


def _keys(path: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in path.split("/")]


def _ours(account: Account, value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _ours(account, item, name) for name, item in value.items()}
    if key == "tags" and isinstance(value, list):
        # The recorded program used tags of two letters; the real API asks for three.
        return [tag if len(tag) > 2 else f"tag-{tag}" for tag in value]
    if isinstance(value, list):
        return [_ours(account, item, key) for item in value]
    if (isinstance(value, int) and key in _IDS) or (isinstance(value, str) and _IP.fullmatch(value)):
        return account.names.get(value, value)
    return value


def _learn(account: Account, recorded: Any, ours: Any, key: str = "") -> None:
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for name in recorded.keys() & ours.keys():
            _learn(account, recorded[name], ours[name], name)
    elif isinstance(recorded, list) and isinstance(ours, list):
        for theirs, other in zip(recorded, ours, strict=False):
            _learn(account, theirs, other, key)
    elif (isinstance(recorded, int) and key in _IDS) or (isinstance(recorded, str) and _IP.fullmatch(recorded)):
        account.names.setdefault(recorded, ours)


def _caught_up(recorded: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Return whether what the plugin waited for has happened here too."""
    if recorded.get("status") in _SETTLED and ours.get("status") != recorded["status"]:
        return False
    if "linode_id" in recorded and (recorded["linode_id"] is None) != (ours.get("linode_id") is None):
        return False
    return len(recorded.get("data") or []) <= len(ours.get("data") or []) or len(recorded["data"]) > 3


def _compare(recorded: Any, ours: Any, at: str) -> list[str]:
    if isinstance(recorded, dict) and isinstance(ours, dict):
        found = []
        for name, value in recorded.items():
            here = f"{at}.{name}".lstrip(".")
            found += _compare(value, ours[name], here) if name in ours else [f"{here} is missing"]
        return found
    if isinstance(recorded, list) and isinstance(ours, list):
        if len(ours) < len(recorded):
            return [f"{at} is shorter"]
        return [difference for pair in zip(recorded, ours, strict=False) for difference in _compare(*pair, f"{at}[]")]
    return [] if _kind(recorded) == _kind(ours) else [f"{at} is {_kind(ours)}, recorded {_kind(recorded)}"]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "number" if type(value) in (int, float) else type(value).__name__


def _remove_behind_its_back(account: Account, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    account.http.delete(path, headers=headers)
    deadline = time.monotonic() + PATIENCE
    while account.http.get(path, headers=headers).status_code != 404 and time.monotonic() < deadline:
        time.sleep(0.005)


def test_answers_what_the_plugin_was_answered() -> None:
    """1,147 of 1,440 calls agree in status (1,435) and in every field; the others differ as DIFFERENCES says."""
    accounts = [_replay(phases) for phases in recorded()]
    findings = [finding for account in accounts for finding in account.findings]
    unexplained = [
        finding for finding in findings if not any(re.search(known, finding) for known in (*DIFFERENCES, MOMENTARY))
    ]
    unused = [known for known in DIFFERENCES if not any(re.search(known, finding) for finding in findings)]
    assert unexplained == []
    assert unused == [], "these differences are gone: take them out"
    assert sum(account.calls for account in accounts) == 1440
    assert sum(account.agreed for account in accounts) >= 1140
