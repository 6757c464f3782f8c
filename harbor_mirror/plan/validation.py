"""A stack's configuration, read and checked whole: the one way for program and tool, so that both say the same."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harbor_mirror.config import rule_files
from harbor_mirror.config.faults import Caution, ConfigurationError, Fault
from harbor_mirror.config.models import Configuration, Host
from harbor_mirror.config.parse import parse, without_faulty_rules
from harbor_mirror.config.rule_files import Gathered
from harbor_mirror.host import of_host
from harbor_mirror.plan.checks import check
from harbor_mirror.plan.tag_locks import LockedRule, LockError, lock_path, read_locks, with_policies


@dataclass(frozen=True)
class Checked:
    """`configuration` is None if there are faults; `gathered` is what was read, with the rule files."""

    configuration: Configuration | None
    faults: tuple[Fault, ...]
    cautions: tuple[Caution, ...]
    gathered: Gathered

    def sound(self) -> Configuration:
        """The configuration. Raises ConfigurationError with a line for every fault."""
        if self.configuration is None:
            raise ConfigurationError(self.faults)
        return self.configuration


def checked(everything: Mapping[str, Any], project: str, base: Path, stack: str) -> Checked:
    """Of all that a stack configures, keyed as "harbor-mirror:rules", what is this project's.

    A map or list may stand there as JSON, which is how the engine holds it. `rulesDir` and the lock file are seen
    from `base`.
    """
    gathered = gather(everything, project, base)
    faults = [*_strays(everything, project), *gathered.faults]
    lock = lock_path(base, stack)
    configuration: Configuration | None = None
    cautions: list[Caution] = []
    try:
        configuration, cautions = validate(gathered.raw, read_locks(lock), resolve=f"mirrorctl resolve --stack {stack}")
    except LockError as error:
        faults.append(Fault(lock.name, None, str(error), "remove it and run mirrorctl resolve"))
    except ConfigurationError as error:
        faults += map(gathered.located, error.faults)
    faults += [*_host_faults(gathered.raw, faults), *_nowhere(gathered.raw)]
    return Checked(None if faults else configuration, tuple(faults), tuple(cautions), gathered)


def gather(everything: Mapping[str, Any], project: str, base: Path) -> Gathered:
    """Return this project's settings of all that a stack configures, with the rules of its rule files."""
    prefix = f"{project}:"
    own = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}
    return rule_files.gather({name: _read(name, value) for name, value in own.items()}, base)


def validate(
    raw: Mapping[str, Any], locks: Mapping[str, LockedRule] | None = None, *, resolve: str = "mirrorctl resolve"
) -> tuple[Configuration, list[Caution]]:
    """Return a stack's configuration, keyed by setting, and what is only worth a warning in it.

    Raises ConfigurationError with every fault.
    """
    configuration, faults = parse(raw)
    configuration, unresolved = with_policies(configuration, locks or {}, resolve)
    faults += unresolved
    wrong, cautions = check(without_faulty_rules(configuration, faults))
    faults += wrong
    if faults:
        raise ConfigurationError({str(fault): fault for fault in faults}.values())
    return configuration, cautions


def _read(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if name == "harborPassword" and not isinstance(read, Mapping) else read


def _strays(everything: Mapping[str, Any], project: str) -> Iterable[Fault]:
    """Settings of a project whose name is nearly ours: unread, `rules` there would delete every rule."""
    for key in everything:
        namespace, _, name = key.rpartition(":")
        if namespace != project and difflib.get_close_matches(namespace, [project], cutoff=0.8):
            yield Fault(key, None, f"is not read, since this project is {project}", f"{project}:{name}")


def _nowhere(raw: Mapping[str, Any]) -> Iterable[Fault]:
    """Harbor makes no robot account without permissions (measured: 400), and the outputs promise one."""
    if not raw.get("projects") and not raw.get("rules"):
        reason = "has no entry; a mirror needs a project to land in, and deployments one to pull from"
        yield Fault("projects", None, reason, "projects: {mirror: {}}")


def _host_faults(raw: Mapping[str, Any], faults: Iterable[Fault]) -> Iterable[Fault]:
    """What only the server's own spec can see, of a host that is right by itself."""
    host = raw.get("host")
    if not host or any(f"{fault.path}.".startswith("host.") for fault in faults):
        return []
    return of_host.faults(Host.read(host))
