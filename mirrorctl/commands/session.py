"""The command `session`."""

from __future__ import annotations

import shlex

from mirrorctl.failure import SUCCESS, Failure
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def session(stack: Stack = None, cwd: Cwd = None, json: AsJson = False, verbose: Verbose = False) -> int:
    """Print an export line that makes the Harbor provider fast: eval "$(mirrorctl session)"."""
    from mirrorctl.context import command_context
    from mirrorctl.output.reports import SessionReport

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        session_id = context.harbor.session
        if session_id is None:
            user = context.connection.username
            raise Failure(
                f"Harbor at {context.connection.url} gives {user} no session: it is a robot account, its users log in "
                "with OIDC, or /c/login failed. Run pulumi without a session"
            )
        # The only command that prints a secret: the shell reads it.
        if json:
            context.output.report(SessionReport(harbor=context.connection.url, session_id=session_id), secret=True)
        else:
            context.output.script(f"export HARBOR_SESSION_ID={shlex.quote(session_id)}")
        return SUCCESS
