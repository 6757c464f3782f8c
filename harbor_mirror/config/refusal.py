"""A value that must not reach Harbor: why, and what to write instead.

The rooms of model/ raise it without knowing where in the configuration the value stands; their caller adds the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class Refused(ValueError):
    """One refused value. `reason` continues "path: value ..." and has no full stop; `example` is correct as it stands.

    `field` names the key under the entry, where a check looks at several. A secret's value is never given, but None.
    """

    def __init__(self, value: object, reason: str, example: str, *, field: str = "") -> None:
        self.value = value
        self.reason = reason
        self.example = example
        self.field = field
        super().__init__(f"{'' if value is None else f'{value!r} '}{reason}. Example: {example}")


@dataclass(frozen=True)
class Findings:
    """What a check found: `refused` must change first, `cautions` are sentences for a warning."""

    refused: tuple[Refused, ...] = ()
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Iterable[Refused | str]) -> Findings:
        """Sorts what a check yields: refusals and, as plain text, cautions."""
        listed = tuple(found)
        return cls(
            tuple(one for one in listed if isinstance(one, Refused)),
            tuple(one for one in listed if isinstance(one, str)),
        )
