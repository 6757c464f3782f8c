"""From raw configuration to the frozen models, with every fault found on the way."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harbor_mirror.model.checks import check
from harbor_mirror.model.config import (
    HTTP_PORT,
    KEY,
    PROJECT_NAME,
    PROJECT_NAME_LENGTH,
    RULE_NAME_LENGTH,
    Configuration,
    Endpoint,
    ExistingHarbor,
    Host,
    Project,
    Rule,
    Section,
)
from harbor_mirror.model.faults import ConfigurationError, Fault

SINGLE: Mapping[str, type[Section]] = {"host": Host, "harbor": ExistingHarbor}
KEYED: Mapping[str, type[Section]] = {"endpoints": Endpoint, "projects": Project, "rules": Rule}
#: Top-level keys as written in `Pulumi.<stack>.yaml`, without the `harbor-mirror:` in front.
SETTINGS = tuple(field.alias or name for name, field in Configuration.model_fields.items())
#: What stands for a value that is secret, wherever a value is shown.
HIDDEN = "[secret]"


def parse(raw: Mapping[str, Any]) -> Configuration:
    """Reads a stack's configuration, keyed by setting.

    Raises ConfigurationError with every fault: unknown keys, wrong types and forms, missing references.
    """
    faults = [unknown_key(key, SETTINGS, value=None, path=key) for key in raw if key not in SETTINGS]
    fields: dict[str, Any] = {}
    for setting, model in SINGLE.items():
        if raw.get(setting):
            fields[setting] = _section(model, setting, raw[setting], faults)
    for setting, model in KEYED.items():
        fields[setting] = _keyed(model, setting, raw.get(setting) or {}, faults)
    if raw.get("harborPassword"):
        fields["harbor_password"] = SecretStr(str(raw["harborPassword"]))
    faults += _references(raw)
    if not faults:
        configuration = Configuration.model_construct(**fields)
        faults += [*_consistency(configuration), *check(configuration)[0]]
    if faults:
        raise ConfigurationError(faults)
    return configuration


def unknown_key(key: str, known: Iterable[str], *, value: object, path: str) -> Fault:
    """The fault of a key that does not exist, with the one that was probably meant."""
    close = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return Fault(path, value, f"is not a known key; {meant}", "")


def _section(model: type[Section], path: str, raw: object, faults: list[Fault]) -> Section | None:
    if not isinstance(raw, Mapping):
        faults.append(Fault(path, raw, "must be a map of settings", _example(model)))
        return None
    try:
        section: Section = model.read(raw)
    except ValidationError as error:
        faults += (_translated(model, path, raw, detail) for detail in error.errors(include_url=False))
        return None
    return section


def _keyed(model: type[Section], setting: str, raw: object, faults: list[Fault]) -> dict[str, Section]:
    if not isinstance(raw, Mapping):
        faults.append(Fault(setting, raw, "must be a map keyed by name", f"{setting}: {{NAME: {{…}}}}"))
        return {}
    sections: dict[str, Section] = {}
    for name, value in raw.items():
        faults += _key_faults(setting, str(name))
        section = _section(model, f"{setting}.{name}", value, faults)
        if section is not None:
            sections[str(name)] = section
    return sections


def _key_faults(setting: str, name: str) -> Iterator[Fault]:
    path = f"{setting}.{name}"
    if setting == "projects":
        if not PROJECT_NAME.fullmatch(name) or len(name) > PROJECT_NAME_LENGTH:
            reason = "is no project name: lower case letters and digits, separated by single . _ or -, at most 255"
            yield Fault(path, name, reason, "mirror")
    elif not KEY.fullmatch(name) or len(name) > RULE_NAME_LENGTH:
        reason = "is no name: letters and digits, separated by single . _ or -, at most 256"
        yield Fault(path, name, reason, "docker-hub")


def _references(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Against the raw keys, so that a faulty endpoint does not make each of its rules faulty too."""
    rules = raw.get("rules")
    if not isinstance(rules, Mapping):
        return
    for name, rule in rules.items():
        for field, setting in (("endpoint", "endpoints"), ("project", "projects")):
            wanted = rule.get(field) if isinstance(rule, Mapping) else None
            known = raw.get(setting)
            known = known if isinstance(known, Mapping) else {}
            if isinstance(wanted, str) and wanted and wanted not in known:
                there = sorted(map(str, known))
                reason = f"is not under {setting}; there " + (f"are {', '.join(there)}" if there else "are none")
                close = difflib.get_close_matches(wanted, there, n=1, cutoff=0)
                yield Fault(f"rules.{name}.{field}", wanted, reason, next(iter(close), ""))


