"""Changes the administrator's password in Harbor and in the stack's configuration.

The password in the configuration is Harbor's on the first start only: a change there alone would lock everybody out.
"""

from __future__ import annotations

import secrets
import string

from harbor_mirror.harbor.client import Harbor, HarborError, WrongCredentials, check_credentials
from mirrorctl.advice import with_advice
from mirrorctl.failure import Failure
from mirrorctl.live import engine
from mirrorctl.live.connection import Connection
from mirrorctl.output.reports import RotationReport

#: Environment variable of the new password; a command line would show it to other users of the machine.
NEW_PASSWORD = "MIRRORCTL_NEW_PASSWORD"  # noqa: S105 - a name
#: The configuration key of the password.
SETTING = "harborPassword"
GENERATED_LENGTH = 32


def rotate_password(harbor: Harbor, connection: Connection, new: str) -> RotationReport:
    """Set a new password in the stack's configuration and in Harbor, or in neither. Raise Failure."""
    user = harbor.current_user()
    has_stack = connection.outputs is not None
    had_setting = has_stack and f"harbor-mirror:{SETTING}" in engine.configuration(connection.stack, connection.cwd)
    if has_stack:
        # The configuration comes first: a generated password that is stored nowhere would lock everybody out.
        engine.set_secret(SETTING, new, connection.stack, connection.cwd)
    refusal: HarborError | None = None
    try:
        harbor.change_password(user["user_id"], connection.password, new)
    except HarborError as error:
        refusal = error
    # Always try the password: a response that was cut off does not show what Harbor did.
    if not _is_accepted(connection, new):
        if has_stack:
            _restore(connection, had_setting=had_setting)
        still = f"Harbor at {connection.url} still rejects the new one; run the command again"
        reason = with_advice(refusal) if refusal else still
        raise Failure(f"the password is unchanged: {reason}")
    return RotationReport(harbor=connection.url, username=connection.username, stack_updated=has_stack)


def _is_accepted(connection: Connection, password: str) -> bool:
    try:
        check_credentials(connection.url, connection.username, password)
    except WrongCredentials:
        return False
    except HarborError as error:
        place = "the stack's configuration has it" if connection.outputs is not None else f"{NEW_PASSWORD} has it"
        raise Failure(f"cannot tell whether Harbor accepted the new password ({place}): {with_advice(error)}") from None
    return True


def _restore(connection: Connection, *, had_setting: bool) -> None:
    if had_setting:
        engine.set_secret(SETTING, connection.password, connection.stack, connection.cwd)
    else:
        engine.remove(SETTING, connection.stack, connection.cwd)


def generate_password() -> str:
    """Return a random password that Harbor accepts."""
    letters = string.ascii_letters + string.digits
    while True:
        password = "".join(secrets.choice(letters) for _ in range(GENERATED_LENGTH))
        if not weakness(password):
            return password


def weakness(password: str) -> str:
    """Return what Harbor's password rule rejects; empty if nothing."""
    if not 8 <= len(password) <= 128:
        return "must have 8 to 128 characters"
    kinds = (str.islower, str.isupper, str.isdigit)
    return "" if all(any(map(kind, password)) for kind in kinds) else "needs upper case, lower case and a digit"
