"""Pulumi's property values on the wire: protobuf structs <-> plain Python values.

Secrets leave as `Secret`; they never arrive as such, because the stand-ins say (as the real bridged plugins do) that
they do not accept them: the engine strips them before a call and puts them back on properties of the same name after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

#: What the engine sends, and expects back, for a value that is not known at preview.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the wire format's mark for a secret, not one

Values = dict[str, Any]


@dataclass(frozen=True)
class Secret:
    """A value that the engine must encrypt in state and mask on screen."""

    value: Any


def decode(struct: struct_pb2.Struct) -> Values:
    """The values of `struct`; secrets lose their mark, nulls are left out."""
    values = {key: _decode(value) for key, value in struct.fields.items()}
    return {key: value for key, value in values.items() if value is not None}


def _decode(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
                return _decode(fields["value"])
            return decode(value.struct_value)
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def encode(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """`values` as a struct; `Secret`s, also nested ones, carry their mark."""
    struct = struct_pb2.Struct()
    struct.update(_encode(values))
    return struct


def _encode(value: Any) -> Any:
    match value:
        case Secret(value=inner):
            return {_SIGNATURE: _SECRET, "value": _encode(inner)}
        case Mapping():
            return {key: _encode(item) for key, item in value.items()}
        case list() | tuple():
            return [_encode(item) for item in value]
        case _:
            return value


def has_unknown(value: Any) -> bool:
    """Whether `value` is, or contains, a value not known yet."""
    match value:
        case Mapping():
            return any(has_unknown(item) for item in value.values())
        case list() | tuple():
            return any(has_unknown(item) for item in value)
        case _:
            return bool(value == UNKNOWN)


def sparse(values: Mapping[str, Any]) -> Values:
    """A request's body as Go's `omitempty` leaves it: without zero values."""
    return {key: value for key, value in values.items() if value not in ("", 0, False, None, [], {})}
