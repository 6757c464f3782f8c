"""The schema of properties: type, default, the effect of a change, and the order of sets.

The terms are Terraform's: `computed` (the provider may fill it in), `new` (a
change replaces the resource), `stored` (state has this instead of the value). Names are Pulumi's (camel case).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from localcloud.providers.values import UNKNOWN, Secret, Values

Kind = Literal["string", "int", "bool", "list", "set", "map", "object"]
_ZERO: dict[Kind, Any] = {"string": "", "int": 0, "bool": False, "list": [], "set": [], "map": {}, "object": {}}
DEFAULTS = "__defaults"


@dataclass(frozen=True)
class Field:
    """One property. `item` is the element of a list or set, `fields` the members of an object.

    `check` returns the reason to refuse a value, or None; `same` returns whether two values are equal; `keep_known` is
    false for what the framework's plan marks unknown again on every update; `keep_order` leaves a set as the program
    wrote it (the framework does, the SDK sorts).
    """

    kind: Kind
    required: bool = False
    output_only: bool = False
    computed: bool = False
    default: Any = None
    new: bool = False
    secret: bool = False
    keep_known: bool = True
    keep_order: bool = False
    item: Field | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    stored: Callable[[Any], Any] | None = None
    same: Callable[[Any, Any], bool] | None = None
    check: Callable[[Any], str | None] | None = None

    @property
    def element(self) -> Field:
        """The element of a list or set. Raise TypeError if the property is neither."""
        if self.item is None:
            raise TypeError(f"a property of the kind {self.kind} has no elements")
        return self.item

    @property
    def zero(self) -> Any:
        """Terraform's zero value, which the plugin's code sees for an unset property."""
        if self.kind == "object":
            return {name: member.zero for name, member in self.fields.items()}
        return _ZERO[self.kind]


def properties(**fields: Field) -> Mapping[str, Field]:
    """Return the properties of a resource by Pulumi's names."""
    return MappingProxyType(fields)


def text(**options: Any) -> Field:
    return Field("string", **options)


def number(**options: Any) -> Field:
    return Field("int", **options)


def flag(**options: Any) -> Field:
    return Field("bool", **options)


def listing(item: Field, **options: Any) -> Field:
    return Field("list", item=item, **options)


def bag(item: Field, **options: Any) -> Field:
    """Return a set's schema."""
    return Field("set", item=item, **options)


def record(**fields: Field) -> Field:
    """Return an object, alone or as the element of a list or set."""
    return Field("object", fields=fields)


def optional_record(fields: Mapping[str, Field], **options: Any) -> Field:
    return Field("object", fields=fields, **options)


def mapping(**options: Any) -> Field:
    return Field("map", item=text(), **options)


def out(template: Field) -> Field:
    """Return an output-only property of the same type."""
    return replace(template, output_only=True, computed=True)


def clean(value: Any, spec: Field) -> Any:
    """Return `value` in the property's type, without unknown members; sets in Terraform's order."""
    if value is None or value == UNKNOWN:
        return value
    match spec.kind:
        case "string":
            return str(value).lower() if isinstance(value, bool) else str(value)
        case "int":
            return int(value)
        case "bool":
            return value == "true" if isinstance(value, str) else bool(value)
        case "object":
            return {name: clean(value.get(name), member) for name, member in spec.fields.items()}
        case "list" | "set":
            items = [clean(item, spec.element) for item in value]
            return ordered(items, spec.element) if spec.kind == "set" and not spec.keep_order else items
        case _:
            return {
                key: clean(item, spec.item) if spec.item else item for key, item in value.items() if key != DEFAULTS
            }


def filled(value: Any, spec: Field) -> Any:
    """Return `value` as the plugin's code reads it: zero for unset and unknown values."""
    if value is None or value == UNKNOWN:
        return spec.zero
    if spec.kind == "object":
        return {name: filled(value.get(name), member) for name, member in spec.fields.items()}
    if spec.item is not None and spec.kind in ("list", "set"):
        return [filled(item, spec.item) for item in value]
    return value


def ordered(items: list[Any], item: Field) -> list[Any]:
    """Return a set's elements in the order of Terraform's SDK: by the decimal digits of their hashes."""
    return sorted(items, key=lambda value: str(zlib.crc32(_serialized(value, item).encode())))


