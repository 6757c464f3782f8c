"""The command `images`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS, Failure
from mirrorctl.options import AsJson, Cwd, Stack


def images(
    form: Annotated[str, typer.Option("--format", help="json, env, kustomize or helm.")] = "json",
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
) -> int:
    """Print where deployments find each source image in the mirror."""
    from mirrorctl.context import command_context
    from mirrorctl.output.image_list import FORMATS

    with command_context(stack, cwd, json=json) as context:
        outputs = context.connection.outputs
        if outputs is None:
            raise Failure("images reads a stack's outputs; use --stack, or unset HARBOR_URL")
        if form not in FORMATS:
            raise Failure(f"--format {form}: available: {', '.join(FORMATS)}")
        render = FORMATS["json" if json else form]
        context.output.script(render(outputs.get("images") or {}).rstrip("\n"))
        return SUCCESS
