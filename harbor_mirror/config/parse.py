"""Parses raw configuration into the frozen models, and collects every fault."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harbor_mirror.config.cluster import Cluster
from harbor_mirror.config.faults import HIDDEN, Fault, in_yaml
from harbor_mirror.config.fields import Section
from harbor_mirror.config.host import Host
from harbor_mirror.config.models import (
    ENDPOINT_NAME_LENGTH,
    KEY,
    PROJECT_NAME,
    RULE_NAME_LENGTH,
    Configuration,
    Endpoint,
    ExistingHarbor,
    Maintenance,
    Project,
    Rule,
    RuleDefaults,
)
from harbor_mirror.config.paths import join_path, set_command, split_path
from harbor_mirror.config.protection import Robot, is_robot_name

SINGLE: Mapping[str, type[Section]] = {
    "host": Host,
    "cluster": Cluster,
    "harbor": ExistingHarbor,
    "maintenance": Maintenance,
    "defaults": RuleDefaults,
}
KEYED: Mapping[str, type[Section]] = {"endpoints": Endpoint, "projects": Project, "rules": Rule, "robots": Robot}
#: Top-level keys as written in `Pulumi.<stack>.yaml`, without the prefix `harbor-mirror:`.
SETTINGS = tuple(field.alias or name for name, field in Configuration.model_fields.items())
#: Keys that Harbor, its provider and other tools use for ours.
SYNONYMS = {
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
    "deploymentSecurity": "preventVulnerable",
    "preventVul": "preventVulnerable",
    "severity": "preventVulnerable",
    "cveAllowlists": "cveAllowlist",
    "enableContentTrustCosign": "cosign",
    "autoSbomGeneration": "sbom",
    "immutableTagRules": "immutableTags",
    "notifyType": "type",
    "address": "url",
    "eventTypes": "events",
    "eventsTypes": "events",
    "skipCertVerify": "insecure",
    "duration": "expiresDays",
    "permissions": "rights",
    "proxy": "proxyCache",
}

#: Things that people ask of a rule and that Harbor can't do, with the nearest that it can.
UNSUPPORTED = {
    **dict.fromkeys(
        ("rename", "renameTo", "as", "newName", "tagPrefix", "prefix"),
        "is not possible: Harbor keeps the names of repositories and tags; path and flatten choose where they land",
    ),
    **dict.fromkeys(
        ("platform", "platforms", "arch", "architecture", "architectures", "os"),
        "is not possible: Harbor copies every platform of an image; where the source has a tag for each platform, "
        "select it in tags",
    ),
    **dict.fromkeys(
        ("digest", "digests"),
        "is not possible: Harbor selects by tag; name the tag in tags, and pin the digest where the image is deployed",
    ),
}
#: Keys that belong under a rule's `tags`.
EXPRESSIONS = {
    **dict.fromkeys(("semver", "version", "versions"), "tags: {semver: '>=1.25 <2'}"),
    **dict.fromkeys(("regex", "tagRegex"), r"tags: {regex: '^v1\.3[2-4]\.\d+$'}"),
    **dict.fromkeys(("latest", "newest", "last", "limit", "maxTags"), "tags: {latest: 5}"),
    "suffix": "tags: {latest: 5, suffix: -alpine}",
}
#: Reasons for pydantic's error types. Every type that the models can raise is here or in `_reason`: a test tries each.
REASONS = {
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing_size": "is too large",
    "less_than_equal": "must be at most {le}",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "model_type": "must be a map of settings",
    "dict_type": "must be a map keyed by name",
    "tuple_type": "must be a list",
    "json_invalid": "is nested too deeply, or has an incomplete Unicode character",
}
#: How Go prints a time.
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
        section = read_section(model, setting, raw[setting], faults) if setting in raw else None
        if section is not None:
            fields[setting] = section
    for setting, model in KEYED.items():
        fields[setting] = _keyed(model, setting, raw.get(setting, {}), faults)
    fields |= _plain_settings(raw, faults)
    faults += [*_references(raw), *_dates((), raw)]
    configuration = Configuration.model_construct(**fields)
    faults += _consistency(configuration, raw)
    return configuration, faults


def _plain_settings(raw: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """Return the settings that are not maps; `pulumi config set` writes them as text."""
    directory, strict, password = raw.get("rulesDir"), raw.get("strict", False), raw.get("harborPassword")
    if directory is not None and not isinstance(directory, str):
        faults.append(Fault("rulesDir", directory, "must be the path of a directory", "mirrors/prod"))
    if strict not in (True, False, "true", "false"):
        faults.append(Fault("strict", strict, "must be true or false", "true"))
    if password is not None and (not isinstance(password, str) or password != password.strip()):
        reason = "starts or ends with a space or a line break" if isinstance(password, str) else "must be text"
        faults.append(Fault("harborPassword", HIDDEN, reason, "pulumi config set --secret harborPassword"))
    return {
        "rules_dir": directory,
        "strict": strict in (True, "true"),
        "harbor_password": None if password is None else SecretStr(str(password)),
    }


def _unknown_setting(key: str) -> Fault:
    if re.split(r"[.\[]", key)[0] in SETTINGS:
        return Fault(join_path(key), None, "was set without --path, so Pulumi stored it as one key", set_command(key))
    return unknown_key(key, SETTINGS, value=None, path=join_path(key))


def unknown_key(key: str, known: Iterable[str], *, value: object, path: str) -> Fault:
    """Return the fault of a key that does not exist, with the one that was probably meant."""
    known = list(known)
    close = [SYNONYMS[key]] if SYNONYMS.get(key, "") in known else difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
    return Fault(path, value, f"is not a known key; {meant}", "")


def read_section(model: type[Section], path: str, raw: object, faults: list[Fault]) -> Section | None:
    """Return one section of the configuration; None after adding its faults to `faults`."""
    if not isinstance(raw, Mapping):
        faults.append(Fault(path, _show_value(model, raw), "must be a map of settings", _example(model)))
        return None
    try:
        section: Section = model.read(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
        faults += (_translate_error(model, path, raw, detail) for detail in details if not _follows(detail, details))
        return None
    return section


def _follows(detail: ErrorDetails, others: Iterable[ErrorDetails]) -> bool:
    """Return whether a list is too short only because of a faulty entry, which pydantic does not count."""
    depth = len(detail["loc"])
    below = (other["loc"] for other in others if len(other["loc"]) > depth)
    return detail["type"] == "too_short" and any(loc[:depth] == detail["loc"] for loc in below)


def _keyed(model: type[Section], setting: str, raw: object, faults: list[Fault]) -> dict[str, Section]:
    if not isinstance(raw, Mapping):
        example = f"{setting}: {{NAME: {{…}}}}"
        faults.append(Fault(setting, _show_value(model, raw), "must be a map keyed by name", example))
        return {}
    sections: dict[str, Section] = {}
    for name, value in raw.items():
        faults += _key_faults(setting, str(name))
        section = read_section(model, join_path(setting, str(name)), value, faults)
        if section is not None:
            sections[str(name)] = section
    return sections


def _key_faults(setting: str, name: str) -> Iterator[Fault]:
    path = join_path(setting, name)
    if setting == "projects":
        if not PROJECT_NAME.fullmatch(name):
            reason = "is not a valid project name: lower case letters and digits, separated by single . _ or -"
            yield Fault(path, name, reason, "mirror")
    elif setting == "robots":
        if not is_robot_name(name):
            reason = "is not a name of a robot account: lower case letters and digits, separated by single . _ or -"
            yield Fault(path, name, reason, "web-team")
    elif not KEY.fullmatch(name):
        reason = "is not a valid name: use letters and digits, separated by single . _ or -"
        yield Fault(path, name, reason, "docker-hub")
    elif len(name) > RULE_NAME_LENGTH:
        yield Fault(path, name, f"is longer than {RULE_NAME_LENGTH} characters", "nginx")


def _references(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Check references against the raw keys, so that a faulty endpoint does not make its rules faulty too."""
    for name, rule in _entries(raw, "rules"):
        for field, setting in (("endpoint", "endpoints"), ("project", "projects")):
            yield from _reference(raw, setting, rule.get(field), join_path("rules", name, field))
    for name, project in _entries(raw, "projects"):
        path = join_path("projects", name, "proxyCache")
        yield from _reference(raw, "endpoints", project.get("proxyCache"), path)
    for name, robot in _entries(raw, "robots"):
        projects = robot.get("projects")
        for index, wanted in enumerate(projects if isinstance(projects, list) else [projects]):
            yield from _reference(raw, "projects", wanted, join_path("robots", name, "projects", index))


