"""A session for the Harbor provider: a password costs Harbor 90 ms of CPU with every request, a session 1.4 ms."""

from __future__ import annotations

import shlex

from mirrorctl.failure import AS_WANTED, Failure
from mirrorctl.output.reports import SessionReport
from mirrorctl.tool import Tool


def command(tool: Tool) -> int:
    """See `mirrorctl session --help`. The only command that prints something secret, for the shell to read."""
    session = tool.harbor.session
    if session is None:
        raise Failure(f"Harbor gives {tool.connection.username} no session (a robot, or OIDC); nothing to export")
    if tool.output.json:
        tool.output.raw(SessionReport(harbor=tool.connection.url, session_id=session).as_json())
    else:
        tool.output.raw(f"export HARBOR_SESSION_ID={shlex.quote(session)}")
    return AS_WANTED
