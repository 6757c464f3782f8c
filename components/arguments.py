"""Checks of the plain values that a program passes to a component."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi
from pydantic import SecretStr

from harbor_mirror.config.faults import Fault
from harbor_mirror.plan.report import EntryReport, Report


class InvalidArguments(pulumi.RunError):
    """Values that Harbor would reject, or with which every run would fail. Pulumi prints it without a traceback."""

    def __init__(self, arguments: str, name: str, faults: list[Fault]) -> None:
        noun = "fault" if len(faults) == 1 else "faults"
        lines = [f"{arguments} {name}: {len(faults)} {noun}; nothing was changed:"]
        super().__init__("\n".join([*lines, *(f"  {fault}" for fault in faults)]))


def encrypt(secrets: Mapping[str, SecretStr]) -> dict[str, pulumi.Output[str]]:
    """Return secrets of the configuration as Outputs, which Pulumi keeps encrypted."""
    return {path: pulumi.Output.secret(secret.get_secret_value()) for path, secret in secrets.items()}


def check(arguments: object, name: str, checks: Callable[[EntryReport], object]) -> None:
    """Raise InvalidArguments with everything that `checks` reports about the arguments of `name`."""
    report = Report()
    checks(EntryReport(report, "", "", ""))
    if report.faults:
        raise InvalidArguments(type(arguments).__name__, name, report.faults)
