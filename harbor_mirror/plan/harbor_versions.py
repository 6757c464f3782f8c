"""What an existing Harbor of an older version lacks of what this product sets or reads.

The versions are those in whose API or source each thing first appears (goharbor/harbor, tags v2.2.0 to v2.15.0).
"""

from __future__ import annotations

import re

#: Older Harbors run, but are neither tested nor maintained, and check less than the words of this product say.
OLDEST = (2, 9)
#: First minor version of 2.x that has it -> what one before that does instead.
LACKS: tuple[tuple[int, str], ...] = (
    (3, "flatten is unknown: all images land flat in the project"),
    (4, "tags.excludes and speedKbps are unknown: excluded tags are copied, at full speed"),
    (6, "the audit log can't be purged"),
    (7, "copyByChunk is unknown, and mirrorctl can't see queues and schedules"),
    (9, "schedules are not checked, and garbage collection has one worker"),
)
#: The first version whose log-in Docker Hub takes: before, it asks an address that Docker Hub has given up
#: (goharbor/harbor#23038, #23065).
HUB_LOGIN = (2, 15, 1)


def hub_login_fails(version: str) -> bool:
    """Whether Docker Hub may refuse an account's credentials from a Harbor of this version ("2.15.0")."""
    return tuple(int(number) for number in version.split(".")) < HUB_LOGIN


def lacking(version: str) -> tuple[str, ...]:
    """Sentences for a warning, none for a version that will do or can't be read; `version` as in /systeminfo."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) >= OLDEST:
        return ()
    missing = [text for minor, text in LACKS if (2, minor) > (int(numbers[1]), int(numbers[2]))]
    oldest = ".".join(map(str, OLDEST))
    return (f"this Harbor is {version}, and harbor-mirror is made for {oldest} and later", *missing)
