"""The configuration that an import writes, and what it could not translate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from harbor_mirror.config.certificates import select_certificates
from harbor_mirror.config.faults import ConfigurationError, Fault
from harbor_mirror.config.models import Rule
from harbor_mirror.config.paths import join_path, split_path
from harbor_mirror.plan.filters import STORED_LENGTH, join
from harbor_mirror.plan.references import InvalidReference, Reference
from harbor_mirror.plan.tag_locks import filters_length
from harbor_mirror.plan.validation import validate
from mirrorctl.output.reports import ImportDecision

#: Kinds of endpoints by host; every other host is a docker-registry, which needs no account.
HOST_TYPES: Mapping[str, str] = {"docker.io": "docker-hub", "ghcr.io": "github-ghcr"}
_HOST_PATTERNS: tuple[tuple[str, str], ...] = (
    (r".*\.azurecr\.io", "azure-acr"),
    (r"[0-9]{12}\.dkr\.ecr\..*", "aws-ecr"),
)
#: Kinds whose images nobody gets without an account.
NEEDS_ACCOUNT = frozenset({"azure-acr", "aws-ecr"})


@dataclass(frozen=True)
class Wish:
    """One entry of a file: an image repository to mirror, where to, and which tags."""

    line: int
    host: str
    repository: str
    tags: tuple[str, ...] = ()
    """Exact tags; none for all, or with `expression`."""
    expression: Mapping[str, Any] = field(default_factory=dict)
    project: str = ""
    """The draft's default without it."""
    path: str = ""
    flatten: int = 0
    schedule: str = ""
    signatures: bool = False