def _entries(raw: Mapping[str, Any], setting: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = raw.get(setting)
    for name, entry in entries.items() if isinstance(entries, Mapping) else ():
        if isinstance(entry, Mapping):
            yield str(name), entry


def _reference(raw: Mapping[str, Any], setting: str, wanted: object, path: str) -> Iterator[Fault]:
    known = raw.get(setting)
    known = known if isinstance(known, Mapping) else {}
    if isinstance(wanted, str) and wanted and wanted not in known:
        there = sorted(map(str, known))
        listed = f"; defined: {', '.join(there)}" if there else ", which has no entries"
        close = difflib.get_close_matches(wanted, there, n=1, cutoff=0)
        yield Fault(path, wanted, f"is not defined in {setting}{listed}", next(iter(close), ""))


def _dates(where: tuple[str | int, ...], value: object) -> Iterator[Fault]:
    """Yield a fault for each date without quotes: the engine hands on Go's text of it, which nobody means."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _dates((*where, str(key)), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _dates((*where, index), inner)
    elif isinstance(value, str) and (date := DATE.fullmatch(value)):
        reason = "is a date in YAML, which Pulumi would pass on in another form; put it in quotes"
        yield Fault(join_path(*where), None, reason, f"'{date[1]}'")


def without_faulty_rules(configuration: Configuration, faults: Iterable[Fault]) -> Configuration:
    """Return what can be checked further, so that a faulty entry does not hide the faults of others."""
    faulty = {split_path(fault.path)[:2] for fault in faults}
    rules = {name: rule for name, rule in configuration.rules.items() if ("rules", name) not in faulty}
    return configuration.model_copy(update={"rules": rules})


def _consistency(configuration: Configuration, given: Mapping[str, Any]) -> Iterator[Fault]:
    targets = [setting for setting in ("host", "cluster", "harbor") if setting in given]
    if len(targets) != 1:
        more = f", not both {' and '.join(targets)}" if targets else ""
        reason = f"set either host (a new server), cluster (on Kubernetes) or harbor (an existing Harbor){more}"
        yield Fault("host", None, reason, "host: {region: sg-sin-2, hostname: harbor.dev.example.com}")
    if "harbor" in given and "harborPassword" not in given:
        example = "pulumi config set --secret harborPassword"
        yield Fault("harborPassword", None, "is missing: the password of the existing Harbor's administrator", example)
    if configuration.host is not None:
        yield from _host_consistency(configuration.host)
    if configuration.cluster is not None:
        yield from _cluster_consistency(configuration.cluster)
    names: dict[str, str] = {}
    for key, endpoint in configuration.endpoints.items():
        if endpoint.url is not None and urlsplit(endpoint.url).netloc == configuration.registry_host:
            reason = "is this Harbor itself: each run would copy its images into it again"
            yield Fault(join_path("endpoints", key, "url"), endpoint.url, reason, "https://registry.example.com")
        name = endpoint_name(key, endpoint)
        if len(name.encode()) > ENDPOINT_NAME_LENGTH:
            reason = f"is its name in Harbor, and longer than {ENDPOINT_NAME_LENGTH} bytes; set name"
            yield Fault(join_path("endpoints", key), name, reason, "name: hub")
        if name in names:
            reason = f"is already the name of {join_path('endpoints', names[name])} in Harbor; names must be unique"
            yield Fault(join_path("endpoints", key, "name"), name, reason, f"{name}-2")
        names.setdefault(name, key)


def _host_consistency(host: Host) -> Iterator[Fault]:
    yield from _name_and_certificate("host", host)
    yield from (replace(fault, path=f"host.{fault.path}") for fault in host.faults())


def _name_and_certificate(setting: str, target: Host | Cluster) -> Iterator[Fault]:
    """What belongs together of hostname, zone and certificate."""
    if target.dns_zone is not None and not target.hostname.endswith(f".{target.dns_zone}"):
        reason = f"is not in the zone {target.dns_zone}"
        yield Fault(f"{setting}.hostname", target.hostname, reason, f"harbor.{target.dns_zone}")
    for field, value in (("certificate", target.certificate), ("certificateKey", target.certificate_key)):
        if (target.tls == "provided") != (value is not None):
            secret = " --secret" if field == "certificateKey" else ""
            if value is None:
                reason = "is missing with tls: provided"
                example = f"pulumi config set --path{secret} {setting}.{field}"
            else:
                reason, example = f"has no use with tls: {target.tls}", "tls: provided"
            yield Fault(f"{setting}.{field}", None, reason, example)
    if target.acme_email is not None and target.tls != "letsencrypt":
        reason = f"has no use with tls: {target.tls}"
        yield Fault(f"{setting}.acmeEmail", target.acme_email, reason, "tls: letsencrypt")


def _cluster_consistency(cluster: Cluster) -> Iterator[Fault]:
    yield from _name_and_certificate("cluster", cluster)
    yield from (replace(fault, path=f"cluster.{fault.path}") for fault in cluster.faults())


def endpoint_name(key: str, endpoint: Endpoint) -> str:
    """Return the name of an endpoint in Harbor.

    The type is part of it: Harbor keeps one name once and refuses to delete an endpoint in use, so only a new name
    lets a changed type converge in one `up` (measured: 412 and a stuck stack otherwise).
    """
    return endpoint.name or f"{key}-{endpoint.type}"


def _translate_error(model: type[Section], base: str, raw: object, detail: ErrorDetails) -> Fault:
    owner, field = _field(model, detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    where, value = _as_written(raw, detail["loc"])
    path = join_path(*split_path(base), *where)
    if kind == "missing":
        path = join_path(*split_path(path), str(detail["loc"][-1]))
    example = _example_of(owner, field, path)
    if kind == "missing":
        return Fault(path, None, "is missing", example)
    if kind == "json_invalid":
        return Fault(base, None, REASONS[kind], "")
    if kind == "extra_forbidden":
        key = str(detail["loc"][-1])
        if owner is Rule and key in UNSUPPORTED:
            return Fault(path, None, UNSUPPORTED[key], "")
        if owner is Rule and key in EXPRESSIONS:
            return Fault(path, None, "belongs under tags", EXPRESSIONS[key])
        known = [known_field.alias or name for name, known_field in owner.model_fields.items()]
        return unknown_key(key, known, value=None, path=path)
    if value is None:
        return Fault(path, None, "is empty", example)
    if field is not None:
        value = HIDDEN if SecretStr in _types(field) else _show_value(field.annotation, value)
        beside_secret = _holds_secret(owner) or detail["loc"][-1] == "username"
        if kind == "string_type" and isinstance(value, list | Mapping) and beside_secret:
            # A list in place of text, such as `username: [bot, PASSWORD]`, may contain the secret.
            value = None
    short = field is not None and any(isinstance(part, BeforeValidator) for part in field.metadata)
    if short and kind in {"model_type", "tuple_type"}:
        return Fault(path, value, "must be text (in quotes, or with --type string) or a list", example)
    if kind == "literal_error":
        known = _allowed_values(context)
        meant = difflib.get_close_matches(str(value).lower(), known, n=1)
        return Fault(path, value, f"is not one of {', '.join(known)}", meant[0] if meant else example)
    return Fault(path, value, _reason(kind, context, value), example)


def _allowed_values(context: Mapping[str, Any]) -> list[str]:
    return str(context["expected"]).replace("'", "").replace("False", "false").replace(" or ", ", ").split(", ")


def _reason(kind: str, context: Mapping[str, Any], value: object) -> str:
    """Return the reason for a pydantic error; it continues "path: value ..."."""
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
        return f"has {context['actual_length']} entries; at most {context['max_length']} are allowed"
    return REASONS[kind].format(**context)


def _as_written(raw: object, loc: tuple[int | str, ...]) -> tuple[list[str | int], object]:
    """Return the part of a location that the user wrote, and the value there: short forms have fewer levels."""
    where: list[str | int] = []
    for part in loc:
        if isinstance(raw, list) and isinstance(part, str):
            continue
        if not isinstance(raw, Mapping | list):
            break
        try:
            raw = raw[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
        where.append(part)
    return where, raw


def _field(model: type[Section], loc: tuple[int | str, ...]) -> tuple[type[Section], FieldInfo | None]:
    field: FieldInfo | None = None
    is_name = False
    for part in loc:
        by_alias = {found.alias or name: found for name, found in model.model_fields.items()}
        if is_name:
            # A map keyed by name: what follows is about the entry.
            is_name = False
            continue
        if not isinstance(part, str) or part not in by_alias:
            break
        field = by_alias[part]
        is_name = get_origin(field.annotation) is Mapping
        nested = [kind for kind in _types(field) if isinstance(kind, type) and issubclass(kind, Section)]
        model = nested[0] if nested else model
    return model, field


def _types(field: FieldInfo) -> tuple[object, ...]:
    return (field.annotation, *getattr(field.annotation, "__args__", ()))


def _show_value(kind: object, value: object) -> object:
    """Return the value for a message, or None: in place of a section with a secret, a value may be that secret."""
    return None if _holds_secret(kind) else value


def _holds_secret(kind: object) -> bool:
    if isinstance(kind, type) and issubclass(kind, Section):
        return any(_holds_secret(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(_holds_secret, get_args(kind)))


def _example_of(owner: type[Section], field: FieldInfo | None, path: str) -> str:
    """Return how to write a field: a command for a secret, a section with its required keys."""
    if field is None:
        return ""
    if SecretStr in _types(field):
        return set_command(path, "--secret")
    is_one_section = owner in _types(field) and get_origin(field.annotation) is not Mapping
    needed = _example(owner) if is_one_section else "{}"
    return needed if needed != "{}" else in_yaml(field.examples[0]) if field.examples else ""


def _example(model: type[Section]) -> str:
    return in_yaml(
        {
            field.alias or name: field.examples[0] if field.examples else "…"
            for name, field in model.model_fields.items()
            if field.is_required()
        }
    )
