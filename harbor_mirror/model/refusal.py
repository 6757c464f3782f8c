"""A value that must not reach Harbor: why, and what to write instead.

The rooms of model/ raise it without knowing where in the configuration the value stands; their caller adds the path.
"""

from __future__ import annotations


class Refused(ValueError):
    """One refused value. `reason` continues "path: value ..." and has no full stop; `example` is correct as it stands.

    Never put a secret into `value`: the text is shown.
    """

    def __init__(self, value: object, reason: str, example: str) -> None:
        self.value = value
        self.reason = reason
        self.example = example
        super().__init__(f"{value!r} {reason}. Example: {example}")
