"""Pulumi's diff as a code block of a comment: marks at the start of the line, so that it is coloured, and short enough.

GitHub refuses a comment of more than 65,536 characters, and GitLab one of a million.
"""

from __future__ import annotations

import re
import sys

#: Leaves room for the words above the diff.
MOST_CHARACTERS = 55_000
MARK = re.compile(r"^(\s*)(\+-|\+\+|--|[-+~])( |$)")
#: How GitHub colours lines: it has no word for a change in place but this.
COLOURED = {"~": "!", "+-": "!", "++": "+", "--": "-"}


def as_diff(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text with its marks first in the line; cut at a line's end, with a word on how much is left out."""
    # A code block can't hold its own fence.
    lines = [_marked(line.rstrip()).replace("~~~", "~ ~ ~") for line in text.splitlines()]
    kept: list[str] = []
    for number, line in enumerate(lines):
        most -= len(line) + 1
        if most < 0:
            kept.append(f"... {len(lines) - number} more lines; the job's log has all")
            break
        kept.append(line)
    return "\n".join(kept).strip("\n") + "\n"


def _marked(line: str) -> str:
    found = MARK.match(line)
    if found is None:
        return line
    blanks, mark, _ = found.groups()
    return f"{COLOURED.get(mark, mark)} {blanks}{line[found.end() :]}" if blanks or mark else line


if __name__ == "__main__":
    whole = sys.stdin.read()
    # The log keeps what the comment may cut.
    sys.stderr.write(whole)
    sys.stdout.write(as_diff(whole, *map(int, sys.argv[1:])))
