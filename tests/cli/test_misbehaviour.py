"""Tests of every command with a Harbor that is slow, fails, closes connections or sends malformed responses."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from localcloud.faults import Fault
from mirrorctl.offline.schemas import report_schema
from tests.cli.conftest import Result, Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import PASSWORD, HarborFixture

COMMANDS = {
    "sync": ("sync", "nginx"),
    "verify": ("verify",),
    "status": ("status",),
    "logs": ("logs", "nginx"),
    "report": ("report", "--html", "page.html"),
    "drift": ("drift", "--fix"),
    "doctor": ("doctor",),
    "adopt": ("adopt", "--name", "NEW"),
    "rotate-admin-password": ("rotate-admin-password", "--generate"),
}
OF_A_STACK = {"drift", "rotate-admin-password"}
REFUSED = '{"errors":[{"code":"X","message":"not so"}]}'
#: What comes instead of every answer.
FAULTS = {
    "401": Fault("/api/", 401, REFUSED),
    "403": Fault("/api/", 403, REFUSED),
    "409": Fault("/api/", 409, REFUSED),
    "412": Fault("/api/", 412, REFUSED),
    "429": Fault("/api/", 429, ""),
    "500": Fault("/api/", 500, REFUSED),
    "502": Fault("/api/", 502, "<html>Bad Gateway</html>"),
    "page": Fault("/api/", 200, "<html>Welcome</html>"),
    "broken": Fault("/api/", 200, "{broken"),
    "null": Fault("/api/", 200, "null"),
    "text": Fault("/api/", 200, '"text"'),
    "object": Fault("/api/", 200, '{"a": 1}'),
    "numbers": Fault("/api/", 200, "[1]"),
    "empty": Fault("/api/", 200, "[{}]"),
    "cut": Fault("/api/", close="during"),
}
#: What a Harbor that goes down does while a command works; the rest shows from its first answer.
IN_THE_MIDDLE = ("500", "502", "cut")


@pytest.fixture
def used_harbor(mirrored: HarborFixture, run: Run) -> HarborFixture:
    """A Harbor whose rules have run."""
    assert run("sync", "--all", "--wait").code == 0
    mirrored.faults.requests.clear()
    return mirrored


def api_requests(harbor: HarborFixture) -> int:
    """Return the number of API requests since the last call."""
    count = sum(path.startswith("/api/") for _, path in harbor.calls())
    harbor.faults.requests.clear()
    return count


def valid(report: str, command: str) -> bool:
    """Return whether the text matches the schema of the command's report or of an error."""
    found = json.loads(report)
    schema = report_schema("error" if "error" in found else command)
    return not list(Draft202012Validator(schema).iter_errors(found))


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_a_harbor_that_fails_at_the_start_or_halfway(
    used_harbor: HarborFixture, run: Run, stack: FakeStack, name: str
) -> None:
    fresh = itertools.count()

    def command() -> Result:
        used_harbor.set_password(PASSWORD)
        words = [word.replace("NEW", f"new{next(fresh)}") for word in COMMANDS[name]]
        return run(*words, "--json", **stack.environment if name in OF_A_STACK else {})

    run("session")
    login = api_requests(used_harbor)
    assert command().code in (0, 2)
    middle = (login + api_requests(used_harbor)) // 2
    for kind, fault in FAULTS.items():
        for after in (login, middle) if kind in IN_THE_MIDDLE else (login,):
            used_harbor.faults.clear()
            used_harbor.faults.add(replace(fault, times=None, skip=after))
            result = command()
            details = f"{kind} after {after} requests: {result}"
            # For accounts without the permission, doctor reports "unknown", which is not a bad finding.
            assert result.code in ((0, 1, 2) if (name, kind) == ("doctor", "403") else (1, 2)), details
            assert "Traceback" not in result.err, details
            assert valid(result.out, name), details


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault("/policies", 403, '{"errors":[{"code":"FORBIDDEN","message":"forbidden"}]}'),
            "403 to GET /api/v2.0/repl",
        ),
        (
            Fault("/policies", 409, '{"errors":[{"message":"conflict"}]}'),
            "409 to GET /api/v2.0/replication/policies: c",
        ),
        (Fault("/policies", 412, '{"errors":[{"message":"not now"}]}'), "not now"),
        (Fault("/policies", 429, "", times=99), "answered 429"),
        (Fault("/policies", 500, times=99), "internal server error"),
        (Fault("/policies", 502, "<html>Bad Gateway</html>", times=99), "a proxy answers in place of Harbor"),
        (Fault("/policies", 200, "<html>Welcome</html>"), "not JSON but"),
        (Fault("/policies", 200, "{broken"), "invalid JSON"),
        (Fault("/policies", 200, '{"a": 1}'), "not a list of objects but"),
        (Fault("/policies", close="during", times=99), "broke off in the middle"),
        (Fault("/users/current", 401, '{"errors":[{"message":"unauthorized"}]}', times=99), "rejects the password"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else None,
)
@pytest.mark.usefixtures("quick_retries")
def test_error_responses_become_one_message(mirrored: HarborFixture, run: Run, fault: Fault, message: str) -> None:
    mirrored.faults.add(fault)
    result = run("sync", "nginx")
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.usefixtures("quick_retries")
def test_an_unreachable_harbor(run: Run) -> None:
    result = run("verify", HARBOR_URL="http://127.0.0.1:1")
    assert result.code == 1
    assert "connection refused" in result.err


@pytest.mark.usefixtures("quick_retries")
def test_errors_as_json(run: Run) -> None:
    result = run("verify", "--json", HARBOR_URL="http://127.0.0.1:1")
    assert result.code == 1
    assert "connection refused" in result.json["error"]


def test_a_slow_harbor_is_waited_for(mirrored: HarborFixture, run: Run) -> None:
    mirrored.faults.add(Fault("/policies", delay=2.0))
    assert run("sync", "nginx").code == 0
