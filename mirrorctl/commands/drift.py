"""The command `drift`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def drift(
    fix: Annotated[bool, typer.Option("--fix", help="Save what the stack owns as declared.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Compare what the stack declares with what Harbor has."""
    from mirrorctl.context import command_context
    from mirrorctl.live.drift import compare
    from mirrorctl.output.text import show_drift

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        hide = context.output.secrets.add
        report = compare(context.harbor, context.connection, context.rules, fix=fix, hide=hide)
        context.output.report(report)
        show_drift(context.output, report)
        return exit_code(ok=report.ok)
