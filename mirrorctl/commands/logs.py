"""The command `logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose, complete_rules


def logs(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Rule name.", autocompletion=complete_rules)],
    execution: Annotated[int | None, typer.Option("--execution", help="Execution ID (default: latest).")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only tasks that did not succeed.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Print the task logs of a rule's latest execution."""
    from mirrorctl.context import command_context
    from mirrorctl.live.mirror import chosen
    from mirrorctl.live.task_logs import read_logs
    from mirrorctl.output.text import show_logs

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        report = read_logs(context.harbor, chosen(context.rules, [rule])[0], execution, failed_only=failed)
        context.output.report(report)
        show_logs(context.output, report)
        return exit_code(ok=report.status != "Failed")
