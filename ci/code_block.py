"""Turn standard input into a Markdown code block that is safe to publish and fits into a comment.

    code_block.py [--diff] [--most CHARACTERS]

`--diff` moves Pulumi's marks to the start of the line, where GitHub and GitLab colour them. The complete text is also
written to standard error, because the comment may cut it.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata

#: GitHub rejects comments of more than 65,536 characters; this leaves space for the other parts of a comment.
MOST_CHARACTERS = 45_000
MARK = re.compile(r"^(\s*)(\+-|\+\+|--|[-+~])( |$)")
#: GitHub has no colour for a change in place except the one of "!".
COLOURED = {"~": "!", "+-": "!", "++": "+", "--": "-"}
FENCE = "~~~"


def code_block(text: str, *, is_diff: bool = False, most: int = MOST_CHARACTERS) -> str:
    """The text as a code block, cut at the end of a line."""
    lines = [visible(line.rstrip()).replace(FENCE, "~ ~ ~") for line in text.split("\n")]
    if is_diff:
        lines = [_marked(line) for line in lines]
    kept: list[str] = []
    for number, line in enumerate(lines):
        most -= len(line) + 1
        if most < 0:
            kept.append(f"... {len(lines) - number} more lines; the log of the job has the complete text")
            break
        kept.append(line)
    content = "\n".join(kept).strip("\n")
    return f"{FENCE}{'diff' if is_diff else 'text'}\n{content}\n{FENCE}\n"


def visible(line: str) -> str:
    """The line with control characters and invisible ones, such as changes of direction, as escapes."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character != "\t" and unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}
        else character
        for character in line
    )


def _marked(line: str) -> str:
    match = MARK.match(line)
    if match is None:
        return line
    blanks, mark, _ = match.groups()
    return f"{COLOURED.get(mark, mark)} {blanks}{line[match.end() :]}" if blanks or mark else line


def main() -> None:
    """Convert standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diff", action="store_true")
    parser.add_argument("--most", type=int, default=MOST_CHARACTERS)
    options = parser.parse_args()
    text = sys.stdin.buffer.read().decode(errors="replace")
    sys.stderr.write("".join(f"{visible(line)}\n" for line in text.rstrip("\n").split("\n")))
    sys.stdout.write(code_block(text, is_diff=options.diff, most=options.most))


if __name__ == "__main__":
    main()
