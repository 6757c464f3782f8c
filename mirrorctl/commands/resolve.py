"""The command `resolve`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import ERROR, exit_code
from mirrorctl.options import AsJson, Cwd, Rules, Stack, Verbose


def resolve(
    rules: Rules = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 2 if a lock would change.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Turn version ranges, regular expressions and "latest n" into globs, and lock them."""
    from mirrorctl import stack_file
    from mirrorctl.context import command_context
    from mirrorctl.live.resolution import Resolution
    from mirrorctl.output.reports import ResolveReport
    from mirrorctl.output.text import show_resolve

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        stacks = tuple(
            Resolution(path, context.output.secrets.add, context.output.note).run(rules or [], only_check=check)
            for path in stack_file.stack_files(context.folder, context.stack)
        )
        report = ResolveReport(ok=all(resolved.ok for resolved in stacks), stacks=stacks)
        context.output.report(report)
        show_resolve(context.output, report, only_check=check)
        if any(rule.state == "unreachable" for resolved in stacks for rule in resolved.rules):
            return ERROR
        return exit_code(ok=report.ok)
