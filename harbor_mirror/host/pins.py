"""What is known about the files of each Harbor release: the installer's SHA-256 and the images' digests.

`pins.json` is written by `ci/pin_release.py`, which downloads a release, verifies the signature that Harbor publishes
(2.15.0 and later) and asks Docker Hub for the digests. A release that is not in the file is not pinned: the preview
warns of it, and the server trusts Docker Hub's tags and the checksum file beside the installer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Pins of one release; empty if unknown."""

    installer_sha256: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    """Repository, such as `goharbor/harbor-core`, to `sha256:` digest of the tag `v<version>`."""


def pins(version: str) -> Pins:
    """Return what is known about a release."""
    entry = _table().get(version, {})
    return Pins(installer_sha256=entry.get("installerSha256"), images=entry.get("images", {}))


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("harbor_mirror.host").joinpath("pins.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)
    return table
