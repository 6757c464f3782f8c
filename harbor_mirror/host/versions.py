"""Harbor's releases: which PostgreSQL each brings, and which version may follow which.

Harbor's database container takes a data directory of exactly two PostgreSQL majors: its own and the one before.
Finding neither, it starts an EMPTY database beside the old one and says nothing. So a release that is not in this
table is refused: its majors must be looked up first (the ENTRYPOINT line of make/photon/db/Dockerfile at its tag).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harbor_mirror.plan.harbor_versions import MINORS_PER_STEP


class UpgradeRefused(ValueError):
    """A change of version that would lose the database or that Harbor does not support; the text says the way."""


@dataclass(frozen=True, order=True)
class Release:
    """One Harbor release; ordered by version."""

    minor: tuple[int, int]
    patch: int
    postgres_from: int
    """PostgreSQL major that its database container upgrades from."""
    postgres: int
    """PostgreSQL major that it runs."""

    def __str__(self) -> str:
        return f"{self.minor[0]}.{self.minor[1]}.{self.patch}"

    def follows(self, old: Release) -> bool:
        """Whether a server may go from `old` to this release in one step."""
        steps = self.minor[1] - old.minor[1]
        return (
            self >= old
            and self.minor[0] == old.minor[0]
            and steps <= MINORS_PER_STEP
            and old.postgres in (self.postgres_from, self.postgres)
        )


def _releases(minor: int, patches: range, postgres_from: int, postgres: int) -> list[Release]:
    return [Release((2, minor), patch, postgres_from, postgres) for patch in patches]


#: Read from each tag's make/photon/db/Dockerfile; 2.15.2 changed the major in a patch release.
RELEASES: Mapping[str, Release] = {
    str(release): release
    for release in (
        *_releases(9, range(6), 13, 14),
        *_releases(10, range(4), 13, 14),
        *_releases(11, range(3), 14, 15),
        *_releases(12, range(5), 14, 15),
        *_releases(13, range(6), 14, 15),
        *_releases(14, range(5), 14, 15),
        *_releases(15, range(2), 14, 15),
        *_releases(15, range(2, 3), 15, 18),
    )
}


def release(version: str) -> Release:
    """The release of a version such as `2.15.1`. Raises ValueError for one whose PostgreSQL majors are not known."""
    known = RELEASES.get(version)
    if known is not None:
        return known
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version!r} is not a Harbor version: three numbers without a v. Example: {_newest()}")
    raise ValueError(
        f"Harbor {version} is not known here: its PostgreSQL majors decide whether the database survives. "
        f"Known: {_ranges()}. Example: {_newest()}"
    )


def predecessors(version: str) -> list[str]:
    """The versions from which a server may go to `version` in one step, itself included, oldest first."""
    new = release(version)
    return [str(old) for old in sorted(RELEASES.values()) if new.follows(old)]


def check_upgrade(old: str, new: str) -> None:
    """Raises UpgradeRefused, with the steps to take, unless a server on `old` may go to `new` in one step.

    Unknown versions raise ValueError. The scripts on the server hold the same rule against the volume.
    """
    before, after = release(old), release(new)
    if after.follows(before):
        return
    if after < before:
        raise UpgradeRefused(
            f"Harbor {new} is older than {old}, whose database it cannot read. Keep {old} or a later one; "
            "the way back from a failed upgrade is in docs/operations.md (failed upgrade)"
        )
    steps = upgrade_path(old, new)
    if not steps:
        raise UpgradeRefused(f"no known way leads from Harbor {old} to {new}; keep {old}")
    raise UpgradeRefused(
        f"Harbor {old} cannot go to {new} in one step (at most {MINORS_PER_STEP} minor releases, and PostgreSQL "
        f"{before.postgres} must be one of {after.postgres_from} and {after.postgres}). "
        f"Set `version` to {', then to '.join(steps)}, each with one `pulumi up` and a wait until Harbor is healthy"
    )


def upgrade_path(old: str, new: str) -> list[str]:
    """The shortest list of versions to install after `old`, ending in `new`; empty if there is none."""
    target = release(new)
    paths = [[release(old)]]
    seen = {paths[0][0]}
    while paths:
        path = paths.pop(0)
        # Longest steps and latest patches first, so that the first path found is the one to advise.
        for candidate in sorted(RELEASES.values(), reverse=True):
            if candidate in seen or candidate > target or not candidate.follows(path[-1]):
                continue
            if candidate == target:
                return [str(step) for step in [*path[1:], candidate]]
            seen.add(candidate)
            paths.append([*path, candidate])
    return []


def _newest() -> str:
    return str(max(RELEASES.values()))


def _ranges() -> str:
    minors = sorted({known.minor for known in RELEASES.values()})
    latest = {minor: max(known for known in RELEASES.values() if known.minor == minor) for minor in minors}
    return ", ".join(f"{minor[0]}.{minor[1]}.0 to {latest[minor]}" for minor in minors)
