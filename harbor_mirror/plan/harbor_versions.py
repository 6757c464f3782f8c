"""Features that this product uses and older versions of Harbor lack.

Each version is the first one whose API or source has the feature (goharbor/harbor, tags v2.2.0 to v2.15.0).
"""

from __future__ import annotations

import re

#: The oldest supported version. Older ones are not tested, and check less than this product says.
OLDEST = (2, 9)
#: (first minor version of 2.x with the feature, what older versions do instead)
LACKS: tuple[tuple[int, str], ...] = (
    (3, "flatten is unknown: all images land flat in the project"),
    (4, "tags.excludes and speedKbps are unknown: excluded tags are copied, at full speed"),
    (6, "the audit log can't be purged"),
    (7, "copyByChunk is unknown, and mirrorctl can't see queues and schedules"),
    (9, "schedules are not checked, and garbage collection has one worker"),
)
#: The first version whose login works at Docker Hub: older ones use an address that Docker Hub has shut down
#: (goharbor/harbor#23038, #23065).
HUB_LOGIN = (2, 15, 1)


#: The first version with single active replication.
SINGLE_ACTIVE = (2, 13)
#: The first version with a CA for each endpoint; older ones ignore it.
CA_OF_ENDPOINT = (2, 15)


def is_older(version: str, than: tuple[int, ...]) -> bool:
    """Return whether a version such as "2.15.0" is older than another one."""
    return tuple(int(number) for number in version.split(".")) < than


def hub_login_fails(version: str) -> bool:
    """Return whether Docker Hub may reject an account's credentials from this version of Harbor ("2.15.0")."""
    return is_older(version, HUB_LOGIN)


def lacking(version: str) -> tuple[str, ...]:
    """Return warnings about a version as in /systeminfo; none for a supported or unreadable version."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) >= OLDEST:
        return ()
    missing = [text for minor, text in LACKS if (2, minor) > (int(numbers[1]), int(numbers[2]))]
    oldest = ".".join(map(str, OLDEST))
    return (f"this Harbor is {version}; harbor-mirror supports {oldest} and later", *missing)
