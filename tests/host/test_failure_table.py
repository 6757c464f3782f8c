"""docs/host-failures.md explains every reason that a script can report."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: An expansion, as far as messages have them.
EXPANSION = re.compile(r"\$\(\((?:[^()]|\([^()]*\))*\)\)|\$\((?:[^()]|\([^()]*\))*\)|\$\{[^}]*\}|\$\w+")


def test_every_reason_is_explained() -> None:
    table = (ROOT / "docs/host-failures.md").read_text()
    missing = []
    reasons = 0
    for script in sorted((ROOT / "harbor_mirror/host/files").glob("*.sh")):
        for message in re.findall(
            r'(?:fail|refuse) "((?:[^"\\$]|\$\((?:[^()]|\([^()]*\))*\)|\$)+)"', script.read_text()
        ):
            parts = [part.strip() for part in EXPANSION.split(message)]
            longest = max(parts, key=len)
            if len(longest) < 3:
                continue
            reasons += 1
            if longest not in table:
                missing.append(f"{script.name}: {longest}")
    assert not missing
    assert reasons > 40
