"""Progress of executions on standard error: bars on a terminal, otherwise a line for each change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harbor_mirror.harbor.client import Json
from mirrorctl.live.executions import FINAL, Progress, done_tasks, is_counted
from mirrorctl.output.console import Output


@contextmanager
def show_progress(output: Output, rules: Sequence[str]) -> Iterator[Progress]:
    """Provide a function that shows the progress of executions."""
    if output.is_interactive:
        with _bars(output, rules) as progress:
            yield progress
        return
    shown: dict[str, str] = {}

    def print_change(rule: str, execution: Json) -> None:
        text = describe(execution)
        if shown.get(rule) != text:
            shown[rule] = text
            output.note(f"{rule}: {text}")

    yield print_change


@contextmanager
def _bars(output: Output, rules: Sequence[str]) -> Iterator[Progress]:
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    # The bar comes after the text: on a narrow terminal the bar is cut off first.
    columns: list[ProgressColumn] = [
        TextColumn("{task.fields[rule]}", markup=False),
        TextColumn("{task.fields[state]}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
    ]
    with Bars(*columns, console=output.progress_console, transient=True) as bars:
        ids = {rule: bars.add_task("", total=None, rule=output.safe(rule), state="waiting") for rule in rules}

        def update(rule: str, execution: Json) -> None:
            total = execution.get("total") or None
            state = output.safe(describe(execution))
            bars.update(ids[rule], total=total, completed=done_tasks(execution), state=state)
            if execution.get("status") in FINAL:
                bars.stop_task(ids[rule])

        yield update


def describe(execution: Json) -> str:
    """Return the state of an execution, such as `3/7 tasks, 1 failed`."""
    status = execution.get("status") or "unknown"
    total = execution.get("total") or 0
    failed = execution.get("failed") or 0
    count = f"{done_tasks(execution)}/{total}"
    failures = f", {failed} failed" if failed else ""
    if status in FINAL:
        return f"{FINAL[status]} {count}{failures}"
    if is_counted(execution):
        return f"{count}{failures}, waiting for Harbor's final status"
    return f"{count} tasks{failures}" if total else "listing the source"
