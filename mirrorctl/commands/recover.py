"""The command `recover`."""

from __future__ import annotations

from typing import Annotated

import typer

from mirrorctl.failure import BAD_FINDING, SUCCESS
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def recover(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without a confirmation.")] = False,
    address: Annotated[str | None, typer.Option("--address", help="The reserved address that the run made.")] = None,
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Repair a stack whose `pulumi up` or `destroy` was killed: take over what it left behind."""
    from mirrorctl.context import command_context
    from mirrorctl.live import state_files
    from mirrorctl.live.recovery import Recovery
    from mirrorctl.output.reports import RecoverReport
    from mirrorctl.output.text import show_recovery

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        output, folder = context.output, context.folder

        def is_confirmed(report: RecoverReport) -> bool:
            """Show what is to be done; return whether to do it."""
            show_recovery(output, report)
            if yes or (not json and _confirm()):
                return True
            output.report(report)
            output.line("Not done. --yes does it without a question")
            return False

        # Pulumi can read the state only without these files, and somebody who confirms needs to see the rest first.
        for file in state_files.remove_cut_off_attributes(folder):
            output.note(f"removed {file}, which was cut off; Pulumi does not need it")
        if restoration := state_files.find_cut_off_state(stack, folder):
            if not is_confirmed(RecoverReport(stack=stack or "", done=False, files=(str(restoration),))):
                return BAD_FINDING
            restoration.run()

        recovery = Recovery(stack, folder, hide=output.secrets.add, note=output.note, address=address)
        report = recovery.look()
        if not report.done:
            if not is_confirmed(report):
                return BAD_FINDING
            report = recovery.repair(confirmed_by_person=not yes)
        output.report(report)
        show_recovery(output, report)
        output.line("ok nothing is left to recover; run pulumi up, or pulumi destroy if that was interrupted")
        return SUCCESS


def _confirm() -> bool:
    """Return whether a person agrees; false without one."""
    try:
        return typer.confirm("Do this?", err=True)
    except typer.Abort:
        return False
