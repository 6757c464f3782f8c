"""The command `check`."""

from __future__ import annotations

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson, Cwd, Stack


def check(stack: Stack = None, cwd: Cwd = None, json: AsJson = False) -> int:
    """Check the stacks' files offline: no engine, no network, no secrets."""
    from mirrorctl.context import command_context
    from mirrorctl.offline.checking import check_files
    from mirrorctl.output.text import show_check

    with command_context(stack, cwd, json=json) as context:
        report = check_files(context.folder, context.stack)
        context.output.report(report)
        show_check(context.output, report)
        return exit_code(ok=report.ok)
