"""Checks stacks' files offline: no engine, no network, no secrets; made for pull requests from forks."""

from __future__ import annotations

from dataclasses import replace

from harbor_mirror.config.faults import Fault, in_yaml
from mirrorctl import stack_file
from mirrorctl.failure import AS_WANTED, BAD_FINDING
from mirrorctl.output.render import Output
from mirrorctl.output.reports import CautionReport, CheckedFile, CheckReport, FaultReport
from mirrorctl.stack_file import StackFile
from mirrorctl.tool import Tool


def command(tool: Tool) -> int:
    """See `mirrorctl check --help`."""
    stacks = [stack_file.read(path) for path in stack_file.stack_files(tool.folder, tool.stack)]
    parts = [part for whole in stacks for part in whole.parts()]
    report = CheckReport(ok=not any(part.faults for part in parts), files=tuple(map(_checked, parts)))
    tool.output.report(report)
    for part in parts:
        _show(tool.output, part)
    return AS_WANTED if report.ok else BAD_FINDING


def _faults(part: StackFile) -> list[Fault]:
    return sorted(part.faults, key=lambda fault: part.line(fault.path) or 0)


def _checked(part: StackFile) -> CheckedFile:
    return CheckedFile(
        file=str(part.path),
        ok=not part.faults,
        faults=tuple(
            FaultReport(
                path=fault.path,
                line=part.line(fault.path),
                value=None if fault.value is None else in_yaml(fault.value),
                reason=fault.reason,
                example=fault.example,
            )
            for fault in _faults(part)
        ),
        cautions=tuple(
            CautionReport(path=caution.path, line=part.line(caution.path), text=caution.text)
            for caution in part.cautions
        ),
    )


def _show(output: Output, part: StackFile) -> None:
    for fault in _faults(part):
        # In the program's own words, which name the place of faults in rule files only.
        output.line(f"fault {part.path}:{part.line(fault.path) or 1}: {replace(fault, place='')}")
    for caution in part.cautions:
        output.line(f"warning {part.path}:{part.line(caution.path) or 1}: {caution.path}: {caution.text}")
    count = len(part.faults)
    output.line(f"{part.path}: {count} fault{'' if count == 1 else 's'}" if count else f"ok {part.path}")
