"""The command `completion`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import SUCCESS, unknown

SHELLS = ("bash", "zsh", "fish")
#: The environment variable with which a shell asks for candidates.
COMPLETE_VARIABLE = "_MIRRORCTL_COMPLETE"


def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> int:
    """Print a script that completes commands, options, rules and stacks: eval "$(mirrorctl completion bash)"."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # re-exported by typer

    from mirrorctl.context import command_context

    with command_context() as context:
        if shell not in SHELLS:
            raise unknown("shell", shell, SHELLS)
        script = get_completion_script(prog_name="mirrorctl", complete_var=COMPLETE_VARIABLE, shell=shell)
        context.output.script(script)
        return SUCCESS
