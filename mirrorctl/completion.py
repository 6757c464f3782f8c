"""Completion for shells. `python -m mirrorctl` is no command word, so the script also makes one."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from typer._completion_shared import get_completion_script

from mirrorctl.failure import AS_WANTED, unknown
from mirrorctl.tool import Tool

#: How each shell defines a command `mirrorctl` that its completion can call.
COMMAND: Mapping[str, str] = {
    "bash": 'mirrorctl() {{ "{python}" -m mirrorctl "$@"; }}',
    "zsh": 'mirrorctl() {{ "{python}" -m mirrorctl "$@"; }}',
    "fish": 'function mirrorctl; "{python}" -m mirrorctl $argv; end',
}


def command(tool: Tool, shell: str) -> int:
    """See `mirrorctl completion --help`."""
    if shell not in COMMAND:
        raise unknown("completion for", shell, COMMAND)
    tool.output.raw(COMMAND[shell].format(python=sys.executable))
    tool.output.raw(get_completion_script(prog_name="mirrorctl", complete_var="_MIRRORCTL_COMPLETE", shell=shell))
    return AS_WANTED
