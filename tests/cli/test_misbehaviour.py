"""Messages for a Harbor that is slow, fails, closes connections or sends malformed responses.

tests/faults tries them with every command.
"""

from __future__ import annotations

import pytest

from localcloud.faults import Fault
from tests.cli.conftest import Run
from tests.cli.harbor_fixture import HarborFixture


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
