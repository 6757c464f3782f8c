"""Reads, checks and resolves a stack's configuration. Program and CLI both use it, so that both report the same."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harbor_mirror.config import rule_files
from harbor_mirror.config.faults import Caution, ConfigurationError, Fault
from harbor_mirror.config.parse import parse, without_faulty_rules
from harbor_mirror.config.paths import join_path, split_path
from harbor_mirror.config.rule_files import Gathered
from harbor_mirror.config.size import nearly_too_large
from harbor_mirror.plan import charts
from harbor_mirror.plan.mirror import PlannedMirror, plan_mirror
from harbor_mirror.plan.policies import rule_names
from harbor_mirror.plan.report import Report
from harbor_mirror.plan.tag_locks import LockedRule, LockError, lock_path, read_locks, with_policies


@dataclass(frozen=True)
class ResolvedStack:
    """A stack's configuration, resolved. `mirror` is None if there are faults; `gathered` is what was read."""

    mirror: PlannedMirror | None
    faults: tuple[Fault, ...]
    cautions: tuple[Caution, ...]
    gathered: Gathered

    def require(self) -> PlannedMirror:
        """Return the mirror. Raise ConfigurationError with a line for every fault."""
        if self.mirror is None:
            raise ConfigurationError(self.faults)
        return self.mirror


def resolve_stack(settings: Mapping[str, Any], project: str, base: Path, stack: str) -> ResolvedStack:
    """Resolve a stack's configuration, read from all its settings, keyed as "harbor-mirror:rules".

    Maps and lists may be given as JSON, which is how the engine passes them. `rulesDir` and the lock file are relative
    to `base`.
    """
    gathered = gather(settings, project, base)
    faults = [*_misspelled_projects(settings, project), *gathered.faults]
    lock = lock_path(base, stack)
    mirror: PlannedMirror | None = None
    cautions: tuple[Caution, ...] = ()
    try:
        mirror, own_faults, cautions = _resolve(gathered.raw, read_locks(lock), f"mirrorctl resolve --stack {stack}")
        # Many rules may have the same default.
        faults += {str(fault): fault for fault in map(gathered.located, own_faults)}.values()
    except LockError as error:
        faults.append(Fault(lock.name, None, str(error), "remove it and run mirrorctl resolve"))
    faults += _missing_projects(gathered.raw)
    if mirror is not None and (caution := nearly_too_large(settings)):
        cautions = (*cautions, caution)
        mirror = replace(mirror, cautions=(*mirror.cautions, caution))
    return ResolvedStack(None if faults else mirror, tuple(faults), cautions, gathered)


def gather(settings: Mapping[str, Any], project: str, base: Path) -> Gathered:
    """Return a project's own settings with the rules of its rule files."""
    prefix = f"{project}:"
    own = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    return rule_files.gather({name: _decode(name, value) for name, value in own.items()}, base)


def validate(raw: Mapping[str, Any], locks: Mapping[str, LockedRule] | None = None) -> PlannedMirror:
    """Return a stack's mirror, resolved from its configuration by setting.

    Raise ConfigurationError with every fault.
    """
    mirror, faults, _ = _resolve(raw, locks or {}, "mirrorctl resolve")
    if mirror is None:
        raise ConfigurationError(faults)
    return mirror


def _resolve(
    raw: Mapping[str, Any], locks: Mapping[str, LockedRule], command: str
) -> tuple[PlannedMirror | None, tuple[Fault, ...], tuple[Caution, ...]]:
    """Return the mirror, the faults and the cautions. `command` writes the lock of rules with tag expressions."""
    configuration, faults = parse(raw)
    configuration, unresolved = with_policies(configuration, locks, command)
    faults += unresolved
    if configuration.cluster is not None:
        faults += charts.faults(configuration.cluster)
    report = Report()
    mirror = plan_mirror(without_faulty_rules(configuration, faults), report)
    names = rule_names(configuration)
    faults += (replace(fault, path=_in_file(fault.path, names)) for fault in report.faults)
    if faults:
        # Cautions of a faulty stack may be consequences of its faults.
        return None, tuple({str(fault): fault for fault in faults}.values()), ()
    cautions = [
        replace(caution, name=names.get(caution.name, caution.name)) if caution.section == "rules" else caution
        for caution in report.cautions
    ]
    return mirror, (), tuple(dict.fromkeys(cautions))


def _in_file(path: str, names: Mapping[str, str]) -> str:
    """Return a path as the user wrote it: a policy of a rule is found under the rule's name."""
    section, *parts = split_path(path)
    if section != "rules" or not parts or str(parts[0]) not in names:
        return path
    return join_path(section, names[str(parts[0])], *parts[1:])


def _decode(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if name == "harborPassword" and not isinstance(decoded, Mapping) else decoded


def _misspelled_projects(settings: Mapping[str, Any], project: str) -> Iterable[Fault]:
    """Reject settings of a project whose name is nearly ours: ignoring `rules` there would delete every rule."""
    for key in settings:
        namespace, _, name = key.rpartition(":")
        if namespace != project and difflib.get_close_matches(namespace, [project], cutoff=0.8):
            yield Fault(key, None, f"is not read, since this project is {project}", f"{project}:{name}")


def _missing_projects(raw: Mapping[str, Any]) -> Iterable[Fault]:
    """Harbor creates no robot account without permissions (measured: 400), and the outputs promise one."""
    if not raw.get("projects") and not raw.get("rules"):
        reason = "has no entry; a mirror needs a project to land in, and deployments one to pull from"
        yield Fault("projects", None, reason, "projects: {mirror: {}}")
