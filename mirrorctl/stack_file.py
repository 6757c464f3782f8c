"""Reads `Pulumi.<stack>.yaml` without engine, network and secrets, with the line number of every path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.config import located_yaml, rule_files
from harbor_mirror.config.faults import HIDDEN, Caution, ConfigurationError, Fault
from harbor_mirror.config.located_yaml import LocatedYaml, Unreadable
from harbor_mirror.config.models import Configuration
from harbor_mirror.config.parse import parse
from harbor_mirror.config.paths import join_path, set_command, split_path
from harbor_mirror.config.rule_files import Gathered
from harbor_mirror.config.size import too_large
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.validation import ResolvedStack, gather, resolve_stack
from mirrorctl.failure import Failure

PROJECT_FILE = "Pulumi.yaml"
#: Placeholders for encrypted secrets, in a form that the checks of these endpoint types accept.
PLACEHOLDERS: Mapping[str, str] = {
    "google-gcr": '{"private_key": "", "client_email": ""}',
    "quay": '{"account_name": "", "docker_cli_password": ""}',
}
#: The secrets of a configuration, with placeholders that the checks accept.
SECRETS: Mapping[str, str] = {
    "harborPassword": HIDDEN,
    "endpoints.*.secret": HIDDEN,
    "projects.*.webhooks.*.url": "https://hooks.example.com/harbor",
    "projects.*.webhooks.*.authHeader": HIDDEN,
    "host.certificateKey": "-----BEGIN PRIVATE KEY-----",
    "host.backup.bucket.secretKey": "encrypted-1",
    "host.database.password": "encrypted-1",
    "host.redis.password": "encrypted-1",
    "host.proxy.password": "encrypted-1",
    "cluster.certificateKey": "-----BEGIN PRIVATE KEY-----",
    "cluster.encryptionKey": "encrypted-key-16",
    "cluster.database.password": "encrypted-1",
    "cluster.redis.password": "encrypted-1",
    "cluster.existing.kubeconfig": "apiVersion: v1",
}
_SERVICES = ("database", "redis")
#: A certificate of nobody, in place of an encrypted one.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIHrMIGeoAMCAQICAQEwBQYDK2VwMBQxEjAQBgNVBAMMCWVuY3J5cHRlZDAgFw0y
NTAxMDEwMDAwMDBaGA85OTk5MTIzMTAwMDAwMFowFDESMBAGA1UEAwwJZW5jcnlw
dGVkMCowBQYDK2VwAyEABxhD4+RMNHTXyrS6Ii7dbg3Nm2HKh+X9DRhbT+lfbOqj
EzARMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAoOvqaKYPXBg/RLxT/Jrlflrb
5ChnOt0Kfk/ATQoOcofeVKgr5zhaCMqOUH4B2299WjhFyKO59pPsiJVLBTNqAA==
-----END CERTIFICATE-----
"""
#: Certificates are no secrets, but are often encrypted like one.
ENCRYPTABLE: Mapping[str, str] = {
    **SECRETS,
    "endpoints.*.caCertificate": CERTIFICATE,
    **{f"{server}.{service}.caCertificate": CERTIFICATE for server in ("host", "cluster") for service in _SERVICES},
    "host.certificate": "-----BEGIN CERTIFICATE-----",
    "cluster.certificate": "-----BEGIN CERTIFICATE-----",
}


