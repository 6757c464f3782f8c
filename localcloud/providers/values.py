"""Converts Pulumi's property values: protobuf structs <-> plain Python values.

Outgoing secrets are `Secret`. Incoming ones are plain, because the stand-ins report (as bridged plugins do) that
they do not accept secrets: the engine removes the marks before a call and restores them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

#: The engine's marker of a value that is unknown in a preview.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the wire format's mark for a secret, not one

Values = dict[str, Any]


@dataclass(frozen=True)
class Secret:
    """A value that the engine must encrypt in state and mask on screen."""

    value: Any


def decode(struct: struct_pb2.Struct) -> Values:
    """Return the values of `struct`, without secret marks and nulls."""
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
    """Return `values` as a struct, with marked secrets."""
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
    """Return whether `value` is or contains an unknown value."""
    match value:
        case Mapping():
            return any(has_unknown(item) for item in value.values())
        case list() | tuple():
            return any(has_unknown(item) for item in value)
        case _:
            return bool(value == UNKNOWN)


def sparse(values: Mapping[str, Any]) -> Values:
    """Return a request body without zero values, as with Go's `omitempty`."""
    return {key: value for key, value in values.items() if value not in ("", 0, False, None, [], {})}
