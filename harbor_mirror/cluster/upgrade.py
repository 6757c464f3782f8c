"""Which Harbor version may follow which on a cluster, whose PostgreSQL is not Harbor's own."""

from __future__ import annotations

from harbor_mirror.config.harbor_releases import MINORS_PER_STEP


class UpgradeRefused(ValueError):
    """A change of version that Harbor does not support; the text says what to do instead."""


def check_upgrade(old: str, new: str) -> None:
    """Raise UpgradeRefused, with what to do instead, unless Harbor may go from `old` to `new` in one step."""
    before, after = _numbers(old), _numbers(new)
    if after < before:
        raise UpgradeRefused(
            f"cluster.version: Harbor {new} is older than {old}, whose database it cannot read. Keep {old} or a later "
            "one; the way back from a failed upgrade is in docs/cluster-operations.md, Go back after a failed upgrade"
        )
    if after[0] != before[0]:
        raise UpgradeRefused(f"cluster.version: no way from Harbor {old} to {new} is known; keep {old}")
    steps = after[1] - before[1]
    if steps > MINORS_PER_STEP:
        raise UpgradeRefused(
            f"cluster.version: Harbor {old} cannot go to {new} in one step (at most {MINORS_PER_STEP} minor releases). "
            f"Set `version` to a {before[0]}.{before[1] + MINORS_PER_STEP} release first"
        )


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = (int(number) for number in version.split("."))
    return major, minor, patch
