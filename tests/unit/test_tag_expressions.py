"""Which tags an expression selects: version ranges, regular expressions, the latest n."""

import pytest

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_versions import VersionRange, parse_version

NGINX = [
    *("latest", "mainline", "1", "1.26", "1.27", "1.25.5", "1.26.3", "1.27.0", "1.27.1", "1.27.10", "1.27.2"),
    *("1.27-alpine", "1.27.0-alpine", "1.27.1-alpine", "1.28.0-rc1", "2.0.0", "v1.27.3", "1.27.1-perl"),
]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.25 <2", ["1.25", "1.25.0", "1.99.9", "v1.30"], ["1.24.9", "2", "2.0.0", "1.26.0-rc1"]),
        (">= 3.12.0", ["3.12.0", "4.0.0"], ["3.11.9"]),
        (">=1.25, <1.27", ["1.26.9"], ["1.27.0"]),
        ("^1.2.3", ["1.2.3", "1.9"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.9.9"], ["2.0"]),
        ("1.x", ["1", "1.0", "1.9.9"], ["2.0"]),
        ("1.2.*", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("1.2", ["1.2", "1.2.0", "1.2.9"], ["1.3"]),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("!=1.2.3", ["1.2.4"], ["1.2.3"]),
        ("1.2 - 1.4", ["1.2.0", "1.4.9"], ["1.5.0"]),
        ("<=1.4", ["1.4.9"], ["1.5.0"]),
        (">1.4", ["1.5.0"], ["1.4.9"]),
        (">1.4.0", ["1.4.1"], ["1.4.0"]),
        ("1.25.x || >=3", ["1.25.1", "3.0"], ["1.26.0", "2.0"]),
        ("*", ["0.1", "99"], ["1.0-rc1"]),
        (">=1.28.0-rc.1", ["1.28.0-rc1", "1.28.0-rc.2", "1.28.0"], ["1.28.0-beta.1"]),
        (">=1.28-0", ["1.28.0-alpha.1", "1.28.0"], ["1.27.9"]),
        (">=22.04 <=24.04", ["22.04", "23.10", "24.04"], ["24.10"]),
        (">=2024.01.15", ["2024.1.15", "2024-02-01"], ["2024-01-14"]),
        (">=10.0.20348", ["10.0.20348.2582"], ["10.0.17763.6000"]),
    ],
)
def test_a_range_selects_the_same_versions_as_npm_and_skopeo(text: str, inside: list[str], outside: list[str]) -> None:
    versions = VersionRange.parse(text)
    for tag in (*inside, *outside):
        version = parse_version(tag)
        assert version is not None, tag
        assert (version in versions) == (tag in inside), tag


@pytest.mark.parametrize("text", ["", "latest", ">=", ">=1.2 foo", "1.2.3-alpine", ">=1.25 <", "||", ">=1 || "])
def test_a_range_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is not a version range"):
        VersionRange.parse(text)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        (TagExpression(semver=">=1.26 <2"), "1.26 1.26.3 1.27 1.27.0 1.27.1 1.27.2 v1.27.3 1.27.10"),
        (TagExpression(semver=">=1.26 <2", latest=2), "v1.27.3 1.27.10"),
        # Tags of one version count once.
        (TagExpression(semver="<=1.27.0 >=1.26", latest=1), "1.27 1.27.0"),
        (TagExpression(semver=">=1.26 <2", excludes=("v*", "*.10")), "1.26 1.26.3 1.27 1.27.0 1.27.1 1.27.2"),
        (TagExpression(semver=">=1.26 <2", excludes=("*.10",), latest=1), "v1.27.3"),
        (TagExpression(semver="1.x", suffix="-alpine"), "1.27-alpine 1.27.0-alpine 1.27.1-alpine"),
        (TagExpression(suffix="-alpine", latest=1), "1.27.1-alpine"),
        (TagExpression(latest=2), "1.27.10 2.0.0"),
        (TagExpression(semver=">=1.28-0 <2"), "1.28.0-rc1"),
        (TagExpression(semver=">=1.26", regex="^v"), "v1.27.3"),
        (TagExpression(regex=r"^1\.27\.\d$"), "1.27.0 1.27.1 1.27.2"),
        (TagExpression(regex="^(latest|mainline)$"), "latest mainline"),
        (TagExpression(regex="perl"), "1.27.1-perl"),
        (TagExpression(regex="-rc"), "1.28.0-rc1"),
        (TagExpression(regex="nothing"), ""),
    ],
)
def test_an_expression_selects(expression: TagExpression, selected: str) -> None:
    assert expression.select(NGINX) == selected.split()


def test_tags_without_a_version_are_in_natural_order() -> None:
    tags = ["RELEASE.2024-10-02T17-50-41Z", "RELEASE.2024-9-30T08-00-00Z", "RELEASE.2025-01-20T14-49-07Z", "latest"]
    expression = TagExpression(regex="^RELEASE", latest=2)
    assert expression.select(tags) == ["RELEASE.2024-10-02T17-50-41Z", "RELEASE.2025-01-20T14-49-07Z"]


def test_a_regular_expression_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Refused, match="is not a regular expression"):
        TagExpression(regex="^(1")
