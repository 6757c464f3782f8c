"""What commands report: the stable shapes behind `--json`, in camelCase; None means not known."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Report(BaseModel):
    """A frozen part of a report."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )

    def as_json(self) -> str:
        """The report as `--json` prints it."""
        return self.model_dump_json(by_alias=True, indent=2)


Outcome = Literal[
    "succeeded", "failed", "stopped", "empty", "skipped", "disabled", "missing", "started", "unfinished", "refused"
]


class TaskReport(Report):
    """One repository of an execution that did not arrive."""

    repository: str
    status: str
    line: str
    """The line of the task's log that matters."""
    advice: str
    """What to do about it."""


class RuleRun(Report):
    """One rule that `sync` was asked to run."""

    rule: str
    policy_id: int
    execution_id: int | None = None
    outcome: Outcome
    text: str = ""
    """Harbor's own words, or what to do."""
    total: int = 0
    """Tasks: one for each repository."""
    succeeded: int = 0
    failed: int = 0
    stopped: int = 0
    seconds: float | None = None
    tasks: tuple[TaskReport, ...] = ()
    """Those that failed."""


TagStatus = Literal["equal", "missing", "different", "extra", "unchecked"]


class TagProof(Report):
    """One tag at its source and in Harbor."""

    source: str
    """Reference at the source, with the tag."""
    destination: str
    """Reference in Harbor, with the tag."""
    status: TagStatus
    source_digest: str | None = None
    harbor_digest: str | None = None
    children: int = 0
    """Manifests of a multi-arch image, all of them found in Harbor unless they are in `missing_children`."""
    missing_children: tuple[str, ...] = ()
    bytes: int | None = None
    reason: str = ""


class RuleProof(Report):
    """One rule, proven or not."""

    rule: str
    endpoint: str
    ok: bool
    repositories: int = 0
    tags: int = 0
    """Tags that match at the source now."""
    equal: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    unchecked: int = 0
    bytes: int | None = None
    """Size in Harbor of what is equal, each image once."""
    problems: tuple[str, ...] = ()
    """What is wrong with the rule as a whole: an empty match, a proxy-cache project, a source that refuses."""
    images: tuple[TagProof, ...] = ()


class VerifyReport(Report):
    """What `verify --json` prints."""

    ok: bool
    harbor: str
    checked_at: datetime
    rules: tuple[RuleProof, ...]


class SyncReport(Report):
    """What `sync --json` prints."""

    ok: bool
    harbor: str
    rules: tuple[RuleRun, ...]
    verify: VerifyReport | None = None
