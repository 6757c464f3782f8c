"""The command `adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS
from mirrorctl.options import AsJson, Verbose


def adopt(
    name: Annotated[str, typer.Option("--name", help="Name of the new stack.")],
    into: Annotated[Path, typer.Option("--into", help="Folder to write to: the Pulumi project.")] = Path(),
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; can be repeated.")] = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Turn an existing Harbor into a stack's configuration and an import. Changes nothing in Harbor."""
    from mirrorctl.context import command_context
    from mirrorctl.live.adoption_files import AdoptionFiles
    from mirrorctl.live.takeover import take_over
    from mirrorctl.output.text import show_adopt

    with command_context(json=json, verbose=verbose) as context:
        files = AdoptionFiles(into, name)
        report = files.write(take_over(context.harbor, rules or []), context.connection)
        context.output.report(report)
        show_adopt(context.output, report)
        return SUCCESS
