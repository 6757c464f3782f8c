"""A resource's life cycle as in Pulumi's bridge: check, plan, diff, and the state after every step.

`Resource` is a resource type: its properties and its four operations. `Draft` is their argument, as Terraform's
ResourceData: planned values with zero values for unset ones, old values, and the new state.

There are two kinds of bridged plugin, which differ in what users see; `framework` distinguishes them:

* the SDK kind (Harbor; Linode's instance, domain, record, bucket) puts defaults into the inputs, cannot tell a zero
  value from an absent one, keeps a resource whose creation failed half way, and returns a detailed diff;
* the framework kind (random; the rest of Linode) leaves defaults out of the inputs and forgets failed creations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from localcloud.providers import schema
from localcloud.providers.schema import DEFAULTS, Field
from localcloud.providers.values import UNKNOWN, Values, has_unknown

#: Hexadecimal digits that an automatic name ends in.
AUTONAME_DIGITS = 7


class Failed(Exception):
    """An operation failed; the text is the user's error message."""


@dataclass
class Draft:
    """The argument of an operation. An empty `id` means that the resource does not exist."""

    fields: Mapping[str, Field]
    id: str
    values: Values
    old: Values = field(default_factory=dict)
    inputs: Values = field(default_factory=dict)
    timeout: float = 0.0

    def __getitem__(self, name: str) -> Any:
        """The value of a property, or Terraform's zero value where it is not set or not known."""
        return schema.filled(self.values.get(name), self.fields[name])

    def before(self, name: str) -> Any:
        return schema.filled(schema.clean(self.old.get(name), self.fields[name]), self.fields[name])

    def changed(self, name: str) -> bool:
        return bool(self[name] != self.before(name))

    def configured(self, name: str) -> bool:
        """Return whether the program sets the property, even to zero."""
        return self.inputs.get(name) is not None

    def set(self, **values: Any) -> None:
        """Set properties to values from the API."""
        self.values.update({name: schema.clean(value, self.fields[name]) for name, value in values.items()})

    def complete(self, **values: Any) -> None:
        """Set unknown properties to values from the API."""
        self.set(**{name: value for name, value in values.items() if has_unknown(self.values.get(name))})


@dataclass(frozen=True)
class Change:
    """The change of a property path: ADD, UPDATE or DELETE, and whether it replaces the resource."""

    kind: str
    replace: bool


@dataclass(frozen=True)
class Diff:
    changes: dict[str, Change]
    delete_before_replace: bool

    @property
    def properties(self) -> list[str]:
        return sorted({_top(path) for path in self.changes})

    @property
    def replaces(self) -> list[str]:
        return sorted({_top(path) for path, change in self.changes.items() if change.replace})


def _top(path: str) -> str:
    return path.split("[", 1)[0].split(".", 1)[0]


Api = TypeVar("Api")


