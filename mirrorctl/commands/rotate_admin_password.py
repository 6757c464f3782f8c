"""A new administrator's password, in Harbor and in the stack's configuration.

The password in the configuration sets Harbor's on the first start only, so a change there alone locks everybody out.
"""

from __future__ import annotations

import os
import secrets
import string
import sys
from getpass import getpass

from harbor_mirror.harbor.client import HarborError, WrongCredentials, check_credentials
from mirrorctl.failure import AS_WANTED, Failure
from mirrorctl.live import stack
from mirrorctl.live.connection import Connection
from mirrorctl.output.reports import RotationReport
from mirrorctl.tool import Tool

#: From the environment, for automation; never from the command line, which others can read.
NEW_PASSWORD = "MIRRORCTL_NEW_PASSWORD"  # noqa: S105 - a name
SETTING = "harborPassword"
GENERATED_LENGTH = 32


def command(tool: Tool, *, generate: bool) -> int:
    """See `mirrorctl rotate-admin-password --help`."""
    connection = tool.connection
    in_stack = connection.outputs is not None
    if generate and not in_stack:
        raise Failure(f"--generate needs a stack that keeps the password; without one set {NEW_PASSWORD}")
    user = tool.harbor.current_user()
    new = _generated() if generate else _given()
    tool.output.secrets.add(new)
    had_setting = in_stack and f"harbor-mirror:{SETTING}" in stack.configuration(connection.stack, connection.cwd)
    if in_stack:
        # First where it is kept: a generated password that nobody keeps would lock everybody out.
        stack.set_secret(SETTING, new, connection.stack, connection.cwd)
    refusal: HarborError | None = None
    try:
        tool.harbor.change_password(user["user_id"], connection.password, new)
    except HarborError as error:
        refusal = error
    # Asked in any case: an answer that was cut off says nothing of what Harbor did.
    if not _takes(connection, new):
        if in_stack:
            _restore(connection, had_setting=had_setting)
        raise Failure(f"the password is unchanged: {refusal or 'Harbor goes on refusing the new one'}")
    report = RotationReport(harbor=connection.url, username=connection.username, stack_updated=in_stack)
    tool.output.report(report)
    tool.output.line(f"ok {connection.username} at {connection.url} has the new password")
    if in_stack:
        of = f" --stack {connection.stack}" if connection.stack else ""
        tool.output.line(f"The stack's {SETTING} is set. Commit its file, and run: pulumi up{of}")
    else:
        tool.output.line(f"Where a stack manages this Harbor: pulumi config set --secret {SETTING}, then pulumi up")
    return AS_WANTED


def _takes(connection: Connection, password: str) -> bool:
    """Whether Harbor takes this password now. Raises Failure if it does not say."""
    try:
        check_credentials(connection.url, connection.username, password)
    except WrongCredentials:
        return False
    except HarborError as error:
        place = "the stack's configuration has it" if connection.outputs is not None else f"{NEW_PASSWORD} has it"
        raise Failure(f"whether Harbor took the new password is not known ({place}): {error}") from None
    return True


def _restore(connection: Connection, *, had_setting: bool) -> None:
    if had_setting:
        stack.set_secret(SETTING, connection.password, connection.stack, connection.cwd)
    else:
        stack.remove(SETTING, connection.stack, connection.cwd)


def _generated() -> str:
    letters = string.ascii_letters + string.digits
    while True:
        password = "".join(secrets.choice(letters) for _ in range(GENERATED_LENGTH))
        if not _weakness(password):
            return password


def _given() -> str:
    password = os.environ.get(NEW_PASSWORD, "")
    if not password and sys.stdin.isatty():
        password = getpass("New password: ")
        if getpass("Again: ") != password:
            raise Failure("the two differ; nothing was changed")
    if not password:
        raise Failure(f"no new password: set {NEW_PASSWORD}, use --generate, or run it on a terminal")
    if weakness := _weakness(password):
        raise Failure(f"the new password {weakness}; nothing was changed")
    return password


def _weakness(password: str) -> str:
    """Harbor's own rule, before Harbor answers 400."""
    if not 8 <= len(password) <= 128:
        return "must have 8 to 128 characters"
    kinds = (str.islower, str.isupper, str.isdigit)
    return "" if all(any(map(kind, password)) for kind in kinds) else "needs upper case, lower case and a digit"
