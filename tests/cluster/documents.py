"""Commands of docs/cluster-operations.md, which the tests of this folder run."""

from __future__ import annotations

import re

from localcloud.engine import PROJECT

PAGE = PROJECT / "docs" / "cluster-operations.md"


def shell_blocks(heading: str) -> list[str]:
    """Return the shell blocks below a heading of the second level."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    blocks: list[str] = re.findall(r"^ *```sh\n(.*?)^ *```", sections[heading], re.DOTALL | re.MULTILINE)
    return blocks
