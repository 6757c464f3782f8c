"""The only place that prints: lines, tables and JSON, with secrets hidden and untrusted text made safe.

Results go to standard output, progress and errors to standard error, so a pipe carries results only.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harbor_mirror.secret_texts import Secrets
from mirrorctl.failure import Failure
from mirrorctl.output.reports import Failed, Report
from mirrorctl.output.untrusted import printable, safe_json, safe_line

#: Prefix of quoted text, such as a task's log: no quoted line can be mistaken for a line of this program.
QUOTE = "  | "
#: Without a terminal a table row stays one line however long it is: logs are searched line by line.
UNLIMITED_WIDTH = 100_000
#: First words of lines and cells, and their colours on a terminal.
STYLES = {
    **dict.fromkeys(("ok", "equal", "succeeded", "healthy", "fixed"), "green"),
    **dict.fromkeys(("failed", "missing", "different", "refused", "fault", "bad", "overdue", "lost", "stalled"), "red"),
    **dict.fromkeys(
        ("empty", "extra", "stopped", "unfinished", "unchecked", "disabled", "skipped", "warning", "unmanaged"),
        "yellow",
    ),
}


class Output:
    """The output of one command. With `json` only the report goes to standard output."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.secrets = Secrets()
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
        if not self._out.is_terminal:
            self._out.width = UNLIMITED_WIDTH

    @property
    def is_interactive(self) -> bool:
        """Return whether a person is watching, so that progress bars make sense."""
        return self._err.is_terminal and not self.json

    @property
    def progress_console(self) -> Console:
        """Return the console for progress bars."""
        return self._err

    def safe(self, text: str) -> str:
        """Return `text` as one line that is safe to show."""
        return safe_line(self.secrets.hide(text))

    def line(self, text: str = "") -> None:
        """Print a line of the result."""
        if not self.json:
            self._out.print(_styled(self.safe(text)))

    def quote(self, text: str) -> None:
        """Print text of many lines, such as a log, with a prefix on each line."""
        if not self.json:
            _print_quoted(self._out, self.secrets.hide(text))

    def note(self, text: str) -> None:
        """Print a line about the work in progress to standard error."""
        self._err.print(self.safe(text))

    def quote_note(self, text: str) -> None:
        """Print text of many lines to standard error, with a prefix on each line."""
        _print_quoted(self._err, self.secrets.hide(text))

    def error(self, text: str, details: Iterable[str] = ()) -> None:
        """Print what went wrong; with `json` also an object with the key `error` to standard output."""
        style = "red" if self._err.is_terminal else ""
        self._err.print(Text(f"mirrorctl: {self.safe(text)}", style=style))
        for detail in details:
            self._err.print(Text(f"  {self.safe(detail.strip())}", style=style))
        if self.json:
            self.report(Failed(error="\n".join([text, *details])))

    def script(self, text: str) -> None:
        """Print text for another program, such as a shell script, unchanged.

        Raise Failure if it has control characters or a line that a CI system executes.
        """
        for line in text.replace("\t", " ").split("\n"):
            if safe_line(line) != line:
                raise Failure(f"the output is not printed, because a terminal or CI system would execute: {line}")
        _write(text)

    def record(self, text: str) -> None:
        """Print one line for another program to read, without control characters."""
        _write(printable(self.secrets.hide(text)))

    def report(self, report: Report, *, secret: bool = False) -> None:
        """Print the report if `--json` was given; known secrets are hidden unless the report is a `secret` one."""
        if self.json:
            content = report.model_dump(mode="json", by_alias=True)
            content = content if secret else _without_secrets(content, self.secrets)
            _write(safe_json(json_format.dumps(content, indent=2, ensure_ascii=False)))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print aligned columns; on a terminal that is too narrow, a block of lines for each row."""
        if self.json or not rows:
            return
        cells = [[self.safe("" if cell is None else str(cell)) for cell in row] for row in rows]
        table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="")
        for column in columns:
            table.add_column(column, no_wrap=True)
        for name, *values in cells:
            # The first cell is a name that somebody else chose: a rule called "ok" must not look like a result.
            table.add_row(Text(name), *map(_styled, values))
        unlimited = self._out.options.update(width=UNLIMITED_WIDTH)
        if self._out.is_terminal and Measurement.get(self._out, unlimited, table).maximum > self._out.width:
            self._print_blocks(columns, cells)
        else:
            self._out.print(table, no_wrap=True, crop=False)

    def _print_blocks(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        label = max(map(len, columns))
        for name, *values in rows:
            self._out.print(Text(name))
            for column, cell in zip(columns[1:], values, strict=True):
                if cell:
                    self._out.print(Text(f"  {column.ljust(label)} ").append_text(_styled(cell)))

    def clear(self) -> None:
        """Clear the screen of a terminal."""
        if self._out.is_terminal:
            self._out.clear()


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_quoted(console: Console, text: str) -> None:
    # Only \n separates lines here: str.splitlines would also split at control characters.
    for line in text.rstrip("\n").split("\n"):
        console.print(Text(QUOTE + safe_line(line.removesuffix("\r"))))


def _styled(text: str) -> Text:
    word = text.strip().split(" ", 1)[0].rstrip(":,")
    return Text(text, style=STYLES.get(word, ""))


def _without_secrets(value: Any, secrets: Secrets) -> Any:
    """Return a report's content with secrets hidden before JSON escapes them."""
    if isinstance(value, str):
        return secrets.hide(value)
    if isinstance(value, list):
        return [_without_secrets(item, secrets) for item in value]
    if isinstance(value, dict):
        return {secrets.hide(key): _without_secrets(item, secrets) for key, item in value.items()}
    return value
