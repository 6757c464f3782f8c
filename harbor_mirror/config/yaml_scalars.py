"""Converts unquoted YAML scalars to the values that Pulumi passes to a program: Go's yaml.v3, then JSON.

Compared with the engine (3.274.1): `yes` and `12:30` are text, `0x10` is 16, `010` is 8, `1_000` is 1000 and `1.0` is
1. A date becomes Go's text of it, "2026-11-25 00:00:00 +0000 UTC", which nobody means.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal

Scalar = str | int | float | bool | None

_KEYWORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0|[1-9][0-9]*)")
_OLD_OCTAL = re.compile(r"[-+]?0[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"([Tt ]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
#: Longer ones are not 64-bit numbers in any base.
_MAX_INTEGER_LENGTH = 70
#: Go writes larger ones with an exponent.
_MAX_WHOLE_FLOAT = 1e21


def plain(text: str) -> Scalar:
    """Return the value of a scalar without quotes and tag."""
    if text in _KEYWORDS:
        return _KEYWORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    number: int | float | None = _integer(digits)
    if number is None:
        number = _float(digits)
    if number is not None:
        return number
    return _time(text) or text


def _integer(digits: str) -> int | None:
    if len(digits) > _MAX_INTEGER_LENGTH:
        return None
    if _OLD_OCTAL.fullmatch(digits):
        return int(digits, 8)
    value = int(digits, 0) if _INTEGER.fullmatch(digits) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _float(digits: str) -> int | float | None:
    value = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    if math.isinf(value):
        return None
    # Go writes the fewest digits that give this float.
    return int(Decimal(repr(value))) if value.is_integer() and abs(value) < _MAX_WHOLE_FLOAT else value


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, clock, hour, minute, second, fraction, zone = match.groups(default="")
    try:
        moment = datetime(*(int(part or 0) for part in (year, month, day, hour, minute, second)))  # type: ignore[arg-type]
    except ValueError:
        return None
    if clock and (clock[0] == " ") == bool(zone):
        return None
    offset = "+0000 UTC" if zone in {"", "Z"} else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction.rstrip('0').rstrip('.')} {offset}"
