"""The command `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import exit_code
from mirrorctl.options import AsJson


def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="regsync, skopeo, terraform or images.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to translate; - for standard input.")],
    into: Annotated[
        Path | None, typer.Option("--into", help="Stack's file to write (default: standard output).")
    ] = None,
    project: Annotated[str, typer.Option("--project", help="Destination of entries that name none.")] = "mirror",
    json: AsJson = False,
) -> int:
    """Translate the file of another tool into endpoints, projects and rules."""
    from mirrorctl.context import command_context
    from mirrorctl.offline.importing.files import import_file
    from mirrorctl.output.text import show_import

    with command_context(json=json) as context:
        report = import_file(form, file, project, into)
        context.output.report(report)
        if into is None and not json:
            context.output.script(report.configuration.rstrip("\n"))
        show_import(context.output, report)
        return exit_code(ok=report.ok)
