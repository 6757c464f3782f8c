"""The long forms of all trials: `make faults`, or `python -m tests.faults --share 0.25 kills` for a quarter of a part.

Prints each trial as it is done, then the failures and one table; the exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from tests.faults import answers, canaries, commands, differential, kills, load
from tests.faults.table import Part, Row, table

#: By the name that selects it, in the order in which they run.
PARTS: Mapping[str, Part] = {
    "kills": kills.part,
    "kills-without-checkpoints": kills.part_without_checkpoints,
    "answers": answers.part,
    "answers-without-host": answers.part_without_host,
    "commands": commands.part,
    "secrets": canaries.part,
    "configurations": differential.part,
    "load": load.part,
}


def run(names: list[str], share: float) -> int:
    """Run parts and print the table; return the exit code."""
    rows: list[Row] = []
    for name in names:
        rows.append(PARTS[name](_say, share))
        for failure in rows[-1].failures:
            _say(f"FAILED {name}: {failure}")
    _say(table(rows))
    return 1 if any(row.failures for row in rows) else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Trials of faults and interruptions.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="run this share of each part (default: 1)")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    sys.exit(run(chosen.parts or list(PARTS), chosen.share))