@dataclass
class Draft:
    """Collects what a file asks for. `file` is its name, `project` the destination of what names none."""

    file: str
    project: str = "mirror"
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    decisions: list[ImportDecision] = field(default_factory=list)
    notes: list[ImportDecision] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the file says of hosts, for their endpoints."""
    credentials: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """The same for hosts with a password, and its line. Passwords are never copied."""
    _secrets: list[str] = field(default_factory=list)
    reserved_rules: set[str] = field(default_factory=set)
    """Names of rules that exist already."""
    _lines: dict[str, int] = field(default_factory=dict)
    _hosts: dict[str, str] = field(default_factory=dict)

    def decide(self, line: int, entry: str, reason: str) -> None:
        """Record an entry that is not translated, or not wholly."""
        self.decisions.append(ImportDecision(file=self.file, line=line, entry=entry, reason=reason))

    def note(self, line: int, entry: str, reason: str) -> None:
        """Record something that is translated and yet may surprise."""
        self.notes.append(ImportDecision(file=self.file, line=line, entry=entry, reason=reason))

    def leave(self, line: int, entry: str, content: Mapping[str, Any], known: Iterable[str]) -> None:
        """Record every key of an entry that has no counterpart here."""
        lines = getattr(content, "lines", {})
        for key in content.keys() - set(known):
            self.decide(lines.get(key, line), entry, f"{key} has no counterpart")

    def host(self, registry: str, line: int) -> str | None:
        """Return the host of a registry as references name it; record a name that is none."""
        try:
            return Reference.parse(f"{registry}/x/y").host
        except InvalidReference:
            self.decide(line, registry, "is not a registry's host")
            return None

    def authority(self, line: int, entry: str, key: str, text: str) -> dict[str, Any]:
        """Return the setting for a CA that the file has under `key`; record a text without certificates."""
        plain = "\n".join(part.strip() for part in text.replace("\\n", "\n").splitlines())
        if certificates := select_certificates(plain):
            return {"caCertificate": certificates}
        self.decide(line, entry, f"{key} is not a certificate in PEM; write it into caCertificate")
        return {}

    def endpoint(self, host: str, line: int) -> str:
        """Return the key of the endpoint at a host; the first use defines it."""
        if host not in self._hosts:
            kind = type_of(host)
            key = kind if host == "docker.io" else re.sub(r"[^A-Za-z0-9]+", "-", host).strip("-")
            settings = dict(self.settings.get(host, {}))
            if host in self.credentials:
                line, settings = self.credentials[host]
            scheme = settings.pop("scheme", "https")
            entry: dict[str, Any] = {"type": kind}
            if kind == "aws-ecr":
                entry["url"] = f"https://api.ecr.{host.split('.')[3]}.amazonaws.com"
            elif kind not in HOST_TYPES.values():
                entry["url"] = f"{scheme}://{host}"
            self._hosts[host] = key = unique(key, self.endpoints)
            self.add_endpoint(key, {**entry, **settings}, line)
            if host in self.credentials:
                self.secret(key, line)
            elif kind in NEEDS_ACCOUNT:
                self.decide(line, host, f"needs an account: set username and secret of endpoints.{key}")
        return self._hosts[host]

    def use_endpoint(self, host: str, key: str) -> None:
        """Use an endpoint that exists already for a host."""
        self._hosts[host] = key

    def secret(self, key: str, line: int) -> None:
        """Record that an endpoint's secret must be set."""
        self._secrets.append(key)
        if not self.endpoints[key].get("username"):
            self.decide(line, key, f"has a password and no user that is written out: set endpoints.{key}.username")

    def add_endpoint(self, key: str, settings: dict[str, Any], line: int) -> None:
        """Define an endpoint that the file names itself."""
        self.endpoints[key] = settings
        self._lines[f"endpoints.{key}"] = line

    def add_project(self, name: str, settings: dict[str, Any], line: int) -> None:
        """Define a project that the file names itself."""
        self.projects[name] = settings
        self._lines[f"projects.{name}"] = line

    def add_rule(self, name: str, settings: dict[str, Any], line: int) -> None:
        """Add a rule, in several parts if its tags are more than one rule in Harbor can name."""
        self.projects.setdefault(settings["project"], {})
        self._lines.setdefault(f"projects.{settings['project']}", line)
        for part in _parts(settings):
            key = unique(name, self.rules.keys() | self.reserved_rules)
            self.rules[key] = part
            self._lines[f"rules.{key}"] = line

    def wish(self, wish: Wish) -> None:
        """Add a rule for an entry."""
        settings: dict[str, Any] = {
            "endpoint": self.endpoint(wish.host, wish.line),
            "repositories": wish.repository,
            "tags": dict(wish.expression) or list(wish.tags),
            "signatures": wish.signatures,
            "project": wish.project or self.project,
            "path": wish.path,
            "flatten": wish.flatten,
            "schedule": wish.schedule,
        }
        tags = settings["tags"]
        if isinstance(tags, list) and len(tags) == 1:
            settings["tags"] = tags[0]
        self.add_rule(
            rule_name(wish.repository, self.rules.keys() | self.reserved_rules),
            {key: value for key, value in settings.items() if value},
            wish.line,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Paths of the secrets that must be set."""
        return tuple(join_path("endpoints", key, "secret") for key in self._secrets if key in self.endpoints)

    def check(self) -> None:
        """Take out what the configuration's own checks refuse, and record why; what is left is valid as a whole."""
        while faults := self._faults():
            dropped = [self._drop(fault) for fault in faults]
            if not any(dropped):
                self.decide(1, "the file", "; ".join(map(str, faults)))
                return
        for section, key in (("endpoints", "endpoint"), ("projects", "project")):
            used = {rule[key] for rule in self.rules.values()}
            entries: dict[str, Any] = getattr(self, section)
            for name in [name for name in entries if name not in used]:
                self.note(self._lines.get(f"{section}.{name}", 1), name, f"is in {section}, and no rule uses it")

    def _faults(self) -> list[Fault]:
        try:
            validate(self._whole())
        except ConfigurationError as error:
            return [fault for fault in error.faults if "is not resolved yet" not in fault.reason]
        return []

    def _whole(self) -> dict[str, Any]:
        endpoints = {
            name: {**entry, "secret": _PLACEHOLDERS.get(entry["type"], "secret")} if entry.get("username") else entry
            for name, entry in self.endpoints.items()
        }
        harbor = {"harbor": {"url": "https://harbor.invalid"}, "harborPassword": "secret"}
        projects = self.projects or {self.project: {}}
        return {**harbor, "endpoints": endpoints, "projects": projects, "rules": self.rules}

    def _drop(self, fault: Fault) -> bool:
        """Take the entry of a fault out; return whether there was one."""
        section, name, *rest = [str(part) for part in split_path(fault.path)][:3] + [""] * 2
        entries: dict[str, Any] = {"endpoints": self.endpoints, "projects": self.projects, "rules": self.rules}.get(
            section, {}
        )
        # A rule whose repositories are of several namespaces is checked as several.
        name = name if name in entries else re.sub(r"-[0-9]+$", "", name)
        if name not in entries:
            return False
        line = self._lines.get(f"{section}.{name}", 1)
        value = "" if fault.value is None else f" {fault.value}"
        self.decide(line, name, f"{'.'.join(filter(None, [section.removesuffix('s'), *rest]))}{value} {fault.reason}")
        del entries[name]
        key = {"endpoints": "endpoint", "projects": "project"}.get(section)
        for rule in [rule for rule, settings in self.rules.items() if key and settings[key] == name]:
            self.decide(self._lines.get(f"rules.{rule}", 1), rule, f"its {key} {name} is left out")
            del self.rules[rule]
        return True

    def text(self, without: Iterable[str] = ()) -> str:
        """Return the configuration as a stack's file has it, but for projects that exist already."""
        projects = {name: settings for name, settings in self.projects.items() if name not in set(without)}
        settings = {"endpoints": self.endpoints, "projects": projects, "rules": self.rules}
        config = {f"harbor-mirror:{name}": entries for name, entries in settings.items() if entries or not without}
        text: str = yaml.safe_dump({"config": config}, sort_keys=False, allow_unicode=True, width=120)
        return text


_PLACEHOLDERS = {
    "google-gcr": '{"private_key": "", "client_email": ""}',
    "quay": '{"account_name": "", "docker_cli_password": ""}',
}


def type_of(host: str) -> str:
    """Return the kind of endpoint for a host."""
    return HOST_TYPES.get(host) or next(
        (kind for pattern, kind in _HOST_PATTERNS if re.fullmatch(pattern, host)), "docker-registry"
    )


def unique(name: str, existing: Iterable[str]) -> str:
    """Return the name, with a number if it exists."""
    taken = set(existing)
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def rule_name(repository: str, existing: Iterable[str]) -> str:
    """Return a short name for a repository's rule: its last component, more of them if that exists."""
    components = [re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") or "all" for part in repository.split("/")]
    taken = set(existing)
    for count in range(1, len(components) + 1):
        name = "-".join(components[-count:])
        if name not in taken:
            return name
    return "-".join(components)


def _parts(settings: dict[str, Any]) -> Iterable[dict[str, Any]]:
    tags = settings.get("tags")
    if not isinstance(tags, list):
        return [settings]
    rule = Rule.read({**settings, "tags": tags})
    available = STORED_LENGTH - filters_length(rule, join(rule.repositories), "")
    parts: list[list[str]] = [[]]
    for tag in tags:
        if parts[-1] and len(f"{{{','.join([*parts[-1], tag])}}}") > available:
            parts.append([])
        parts[-1].append(tag)
    return [{**settings, "tags": part if len(part) > 1 else part[0]} for part in parts]
