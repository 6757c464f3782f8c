"""The one place that writes: tables, lines and JSON, on any width, with or without a terminal.

The result goes to standard output, progress and errors to standard error, so that a pipe carries the result only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harbor_mirror.http import Secrets
from mirrorctl.output.reports import Failed, Report

GAP = "  "
#: Words that a cell may begin with, and how they look on a terminal that has colours.
STYLES = {
    **dict.fromkeys(("ok", "equal", "succeeded", "healthy", "proven"), "green"),
    **dict.fromkeys(("failed", "missing", "different", "refused", "fault", "bad", "overdue", "drift"), "red"),
    **dict.fromkeys(
        ("empty", "extra", "stopped", "unfinished", "unchecked", "disabled", "skipped", "warning", "unmanaged"),
        "yellow",
    ),
}


class Output:
    """Where a command writes. With `json` only the report goes to standard output."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.secrets = Secrets()
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)

    @property
    def interactive(self) -> bool:
        """Whether a person watches: bars and rewritten screens make sense."""
        return self._err.is_terminal and not self.json

    @property
    def progress_console(self) -> Console:
        """For progress bars."""
        return self._err

    def line(self, text: str = "") -> None:
        """A line of the result."""
        if not self.json:
            self._out.print(_styled(self.secrets.hide(text)))

    def note(self, text: str) -> None:
        """A line about the work under way, to standard error."""
        self._err.print(self.secrets.hide(text))

    def error(self, text: str) -> None:
        """What went wrong; with `json` an object with the key `error` on standard output too."""
        text = self.secrets.hide(text)
        self._err.print(Text(f"mirrorctl: {text}", style="red" if self._err.is_terminal else ""))
        if self.json:
            self.raw(Failed(error=text).as_json())

    def raw(self, text: str) -> None:
        """Text for a program to read, exactly as it is."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def report(self, report: Report) -> None:
        """The report as JSON, if that is wanted."""
        if self.json:
            self.raw(self.secrets.hide(report.as_json()))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Aligned columns; on a terminal too narrow for them, a block of lines for each row.

        Without a terminal a row is one line however long: logs are searched line by line.
        """
        if self.json or not rows:
            return
        cells = [[self.secrets.hide("" if cell is None else str(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        if self._out.is_terminal and sum(widths) + len(GAP) * (len(widths) - 1) > self._out.width:
            self._blocks(columns, cells)
            return
        for row in [list(columns), *cells]:
            padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            self._out.print(Text(GAP).join(map(_styled, padded)), no_wrap=True, overflow="ignore", crop=False)

    def _blocks(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        label = max(map(len, columns))
        for row in rows:
            self._out.print(_styled(row[0]))
            for column, cell in zip(columns[1:], row[1:], strict=True):
                if cell:
                    self._out.print(Text(f"  {column.ljust(label)} ").append_text(_styled(cell)))

    def clear(self) -> None:
        """An empty screen, on a terminal."""
        if self._out.is_terminal:
            self._out.clear()


def _styled(text: str) -> Text:
    word = text.strip().split(" ", 1)[0].rstrip(":,")
    return Text(text, style=STYLES.get(word, ""))


def size(count: int | None) -> str:
    """Bytes for a person: 1.5 GB; `-` if not known."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float | None) -> str:
    """A time span for a person: 2 h 05 min; `-` if not known."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"
