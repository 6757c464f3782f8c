"""Globs for lists of tags: exact, short, within Harbor's limit."""

import random
import resource
import subprocess
import sys

import pytest

from harbor_mirror.plan.globs import matches
from harbor_mirror.plan.tag_globs import cover
from tests.tag_lists import expressions, tag_lists


def matched(globs: list[str] | None, tags: list[str]) -> list[str]:
    assert globs is not None
    return [tag for tag in tags if any(matches(glob, tag) for glob in globs)]


def test_300_expressions_match_exactly_what_they_select() -> None:
    tried = 0
    for tags in tag_lists(30):
        for expression in expressions(tags, 10):
            wanted = expression.select(tags)
            unwanted = [tag for tag in tags if tag not in wanted]
            for limit in (900, 150):
                globs = cover(wanted, unwanted, limit, most=60)
                assert matched(globs, tags) == sorted(wanted), (expression, globs)
                assert all(len(glob) <= limit for glob in globs or ())
            tried += 1
    assert tried == 300


@pytest.mark.parametrize(
    ("wanted", "unwanted", "glob"),
    [
        ("1.25.0 1.25.1 1.25.2", "1.24.0 1.26.0", "1.25.[0-2]"),
        ("1.25.0 1.26.1 1.27.2", "1.24.0 1.26.0-alpine", "1.2[5-7].[0-2]"),
        ("1.25.0 1.26.1 1.27.2", "1.25.2", "1.2{5.0,6.1,7.2}"),
        ("1.9 1.10 1.11", "1.8", "1.{1[01],9}"),
        ("1.27 1.27.1", "1.27-alpine", "1.27{,.1}"),
        ("1.25-alpine 1.25-perl 1.26-alpine 1.26-perl", "1.25 1.26", "1.2[56]-{alpine,perl}"),
        ("latest", "1.0", "latest"),
        ("main stable", "latest", "{main,stable}"),
        # Letters are never generalised: "sha-[0-9a-f]…" would take tomorrow's commits.
        ("sha-0a sha-1b", "", "sha-{0a,1b}"),
    ],
)
def test_the_shortest_glob(wanted: str, unwanted: str, glob: str) -> None:
    assert cover(wanted.split(), unwanted.split(), 900, most=1) == [glob]


def test_a_list_that_fits_has_no_star() -> None:
    tags = [f"1.{minor}.{patch}-r{revision}" for minor in range(9) for patch in range(9) for revision in range(9)]
    assert cover(tags, [], 900, most=20) == ["1.[0-8].[0-8]-r[0-8]"]


def test_a_list_that_does_not_fit_gets_stars_before_it_gets_more_policies() -> None:
    chance = random.Random(1)
    commits = [f"main-{chance.getrandbits(40):010x}" for _ in range(500)]
    assert cover(commits, ["latest", "mail"], 900, most=20) == ["main-*"]


def test_more_policies_where_stars_do_not_help() -> None:
    chance = random.Random(1)
    commits = [f"{chance.getrandbits(40):010x}" for _ in range(200)]
    wanted, unwanted = commits[:100], commits[100:]
    globs = cover(wanted, unwanted, 300, most=20)
    assert globs is not None
    assert len(globs) > 1
    assert matched(globs, commits) == wanted
    assert cover(wanted, unwanted, 300, most=1) is None


def test_another_tag_changes_only_the_last_glob() -> None:
    chance = random.Random(1)
    commits = [f"{chance.getrandbits(40):010x}" for _ in range(200)]
    before = cover(commits[:100], commits[100:199], 300, most=20)
    after = cover([*commits[:100], commits[199]], commits[100:199], 300, most=20)
    assert before is not None
    assert after is not None
    assert before[:-1] == after[: len(before) - 1]


TEN_THOUSAND = """
import random, sys
from harbor_mirror.plan.tag_expressions import TagExpression
from harbor_mirror.plan.tag_globs import cover
chance = random.Random(1)
tags = [f"{a}.{b}.{c}{s}" for a in range(4) for b in range(25) for c in range(25) for s in ("", "-alpine", "-rc1")]
tags += [f"main-{chance.getrandbits(28):07x}" for _ in range(2500)]
for expression in (TagExpression(semver=">=1.3 <3"), TagExpression(regex="[02468]$"), TagExpression(latest=300)):
    wanted = expression.select(tags)
    assert cover(wanted, sorted(set(tags).difference(wanted)), 900, most=20) is not None
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_10_000_tags_stay_small() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", TEN_THOUSAND], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 150, "MB"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 60, "seconds of CPU"
