"""The command `schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS


def schema(
    subject: Annotated[
        str,
        typer.Argument(metavar="SUBJECT", help="config, rules (a file under rulesDir), or a command for its --json."),
    ] = "config",
    json: Annotated[bool, typer.Option("--json", help="No effect: a schema is always JSON.")] = False,
) -> int:
    """Print the JSON Schema of a stack's file, of a rule file, or of a command's report."""
    import json as json_format

    from mirrorctl.context import command_context
    from mirrorctl.offline.schemas import find_schema

    with command_context(json=json) as context:
        context.output.script(json_format.dumps(find_schema(subject), indent=2))
        return SUCCESS
