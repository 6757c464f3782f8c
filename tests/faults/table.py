"""The table of `make faults`: one row for each part, with what it tried and what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

#: Prints a line while a part runs.
Say = Callable[[str], None]


@dataclass
class Row:
    """The figures of one part; those that it does not count stay 0."""

    part: str
    points: int = 0
    """Interruptions: a command was killed there."""
    faults: int = 0
    """Requests that were answered wrongly, or not at all."""
    inputs: int = 0
    """Configurations that were tried."""
    places: int = 0
    """Files and outputs that were searched for secrets."""
    executions: int = 0
    """Replications that were run."""
    failures: list[str] = field(default_factory=list)


#: A part: it runs a share (1.0: all) of its trials and returns its row.
Part = Callable[[Say, float], Row]


def table(rows: Sequence[Row]) -> str:
    """Return rows as a table with a total."""
    names = [entry.name for entry in fields(Row)]
    lines = [names, *([_cell(getattr(row, name)) for name in names] for row in rows)]
    totals = [str(sum(_number(getattr(row, name)) for row in rows)) for name in names[1:]]
    lines.append(["total", *totals])
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _number(value: int | list[str]) -> int:
    return len(value) if isinstance(value, list) else value


def _cell(value: str | int | list[str]) -> str:
    if isinstance(value, int):
        return str(value or "-")
    return value if isinstance(value, str) else str(len(value))
