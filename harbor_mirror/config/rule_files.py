"""Loads rule files: `rulesDir` names a directory with a YAML file for each team, which CODEOWNERS can protect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harbor_mirror.config import located_yaml
from harbor_mirror.config.defaults import SETTING as DEFAULTS
from harbor_mirror.config.defaults import Origin, apply_defaults
from harbor_mirror.config.faults import Fault
from harbor_mirror.config.located_yaml import LocatedYaml, Unreadable
from harbor_mirror.config.models import RuleDefaults
from harbor_mirror.config.parse import read_section, unknown_key
from harbor_mirror.config.paths import join_path, split_path

SETTING = "rulesDir"
#: What a rule file may have beside `defaults`. Endpoints and projects belong to the whole stack.
RULES = "rules"
SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True)
class Gathered:
    """A stack's raw configuration together with its rule files.

    `files` has each file by its path as shown in messages, `owners` the file of each rule that comes from one, and
    `origins` the origin of each rule's value that is a default.
    """

    raw: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    files: Mapping[str, LocatedYaml] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[tuple[str, str], Origin] = field(default_factory=dict)

    def owner(self, path: str) -> str | None:
        """Return the file that a path ("rules.nginx.tags") comes from; None for the stack's own configuration."""
        section, name, *_ = (*split_path(path), None, None)
        return self.owners.get(str(name)) if section == RULES else None

    def located(self, fault: Fault) -> Fault:
        """Return the fault at the default that caused it, and with its file and line if it comes from a rule file."""
        if fault.place:
            return fault
        file = self.owner(fault.path)
        section, *parts = split_path(fault.path)
        origin = self.origins.get((str(parts[0]), str(parts[1]))) if section == RULES and len(parts) > 1 else None
        if origin is not None:
            file = origin.file
            fault = replace(fault, path=join_path(*split_path(origin.path), *parts[2:]))
        return fault if file is None else replace(fault, place=f"{file}:{self.files[file].line(fault.path) or 1}")


def gather(raw: Mapping[str, Any], base: Path) -> Gathered:
    """Return the configuration with complete rules: with those of its rule files, if any, and with defaults."""
    directory, own = raw.get(SETTING), raw.get(RULES) or {}
    if not isinstance(directory, str) or not directory or not isinstance(own, Mapping):
        complete, origins = apply_defaults(raw, {}, {})
        return Gathered(complete, origins=origins)
    faults: list[Fault] = []
    paths = _rule_files(base, directory, faults)
    rules: dict[str, Any] = dict(own)
    files: dict[str, LocatedYaml] = {}
    owners: dict[str, str] = {}
    file_defaults: dict[str, Any] = {}
    for path in paths:
        shown = _show_path(path, base)
        try:
            files[shown] = file = located_yaml.read(path)
        except Unreadable as error:
            faults.append(Fault(SETTING, shown, str(error), ""))
            continue
        faults += (replace(fault, place=f"{shown}:{file.line(fault.path) or 1}") for fault in file.faults)
        entries, file_defaults[shown], wrong = _entries(file.content)
        faults += (replace(fault, place=f"{shown}:{file.line(fault.path) or 1}") for fault in wrong)
        for name, rule in entries.items():
            if name in rules:
                where = join_path(RULES, name)
                other = owners.get(name)
                first = f"{other}:{files[other].line(where)}" if other else "the stack's own configuration"
                reason = f"is already defined in {first}; rename one of them"
                faults.append(Fault(where, None, reason, "", place=f"{shown}:{file.line(where) or 1}"))
                continue
            rules[name], owners[name] = rule, shown
    complete, origins = apply_defaults({**raw, RULES: rules}, file_defaults, owners)
    return Gathered(complete, tuple(faults), files, owners, origins)


def _show_path(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _rule_files(base: Path, directory: str, faults: list[Fault]) -> list[Path]:
    """Return the rule files; hidden ones are skipped."""
    folder = base / directory

    def fault(value: str, reason: str) -> list[Path]:
        faults.append(Fault(SETTING, value, reason, "mirrors/prod"))
        return []

    try:
        if not folder.is_dir():
            return fault(directory, "is not a directory beside Pulumi.yaml")
        if base.resolve().is_relative_to(folder.resolve()):
            return fault(directory, "contains the whole project; use a directory with rule files only")
    except (OSError, ValueError):
        return fault(directory, "is not a directory beside Pulumi.yaml")
    files = []
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() and (path.is_dir() or not path.exists()):
            fault(
                _show_path(path, base), "is a link to a directory or a missing file; only links to files are followed"
            )
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            files.append(path)
    return files if files or faults else fault(directory, "has no YAML files")


def _as_rule(key: str, value: object) -> str:
    """Return how to write an entry beside `rules` that looks like a rule."""
    return f"rules: {{{key}: {{…}}}}" if isinstance(value, Mapping) and "repositories" in value else ""


def _entries(content: object) -> tuple[Mapping[str, Any], object, list[Fault]]:
    """Return the rules of one file, its defaults, and the faults of everything else in it."""
    example = "rules: {nginx: {endpoint: docker-hub, repositories: library/nginx, project: mirror}}"
    if content is None:
        return {}, None, []
    if not isinstance(content, Mapping):
        return {}, None, [Fault(RULES, None, "is missing: a rule file needs this key", example)]
    faults = [
        replace(unknown_key(key, [RULES, DEFAULTS], value=None, path=key), example=_as_rule(key, value))
        for key, value in content.items()
        if key not in {RULES, DEFAULTS}
    ]
    defaults, rules = content.get(DEFAULTS), content.get(RULES)
    if defaults is not None:
        read_section(RuleDefaults, DEFAULTS, defaults, faults)
    if rules is None:
        return {}, defaults, faults
    if not isinstance(rules, Mapping):
        return {}, defaults, [*faults, Fault(RULES, rules, "must be a map keyed by name", example)]
    return rules, defaults, faults
