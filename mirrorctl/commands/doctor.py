"""The command `doctor`."""

from __future__ import annotations

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def doctor(stack: Stack = None, cwd: Cwd = None, json: AsJson = False, verbose: Verbose = False) -> int:
    """Check everything that the mirror depends on, and say what to do."""
    from mirrorctl.context import command_context
    from mirrorctl.live.diagnosis import diagnose
    from mirrorctl.output.text import show_doctor

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        report = diagnose(context.connection, lambda: context.harbor)
        context.output.report(report)
        show_doctor(context.output, report)
        return exit_code(ok=report.ok)
