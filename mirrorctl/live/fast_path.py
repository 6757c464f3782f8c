"""Decides whether Pulumi may leave out its checkpoints: the state is then written once, at the end of the run.

If such a run is killed, the state lacks everything that the run did. Therefore each change must be of a kind that
`mirrorctl recover` finds again, or that the next run repeats without harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mirrorctl.live import engine, import_ids
from mirrorctl.output.reports import FastReport, Obstacle

UNCHANGED = frozenset({"same", "read", "refresh"})
#: Their type is in the URN of everything that belongs to them.
SERVERS = ("harbor-mirror:host:", "harbor-mirror:cluster:")
#: Records in the state only: the stack, components, and providers.
RECORDS = ("pulumi:", "harbor-mirror:mirror:")
#: What `recover` finds in Harbor, by its name or its project.
RECOVERED = frozenset(
    {import_ids.REGISTRY, import_ids.HARBOR_PROJECT, import_ids.REPLICATION, import_ids.RETENTION, import_ids.ROBOT}
)
#: Settings that exist once in Harbor or in its objects; the next run saves them again.
REPEATED = frozenset({import_ids.RANDOM_ID, "harbor:index/configSystem:ConfigSystem"})
CLOUD = "the state is in Pulumi Cloud, which keeps a journal: there, checkpoints are cheap"


def decide(stack: str | None, cwd: Path, preview: Mapping[str, Any] | None, *, destroy: bool = False) -> FastReport:
    """Return whether a run may leave out its checkpoints; runs the preview if none is given. Raise Failure."""
    if engine.backend(cwd).startswith("http"):
        return FastReport(fast=False, reason=CLOUD)
    return judge(engine.preview(stack, cwd, destroy=destroy) if preview is None else preview)


def judge(preview: Mapping[str, Any]) -> FastReport:
    """Return whether the changes of a preview, as `pulumi preview --json` prints it, may run without checkpoints."""
    obstacles = tuple(find_obstacles(preview))
    changes = {op: count for op, count in (preview.get("changeSummary") or {}).items() if op not in UNCHANGED}
    reason = "a killed run could lose some of these changes" if obstacles else ""
    return FastReport(fast=not obstacles, reason=reason, changes=changes, obstacles=obstacles)


def find_obstacles(preview: Mapping[str, Any]) -> Iterator[Obstacle]:
    """Yield the changes that need checkpoints."""
    for step in preview.get("steps") or []:
        *_, types, name = step["urn"].split("::", 3)
        if step["op"] not in UNCHANGED and (reason := _reason(step["op"], types)):
            yield Obstacle(op=step["op"], type=types.rpartition("$")[2], name=name, reason=reason)


def _reason(op: str, types: str) -> str:
    """Return why a change needs checkpoints, or an empty text. `types` are those of the resource and its parents."""
    kind = types.rpartition("$")[2]
    if any(part.startswith(SERVERS) for part in types.split("$")):
        return "belongs to the server or the cluster"
    if kind.startswith(RECORDS) or kind in RECOVERED | REPEATED:
        return ""
    if not kind.startswith("harbor:"):
        return "is not in Harbor"
    return "" if op == "update" else "`mirrorctl recover` cannot find it"
