"""Harbor releases: the PostgreSQL version of each, and which upgrades are possible.

Harbor's database container accepts a data directory of exactly two PostgreSQL major versions: its own and the one
before. If it finds neither, it silently starts an EMPTY database beside the old one. A release that is not in this
table is therefore rejected: look up its major versions first (the ENTRYPOINT line of make/photon/db/Dockerfile at its
tag).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Harbor supports an upgrade from the two minor releases before (goharbor/harbor, RELEASES.md).
MINORS_PER_STEP = 2


class UpgradeRefused(ValueError):
    """Harbor does not support this change of version, or it would lose the database; the text names the steps."""


@dataclass(frozen=True, order=True)
class Release:
    """One Harbor release; ordered by version."""

    minor: tuple[int, int]
    patch: int
    postgres_from: int
    """PostgreSQL major version that its database container upgrades from."""
    postgres: int
    """PostgreSQL major version that it runs."""

    def __str__(self) -> str:
        return f"{self.minor[0]}.{self.minor[1]}.{self.patch}"

    def follows(self, old: Release) -> bool:
        """Return whether Harbor can be upgraded from `old` to this release in one step."""
        steps = self.minor[1] - old.minor[1]
        return (
            self >= old
            and self.minor[0] == old.minor[0]
            and steps <= MINORS_PER_STEP
            and old.postgres in (self.postgres_from, self.postgres)
        )


def _releases(minor: int, patches: range, postgres_from: int, postgres: int) -> list[Release]:
    return [Release((2, minor), patch, postgres_from, postgres) for patch in patches]


#: From make/photon/db/Dockerfile at each tag; 2.15.2 changed the PostgreSQL major version in a patch release.
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
    """Return the release of a version such as `2.15.1`. Raise ValueError if the version is not in the table."""
    known = RELEASES.get(version)
    if known is not None:
        return known
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise ValueError("is not a Harbor version: three numbers without a v")
    raise ValueError(f"is not a supported Harbor version (its PostgreSQL version is unknown); supported: {_ranges()}")


def predecessors(version: str) -> list[str]:
    """Return the versions that can be upgraded to `version` in one step, including itself, oldest first."""
    new = release(version)
    return [str(old) for old in sorted(RELEASES.values()) if new.follows(old)]


def check_upgrade(old: str, new: str) -> None:
    """Raise UpgradeRefused, with the steps to take, unless Harbor can be upgraded from `old` to `new` in one step.

    Unknown versions raise ValueError. The scripts on the server apply the same rule to the volume.
    """
    before, after = release(old), release(new)
    if after.follows(before):
        return
    if after < before:
        raise UpgradeRefused(
            f"Harbor {new} is older than {old} and cannot read its database. Keep {old} or a later version; "
            "to undo a failed upgrade see docs/operations.md (Failed upgrade)"
        )
    steps = upgrade_path(old, new)
    if not steps:
        raise UpgradeRefused(f"Harbor {old} cannot be upgraded to {new}; keep {old}")
    raise UpgradeRefused(
        f"Harbor {old} cannot be upgraded to {new} in one step (at most {MINORS_PER_STEP} minor releases, and "
        f"PostgreSQL {before.postgres} must be one of {after.postgres_from} and {after.postgres}). "
        f"Set `version` to {', then to '.join(steps)}, each with one `pulumi up` and a wait until Harbor is healthy"
    )


def upgrade_path(old: str, new: str) -> list[str]:
    """Return the shortest list of versions to install after `old`, ending in `new`; empty if there is none."""
    target = release(new)
    paths = [[release(old)]]
    seen = {paths[0][0]}
    while paths:
        path = paths.pop(0)
        # Longest steps and latest patches first, so that the first path is the recommended one.
        for candidate in sorted(RELEASES.values(), reverse=True):
            if candidate in seen or candidate > target or not candidate.follows(path[-1]):
                continue
            if candidate == target:
                return [str(step) for step in [*path[1:], candidate]]
            seen.add(candidate)
            paths.append([*path, candidate])
    return []


def _ranges() -> str:
    minors = sorted({known.minor for known in RELEASES.values()})
    latest = {minor: max(known for known in RELEASES.values() if known.minor == minor) for minor in minors}
    return ", ".join(f"{minor[0]}.{minor[1]}.0 to {latest[minor]}" for minor in minors)
