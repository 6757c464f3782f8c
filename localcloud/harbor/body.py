"""Decodes JSON bodies as Go's encoding/json decodes them into a struct, with its error messages.

A `Struct` has the Go type's name and fields. Unknown fields are ignored, null omits a field, names match without
regard to case.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

Scalar = Literal["string", "bool", "int64", "int32", "int8", "any", "map"]
_BITS = {"int64": 63, "int32": 31, "int8": 7}


@dataclass(frozen=True)
class Struct:
    """`name` is the type's name in Go's error messages."""

    name: str
    fields: dict[str, Kind]


@dataclass(frozen=True)
class ListOf:
    """`go` is the element type in Go's error messages, e.g. `*models.ReplicationFilter`."""

    item: Kind
    go: str


Kind = Scalar | Struct | ListOf


class Malformed(ValueError):
    """The text after `failed, because ` in Harbor's 422."""


def decode(text: bytes, kind: Struct) -> dict[str, Any]:
    """Return the known fields of a JSON document. Raise Malformed."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed(_syntax(text.decode(errors="replace"), error)) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"json: cannot unmarshal {_word(value)} into Go value of type models.{kind.name}")
    return _struct(value, kind, "")


def _struct(value: dict[str, Any], kind: Struct, path: str) -> dict[str, Any]:
    known = {name.lower(): name for name in kind.fields}
    result: dict[str, Any] = {}
    for given, item in value.items():
        name = known.get(given.lower())
        if name is not None and item is not None:
            at = f"{path}.{name}" if path else name
            result[name] = _value(item, kind.fields[name], kind.name, at)
    return result


def _value(value: Any, kind: Kind, owner: str, path: str) -> Any:
    if isinstance(kind, Struct):
        if not isinstance(value, dict):
            raise _mismatch(value, owner, path, f"models.{kind.name}")
        return _struct(value, kind, path)
    if isinstance(kind, ListOf):
        if not isinstance(value, list):
            raise _mismatch(value, owner, path, f"[]{kind.go}")
        return [_value(item, kind.item, owner, path) for item in value if item is not None]
    if kind == "any":
        return value
    if kind == "map":
        if not isinstance(value, dict):
            raise _mismatch(value, owner, path, "map[string]interface {}")
        return value
    if kind == "string":
        fits = isinstance(value, str)
    elif kind == "bool":
        fits = isinstance(value, bool)
    else:
        limit = 1 << _BITS[kind]
        fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if not fits:
        raise _mismatch(value, owner, path, kind)
    return value


def _mismatch(value: Any, owner: str, path: str, go: str) -> Malformed:
    return Malformed(f"json: cannot unmarshal {_word(value, True)} into Go struct field {owner}.{path} of type {go}")


def _word(value: Any, with_number: bool = False) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return f"number {json.dumps(value)}" if with_number else "number"


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].lstrip()
    if not rest:
        return "unexpected EOF"
    character = rest[0]
    if error.msg.startswith("Expecting property name"):
        return f"invalid character '{character}' looking for beginning of object key string"
    if error.msg == "Extra data":
        return f"invalid character '{character}' after top-level value"
    if re.match(r"Expecting ',' delimiter", error.msg):
        return f"invalid character '{character}' after object key:value pair"
    return f"invalid character '{character}' looking for beginning of value"
