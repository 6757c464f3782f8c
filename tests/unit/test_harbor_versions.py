"""Warnings for old versions of Harbor; none for new or unreadable ones."""

from __future__ import annotations

import pytest

from harbor_mirror.plan.harbor_versions import lacking


@pytest.mark.parametrize("version", ["v2.9.0-1a2b3c", "v2.15.2-abc", "2.10.0", "v3.0.0", "", "dev"])
def test_supported_versions_get_no_warning(version: str) -> None:
    assert lacking(version) == ()


@pytest.mark.parametrize(
    ("version", "count", "words"),
    [
        ("v2.8.4-1a2b3c", 2, "schedules are not checked"),
        ("2.6.0", 3, "copyByChunk is unknown"),
        ("v2.5.0", 4, "the audit log can't be purged"),
        ("v2.3.1", 5, "tags.excludes and speedKbps"),
        ("v2.2.0", 6, "flatten is unknown"),
        ("v1.10.0", 6, "flatten is unknown"),
    ],
)
def test_older_versions_get_a_warning_for_each_missing_feature(version: str, count: int, words: str) -> None:
    first, *rest = lacking(version)
    assert first == f"this Harbor is {version}; harbor-mirror supports 2.9 and later"
    assert len(rest) == count - 1
    assert any(words in text for text in rest)