@dataclass(frozen=True)
class StackFile:
    """A stack's file with its rule files, or one of these alone.

    `mirror` is what the whole stack declares, None if it has faults; `lines` gives the line of each path in the file.
    """

    path: Path
    mirror: PlannedMirror | None
    faults: tuple[Fault, ...]
    cautions: tuple[Caution, ...]
    lines: Mapping[str, int]
    gathered: Gathered = field(default_factory=Gathered)

    @property
    def configuration(self) -> Configuration | None:
        """Return the stack's configuration; None if it has faults."""
        return self.mirror.configuration if self.mirror else None

    def line(self, path: str) -> int | None:
        """Return the line of a path, or of its nearest parent."""
        return LocatedYaml(None, self.lines, ()).line(path)

    def parts(self) -> tuple[StackFile, ...]:
        """Return the stack's file and each rule file with its own faults and cautions."""
        files = self.gathered.files
        parts = [self._part(None, self.path, self.lines)]
        parts += [self._part(file, Path(file), files[file].lines) for file in files]
        return tuple(parts)

    def _part(self, file: str | None, path: Path, lines: Mapping[str, int]) -> StackFile:
        def owner(fault: Fault) -> str | None:
            place = fault.place.rpartition(":")[0] or fault.place
            return place if place in self.gathered.files else None

        return StackFile(
            path,
            self.mirror,
            tuple(fault for fault in self.faults if owner(fault) == file),
            tuple(caution for caution in self.cautions if self.gathered.owner(caution.path) == file),
            lines,
        )


def stack_files(folder: Path, stack: str | None) -> list[Path]:
    """Return the file of a stack, of every stack without a name. Raise Failure if there is none."""
    if stack is not None:
        # Pulumi writes org/project/stack, and keeps the file under the last part.
        path = folder / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
        if not path.is_file():
            stacks = ", ".join(stack_of(file) for file in _files(folder)) or "none"
            raise Failure(f"{path} does not exist; stacks with a file here: {stacks}")
        return [path]
    files = _files(folder)
    if not files:
        raise Failure(f"no Pulumi.<stack>.yaml in {folder.absolute()}; use --cwd")
    return files


def read(path: Path) -> StackFile:
    """Read and check a stack's file and its rule files. Raise Failure if the file is not valid YAML."""
    name = project(path.parent)
    file = _settings(path, name)
    resolved = _resolve(file, name, path)
    large = too_large({**_declared_defaults(path.parent, name), **_qualified(file.content, name)}, f"{name}:")
    faults = (*file.faults, *([large] if large else []), *_plain_secrets(file.content), *resolved.faults)
    mirror = None if faults else resolved.mirror
    return StackFile(path, mirror, faults, resolved.cautions, file.lines, resolved.gathered)


def read_as_written(path: Path) -> Configuration:
    """Return a stack's configuration with its tags' expressions, which `read` replaces by what is locked.

    Raise Failure if the file is not valid YAML, ConfigurationError if an entry has a fault.
    """
    name = project(path.parent)
    file = _settings(path, name)
    gathered = gather(_everything(file, name), name, path.parent)
    configuration, faults = parse(gathered.raw)
    faults = [*file.faults, *gathered.faults, *map(gathered.located, faults)]
    if faults:
        raise ConfigurationError(faults)
    return configuration


def rule_names(path: Path) -> list[str]:
    """Return the rule names of a stack's files without checking them. Raise Failure if it is not valid YAML."""
    rules = rule_files.gather(_settings(path, project(path.parent)).content, path.parent).raw.get(rule_files.RULES)
    return list(rules) if isinstance(rules, Mapping) else []


def _resolve(file: LocatedYaml, name: str, path: Path) -> ResolvedStack:
    """Resolve the stack as the program does; encrypted secrets are not checked."""
    unreadable = tuple(_encrypted(file.content))
    if unreadable:
        return ResolvedStack(None, unreadable, (), Gathered())
    return resolve_stack(_everything(file, name), name, path.parent, stack_of(path))


def _everything(file: LocatedYaml, name: str) -> dict[str, Any]:
    """Return the settings as the engine hands them to the program, with placeholders for secrets."""
    settings = _qualified(file.content, name)
    return {key: _without_secrets((key.rpartition(":")[2],), value) for key, value in settings.items()}


