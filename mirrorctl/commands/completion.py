"""Completion for shells. `python -m mirrorctl` is no command word, so each script also makes one.

The scripts speak typer's protocol: the words so far in the environment, the candidates on standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mirrorctl import stack_file
from mirrorctl.failure import AS_WANTED, unknown
from mirrorctl.tool import Tool

SCRIPTS: Mapping[str, str] = {
    "bash": """\
mirrorctl() { "@PYTHON@" -m mirrorctl "$@"; }
_mirrorctl_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _MIRRORCTL_COMPLETE=complete_bash mirrorctl))
}
complete -o default -F _mirrorctl_complete mirrorctl""",
    "zsh": """\
mirrorctl() { "@PYTHON@" -m mirrorctl "$@" }
_mirrorctl_complete() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _MIRRORCTL_COMPLETE=complete_zsh mirrorctl)"
}
compdef _mirrorctl_complete mirrorctl""",
    "fish": """\
function mirrorctl; "@PYTHON@" -m mirrorctl $argv; end
function _mirrorctl_complete
    set -lx _MIRRORCTL_COMPLETE complete_fish
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    mirrorctl
end
complete --command mirrorctl --no-files --arguments "(_mirrorctl_complete get-args)" \
--condition "_mirrorctl_complete is-args\"""",
}


def command(tool: Tool, shell: str) -> int:
    """See `mirrorctl completion --help`."""
    if shell not in SCRIPTS:
        raise unknown("completion for", shell, SCRIPTS)
    tool.output.raw(SCRIPTS[shell].replace("@PYTHON@", sys.executable))
    return AS_WANTED


def rules(stack: str | None, cwd: Path | str | None, incomplete: str) -> list[str]:
    """Names of rules that begin so, from the stacks' files: no engine and no Harbor is asked. Never fails."""
    try:
        files = stack_file.stack_files(Path(cwd or ""), stack)
        names = dict.fromkeys(name for file in files for name in stack_file.rule_names(file))
    except Exception:
        # A Tab key has nowhere to say what is wrong; the command itself will.
        return []
    return [name for name in names if name.startswith(incomplete)]


def stacks(cwd: Path | str | None, incomplete: str) -> list[str]:
    """Names of stacks that begin so and have a file here. Never fails."""
    try:
        names = map(stack_file.stack_of, stack_file.stack_files(Path(cwd or ""), None))
        return [name for name in names if name.startswith(incomplete)]
    except Exception:
        return []
