"""The command `images`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS, Failure
from mirrorctl.options import AsJson, Cwd, Stack


def images(
    form: Annotated[
        str,
        typer.Option("--format", help="json, env, kustomize, helm; or containerd, cri-o, docker, kyverno."),
    ] = "json",
    into: Annotated[Path | None, typer.Option("--into", help="Directory to write a client's files to.")] = None,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
) -> int:
    """Print where deployments find each source image in the mirror, or the configuration that leads clients there."""
    from mirrorctl.context import command_context
    from mirrorctl.live import mirror
    from mirrorctl.output.client_config import CLIENTS, Mirrored, write_files
    from mirrorctl.output.image_list import FORMATS

    with command_context(stack, cwd, json=json) as context:
        outputs = context.connection.outputs
        if outputs is None:
            raise Failure("images reads a stack's outputs; use --stack, or unset HARBOR_URL")
        if form not in FORMATS and form not in CLIENTS:
            raise Failure(f"--format {form}: available: {', '.join([*FORMATS, *CLIENTS])}")
        if into is not None and form not in CLIENTS:
            raise Failure(f"--into writes the files of a client: --format {', '.join(CLIENTS)}")
        if json or form in FORMATS:
            render = FORMATS["json" if json else form]
            context.output.script(render(outputs.get("images") or {}).rstrip("\n"))
            for cache in (outputs.get("proxyCaches") or {}).values():
                context.output.note(f"note: {cache['place']} fetches from {cache['source']} on demand")
            return SUCCESS
        connection = context.connection
        rules = (*mirror.declared(outputs).values(), *mirror.proxy_caches(outputs))
        config = CLIENTS[form](Mirrored(connection.url.rstrip("/"), connection.registry_host, rules))
        if into is not None:
            write_files(config, into)
        for path, text in config.files.items():
            if into is not None:
                context.output.line(f"ok {into / path}")
            else:
                context.output.script(f"# {path}\n{text}" if len(config.files) > 1 else text.rstrip("\n"))
        for note in config.notes:
            context.output.note(f"note: {note}")
        return SUCCESS