def _consistency(configuration: Configuration) -> Iterator[Fault]:
    host, harbor = configuration.host, configuration.harbor
    if (host is None) == (harbor is None):
        reason = "set one of host (a new server) and harbor (one that exists)" + ("" if host is None else ", not both")
        yield Fault("host", None, reason, "host: {region: sg-sin-2, hostname: harbor.dev.example.com}")
    if harbor is not None and configuration.harbor_password is None:
        example = "pulumi config set --secret harborPassword"
        yield Fault("harborPassword", None, "is missing; an existing Harbor needs its administrator's", example)
    if host is not None:
        yield from _host_consistency(host)
    names: dict[str, str] = {}
    for key, endpoint in configuration.endpoints.items():
        name = endpoint_name(key, endpoint)
        if name in names:
            reason = f"is the name in Harbor of endpoints.{names[name]} too; names are unique"
            yield Fault(f"endpoints.{key}.name", name, reason, f"{name}-2")
        names.setdefault(name, key)


def _host_consistency(host: Host) -> Iterator[Fault]:
    if host.dns_zone is not None and not host.hostname.endswith(f".{host.dns_zone}"):
        reason = f"is not in the zone {host.dns_zone}"
        yield Fault("host.hostname", host.hostname, reason, f"harbor.{host.dns_zone}")
    for field, value in (("certificate", host.certificate), ("certificateKey", host.certificate_key)):
        if (host.tls == "provided") != (value is not None):
            reason = "is missing with tls: provided" if value is None else f"has no use with tls: {host.tls}"
            example = f"pulumi config set --path --secret host.{field}"
            yield Fault(f"host.{field}", None, reason, example)
    if host.tls != "none" and host.http_port != HTTP_PORT:
        yield Fault("host.httpPort", host.http_port, f"has no use with tls: {host.tls}", str(HTTP_PORT))


def endpoint_name(key: str, endpoint: Endpoint) -> str:
    """Name of an endpoint in Harbor.

    The type is part of it: Harbor keeps one name once and refuses to delete an endpoint in use, so only a new name
    lets a changed type converge in one `up` (measured: 412 and a stuck stack otherwise).
    """
    return endpoint.name or f"{key}-{endpoint.type}"


def _translated(model: type[Section], base: str, raw: object, detail: ErrorDetails) -> Fault:
    path = ".".join([base, *(str(part) for part in detail["loc"])])
    owner, field = _field(model, detail["loc"])
    hidden = field is not None and SecretStr in _types(field)
    value = HIDDEN if hidden else _as_written(raw, detail["loc"])
    example = str(field.examples[0]) if field is not None and field.examples else ""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return Fault(path, None, "is missing", example)
    if kind == "extra_forbidden":
        known = [found.alias or name for name, found in owner.model_fields.items()]
        return unknown_key(str(detail["loc"][-1]), known, value=None, path=path)
    if kind == "value_error":
        reason = str(context["error"])
    elif kind in {"too_short", "string_too_short"}:
        reason = "is empty"
    else:
        reason = detail["msg"].replace("Input should be", "must be").replace("String should", "must")
    return Fault(path, value, reason, example)


def _as_written(raw: object, loc: tuple[int | str, ...]) -> object:
    for part in loc:
        try:
            raw = raw[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return raw
    return raw


def _field(model: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], FieldInfo | None]:
    field: FieldInfo | None = None
    for part in loc:
        by_alias = {found.alias or name: found for name, found in model.model_fields.items()}
        if not isinstance(part, str) or part not in by_alias:
            break
        field = by_alias[part]
        nested = [kind for kind in _types(field) if isinstance(kind, type) and issubclass(kind, Section)]
        model = nested[0] if nested else model
    return model, field


def _types(field: FieldInfo) -> tuple[object, ...]:
    return (field.annotation, *getattr(field.annotation, "__args__", ()))


def _example(model: type[Section]) -> str:
    required = {
        field.alias or name: field.examples[0] if field.examples else "…"
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    return "{" + ", ".join(f"{key}: {value}" for key, value in required.items()) + "}"
