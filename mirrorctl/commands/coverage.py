"""The command `coverage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import Failure, exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def coverage(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files and directories of deployments.")],
    live: Annotated[bool, typer.Option("--live", help="Ask Harbor, too, whether it has each image.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Say which images deployments use, which of them are missing in the mirror, and the rules that bring them."""
    from harbor_mirror.config.faults import ConfigurationError
    from mirrorctl import stack_file
    from mirrorctl.context import command_context
    from mirrorctl.offline.coverage.matching import cover_uses
    from mirrorctl.offline.coverage.uses import find_uses
    from mirrorctl.output.text import show_coverage

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        files = stack_file.stack_files(context.folder, context.stack)
        if len(files) > 1:
            names = ", ".join(stack_file.stack_of(file) for file in files)
            raise Failure(f"choose the stack whose mirror is compared: --stack with one of {names}")
        file = stack_file.read(files[0])
        if file.mirror is None:
            raise ConfigurationError(file.faults)
        uses = find_uses(paths)
        registry = context.enter(context.connection.registry()) if live else None
        serves = None if registry is None else lambda place, tag: registry.digest(place, tag) is not None
        report = cover_uses(uses, file.mirror, serves)
        context.output.report(report)
        show_coverage(context.output, report)
        return exit_code(ok=report.ok)
