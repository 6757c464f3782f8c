"""Values that must not reach Harbor. Checks raise `Refused` without a path; the caller knows it and makes a Fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class Refused(ValueError):
    """A rejected value. `reason` continues "path: value ..." without a full stop; `example` is a correct value.

    `field` is the key below the entry, for checks of several keys. `value` is None for secrets.
    """

    def __init__(self, value: object, reason: str, example: str, *, field: str = "") -> None:
        self.value = value
        self.reason = reason
        self.example = example
        self.field = field
        super().__init__(f"{'' if value is None else f'{value!r} '}{reason}. Example: {example}")


@dataclass(frozen=True)
class Findings:
    """The results of a check: `refused` values must change, `cautions` are texts of warnings."""

    refused: tuple[Refused, ...] = ()
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Iterable[Refused | str]) -> Findings:
        """Sort the results of a check: refusals and, as plain text, cautions."""
        listed = tuple(results)
        return cls(
            tuple(result for result in listed if isinstance(result, Refused)),
            tuple(result for result in listed if isinstance(result, str)),
        )
