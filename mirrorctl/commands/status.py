"""The command `status`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from time import sleep as pause
from typing import Annotated

import typer

from mirrorctl.failure import Failure, exit_code
from mirrorctl.options import AsJson, Cwd, Rules, Stack, Verbose


def status(
    rules: Rules = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=1, help="Seconds between refreshes.")] = 5,
    fail_on: Annotated[str, typer.Option("--fail-on", help="States that are bad findings: failed,overdue,…")] = "",
    prometheus: Annotated[Path | None, typer.Option("--prometheus", help="Also write metrics to FILE.")] = None,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Show the last and next run of each rule, worst first."""
    from mirrorctl.context import command_context
    from mirrorctl.live.mirror import chosen
    from mirrorctl.live.status import read_status
    from mirrorctl.output.metrics import write_metrics
    from mirrorctl.output.text import show_status

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        bad_states = _parse_states(fail_on)
        while True:
            selected = chosen(context.rules, rules or [], needed=False)
            report = read_status(context.harbor, selected, bad_states, datetime.now(UTC))
            if prometheus:
                write_metrics(prometheus, report)
            if watch:
                context.output.clear()
            context.output.report(report)
            show_status(context.output, report)
            if not watch:
                return exit_code(ok=report.ok)
            try:
                pause(interval)
            except KeyboardInterrupt:
                return exit_code(ok=report.ok)


def _parse_states(text: str) -> frozenset[str]:
    from mirrorctl.live.status import PAUSED, STATES

    states = frozenset(filter(None, (part.strip() for part in text.split(","))))
    allowed = {*STATES, PAUSED} - {"ok"}
    if states - allowed:
        unknown, available = (", ".join(sorted(names)) for names in (states - allowed, allowed))
        raise Failure(f"--fail-on {text}: unknown state {unknown}; available: {available}")
    return states
