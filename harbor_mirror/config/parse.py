"""From raw configuration to the frozen models, with every fault found on the way."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harbor_mirror.config.faults import HIDDEN, Fault, in_yaml
from harbor_mirror.config.models import (
    ENDPOINT_NAME_LENGTH,
    HTTP_PORT,
    KEY,
    PROJECT_NAME,
    PROJECT_NAME_LENGTH,
    RULE_NAME_LENGTH,
    Configuration,
    Endpoint,
    ExistingHarbor,
    Host,
    Maintenance,
    Project,
    Rule,
    Section,
)

SINGLE: Mapping[str, type[Section]] = {"host": Host, "harbor": ExistingHarbor, "maintenance": Maintenance}
KEYED: Mapping[str, type[Section]] = {"endpoints": Endpoint, "projects": Project, "rules": Rule}
#: Top-level keys as written in `Pulumi.<stack>.yaml`, without the `harbor-mirror:` in front.
SETTINGS = tuple(field.alias or name for name, field in Configuration.model_fields.items())
#: Harbor's, its provider's and other tools' words for keys of ours.
MEANT = {
    "trigger": "schedule",
    "cron": "schedule",
    "name": "repositories",
    "repository": "repositories",
    "tag": "tags",
    "filters": "repositories",
    "registry": "endpoint",
    "registryId": "endpoint",
    "destNamespace": "project",
    "destNamespaceReplace": "flatten",
    "destNamespaceReplaceCount": "flatten",
    "excludes": "tags",
    "matches": "tags",
    "speed": "speedKbps",
    "password": "secret",
    "accessId": "username",
    "accessSecret": "secret",
    "endpointUrl": "url",
    "providerName": "type",
    "storageQuota": "quotaGb",
    "mostRecent": "mostRecentlyPushed",
    "nDaysSinceLastPush": "pushedWithinDays",
    "nDaysSinceLastPull": "pulledWithinDays",
    "alwaysRetain": "always",
    "maxJobWorkers": "workers",
}

#: Pydantic's kinds of errors that need no more than a sentence. Every kind that the models can give is here or in
#: `_reason`: a test tries each.
REASONS = {
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "model_type": "must be a map of settings",
    "tuple_type": "must be a list",
    "json_invalid": "is nested too deep, or has half a Unicode character",
}
#: Go's way to write a time.
DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)? [-+][0-9]{4} \S+")


def parse(raw: Mapping[str, Any]) -> tuple[Configuration, list[Fault]]:
    """Read a stack's configuration, keyed by setting.

    Returns the entries that could be read, and every fault: unknown keys, wrong types and forms, missing references.
    """
    faults = [_unknown_setting(key) for key in raw if key not in SETTINGS]
    # Empty values count as unset, because Pulumi.yaml declares empty defaults.
    raw = {key: value for key, value in raw.items() if value not in (None, "", {})}
    fields: dict[str, Any] = {}
    for setting, model in SINGLE.items():
        section = _section(model, setting, raw[setting], faults) if setting in raw else None
        if section is not None:
            fields[setting] = section
    for setting, model in KEYED.items():
        fields[setting] = _keyed(model, setting, raw.get(setting, {}), faults)
    fields |= _plain_settings(raw, faults)
    faults += [*_references(raw), *_dates("", raw)]
    configuration = Configuration.model_construct(**fields)
    faults += _consistency(configuration, raw)
    return configuration, faults


def _plain_settings(raw: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """The settings that are no maps; what `pulumi config set` writes is text."""
    directory, strict, password = raw.get("rulesDir"), raw.get("strict", False), raw.get("harborPassword")
    if directory is not None and not isinstance(directory, str):
        faults.append(Fault("rulesDir", directory, "must be the path of a directory", "mirrors/prod"))
    if strict not in (True, False, "true", "false"):
        faults.append(Fault("strict", strict, "must be true or false", "true"))
    if password is not None and (not isinstance(password, str) or password != password.strip()):
        reason = "begins or ends with a blank or a line break" if isinstance(password, str) else "must be text"
        faults.append(Fault("harborPassword", HIDDEN, reason, "pulumi config set --secret harborPassword"))
    return {
        "rules_dir": directory,
        "strict": strict in (True, "true"),
        "harbor_password": None if password is None else SecretStr(str(password)),
    }


def _unknown_setting(key: str) -> Fault:
    if re.split(r"[.\[]", key)[0] in SETTINGS:
        return Fault(key, None, "is one key to Pulumi; a path needs --path", f"pulumi config set --path '{key}'")
    return unknown_key(key, SETTINGS, value=None, path=key)


def unknown_key(key: str, known: Iterable[str], *, value: object, path: str) -> Fault:
    """The fault of a key that does not exist, with the one that was probably meant."""
    known = list(known)
    close = [MEANT[key]] if MEANT.get(key, "") in known else difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return Fault(path, value, f"is not a known key; {meant}", "")


def _section(model: type[Section], path: str, raw: object, faults: list[Fault]) -> Section | None:
    if not isinstance(raw, Mapping):
        faults.append(Fault(path, _shown(model, raw), "must be a map of settings", _example(model)))
        return None
    try:
        section: Section = model.read(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
        faults += (_translated(model, path, raw, detail) for detail in details if not _follows(detail, details))
        return None
    return section


def _follows(detail: ErrorDetails, others: Iterable[ErrorDetails]) -> bool:
    """True for a length that is wrong only because an entry is, which pydantic leaves out of the count."""
    depth = len(detail["loc"])
    below = (other["loc"] for other in others if len(other["loc"]) > depth)
    return detail["type"] == "too_short" and any(loc[:depth] == detail["loc"] for loc in below)


def _keyed(model: type[Section], setting: str, raw: object, faults: list[Fault]) -> dict[str, Section]:
    if not isinstance(raw, Mapping):
        example = f"{setting}: {{NAME: {{…}}}}"
        faults.append(Fault(setting, _shown(model, raw), "must be a map keyed by name", example))
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
    elif not KEY.fullmatch(name):
        yield Fault(path, name, "is no name: letters and digits, separated by single . _ or -", "docker-hub")
    elif len(name) > RULE_NAME_LENGTH:
        yield Fault(path, name, f"is longer than {RULE_NAME_LENGTH} characters", "nginx")


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
                listed = f"{'is' if len(there) == 1 else 'are'} {', '.join(there)}" if there else "are none"
                reason = f"is not under {setting}; there {listed}"
                close = difflib.get_close_matches(wanted, there, n=1, cutoff=0)
                yield Fault(f"rules.{name}.{field}", wanted, reason, next(iter(close), ""))


def _dates(where: str, value: object) -> Iterator[Fault]:
    """What was a date without quotes comes as Go writes it: nobody's tag, and nobody's description."""
    if isinstance(value, Mapping | list):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _dates(f"{where}.{key}" if where else str(key), inner)
    elif isinstance(value, str) and (date := DATE.fullmatch(value)):
        yield Fault(
            where, None, "is a date to YAML, which Pulumi passes on in Go's form; put it in quotes", f"'{date[1]}'"
        )


def without_faulty_rules(configuration: Configuration, faults: Iterable[Fault]) -> Configuration:
    """Return what can be checked further, so that a faulty entry does not hide the faults of others."""
    faulty = tuple(f"{fault.path}." for fault in faults)
    rules = {
        name: rule
        for name, rule in configuration.rules.items()
        if not any(path.startswith(f"rules.{name}.") for path in faulty)
    }
    return configuration.model_copy(update={"rules": rules})


def _consistency(configuration: Configuration, given: Mapping[str, Any]) -> Iterator[Fault]:
    if ("host" in given) == ("harbor" in given):
        both = ", not both" if "host" in given else ""
        reason = f"set one of host (a new server) and harbor (one that exists){both}"
        yield Fault("host", None, reason, "host: {region: sg-sin-2, hostname: harbor.dev.example.com}")
    if "harbor" in given and "harborPassword" not in given:
        example = "pulumi config set --secret harborPassword"
        yield Fault("harborPassword", None, "is missing; an existing Harbor needs its administrator's", example)
    if configuration.host is not None:
        yield from _host_consistency(configuration.host)
    names: dict[str, str] = {}
    for key, endpoint in configuration.endpoints.items():
        if endpoint.url is not None and urlsplit(endpoint.url).netloc == configuration.registry_host:
            reason = "is this Harbor itself, whose images would be copied into it again, and more in each run"
            yield Fault(f"endpoints.{key}.url", endpoint.url, reason, "https://registry.example.com")
        name = endpoint_name(key, endpoint)
        if len(name) > ENDPOINT_NAME_LENGTH:
            reason = f"is its name in Harbor, which takes at most {ENDPOINT_NAME_LENGTH} characters; set name"
            yield Fault(f"endpoints.{key}", name, reason, "name: hub")
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
            secret = " --secret" if field == "certificateKey" else ""
            if value is None:
                reason, example = "is missing with tls: provided", f"pulumi config set --path{secret} host.{field}"
            else:
                reason, example = f"has no use with tls: {host.tls}", "tls: provided"
            yield Fault(f"host.{field}", None, reason, example)
    if host.acme_email is not None and host.tls != "letsencrypt":
        yield Fault("host.acmeEmail", host.acme_email, f"has no use with tls: {host.tls}", "tls: letsencrypt")
    if host.backup is not None and host.backup.bucket is not None and host.backup.directory is not None:
        yield Fault("host.backup", None, "has both bucket and directory; it goes to one place", "backup: {keep: 14}")
    if host.object_storage is None:
        for key in host.rotating:
            reason = (
                "has secrets that have to be changed from time to time: without a bucket that the server reads them "
                "from, each change would replace it"
            )
            yield Fault(f"host.{key}", None, reason, "objectStorage: {}")
    if host.tls != "none" and host.http_port != HTTP_PORT:
        yield Fault("host.httpPort", host.http_port, f"has no use with tls: {host.tls}", str(HTTP_PORT))


def endpoint_name(key: str, endpoint: Endpoint) -> str:
    """Name of an endpoint in Harbor.

    The type is part of it: Harbor keeps one name once and refuses to delete an endpoint in use, so only a new name
    lets a changed type converge in one `up` (measured: 412 and a stuck stack otherwise).
    """
    return endpoint.name or f"{key}-{endpoint.type}"


def _translated(model: type[Section], base: str, raw: object, detail: ErrorDetails) -> Fault:
    owner, field = _field(model, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    where, value = _as_written(raw, detail["loc"])
    path = ".".join([base, *where])
    if kind == "missing":
        path = f"{path}.{detail['loc'][-1]}"
    example = _example_of(owner, field, path)
    if kind == "missing":
        return Fault(path, None, "is missing", example)
    if kind == "json_invalid":
        return Fault(base, None, REASONS[kind], "")
    if kind == "extra_forbidden":
        known = [found.alias or name for name, found in owner.model_fields.items()]
        return unknown_key(str(detail["loc"][-1]), known, value=None, path=path)
    if value is None:
        return Fault(path, None, "is empty", example)
    if field is not None:
        value = HIDDEN if SecretStr in _types(field) else _shown(field.annotation, value)
    short = field is not None and any(isinstance(part, BeforeValidator) for part in field.metadata)
    if short and kind in {"model_type", "tuple_type"}:
        return Fault(path, value, "must be text (in quotes, or with --type string) or a list", example)
    if kind == "literal_error":
        known = _known(context)
        meant = difflib.get_close_matches(str(value).lower(), known, n=1)
        return Fault(path, value, f"is none of {', '.join(known)}", meant[0] if meant else example)
    return Fault(path, value, _reason(kind, context, value), example)


def _known(context: Mapping[str, Any]) -> list[str]:
    return str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")


def _reason(kind: str, context: Mapping[str, Any], value: object) -> str:
    """Pydantic's error in plain words; each continues "path: value ..."."""
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "must be text: in quotes, or with --type string" if number else "must be text"
    # Once a value is text, `pulumi config set --path` keeps it so: the type must be said.
    if kind == "int_type":
        return "must be a whole number" + (": without quotes, or with --type int" if isinstance(value, str) else "")
    if kind == "bool_type":
        return "must be true or false" + (": without quotes, or with --type bool" if isinstance(value, str) else "")
    if kind == "too_long" and isinstance(value, str):
        kind = "string_too_long"
    if kind == "too_long":
        return f"has {context['actual_length']} entries, and at most {context['max_length']} are possible"
    return REASONS[kind].format(**context)


