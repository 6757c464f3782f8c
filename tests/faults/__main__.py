"""The long forms of all trials: `make faults`, or `python -m tests.faults --share 0.25 kills` for a quarter of a part.

Prints each trial as it is done, the failures of each part at its end, and one table; the exit code is 1 if anything
failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

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


def run(names: Sequence[str], share: float, processes: int) -> int:
    """Run parts, several at once, and print the table; return the exit code."""
    with ProcessPoolExecutor(processes) as pool:
        rows = list(pool.map(_run_part, names, repeat(share)))
    _say(table(rows))
    return 1 if any(row.failures for row in rows) else 0


def _run_part(name: str, share: float) -> Row:
    began = time.monotonic()
    row = PARTS[name](_say, share)
    for failure in row.failures:
        _say(f"FAILED {row.part}: {failure}")
    _say(f"{name}: done in {(time.monotonic() - began) / 60:.0f} minutes\n{table([row])}")
    return row


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Trials of faults and interruptions.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="run this share of each part (default: 1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="parts at once (default: one per core)")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    sys.exit(run(chosen.parts or list(PARTS), chosen.share, chosen.processes))
