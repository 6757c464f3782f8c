"""The command line: one typer application with a command per module of mirrorctl.commands.

Command modules import what they need when they run, so that --help answers at once.
"""

import os
from collections.abc import Callable

import typer

from mirrorctl.commands import (
    adopt,
    check,
    completion,
    coverage,
    doctor,
    drift,
    explain,
    fast,
    images,
    import_,
    logs,
    recover,
    report,
    resolve,
    rotate_admin_password,
    schema,
    session,
    status,
    sync,
    verify,
)
from mirrorctl.commands.completion import COMPLETE_VARIABLE
from mirrorctl.failure import ERROR

app = typer.Typer(
    name="mirrorctl",
    help="Trigger, watch and verify a Harbor mirror. Exit codes: 0 success, 1 error or wrong usage, 2 bad finding.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # Only while a shell asks for candidates: otherwise typer adds options that edit the user's shell profile.
    add_completion=COMPLETE_VARIABLE in os.environ,
)
#: In the order of --help.
COMMANDS: tuple[Callable[..., int], ...] = (
    sync.sync,
    verify.verify,
    status.status,
    logs.logs,
    report.report,
    drift.drift,
    doctor.doctor,
    check.check,
    explain.explain,
    resolve.resolve,
    images.images,
    coverage.coverage,
    adopt.adopt,
    recover.recover,
    import_.import_,
    session.session,
    fast.fast,
    rotate_admin_password.rotate_admin_password,
    schema.schema,
    completion.completion,
)
for command in COMMANDS:
    app.command(command.__name__.strip("_").replace("_", "-"))(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    try:
        code: int | None = app(arguments, prog_name="mirrorctl", standalone_mode=False)
    except typer.TyperException as error:
        # typer exits with 2 here; our contract keeps 2 for bad findings.
        show = getattr(error, "show", None)
        if show is not None:
            show()
        return ERROR
    except typer.Abort:
        return ERROR
    return code or 0
