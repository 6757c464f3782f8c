"""The command `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import Failure, exit_code
from mirrorctl.options import AllowEmpty, AsJson, Cwd, Rules, Stack, Verbose


def verify(
    rules: Rules = None,
    digests: Annotated[bool, typer.Option("--digests", help="Print only `digest reference` lines.")] = False,
    every_image: Annotated[bool, typer.Option("--images", help="Print a line for each equal image, too.")] = False,
    signatures: Annotated[
        bool, typer.Option("--signatures", help="Say for every image whether it is signed, and its signature copied.")
    ] = False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Keep source digests in FILE and continue.")] = None,
    allow_empty: AllowEmpty = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Compare the digest of every tag at its source and in Harbor."""
    from mirrorctl.context import command_context
    from mirrorctl.live.mirror import chosen
    from mirrorctl.live.proof import read_known, write_known
    from mirrorctl.output.text import digest_lines, show_verify

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        if digests and json:
            raise Failure("--digests and --json are two formats; choose one")
        work = context.verification(allow_empty=allow_empty)
        work.every_signature = signatures
        work.known = read_known(resume) if resume else {}
        try:
            report = work.run(chosen(context.rules, rules or []))
        finally:
            if resume:
                write_known(resume, work.known)
        context.output.report(report)
        if digests:
            for line in digest_lines(report):
                context.output.record(line)
        else:
            show_verify(context.output, report, every_image=every_image)
        return exit_code(ok=report.ok)
