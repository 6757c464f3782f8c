"""The command `explain`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS, Failure
from mirrorctl.options import AsJson, Cwd, Rules, Stack


def explain(
    rules: Rules = None,
    diff: Annotated[str | None, typer.Option("--diff", help="Only what changes since a commit, such as main.")] = None,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
) -> int:
    """Describe in words what each rule of a stack's file does. Works offline."""
    from mirrorctl import stack_file
    from mirrorctl.context import command_context
    from mirrorctl.offline.changes import explain_changes
    from mirrorctl.offline.explanation import explain_rules, select_file
    from mirrorctl.output.text import show_changes, show_explain

    with command_context(stack, cwd, json=json) as context:
        if diff is None:
            file = stack_file.read(select_file(context.folder, context.stack))
            report = explain_rules(file, rules or [], datetime.now(UTC))
        elif rules:
            raise Failure("--diff compares a stack's files as a whole; name no rules")
        else:
            report = explain_changes(context.folder, context.stack, diff)
        context.output.report(report)
        if report.changes is None:
            show_explain(context.output, report)
        else:
            show_changes(context.output, report.changes)
        return SUCCESS
