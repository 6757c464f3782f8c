"""The short form of the load trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.load import SHORT, trial


@pytest.mark.timeout(1200)
def test_fifty_runs_at_once_stay_within_memory_and_connections(tmp_path: Path) -> None:
    row = trial(tmp_path, SHORT, print)
    assert row.failures == []
    assert row.executions == SHORT.executions