def _as_written(raw: object, loc: tuple[int | str, ...]) -> tuple[list[str], object]:
    """How far a location goes in what the user wrote, and the value there: short forms have fewer levels."""
    where: list[str] = []
    for part in loc:
        if isinstance(raw, list) and isinstance(part, str):
            continue
        if not isinstance(raw, Mapping | list):
            break
        try:
            raw = raw[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
        where.append(str(part))
    return where, raw


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


def _shown(kind: object, value: object) -> object:
    """A value that a message may show: where a section with a secret belongs, any other form may hold it, too."""
    return None if _holds_secret(kind) else value


def _holds_secret(kind: object) -> bool:
    if isinstance(kind, type) and issubclass(kind, Section):
        return any(_holds_secret(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(_holds_secret, get_args(kind)))


def _example_of(owner: type[Section], field: FieldInfo | None, path: str) -> str:
    """How a field's value is written: a secret by a command, a section with what it needs at least."""
    if field is None:
        return ""
    if SecretStr in _types(field):
        return f"pulumi config set --path --secret {path}"
    needed = _example(owner) if owner in _types(field) else "{}"
    return needed if needed != "{}" else in_yaml(field.examples[0]) if field.examples else ""


def _example(model: type[Section]) -> str:
    return in_yaml(
        {
            field.alias or name: field.examples[0] if field.examples else "…"
            for name, field in model.model_fields.items()
            if field.is_required()
        }
    )