def _serialized(value: Any, spec: Field) -> str:
    """Return the text that Terraform's SDK hashes for an element of a set (helper/schema, SerializeValueForHash)."""
    if spec.kind == "object":
        members = {_snake(name): name for name, member in spec.fields.items() if not member.output_only}
        return "".join(
            f"{key}:{_serialized(value.get(members[key]), spec.fields[members[key]])}" for key in sorted(members)
        )
    value = filled(value, spec)
    match spec.kind:
        case "bool":
            return ("1" if value else "0") + ";"
        case "list" | "set":
            item = spec.element
            opening, closing = ("(", ")") if spec.kind == "list" else ("{", "}")
            members_of = ordered(value, item) if spec.kind == "set" else value
            parts = (_serialized(member, item) for member in members_of)
            if item.kind == "object":
                parts = (f"<{part}>;" for part in parts)
            return opening + "".join(parts) + closing + ";"
        case _:
            return f"{value};"


def state_order(items: list[Any], item: Field) -> list[Any]:
    """Return a set's elements in the order of the state (go-cty: strings by value, others serialised)."""
    return sorted(items, key=lambda value: value if item.kind == "string" else _cty_key(value, item))


def _cty_key(value: Any, spec: Field) -> str:
    if value is None:
        return "~"
    match spec.kind:
        case "string":
            return f'"{value}"'
        case "bool":
            return "T" if value else "F"
        case "object":
            members = sorted(spec.fields, key=_snake)
            return "<" + "".join(_cty_key(value.get(name), spec.fields[name]) + ";" for name in members) + ">"
        case "list" | "set":
            return "[" + "".join(_cty_key(item, spec.element) + ";" for item in value) + "]"
        case _:
            return str(value)


def _snake(name: str) -> str:
    """Terraform's name of a nested member (plural blocks lose their s: only `accesses` matters for an order)."""
    name = "access" if name == "accesses" else name
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def with_defaults(news: Mapping[str, Any], olds: Mapping[str, Any] | None, fields: Mapping[str, Field]) -> Values:
    """Return `news` with the schema's defaults and, at every level, the list of defaulted properties.

    A default of an earlier run is kept unless it was changed, as in the bridge.
    """
    result = {name: _nested_defaults(value, fields.get(name)) for name, value in news.items() if name != DEFAULTS}
    earlier = (olds or {}).get(DEFAULTS)
    taken = []
    for name, spec in fields.items():
        if name in result or spec.output_only or spec.default is None:
            continue
        reusable = olds is not None and name in olds and (earlier is None or name in earlier)
        result[name] = olds[name] if reusable and olds is not None else spec.default
        taken.append(name)
    result[DEFAULTS] = sorted(taken)
    return result


def _nested_defaults(value: Any, spec: Field | None) -> Any:
    if spec is None or value == UNKNOWN:
        return value
    if spec.kind == "object" and isinstance(value, Mapping):
        return with_defaults(value, None, spec.fields)
    if spec.kind == "map" and isinstance(value, Mapping):
        return {**value, DEFAULTS: []}
    if spec.item is not None and isinstance(value, list):
        return [_nested_defaults(item, spec.item) for item in value]
    return value


def failures(values: Mapping[str, Any], fields: Mapping[str, Field], path: str = "") -> list[tuple[str, str]]:
    """Return what is wrong with known `values`: (path, reason) pairs."""
    found: list[tuple[str, str]] = []
    for name in sorted(values):
        if (spec := fields.get(name)) is not None:
            found += _failures(values[name], spec, f"{path}.{name}" if path else name)
    return found


def _failures(value: Any, spec: Field, path: str) -> list[tuple[str, str]]:
    if value is None or value == UNKNOWN:
        return []
    if spec.check is not None and (reason := spec.check(value)) is not None:
        return [(path, reason)]
    if spec.kind == "object":
        return failures(value, spec.fields, path)
    if spec.kind in ("list", "set") and spec.item is not None and isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _failures(item, spec.item, f"{path}[{index}]")]
    return []


def marked(values: Mapping[str, Any], fields: Mapping[str, Field]) -> Values:
    """Return `values` with marked secrets, also nested ones."""
    return {name: _marked(value, fields.get(name)) for name, value in values.items()}


def _marked(value: Any, spec: Field | None) -> Any:
    if spec is None:
        return value
    if spec.secret:
        return Secret(value)
    if spec.kind == "object" and isinstance(value, Mapping):
        return marked(value, spec.fields)
    if spec.item is not None and spec.kind in ("list", "set") and isinstance(value, list):
        return [_marked(item, spec.item) for item in value]
    return value


def is_nothing(value: Any) -> bool:
    """Return whether Terraform's old SDK treats `value` as unset: it does so for zero values."""
    return value is None or value in ("", 0, False) or value == [] or value == {}
