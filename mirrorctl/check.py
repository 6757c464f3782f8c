"""Checks stacks' files offline: no engine, no network, no secrets; made for pull requests from forks."""

from __future__ import annotations

from mirrorctl import stackfile
from mirrorctl.failure import AS_WANTED, BAD_FINDING
from mirrorctl.render import Output
from mirrorctl.reports import CautionReport, CheckedFile, CheckReport, FaultReport
from mirrorctl.stackfile import StackFile
from mirrorctl.tool import Tool


def command(tool: Tool) -> int:
    """See `mirrorctl check --help`."""
    stacks = [stackfile.read(path) for path in stackfile.stack_files(tool.folder, tool.stack)]
    files = tuple(_checked(file) for whole in stacks for file in whole.parts())
    report = CheckReport(ok=all(file.ok for file in files), files=files)
    tool.output.report(report)
    for file in files:
        _show(tool.output, file)
    return AS_WANTED if report.ok else BAD_FINDING


def _checked(file: StackFile) -> CheckedFile:
    return CheckedFile(
        file=str(file.path),
        ok=not file.faults,
        faults=tuple(
            FaultReport(
                path=fault.path,
                line=file.line(fault.path),
                value=None if fault.value is None else str(fault.value),
                reason=fault.reason,
                example=fault.example,
            )
            for fault in sorted(file.faults, key=lambda fault: file.line(fault.path) or 0)
        ),
        cautions=tuple(
            CautionReport(
                path=f"{caution.section}.{caution.name}",
                line=file.line(f"{caution.section}.{caution.name}"),
                text=caution.text,
            )
            for caution in file.cautions
        ),
    )


def _show(output: Output, file: CheckedFile) -> None:
    for fault in file.faults:
        value = "" if fault.value is None else f" {fault.value!r}"
        example = f" Example: {fault.example}" if fault.example else ""
        output.line(f"fault {file.file}:{fault.line or 1}: {fault.path}:{value} {fault.reason}.{example}")
    for caution in file.cautions:
        output.line(f"warning {file.file}:{caution.line or 1}: {caution.path}: {caution.text}")
    count = len(file.faults)
    output.line(f"{file.file}: {count} fault{'' if count == 1 else 's'}" if count else f"ok {file.file}")
