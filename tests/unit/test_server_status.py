"""What doctor and drift read from a server's status document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harbor_mirror.host.status import server_findings

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "schema": 1,
    "writtenAt": "2026-01-10T11:30:00Z",
    "version": "2.15.1",
    "runs": {"harbor": {"result": "done", "at": "2026-01-10T04:00:00Z", "reason": None}, "restore": None},
    "backup": {"lastComplete": "20260110T031500Z", "encrypted": True, "at": "03:15"},
    "packages": {"pending": 0, "pendingSince": None, "checkedAt": "2026-01-10T11:30:00Z"},
    "rebootRequired": False,
    "clockSynchronized": True,
}


def states(document: Any) -> dict[str, str]:
    return {finding.subject: finding.state for finding in server_findings(document, NOW)}


def test_server_without_problems() -> None:
    assert states(GOOD) == {"server": "ok", "backup": "ok", "updates": "ok"}


@pytest.mark.parametrize(
    ("change", "subject", "state", "text"),
    [
        ({"writtenAt": "2026-01-09T11:30:00Z"}, "server", "bad", "24 h ago"),
        ({"backup": None}, "backup", "warning", "no backup is configured"),
        ({"backup": {"lastComplete": None, "encrypted": True}}, "backup", "warning", "no complete backup yet"),
        ({"backup": {"lastComplete": "20260109T031500Z", "encrypted": True}}, "backup", "warning", "32 h old"),
        ({"backup": {"lastComplete": "20260107T031500Z", "encrypted": True}}, "backup", "bad", "3 days old"),
        ({"backup": {"lastComplete": "20260110T031500Z", "encrypted": False}}, "backup", "warning", "not encrypted"),
        (
            {"runs": {"backup": {"result": "failed", "at": "2026-01-10T03:16:00Z", "reason": "blobs: target full"}}},
            "server backup", "bad", "blobs: target full",
        ),
        ({"packages": {"pending": 7, "pendingSince": "2026-01-01T00:00:00Z"}}, "updates", "ok", "7 packages"),
        ({"packages": {"pending": 7, "pendingSince": "2025-12-20T00:00:00Z"}}, "updates", "warning", "21 days"),
        ({"packages": {"pending": 7, "pendingSince": "2025-10-01T00:00:00Z"}}, "updates", "bad", "101 days"),
        ({"packages": None}, "updates", "unknown", "not been counted"),
        ({"rebootRequired": True}, "updates", "warning", "reboot"),
        ({"clockSynchronized": False}, "server clock", "warning", "not synchronized"),
    ],
)  # fmt: skip
def test_each_problem_is_named(change: dict[str, Any], subject: str, state: str, text: str) -> None:
    findings = [finding for finding in server_findings({**GOOD, **change}, NOW) if finding.subject == subject]
    assert any(finding.state == state and text in finding.text for finding in findings), findings
    assert all(finding.advice for finding in findings if finding.state in {"warning", "bad"})


@pytest.mark.parametrize("document", [None, {}, {"schema": 2}, {**GOOD, "writtenAt": "yesterday"}, {"errors": []}])
def test_a_missing_document_is_a_problem(document: Any) -> None:
    assert states(document) == {"server": "unknown"}


def test_values_of_other_types_do_not_raise() -> None:
    values: tuple[Any, ...] = (None, 3, "x", [], {"a": []})
    for key in GOOD:
        for value in values:
            list(server_findings({**GOOD, key: value}, NOW))
