"""Kill trials: a stack's creation, update and destruction are killed one after the other, and recovered each time."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from tests.faults.stack import Point, TrialCloud, TrialStack
from tests.faults.table import Row, Say

Points = tuple[Point, Point, Point]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: How many writes the creation, the update and the destruction of a trial stack send: with a host, and without.
WITH_HOST, WITHOUT_HOST = (22, 7, 18), (14, 2, 13)
#: Stacks of the long form, with three points each.
CHAINS = 20
CHAINS_WITHOUT_HOST = 10


@dataclass
class Trial:
    """The result of one point."""

    phase: str
    point: Point
    is_reached: bool
    failures: list[str]

    def __str__(self) -> str:
        result = "; ".join(self.failures) or ("recovered" if self.is_reached else "not reached")
        return f"{self.phase} {self.point.signal.name} {self.point.when} write {self.point.number}: {result}"


@dataclass
class Chain:
    """The results of one stack: its trials, how many places were searched for secrets, and the places that have one."""

    trials: list[Trial]
    searched: int
    leaks: list[str]


def part(say: Say, share: float) -> Row:
    """Kill the runs of up to 20 stacks with a host, at three points each."""
    return _run(Row("kills"), points(max(1, round(CHAINS * share)), WITH_HOST), say, has_host=True)


def part_without_checkpoints(say: Say, share: float) -> Row:
    """Kill the runs of up to 10 stacks on an existing Harbor that write no checkpoints, at three points each."""
    chosen = points(max(1, round(CHAINS_WITHOUT_HOST * share)), WITHOUT_HOST)
    return _run(Row("kills without checkpoints"), chosen, say, has_host=False)


def _run(row: Row, chains: Sequence[Points], say: Say, *, has_host: bool) -> Row:
    for number, chosen in enumerate(chains, 1):
        try:
            with TemporaryDirectory() as directory:
                chain = run_chain(Path(directory), chosen, has_host=has_host)
        except Exception as error:
            row.failures.append(f"stack {number}: {error!r}")
            continue
        for result in chain.trials:
            say(f"{row.part} {number}/{len(chains)}: {result}")
            row.points += result.is_reached
            row.failures += [f"{result}"] if result.failures else []
        row.places += chain.searched
        row.failures += [f"a secret is in {place}" for place in chain.leaks]
    return row


def run_chain(directory: Path, points: Points, *, has_host: bool = True) -> Chain:
    """Kill a creation, an update and a destruction of one stack at these points, with the recovery after each."""
    with TrialCloud() as cloud:
        stack = TrialStack(cloud, directory, f"trial-{uuid.uuid4().hex[:6]}", has_host=has_host)
        trials = [trial(stack, "create", points[0])]
        stack.change()
        trials.append(trial(stack, "update", points[1]))
        searched, leaks = stack.leaks()
        trials.append(destroyed(stack, points[2]))
        return Chain(trials, searched, leaks)


def trial(stack: TrialStack, phase: Literal["create", "update"], point: Point) -> Trial:
    """Kill an `up` at a point; recover, run `up` again, and compare with a stack that was never interrupted."""
    result = _recovered(stack, phase, point, is_reached=stack.killed("up", point))
    again = stack.workspace.up()
    if again.code != 0:
        result.failures.append(f"up after recover: {again.output[-2000:]}")
    result.failures += stack.faults()
    return result


def destroyed(stack: TrialStack, point: Point) -> Trial:
    """Kill a `destroy` at a point; recover, run it again, and look for what is left."""
    result = _recovered(stack, "destroy", point, is_reached=stack.killed("destroy", point))
    again = stack.workspace.destroy()
    if again.code != 0:
        result.failures.append(f"destroy after recover: {again.output[-2000:]}")
    if left := stack.left_over():
        result.failures.append(f"left: {left}")
    return result


def _recovered(stack: TrialStack, phase: str, point: Point, *, is_reached: bool) -> Trial:
    done = stack.recover()
    failures = [f"recover: {done.stdout}{done.stderr}"] if done.returncode != 0 else []
    return Trial(phase, point, is_reached, failures)


def points(count: int, sizes: tuple[int, int, int]) -> list[Points]:
    """Return `count` chains whose points are spread over all writes, with each signal, before and after a write."""
    return [
        (_point(index, 0, count, sizes), _point(index, 1, count, sizes), _point(index, 2, count, sizes))
        for index in range(count)
    ]


def _point(index: int, phase: int, count: int, sizes: tuple[int, int, int]) -> Point:
    number = 1 + index * sizes[phase] // count
    when: Literal["before", "after"] = "after" if (index + phase) % 2 == 0 else "before"
    return Point(number, when, SIGNALS[(index + phase) % len(SIGNALS)])