class Resource(Generic[Api]):
    """A resource type. Subclasses define `fields` and the operations; `Api` is the type of their client."""

    fields: ClassVar[Mapping[str, Field]]
    framework: ClassVar[bool] = False
    #: Metadata in state (the timeouts of the SDK's resources).
    meta: ClassVar[str | None] = None

    def create(self, api: Api, draft: Draft) -> None:
        raise NotImplementedError

    def read(self, api: Api, draft: Draft) -> None:
        raise NotImplementedError

    def update(self, api: Api, draft: Draft) -> None:
        raise NotImplementedError

    def delete(self, api: Api, draft: Draft) -> None:
        raise NotImplementedError

    def prepare_import(self, api: Api, draft: Draft) -> None:
        """Prepare an import, before the first read."""

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:
        """Change the plan as the real plugin does."""

    def replaced_by(self, old: Values, planned: Values) -> list[str]:  # noqa: ARG002
        """Return properties whose change replaces the resource under conditions only."""
        return []

    # --- inputs

    def check(
        self, name: str, olds: Mapping[str, Any] | None, news: Mapping[str, Any], seed: bytes
    ) -> tuple[Values, list[str]]:
        """Return the checked inputs, and the reasons to refuse them."""
        known = {key: value for key, value in news.items() if not has_unknown(value)}
        reasons = [
            f"{reason}. Examine values at '{name}.{path}'." for path, reason in schema.failures(known, self.fields)
        ]
        if self.framework:
            return schema.marked(news, self.fields), reasons
        inputs = schema.with_defaults(news, olds, self.fields)
        if self._autonamed and "name" not in inputs:
            earlier = (olds or {}).get("name") if "name" in (olds or {}).get(DEFAULTS, []) else None
            digits = hashlib.sha256(seed).hexdigest()[:AUTONAME_DIGITS]
            inputs["name"] = earlier or f"{name}-{digits}"
            inputs[DEFAULTS] = sorted([*inputs[DEFAULTS], "name"])
        return schema.marked(inputs, self.fields), reasons

    @property
    def _autonamed(self) -> bool:
        return False

    # --- plan and diff

    def plan(self, old: Values | None, inputs: Values) -> Values:
        """Return the planned state; values that only the API knows are UNKNOWN."""
        planned: Values = {}
        for name, spec in self.fields.items():
            value = inputs.get(name)
            if value is not None and not spec.output_only:
                planned[name] = self._normal(value, spec)
            elif self.framework and spec.default is not None:
                planned[name] = spec.default
            elif spec.computed:
                planned[name] = UNKNOWN if old is None else old.get(name)
            else:
                planned[name] = None
        self.adjust(old, planned, inputs)
        if self.framework and old is not None and self._differences(old, planned):
            for name, spec in self.fields.items():
                if spec.computed and not spec.keep_known and inputs.get(name) is None:
                    planned[name] = UNKNOWN
        return planned

    def _normal(self, value: Any, spec: Field) -> Any:
        """Return `value` in the property's type; in a set, the SDK fills unset members."""
        value = schema.clean(value, spec)
        if self.framework or spec.kind != "set" or value is None or has_unknown(value):
            return value
        return schema.clean(schema.filled(value, spec), spec)

    def diff(self, old: Values, inputs: Values, ignored: list[str]) -> Diff:
        planned = self.plan(old, inputs)
        for path in ignored:
            planned[_top(path)] = old.get(_top(path))
        changes = self._differences(old, planned, inputs)
        extra = self.replaced_by(old, planned) if changes else []
        for name in extra:
            changes[name] = Change(changes[name].kind if name in changes else "UPDATE", replace=True)
        replacing = any(change.replace for change in changes.values())
        # The bridge deletes first if the program sets the name, because the new resource would collide with it.
        named = self._autonamed and "name" in inputs and "name" not in inputs.get(DEFAULTS, [])
        return Diff(changes, delete_before_replace=replacing and named)

    def _differences(self, old: Values, planned: Values, inputs: Values | None = None) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for name, spec in self.fields.items():
            changes.update(self._difference(name, spec, old.get(name), planned.get(name), (inputs or {}).get(name)))
        return changes

    def _difference(self, path: str, spec: Field, old: Any, new: Any, given: Any) -> dict[str, Change]:
        if spec.stored is not None and new is not None and new != UNKNOWN:
            new = new if new == old else spec.stored(new)
        old = self._normal(old, spec)
        if self._equal(spec, old, new):
            return {}
        absent = schema.is_nothing if not self.framework else (lambda value: value is None)
        if absent(old) or absent(new) or (has_unknown(new) and not isinstance(new, dict | list)):
            # A number that becomes zero, and a new secret, are shown as changes.
            told = spec.secret or (spec.kind in ("bool", "int") and old is not None and new is not None)
            kind = "UPDATE" if told else "ADD" if absent(old) else "DELETE" if absent(new) else "UPDATE"
            return {path: Change(kind, _replaces(spec))}
        if spec.kind == "object":
            nested: dict[str, Change] = {}
            for name, member in spec.fields.items():
                inner = self._difference(f"{path}.{name}", member, old.get(name), new.get(name), None)
                nested.update(inner)
            return {key: Change(change.kind, change.replace or spec.new) for key, change in nested.items()}
        if spec.kind in ("list", "set") and spec.item is not None and isinstance(old, list) and isinstance(new, list):
            wanted = [self._normal([item], spec)[0] for item in given] if isinstance(given, list) else []
            pairs = _paired(spec, old, new, wanted)
            if pairs is None:
                return {path: Change("UPDATE", _replaces(spec))}
            elements: dict[str, Change] = {}
            for index, before, after in pairs:
                elements.update(self._difference(f"{path}[{index}]", spec.item, before, after, None))
            return {key: Change(change.kind, change.replace or spec.new) for key, change in elements.items()}
        return {path: Change("UPDATE", spec.new)}

    def _equal(self, spec: Field, old: Any, new: Any) -> bool:
        if has_unknown(new):
            return False
        if old == new or (spec.same is not None and spec.same(old, new)):
            return True
        if spec.kind == "set" and spec.item is not None and isinstance(old, list) and isinstance(new, list):
            return schema.ordered(old, spec.item) == schema.ordered(new, spec.item)
        if self.framework:
            return False
        # If state has no value, as after an import, false or zero is a change, but an empty text is not.
        stated = old is None and new is not None and spec.kind in ("bool", "int")
        return schema.is_nothing(old) and schema.is_nothing(new) and not stated

    # --- state

    def outputs(self, draft: Draft) -> Values:
        """Return the properties for the state, with marked secrets."""
        values: Values = {"id": draft.id or UNKNOWN}
        for name, spec in self.fields.items():
            value = draft.values.get(name)
            if spec.stored is not None and value not in (None, UNKNOWN, draft.old.get(name)):
                value = spec.stored(value)
            if spec.kind == "set" and not spec.keep_order and isinstance(value, list) and not has_unknown(value):
                value = schema.state_order(value, spec.element)
            if value is None and not self.framework and spec.item is not None and spec.item.kind == "object":
                value = []
            values[name] = value
        if self.meta is not None:
            values["__meta"] = self.meta
        return schema.marked(values, self.fields)

    def seen_inputs(self, inputs: Mapping[str, Any], outputs: Values) -> Values:
        """Return the inputs after a refresh: the old inputs that are still in state, with their new values."""
        return schema.marked(_seen_object(inputs, outputs, self.fields), self.fields)

    def imported_inputs(self, outputs: Values) -> Values:
        """Return the inputs after an import: all input properties that differ from their defaults."""
        inputs = _imported_object(outputs, self.fields)
        return schema.marked(_without_defaults(inputs) if self.framework else inputs, self.fields)


