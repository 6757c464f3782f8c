"""The command `sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mirrorctl.failure import Failure, exit_code
from mirrorctl.options import AllowEmpty, AsJson, Cwd, Rules, Stack, Verbose

if TYPE_CHECKING:
    from mirrorctl.context import CommandContext
    from mirrorctl.output.reports import RuleRun


def sync(
    rules: Rules = None,
    every: Annotated[bool, typer.Option("--all", help="Run every rule.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until Harbor is done.")] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="Stop watching after SECONDS.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Then compare digests; includes --wait.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Stop running executions and start new ones.")] = False,
    allow_empty: AllowEmpty = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Start rules now, watch them, and verify what arrived."""
    from mirrorctl.context import command_context
    from mirrorctl.live.executions import start_all
    from mirrorctl.live.mirror import chosen
    from mirrorctl.output.reports import BAD, SyncReport
    from mirrorctl.output.text import show_sync

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        if not rules and not every:
            names = ", ".join(sorted(context.rules)) or "none"
            raise Failure(f"name the rules to run, or use --all; available: {names}")
        if rules and every:
            raise Failure("name rules or use --all, not both")
        selected = chosen(context.rules, rules or [])
        runs = start_all(context.harbor, selected, note=context.output.note, restart=restart)
        if every:
            # With --all, a disabled rule is left alone; requested by name, it is a bad finding.
            runs = [run.model_copy(update={"outcome": "skipped"}) if run.outcome == "disabled" else run for run in runs]
        if wait or verify:
            runs = _wait(context, runs, timeout, allow_empty=allow_empty)
        proofs = None
        if verify:
            started = [rule for rule, run in zip(selected, runs, strict=True) if run.execution_id is not None]
            proofs = context.verification(allow_empty=allow_empty).run(started)
        ok = not any(run.outcome in BAD for run in runs) and (proofs is None or proofs.ok)
        report = SyncReport(ok=ok, harbor=context.connection.url, rules=tuple(runs), verify=proofs)
        context.output.report(report)
        show_sync(context.output, report)
        return exit_code(ok=report.ok)


def _wait(context: CommandContext, runs: list[RuleRun], timeout: float | None, *, allow_empty: bool) -> list[RuleRun]:
    from mirrorctl.live.executions import ABANDONED_SECONDS, Watch, resume_advice, wait
    from mirrorctl.output.progress import show_progress

    output = context.output
    started = [run.rule for run in runs if run.execution_id is not None]
    is_unattended = timeout is None and not output.is_interactive
    watch = Watch(timeout, abandoned_seconds=ABANDONED_SECONDS if is_unattended else None)
    try:
        with show_progress(output, started) as progress:
            return wait(context.harbor, runs, watch, progress, note=output.note, allow_empty=allow_empty)
    except KeyboardInterrupt:
        raise Failure(f"interrupted. {resume_advice(started)}") from None