def _qualified(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {f"{name}:{key}" if ":" not in key else key: value for key, value in settings.items()}


def _settings(path: Path, name: str) -> LocatedYaml:
    """Return a file's settings, ours without prefix and with the paths of the configuration. Raise Failure.

    The engine reads `harbor-mirror:rules`, `harbor-mirror:config:rules` and `rules` alike, and stores numbers as text.
    """
    try:
        file = located_yaml.read(path)
    except Unreadable as error:
        raise Failure(f"{path}: {error}") from None
    settings = (file.content or {}).get("config") or {} if isinstance(file.content, Mapping | type(None)) else None
    if not isinstance(settings, Mapping):
        raise Failure(f"{path}: config must be a map of settings")

    def bare(key: str) -> str:
        return key.removeprefix(f"{name}:").removeprefix("config:")

    def own(where: str) -> str:
        first, *rest = split_path(where) or ("",)
        return join_path(bare(str(rest[0])), *rest[1:]) if first == "config" and rest else where

    return LocatedYaml(
        {bare(key): _as_stored(value) for key, value in settings.items()},
        {own(where): line for where, line in file.lines.items()},
        tuple(replace(fault, path=own(fault.path)) for fault in file.faults),
    )


def _as_stored(value: Any) -> Any:
    if isinstance(value, Mapping | list | str):
        return value
    return "" if value is None else json.dumps(value)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("Pulumi.*.yaml"))


def stack_of(path: Path) -> str:
    """Return the name of the stack that a file belongs to."""
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def project(folder: Path) -> str:
    """Return the name of the Pulumi project in a folder: the prefix of its settings."""
    return str(_project_file(folder).get("name", "harbor-mirror"))


def _declared_defaults(folder: Path, name: str) -> dict[str, Any]:
    """Return the values that the engine passes for settings that a stack's file does not have."""
    declared = _project_file(folder).get("config")
    settings = declared.items() if isinstance(declared, Mapping) else ()
    defaults = {
        key: _as_stored(setting["default"])
        for key, setting in settings
        if isinstance(setting, Mapping) and "default" in setting
    }
    return _qualified(defaults, name)


def _project_file(folder: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((folder / PROJECT_FILE).read_text())
    except (OSError, yaml.YAMLError):
        content = None
    return content if isinstance(content, dict) else {}


def _is_secure(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


Where = tuple[str, ...]


def _without_secrets(where: Where, value: Any, kind: object = None) -> Any:
    """Return the value at a path with placeholders for secrets; `kind` is the endpoint's type."""
    if _is_secure(value):
        return PLACEHOLDERS.get(str(kind)) or ENCRYPTABLE.get(_pattern(where), HIDDEN)
    if isinstance(value, Mapping):
        kind = value.get("type") if where[0] == "endpoints" else None
        return {key: _without_secrets((*where, key), inner, kind) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets((*where, str(index)), inner) for index, inner in enumerate(value)]
    return value


def _pattern(where: Where) -> str:
    """Return the path with a `*` for each name: `endpoints.*.secret`."""
    return ".".join("*" if where[:index] in _names(where) else part for index, part in enumerate(where))


def _names(where: Where) -> tuple[Where, ...]:
    """Return the parts of a path that are followed by a name."""
    return ("endpoints",), ("projects",), ("projects", *where[1:2], "webhooks")


def _encrypted(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Return a fault for each encrypted value that need not be secret: nobody can review it."""
    for where, value in _leaves((), settings):
        if _is_secure(value) and _pattern(where) not in ENCRYPTABLE and ":" not in where[0]:
            reason = "is encrypted, so it can't be reviewed or checked; encrypt only passwords and keys"
            path = join_path(*where)
            yield Fault(path, None, reason, set_command(path, "--plaintext"))


def _plain_secrets(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Return a fault for each secret in plain text. Only the file shows it: the engine decrypts all values."""
    for where, value in _leaves((), settings):
        if isinstance(value, str | int | float) and value != "" and _pattern(where) in SECRETS:
            path = join_path(*where)
            reason = "is a secret in plain text; encrypt it, and change it where it was issued"
            yield Fault(path, None, reason, set_command(path, "--secret"))


def _leaves(where: Where, value: Any) -> Iterator[tuple[Where, Any]]:
    """Return path and value of everything that is not a map, and of encrypted values."""
    if isinstance(value, Mapping) and not _is_secure(value):
        for key, inner in value.items():
            yield from _leaves((*where, key), inner)
    elif where:
        yield where, value
