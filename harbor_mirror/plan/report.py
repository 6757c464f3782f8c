"""Collects the faults and cautions that are found while a configuration is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harbor_mirror.config.faults import Caution, Fault
from harbor_mirror.config.paths import join_path, split_path
from harbor_mirror.config.refusal import Findings, Refused

Value = TypeVar("Value")


@dataclass
class Report:
    """Faults and cautions of a whole stack, in the order in which they were found."""

    faults: list[Fault] = field(default_factory=list)
    cautions: list[Caution] = field(default_factory=list)

    def entry(self, section: str, name: str, *below: str) -> EntryReport:
        """Return a report for one entry of the configuration, such as `rules.nginx`, which adds to this one.

        `below` are keys of the entry, if the report is only about a part of it.
        """
        return EntryReport(self, section, name, join_path(section, name, *below))


@dataclass
class EntryReport:
    """Faults and cautions of one entry; `is_valid` is False after the first fault."""

    stack: Report
    section: str
    name: str
    path: str
    is_valid: bool = True

    def below(self, *keys: str) -> EntryReport:
        """Return a report for a part of the entry, whose faults leave this report valid."""
        return EntryReport(self.stack, self.section, self.name, join_path(*split_path(self.path), *keys))

    def fault(self, field: str, value: object, reason: str, example: str) -> None:
        """Add a fault of one key of the entry."""
        self.is_valid = False
        path = ".".join(filter(None, [self.path, field]))
        self.stack.faults.append(Fault(path, value, reason, example))

    def refuse(self, refused: Refused, field: str = "") -> None:
        """Add a refused value; `field` names its key unless the refusal does."""
        self.fault(refused.field or field, refused.value, refused.reason, refused.example)

    def attempt(self, field: str, function: Callable[[], Value]) -> Value | None:
        """Return the function's value, or None after adding the value that it refused."""
        try:
            return function()
        except Refused as refused:
            self.refuse(refused, field)
            return None

    def add(self, findings: Findings) -> None:
        """Add everything that a check returned."""
        for refused in findings.refused:
            self.refuse(refused)
        self.warn(*findings.cautions)

    def warn(self, *texts: str) -> None:
        """Add a caution for each sentence."""
        self.stack.cautions.extend(Caution(self.section, self.name, text) for text in texts)
