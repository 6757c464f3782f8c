"""Describes in words what a change of a stack's files does, for `explain --diff` and reviews of pull requests.

Example: nginx: every 6 hours at minute 0, UTC -> every hour at minute 0, UTC; pulls per 6 h 12 -> 72 of 200
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harbor_mirror.config.faults import in_yaml
from harbor_mirror.config.fields import Section
from harbor_mirror.config.models import Configuration
from harbor_mirror.config.rule_files import SUFFIXES
from harbor_mirror.plan.budget import WINDOW_HOURS, Budget
from harbor_mirror.plan.mirror import PlannedMirror
from mirrorctl import stack_file
from mirrorctl.failure import Failure
from mirrorctl.offline.explanation import explain_rules, select_file
from mirrorctl.output.reports import ExplainReport, Explanation
from mirrorctl.stack_file import StackFile

#: Fields of a rule that the explanation describes; all others are compared as they are written.
EXPLAINED = frozenset({"schedule", "repositories", "tags", "path", "flatten", "project", "expected_tags"})


def explain_changes(folder: Path, stack: str | None, base: str) -> ExplainReport:
    """Describe what the files of a stack change since the commit `base`. Raise Failure."""
    with TemporaryDirectory() as temporary:
        _extract(folder, base, Path(temporary))
        return _report(_read(Path(temporary), stack), stack, folder)


def _report(before: StackFile | None, stack: str | None, folder: Path) -> ExplainReport:
    try:
        path = select_file(folder, stack)
    except Failure:
        if before is None:
            raise
        removed = f"{before.path.name} was removed; the stack itself stays until `pulumi destroy`"
        return ExplainReport(stack=stack_file.stack_of(before.path), rules=(), budgets=(), changes=(removed,))
    after = stack_file.read(path)
    report = explain_rules(after, (), datetime.now(UTC))
    lines = list(changes(before, after))
    if before is not None and before.configuration is None:
        lines.insert(0, "the stack's file had faults before, so everything counts as new")
    return report.model_copy(update={"changes": tuple(lines)})


def _extract(folder: Path, base: str, into: Path) -> None:
    """Extract the YAML files of a commit below `folder`. The commit's program is never run."""
    commit = _git(folder, base, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    archive = _git(folder, base, "archive", "--format=tar", commit.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            path = into / entry.name
            content = tar.extractfile(entry) if entry.isreg() and path.suffix in SUFFIXES else None
            if content is not None and ".." not in path.parts:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def _git(folder: Path, base: str, *arguments: str) -> bytes:
    try:
        return subprocess.run(  # noqa: S603 - the revision cannot be taken for an option
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise Failure("--diff needs git on PATH") from None
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip() or f"git finds no commit {base} here"
        raise Failure(f"--diff {base}: {message}; in a shallow clone, fetch it first") from None


def _read(folder: Path, stack: str | None) -> StackFile | None:
    try:
        return stack_file.read(select_file(folder, stack))
    except Failure:
        return None


def changes(base: StackFile | None, head: StackFile) -> Iterator[str]:
    """Return a sentence for each endpoint, project and rule that is new, removed or different, and for each budget."""
    if head.mirror is None:
        raise ValueError("cannot compare a file with faults")
    after = head.mirror.configuration
    known = base.mirror if base is not None else None
    before: Configuration = known.configuration if known else Configuration.read({})
    old_budgets: Mapping[str, Budget] = known.budgets if known else {}
    yield from _entries("", _single(before), _single(after))
    for title, section in (("endpoint", "endpoints"), ("project", "projects")):
        yield from _entries(title, getattr(before, section), getattr(after, section))
    yield from _rules(base, head, before, head.mirror)
    for name, budget in head.mirror.budgets.items():
        earlier = old_budgets.get(name)
        old, limit = earlier.pulls if earlier else 0, "" if budget.limit is None else f" of {budget.limit}"
        if old != budget.pulls:
            excess = ", more than the plan allows" if budget.overrun() else ""
            yield f"endpoint {name}: total pulls per {WINDOW_HOURS} h {old} -> {budget.pulls}{limit}{excess}"


def _single(configuration: Configuration) -> dict[str, Section]:
    names = ("host", "cluster", "harbor", "maintenance")
    parts: dict[str, Section | None] = {name: getattr(configuration, name) for name in names}
    return {name: part for name, part in parts.items() if part is not None}


def _rules(base: StackFile | None, head: StackFile, before: Configuration, mirror: PlannedMirror) -> Iterator[str]:
    after = mirror.configuration
    now = datetime.now(UTC)
    old = {rule.rule: rule for rule in explain_rules(base, (), now).rules} if base and base.configuration else {}
    new = {rule.rule: rule for rule in explain_rules(head, (), now).rules}
    old_warnings = {text for rule in old.values() for text in rule.warnings}
    for name, rule in new.items():
        pulls = f"{'' if rule.certain else 'at least '}{rule.pulls_per_six_hours}{_limit(mirror, name)}"
        if name not in old:
            places = ", ".join(rule.destinations)
            yield (
                f"new rule {name}: copies {rule.source}, {rule.tags}; {places}; {rule.schedule}; pulls per 6 h {pulls}"
            )
        else:
            differences = list(_differences(old[name], rule))
            differences += filter(None, [_fields(before.rules[name], after.rules[name], EXPLAINED)])
            if old[name].pulls_per_six_hours != rule.pulls_per_six_hours:
                differences.append(f"pulls per 6 h {old[name].pulls_per_six_hours} -> {pulls}")
            if differences:
                yield f"{name}: {'; '.join(differences)}"
        yield from (f"warning, {name}: {text}" for text in rule.warnings if text not in old_warnings)
    yield from (f"rule {name} is removed; its images stay in Harbor" for name in old if name not in new)


def _differences(old: Explanation, new: Explanation) -> Iterator[str]:
    if old.schedule != new.schedule:
        yield f"{old.schedule} -> {new.schedule}"
    if old.source != new.source:
        yield f"source {old.source} -> {new.source}"
    if old.tags != new.tags:
        yield f"{old.tags} -> {new.tags}"
    if old.destinations != new.destinations:
        yield f"destination {_places(old)} -> {_places(new)}"


def _places(rule: Explanation) -> str:
    """Return only the destinations: the sources are described separately."""
    return ", ".join(place.rpartition(" -> ")[2] for place in rule.destinations)


def _limit(mirror: PlannedMirror, rule: str) -> str:
    """Return the limit that the rule's pulls count against."""
    for budget in mirror.budgets.values():
        if budget.limit is not None and any(load.rule == rule for load in budget.loads):
            return f" of {budget.limit}"
    return ""


def _entries(title: str, old: Mapping[str, Section], new: Mapping[str, Section]) -> Iterator[str]:
    for name, entry in new.items():
        subject = f"{title} {name}".strip()
        if name not in old:
            yield f"new {subject}"
        elif differences := _fields(old[name], entry):
            yield f"{subject}: {differences}"
    yield from (f"{title} {name} is removed".strip() for name in old if name not in new)


def _fields(old: Section, new: Section, without: frozenset[str] = frozenset()) -> str:
    """Return `quotaGb 100 -> 200` for each field that differs. Secrets are not compared, and never shown."""
    before, after = _plain(old, without), _plain(new, without)
    changed = [name for name in after if before.get(name) != after[name]]
    return "; ".join(f"{name} {_show_value(before.get(name))} -> {_show_value(after[name])}" for name in changed)


def _show_value(value: object) -> str:
    return "none" if value in (None, "", [], {}) else in_yaml(value)


def _plain(section: Section, without: frozenset[str]) -> dict[str, Any]:
    return section.model_dump(mode="json", by_alias=True, exclude=set(without))
