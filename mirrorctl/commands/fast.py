"""The command `fast`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def fast(
    preview: Annotated[
        Path | None,
        typer.Argument(metavar="PREVIEW", help="Output of pulumi preview --json; - for standard input."),
    ] = None,
    destroy: Annotated[bool, typer.Option("--destroy", help="Decide about pulumi destroy.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Make an update of many rules fast, if that is safe: env $(mirrorctl fast) pulumi up."""
    from mirrorctl.context import command_context
    from mirrorctl.live.engine import WITHOUT_CHECKPOINTS, read_preview
    from mirrorctl.live.fast_path import decide
    from mirrorctl.output.text import note_fast

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        report = decide(stack, context.folder, read_preview(preview) if preview else None, destroy=destroy)
        context.output.report(report)
        note_fast(context.output, report)
        if report.fast and not json:
            context.output.script(" ".join(f"{name}={value}" for name, value in WITHOUT_CHECKPOINTS.items()))
        return exit_code(ok=report.fast)
