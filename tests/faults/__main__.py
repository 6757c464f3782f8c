"""The long form of the kill trials: `make faults`, or `python -m tests.faults 5` for five stacks instead of twenty.

Prints each point as it is done and a table at the end; the exit code is 1 if anything failed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.kills import Chain, points, run_chain

#: Three points each: creation, update, destruction.
CHAINS = 20


def run(count: int) -> int:
    """Run `count` stacks and print the table; return the exit code."""
    chains: list[Chain] = []
    for number, chosen in enumerate(points(count), 1):
        with TemporaryDirectory() as directory:
            chains.append(run_chain(Path(directory), chosen))
        for trial in chains[-1].trials:
            print(f"{number}/{count} {trial}", flush=True)
    trials = [trial for chain in chains for trial in chain.trials]
    leaks = [leak for chain in chains for leak in chain.leaks]
    failed = [trial for trial in trials if trial.failures]
    print(f"points   {sum(trial.is_reached for trial in trials)} of {len(trials)} reached")
    print(
        f"places   {sum(chain.searched for chain in chains)} searched for secrets, {len(leaks)} with one {leaks or ''}"
    )
    print(f"failures {len(failed) + len(leaks)}")
    return 1 if failed or leaks else 0


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]) if sys.argv[1:] else CHAINS))
