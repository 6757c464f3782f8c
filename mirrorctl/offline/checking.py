"""Checks stacks' files without engine, network or secrets, so that pull requests from forks can be checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harbor_mirror.config.faults import Caution, Fault, in_yaml
from mirrorctl import stack_file
from mirrorctl.output.reports import CautionReport, CheckedFile, CheckReport, FaultReport
from mirrorctl.stack_file import StackFile


def check_files(folder: Path, stack: str | None) -> CheckReport:
    """Return the faults and cautions of a stack's files, of all stacks without a name. Raise Failure."""
    stacks = [stack_file.read(path) for path in stack_file.stack_files(folder, stack)]
    parts = [part for file in stacks for part in file.parts()]
    return CheckReport(ok=not any(part.faults for part in parts), files=tuple(map(_checked_file, parts)))


def _checked_file(part: StackFile) -> CheckedFile:
    faults = sorted(part.faults, key=lambda fault: part.line(fault.path) or 0)
    return CheckedFile(
        file=str(part.path),
        ok=not part.faults,
        faults=tuple(_fault_report(part, fault) for fault in faults),
        cautions=tuple(_caution_report(part, caution) for caution in part.cautions),
    )


def _fault_report(part: StackFile, fault: Fault) -> FaultReport:
    return FaultReport(
        path=fault.path,
        line=part.line(fault.path),
        value=None if fault.value is None else in_yaml(fault.value),
        reason=fault.reason,
        example=fault.example,
        # The program adds the place of faults in rule files only; here every line starts with its place.
        text=str(replace(fault, place="")),
    )


def _caution_report(part: StackFile, caution: Caution) -> CautionReport:
    return CautionReport(path=caution.path, line=part.line(caution.path), text=caution.text)
