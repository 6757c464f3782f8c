"""Loads rule files: `rulesDir` names a directory with a YAML file for each team, which CODEOWNERS can protect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harbor_mirror.config import located_yaml
from harbor_mirror.config.faults import Fault
from harbor_mirror.config.located_yaml import LocatedYaml, Unreadable
from harbor_mirror.config.parse import unknown_key
from harbor_mirror.config.paths import join_path, split_path

SETTING = "rulesDir"
#: The only key of a rule file. Endpoints and projects belong to the whole stack.
RULES = "rules"
SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True)
class Gathered:
    """A stack's raw configuration together with its rule files.

    `files` has each file by its path as shown in messages, `owners` the file of each rule that comes from one.
    """

    raw: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    files: Mapping[str, LocatedYaml] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    def owner(self, path: str) -> str | None:
        """Return the file that a path ("rules.nginx.tags") comes from; None for the stack's own configuration."""
        section, name, *_ = (*split_path(path), None, None)
        return self.owners.get(str(name)) if section == RULES else None

    def located(self, fault: Fault) -> Fault:
        """Return the fault with its file and line, if it comes from a rule file."""
        file = self.owner(fault.path)
        if fault.place or file is None:
            return fault
        return replace(fault, place=f"{file}:{self.files[file].line(fault.path) or 1}")


def gather(raw: Mapping[str, Any], base: Path) -> Gathered:
    """Return the configuration with the rules of its rule files, if any."""
    directory, own = raw.get(SETTING), raw.get(RULES) or {}
    if not isinstance(directory, str) or not directory or not isinstance(own, Mapping):
        return Gathered(raw)
    faults: list[Fault] = []
    paths = _rule_files(base, directory, faults)
    rules: dict[str, Any] = dict(own)
    files: dict[str, LocatedYaml] = {}
    owners: dict[str, str] = {}
    for path in paths:
        shown = _shown(path, base)
        try:
            files[shown] = file = located_yaml.read(path)
        except Unreadable as error:
            faults.append(Fault(SETTING, shown, str(error), ""))
            continue
        faults += (replace(fault, place=f"{shown}:{file.line(fault.path) or 1}") for fault in file.faults)
        entries, wrong = _entries(file.content)
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
    return Gathered({**raw, RULES: rules}, tuple(faults), files, owners)


def _shown(path: Path, base: Path) -> str:
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
            fault(_shown(path, base), "is a link to a directory or a missing file; only links to files are followed")
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            files.append(path)
    return files if files or faults else fault(directory, "has no YAML files")


def _as_rule(key: str, value: object) -> str:
    """Return how to write an entry beside `rules` that looks like a rule."""
    return f"rules: {{{key}: {{…}}}}" if isinstance(value, Mapping) and "repositories" in value else ""


def _entries(content: object) -> tuple[Mapping[str, Any], list[Fault]]:
    """Return the rules of one file, and the faults of everything else in it."""
    example = "rules: {nginx: {endpoint: docker-hub, repositories: library/nginx, project: mirror}}"
    if content is None:
        return {}, []
    if not isinstance(content, Mapping):
        return {}, [Fault(RULES, None, "is missing: a rule file needs this key, and no other", example)]
    faults = [
        replace(unknown_key(key, [RULES], value=None, path=key), example=_as_rule(key, value))
        for key, value in content.items()
        if key != RULES
    ]
    rules = content.get(RULES)
    if rules is None:
        return {}, faults
    if not isinstance(rules, Mapping):
        return {}, [*faults, Fault(RULES, rules, "must be a map keyed by name", example)]
    return rules, faults
