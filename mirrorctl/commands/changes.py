"""`explain --diff BASE`: in words, what a change of a stack's files does since a commit. Offline, without secrets.

nginx: every 6 hours at minute 0, UTC -> every hour at minute 0, UTC; pulls per 6 h 12 -> 72 of 200
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harbor_mirror.config.faults import in_yaml
from harbor_mirror.config.models import Configuration, Section
from harbor_mirror.config.rule_files import SUFFIXES
from harbor_mirror.plan.budget import WINDOW_HOURS
from harbor_mirror.plan.checks import budgets
from mirrorctl import stack_file
from mirrorctl.commands.explain import explain, one_file
from mirrorctl.failure import AS_WANTED, Failure
from mirrorctl.output.reports import ExplainReport, Explanation
from mirrorctl.stack_file import StackFile
from mirrorctl.tool import Tool

#: What `explain` says in its own words; the other fields of a rule are compared as they are written.
EXPLAINED = frozenset({"schedule", "repositories", "tags", "path", "flatten", "project", "expected_tags"})
NO_CHANGE = "Nothing changes in the stack's configuration."


def command(tool: Tool, names: Sequence[str], base: str) -> int:
    """See `mirrorctl explain --help`."""
    if names:
        raise Failure("--diff is about a stack's files as a whole; name no rules")
    with TemporaryDirectory() as folder:
        _extract(tool.folder, base, Path(folder))
        before = _read(Path(folder), tool.stack)
        report = _report(before, tool.stack, tool.folder)
    tool.output.report(report)
    for line in report.changes or (NO_CHANGE,):
        tool.output.line(line)
    return AS_WANTED


def _report(before: StackFile | None, stack: str | None, cwd: Path) -> ExplainReport:
    try:
        path = one_file(stack, cwd)
    except Failure:
        if before is None:
            raise
        gone = f"{before.path.name} is gone; the stack itself stays until `pulumi destroy`"
        return ExplainReport(stack=stack_file.stack_of(before.path), rules=(), budgets=(), changes=(gone,))
    after = stack_file.read(path)
    report = explain(after, (), datetime.now(UTC))
    lines = list(changes(before, after))
    if before is not None and before.configuration is None:
        lines.insert(0, "the stack's file had faults before, so all of it counts as new")
    return report.model_copy(update={"changes": tuple(lines)})


def _extract(folder: Path, base: str, into: Path) -> None:
    """The YAML files of a commit, from `folder` down: data only, the commit's program is never run."""
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
        return subprocess.run(  # noqa: S603 - the revision is no option
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise Failure("--diff needs git on PATH") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip() or f"git knows no commit {base} here"
        raise Failure(f"--diff {base}: {said}; in a shallow clone, fetch it first") from None


def _read(folder: Path, stack: str | None) -> StackFile | None:
    try:
        return stack_file.read(one_file(stack, folder))
    except Failure:
        return None


def changes(base: StackFile | None, head: StackFile) -> Iterator[str]:
    """A sentence for each endpoint, project and rule that is new, gone or different, and what the source bears."""
    after = head.configuration
    if after is None:
        raise ValueError("a faulty file has no rules to compare")
    known = base.configuration if base is not None else None
    before: Configuration = known or Configuration.read({})
    yield from _entries("", _single(before), _single(after))
    for title, section in (("endpoint", "endpoints"), ("project", "projects")):
        yield from _entries(title, getattr(before, section), getattr(after, section))
    yield from _rules(base, head, before, after)
    for name, budget in budgets(after).items():
        earlier = budgets(before).get(name)
        old, limit = earlier.pulls if earlier else 0, "" if budget.limit is None else f" of {budget.limit}"
        if old != budget.pulls:
            over = " more than the plan allows" if budget.overrun() else ""
            yield f"endpoint {name}: pulls per {WINDOW_HOURS} h in all {old} -> {budget.pulls}{limit}{over}"


def _single(configuration: Configuration) -> dict[str, Section]:
    parts = {"host": configuration.host, "harbor": configuration.harbor, "maintenance": configuration.maintenance}
    return {name: part for name, part in parts.items() if part is not None}


def _rules(base: StackFile | None, head: StackFile, before: Configuration, after: Configuration) -> Iterator[str]:
    now = datetime.now(UTC)
    old = {one.rule: one for one in explain(base, (), now).rules} if base and base.configuration else {}
    new = {one.rule: one for one in explain(head, (), now).rules}
    known_warnings = {text for one in old.values() for text in one.warnings}
    for name, one in new.items():
        pulls = f"{'' if one.certain else 'at least '}{one.pulls_per_six_hours}{_of(after, name)}"
        if name not in old:
            lands = ", ".join(one.destinations)
            yield f"new rule {name}: takes {one.source}, {one.tags}; {lands}; {one.schedule}; pulls per 6 h {pulls}"
        else:
            differences = list(_differences(old[name], one))
            differences += filter(None, [_fields(before.rules[name], after.rules[name], EXPLAINED)])
            if old[name].pulls_per_six_hours != one.pulls_per_six_hours:
                differences.append(f"pulls per 6 h {old[name].pulls_per_six_hours} -> {pulls}")
            if differences:
                yield f"{name}: {'; '.join(differences)}"
        yield from (f"warning, {name}: {text}" for text in one.warnings if text not in known_warnings)
    yield from (f"rule {name} goes; the images that it brought stay in Harbor" for name in old if name not in new)


def _differences(old: Explanation, new: Explanation) -> Iterator[str]:
    if old.schedule != new.schedule:
        yield f"{old.schedule} -> {new.schedule}"
    if old.source != new.source:
        yield f"takes {old.source} -> {new.source}"
    if old.tags != new.tags:
        yield f"{old.tags} -> {new.tags}"
    if old.destinations != new.destinations:
        yield f"lands {_places(old)} -> {_places(new)}"


def _places(rule: Explanation) -> str:
    """Only where things land: the sources are said before."""
    return ", ".join(place.rpartition(" -> ")[2] for place in rule.destinations)


def _of(configuration: Configuration, rule: str) -> str:
    """The limit that the rule's pulls count against."""
    for budget in budgets(configuration).values():
        if budget.limit is not None and any(load.rule == rule for load in budget.loads):
            return f" of {budget.limit}"
    return ""


def _entries(title: str, old: Mapping[str, Section], new: Mapping[str, Section]) -> Iterator[str]:
    for name, entry in new.items():
        named = f"{title} {name}".strip()
        if name not in old:
            yield f"new {named}"
        elif differences := _fields(old[name], entry):
            yield f"{named}: {differences}"
    yield from (f"{title} {name} goes".strip() for name in old if name not in new)


def _fields(old: Section, new: Section, without: frozenset[str] = frozenset()) -> str:
    """`quotaGb 100 -> 200` for each field that differs; secrets can't be told apart here, and are not shown."""
    before, after = _plain(old, without), _plain(new, without)
    changed = [name for name in after if before.get(name) != after[name]]
    return "; ".join(f"{name} {_shown(before.get(name))} -> {_shown(after[name])}" for name in changed)


def _shown(value: object) -> str:
    return "none" if value in (None, "", [], {}) else in_yaml(value)


def _plain(section: Section, without: frozenset[str]) -> dict[str, Any]:
    return section.model_dump(mode="json", by_alias=True, exclude=set(without))
