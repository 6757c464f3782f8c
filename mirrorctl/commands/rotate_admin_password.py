"""The command `rotate-admin-password`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS, Failure
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def rotate_admin_password(
    generate: Annotated[bool, typer.Option("--generate", help="Generate one; the stack stores it.")] = False,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Change the administrator's password in Harbor and in the stack's configuration."""
    from mirrorctl.context import command_context
    from mirrorctl.live.password_rotation import NEW_PASSWORD, SETTING, generate_password, rotate_password

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        connection, output = context.connection, context.output
        if generate and connection.outputs is None:
            raise Failure(f"--generate needs a stack that stores the password; without a stack set {NEW_PASSWORD}")
        new = generate_password() if generate else _read_password()
        output.secrets.add(new)
        report = rotate_password(context.harbor, connection, new)
        output.report(report)
        output.line(f"ok {connection.username} at {connection.url} has the new password")
        if report.stack_updated:
            option = f" --stack {connection.stack}" if connection.stack else ""
            output.line(f"The stack's {SETTING} is set. Commit its file, then run: pulumi up{option}")
        else:
            output.line(f"If a stack manages this Harbor: pulumi config set --secret {SETTING}, then pulumi up")
        return SUCCESS


def _read_password() -> str:
    import os
    import sys
    from getpass import getpass

    from mirrorctl.live.password_rotation import NEW_PASSWORD, weakness

    password = os.environ.get(NEW_PASSWORD, "")
    if not password and sys.stdin.isatty():
        password = getpass("New password: ")
        if getpass("Again: ") != password:
            raise Failure("the two passwords differ; nothing was changed")
    if not password:
        raise Failure(f"no new password: set {NEW_PASSWORD}, use --generate, or run this on a terminal")
    if problem := weakness(password):
        raise Failure(f"the new password {problem}; nothing was changed")
    return password
