"""`python -m mirrorctl`: the commands and their options, nothing else.

Each command imports its room when it runs, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mirrorctl.tool import Tool

app = typer.Typer(
    name="mirrorctl",
    help="Trigger, watch and prove a Harbor mirror. Exit codes: 0 as wanted, 1 error or wrong use, 2 bad finding.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Rules = Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Names of rules.", show_default=False)]
Stack = Annotated[str | None, typer.Option("--stack", "-s", help="Stack whose outputs name the Harbor.")]
Cwd = Annotated[Path | None, typer.Option("--cwd", help="Folder of the Pulumi project.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show each request (no secrets).")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="A rule that matches nothing is as wanted.")]


@app.command()
def sync(
    rules: Rules = None,
    every: Annotated[bool, typer.Option("--all", help="Run every rule.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until Harbor is done.")] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="Stop watching after SECONDS.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Then compare digests; includes --wait.")] = False,
    allow_empty: AllowEmpty = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Start rules now, watch them and prove what arrived."""
    from mirrorctl import sync as room

    return _run(
        lambda tool: room.command(
            tool,
            rules or [],
            every=every,
            wait_for_end=wait,
            timeout=timeout,
            prove=verify,
            allow_empty=allow_empty,
        ),
        stack,
        cwd,
        json=json,
        verbose=verbose,
    )


@app.command()
def verify(
    rules: Rules = None,
    digests: Annotated[bool, typer.Option("--digests", help="Print `digest reference` lines.")] = False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Keep source digests in FILE and go on.")] = None,
    allow_empty: AllowEmpty = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Compare the digests of every tag at its source and in Harbor."""
    from mirrorctl import verify as room

    return _run(
        lambda tool: room.command(tool, rules or [], digests=digests, resume=resume, allow_empty=allow_empty),
        stack,
        cwd,
        json=json,
        verbose=verbose,
    )


def _run(work: Callable[[Tool], int], stack: str | None, cwd: Path | None, *, json: bool, verbose: bool) -> int:
    from mirrorctl.tool import run

    return run(work, stack, cwd, json=json, verbose=verbose)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    try:
        code: int | None = app(arguments, prog_name="mirrorctl", standalone_mode=False)
    except typer.TyperException as error:
        # Wrong use is 1 by contract; 2 is a bad finding.
        show = getattr(error, "show", None)
        if show is not None:
            show()
        return 1
    except typer.Abort:
        return 1
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