def _replaces(spec: Field) -> bool:
    """Return whether a change of the property, as a whole, replaces the resource."""
    return (
        spec.new
        or any(_replaces(member) for member in spec.fields.values())
        or (spec.item is not None and _replaces(spec.item))
    )


def _paired(spec: Field, old: list[Any], new: list[Any], wanted: list[Any]) -> list[tuple[int, Any, Any]] | None:
    """Return pairs of old and new elements with the shown index; None if a set's elements cannot be paired."""
    if spec.kind == "list":
        length = max(len(old), len(new))
        return [
            (i, old[i] if i < len(old) else None, new[i] if i < len(new) else None)
            for i in range(length)
            if i >= len(old) or i >= len(new) or old[i] != new[i]
        ]
    old = schema.state_order(old, spec.element)
    changes: dict[int, list[Any]] = {i: [item, None] for i, item in enumerate(old) if item not in new}
    for item in new:
        if item in old:
            continue
        if item not in wanted:
            return None
        changes.setdefault(wanted.index(item), [None, None])[1] = item
    return [(index, before, after) for index, (before, after) in sorted(changes.items())]


def _seen_object(inputs: Mapping[str, Any], outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> Values:
    seen: Values = {}
    defaults = set(inputs.get(DEFAULTS, []))
    for name, value in inputs.items():
        if name == DEFAULTS or name not in outputs or outputs[name] is None:
            defaults.discard(name)
            continue
        seen[name] = _seen(value, outputs[name], fields.get(name))
        if seen[name] != value:
            defaults.discard(name)
    if DEFAULTS in inputs:
        seen[DEFAULTS] = sorted(defaults)
    return seen


def _seen(value: Any, output: Any, spec: Field | None) -> Any:
    if spec is not None and spec.stored is not None:
        return value
    if isinstance(value, list) and isinstance(output, list):
        item = spec.item if spec is not None else None
        return [_seen(before, after, item) for before, after in zip(value, output, strict=False)]
    if isinstance(value, Mapping) and isinstance(output, Mapping):
        return _seen_object(value, output, spec.fields if spec is not None else {})
    return output


def _imported_object(outputs: Mapping[str, Any], fields: Mapping[str, Field]) -> Values:
    inputs: Values = {}
    for name, spec in fields.items():
        value = _imported(outputs.get(name), spec)
        if spec.output_only or value is None:
            continue
        dull = value == spec.default if spec.default is not None else schema.is_nothing(value)
        if spec.required or not dull:
            inputs[name] = value
    return {**inputs, DEFAULTS: []}


def _imported(value: Any, spec: Field) -> Any:
    if spec.kind == "object" and isinstance(value, Mapping):
        return _imported_object(value, spec.fields)
    if spec.item is not None and isinstance(value, list):
        return [_imported(item, spec.item) for item in value]
    return value


def _without_defaults(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_defaults(item) for key, item in value.items() if key != DEFAULTS}
    return [_without_defaults(item) for item in value] if isinstance(value, list) else value
