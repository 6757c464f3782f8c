"""Generated lists of tags, as sources have them, and expressions over them; the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from harbor_mirror.plan.tag_expressions import TagExpression


def tag_lists(count: int, seed: int = 16) -> Iterator[list[str]]:
    """Yield lists of 5 to 60 tags: releases with their suffixes, moving tags, dates, hashes."""
    chance = random.Random(seed)
    for _ in range(count):
        makers = chance.sample([_release, _suffixed, _calendar, _commit, _moving], chance.randint(1, 4))
        yield sorted({chance.choice(makers)(chance) for _ in range(chance.randint(5, 60))})


def expressions(tags: list[str], count: int, seed: int = 16) -> Iterator[TagExpression]:
    """Yield expressions that select some of the tags."""
    chance = random.Random(f"{seed}{tags}")
    while count:
        expression = _expression(chance)
        if expression.select(tags):
            count -= 1
            yield expression


def _expression(chance: random.Random) -> TagExpression:
    low = f"{chance.randint(0, 3)}.{chance.randint(0, 12)}"
    ranges = [f">={low}", f"<{low}", f"^{low}", f"~{low}", f"!={low}", f"{low} || >=20", f"{low}.x", f">={low}-0", "*"]
    regexes = [
        "^v",
        r"\d$",
        "[a-f]",
        "alpine",
        r"^[^-]+$",
        "[02468]",
        f"^v?{chance.randint(0, 3)}",
        "-",
        "rc|beta",
        ".",
    ]
    kinds = {
        "semver": chance.choice(ranges),
        "regex": chance.choice(regexes),
        "latest": chance.randint(1, 12),
        "suffix": chance.choice(["-alpine", "-perl", "-alpine3.20"]),
    }
    keys = chance.sample([*kinds, "semver", "regex"], chance.randint(1, 3))
    excludes = ("*-rc*", "*[13579]", "latest")[: chance.choice([0, 0, 1, 3])]
    return TagExpression(**{key: kinds[key] for key in keys}, excludes=excludes)  # type: ignore[arg-type]


def _release(chance: random.Random) -> str:
    parts = [chance.randint(0, 3), chance.randint(0, 14), chance.randint(0, 11), chance.randint(0, 3)]
    return chance.choice(["", "", "v"]) + ".".join(map(str, parts[: chance.choice([1, 2, 3, 3, 3, 4])]))


def _suffixed(chance: random.Random) -> str:
    suffix = chance.choice(
        ["alpine", "alpine3.20", "rc1", "rc.2", "beta.1", "perl", "debian-12-r7", "r3", "windows_ltsc"]
    )
    return f"{_release(chance)}-{suffix}"


def _calendar(chance: random.Random) -> str:
    year, month, day = chance.randint(2022, 2026), chance.randint(1, 12), chance.randint(1, 28)
    return chance.choice([f"{year}.{month:02}.{day:02}", f"{year % 100}.{month:02}", f"{year}-{month:02}-{day:02}"])


def _commit(chance: random.Random) -> str:
    return chance.choice(["", "main-", "sha-"]) + f"{chance.getrandbits(28):07x}"


def _moving(chance: random.Random) -> str:
    return chance.choice(["latest", "stable", "edge", "main", "nightly", "Latest_2", "1-alpine", "mainline"])
