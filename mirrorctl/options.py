"""Command-line options and arguments that several commands share, and their completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_rules(context: typer.Context, incomplete: str) -> list[str]:
    """Return rule names from the stacks' files that start with `incomplete`; none if the files cannot be read."""
    from mirrorctl import stack_file

    try:
        files = stack_file.stack_files(_folder(context), context.params.get("stack"))
        names = dict.fromkeys(name for file in files for name in stack_file.rule_names(file))
    except Exception:
        # A completion cannot show errors; the command itself reports them.
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_stacks(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of stacks with a file in the project folder that start with `incomplete`."""
    from mirrorctl import stack_file

    try:
        names = [stack_file.stack_of(path) for path in stack_file.stack_files(_folder(context), None)]
    except Exception:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _folder(context: typer.Context) -> Path:
    return Path(context.params.get("cwd") or "")


Stack = Annotated[
    str | None, typer.Option("--stack", "-s", help="Name of the Pulumi stack.", autocompletion=complete_stacks)
]
Cwd = Annotated[Path | None, typer.Option("--cwd", help="Folder of the Pulumi project.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show each request, without secrets.")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Treat rules that match nothing as success.")]
Rules = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RULE", help="Rule names (default: all).", show_default=False, autocompletion=complete_rules
    ),
]
