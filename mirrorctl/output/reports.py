"""The reports behind `--json`: a stable contract, in camelCase. None means unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from pydantic import ConfigDict, RootModel
from pydantic.alias_generators import to_camel

from harbor_mirror.config.described import Described


class Report(Described):
    """Base class of reports and their parts; immutable."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Failed(Report):
    """What `--json` prints when a command fails."""

    error: str


Outcome = Literal[
    "succeeded",
    "failed",
    "stopped",
    "empty",
    "skipped",
    "disabled",
    "missing",
    "started",
    "unfinished",
    "stalled",
    "refused",
]
#: Outcomes after which images may be missing.
BAD = frozenset({"disabled", "failed", "stopped", "empty", "unfinished", "stalled", "refused", "missing"})


class TaskReport(Report):
    """A task that failed: one repository of an execution."""

    repository: str
    status: str
    line: str
    """The line of the task's log that names the cause."""
    advice: str
    """What to do about it."""


class RuleRun(Report):
    """The result of `sync` for one rule."""

    rule: str
    policy_id: int
    execution_id: int | None = None
    outcome: Outcome
    text: str = ""
    """Harbor's message, or what to do."""
    total: int = 0
    """Number of tasks: one for each repository."""
    succeeded: int = 0
    failed: int = 0
    stopped: int = 0
    seconds: float | None = None
    tasks: tuple[TaskReport, ...] = ()
    """The tasks that failed."""


TagStatus = Literal["equal", "missing", "different", "extra", "unchecked"]
STATUSES: tuple[TagStatus, ...] = get_args(TagStatus)


SignatureState = Literal["copied", "missing", "unsigned"]


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
    """Number of manifests of a multi-arch image; Harbor has all but those in `missing_children`."""
    missing_children: tuple[str, ...] = ()
    bytes: int | None = None
    reason: str = ""
    signature: SignatureState | None = None
    """Whether the source has a signature of the image, and Harbor, too; unknown unless the rule copies signatures or
    --signatures is given. Says nothing about its validity, and a missing one does not fail `verify`."""
    signature_reason: str = ""
    """Why Harbor lacks the signature."""


class RuleProof(Report):
    """The comparison of one rule with its source."""

    rule: str
    endpoint: str
    execution_id: int | None = None
    """The rule's last execution."""
    ok: bool
    repositories: int = 0
    tags: int = 0
    """Number of tags that match at the source now."""
    equal: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    unchecked: int = 0
    bytes: int | None = None
    """Size in Harbor of equal images, each counted once."""
    signed: int | None = None
    """Number of images that are signed at the source."""
    signatures: int | None = None
    """Number of these whose signature is in Harbor."""
    problems: tuple[str, ...] = ()
    """What is wrong with the whole rule: no match, a proxy-cache project, a source that rejects requests."""
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


class FaultReport(Report):
    """A fault in a stack's file: it must be corrected before `pulumi up`."""

    path: str
    line: int | None
    value: str | None
    """The value as written; never of a secret."""
    reason: str
    example: str
    text: str = ""
    """The whole message, as `pulumi preview` prints it."""


class CautionReport(Report):
    """A warning: the configuration is valid, but may not do what its author intended."""

    path: str
    line: int | None
    text: str


class CheckedFile(Report):
    """One stack's file."""

    file: str
    ok: bool
    faults: tuple[FaultReport, ...]
    cautions: tuple[CautionReport, ...]


class CheckReport(Report):
    """What `check --json` prints."""

    ok: bool
    files: tuple[CheckedFile, ...]


class Run(Report):
    """One run of a schedule, in UTC and in local time."""

    utc: datetime
    local: datetime


class Explanation(Report):
    """One rule in words."""

    rule: str
    enabled: bool
    source: str
    """Host and repositories that it pulls from."""
    tags: str
    schedule: str
    """The schedule in words."""
    cron: str
    """The cron that Harbor receives; `manual` without a schedule."""
    next_runs: tuple[Run, ...]
    destinations: tuple[str, ...]
    """`source -> destination` for each repository, or for a pattern with wildcards."""
    pulls_per_run: int
    """Pulls that the source counts in a run without changes: one for each matching tag."""
    pulls_per_six_hours: int
    certain: bool
    """False if filters have wildcards: the numbers are then a lower bound."""
    warnings: tuple[str, ...]


class BilledResource(Report):
    """Something that Linode bills for a cluster."""

    what: str
    size: str
    outlives: bool
    """Whether it stays, and is billed, when the stack is destroyed."""


class ExplainReport(Report):
    """What `explain --json` prints."""

    stack: str
    rules: tuple[Explanation, ...]
    budgets: tuple[str, ...]
    """A sentence for each endpoint that exceeds Docker Hub's limits."""
    changes: tuple[str, ...] | None = None
    """With `--diff`: a sentence for each change in the files; None without `--diff`."""
    resources: tuple[BilledResource, ...] = ()
    """What Linode bills for the stack's cluster; empty without one."""


#: Worst first.
RuleState = Literal["failed", "overdue", "empty", "stopped", "never", "running", "skipped", "disabled", "ok"]


class RuleStatus(Report):
    """The state of one rule; times are UTC."""

    rule: str
    policy_id: int
    state: RuleState
    enabled: bool
    schedule: str
    next_run: datetime | None = None
    execution_id: int | None = None
    last_run: datetime | None = None
    last_result: str = ""
    """Harbor's status of the latest execution."""
    last_seconds: float | None = None
    tasks: int = 0
    succeeded: int = 0
    failed: int = 0
    last_success: datetime | None = None
    text: str = ""
    """Why the state is not `ok`."""


class StatusReport(Report):
    """What `status --json` prints, the worst rule first."""

    ok: bool
    """True unless a rule is in a state that `--fail-on` names."""
    harbor: str
    checked_at: datetime
    scheduler_paused: bool
    paused_queues: tuple[str, ...]
    rules: tuple[RuleStatus, ...]


class TaskLog(Report):
    """A task and its log."""

    id: int
    source: str
    destination: str
    status: str
    matters: str
    """The line that names the cause; empty if none does."""
    log: str


class LogReport(Report):
    """What `logs --json` prints."""

    rule: str
    execution_id: int
    status: str
    text: str
    tasks: tuple[TaskLog, ...]


class SessionReport(Report):
    """What `session --json` prints."""

    harbor: str
    session_id: str
    """A secret until the session expires."""


class RotationReport(Report):
    """What `rotate-admin-password --json` prints."""

    harbor: str
    username: str
    stack_updated: bool


DriftKind = Literal["changed", "lost", "unmanaged", "unhealthy", "stale"]


class DriftFinding(Report):
    """A difference between the stack and its Harbor."""

    kind: DriftKind
    """`changed` field, `lost` object, `unmanaged` object (never touched), `unhealthy` endpoint, `stale` schedule."""
    subject: str
    """The object, such as `rules.nginx`."""
    field: str = ""
    declared: str | None = None
    live: str | None = None
    advice: str = ""
    fixed: bool = False


class DriftReport(Report):
    """What `drift --json` prints."""

    ok: bool
    """True if only unmanaged objects differ; what was fixed does not count."""
    harbor: str
    findings: tuple[DriftFinding, ...]


DoctorState = Literal["ok", "warning", "bad", "unknown"]


class DoctorLine(Report):
    """The result of one check."""

    subject: str
    state: DoctorState
    text: str
    advice: str = ""


class DoctorReport(Report):
    """What `doctor --json` prints."""

    ok: bool
    """True if no check is `bad`."""
    harbor: str
    lines: tuple[DoctorLine, ...]


class Announced(Report):
    """A change that the first `pulumi up` after the adoption makes."""

    op: Literal["create", "update"]
    type: str
    """The resource's type in Pulumi."""
    name: str
    """The resource's logical name."""
    reason: str


class AdoptReport(Report):
    """What `adopt --json` prints: the written files, what was left out, and the next steps."""

    harbor: str
    files: tuple[str, ...]
    endpoints: tuple[str, ...]
    projects: tuple[str, ...]
    rules: tuple[str, ...]
    secrets_needed: tuple[str, ...]
    """Configuration paths of the secrets that the script asks for."""
    left_out: tuple[str, ...]
    announced: tuple[Announced, ...]
    commands: tuple[str, ...]


class Recovered(Report):
    """One thing that an interrupted run left behind, and what `recover` does with it."""

    action: Literal["import", "delete", "ask"]
    """`ask`: Linode keeps no name for it, so it is imported only after a confirmation or with `--address`."""
    type: str
    name: str
    """Logical name in the stack."""
    id: str
    reason: str = ""


class RecoverReport(Report):
    """What `recover --json` prints."""

    stack: str
    """Empty if the state's file must be restored before Pulumi says which stack is selected."""
    done: bool
    """Whether the stack is ready for the next `pulumi up`; false without a confirmation."""
    files: tuple[str, ...] = ()
    """The restoration of the state's file in a directory. With one, the rest is known only afterwards."""
    lock: str = ""
    """Who left a lock, and when."""
    interrupted: tuple[str, ...] = ()
    """Operations that the state has as interrupted: `creating harbor-instance`."""
    gone: tuple[str, ...] = ()
    """Resources that the state has and that do not exist any more."""
    left: tuple[Recovered, ...] = ()


class Obstacle(Report):
    """A change that needs checkpoints."""

    op: str
    """Pulumi's name of the operation: `create`, `update`, `replace`, `delete` and their parts."""
    type: str
    name: str
    """Logical name in the stack."""
    reason: str


class FastReport(Report):
    """What `fast --json` prints."""

    fast: bool
    """Whether the run may leave out its checkpoints."""
    reason: str = ""
    """Why not."""
    changes: Mapping[str, int] = {}
    """Number of changes by operation."""
    obstacles: tuple[Obstacle, ...] = ()


class ResolvedRule(Report):
    """One rule with an expression, and what it selects at its source now."""

    rule: str
    state: Literal["new", "changed", "unchanged", "refused", "unreachable"]
    """`refused`: nothing is selected, or too much; `unreachable`: the source does not list its tags. Both keep the
    rule's lock as it was."""
    listed: int = 0
    """Tags at the source."""
    selected: int = 0
    added: tuple[str, ...] = ()
    """`repository:tag` that the lock did not have."""
    removed: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    """Names in Harbor."""
    globs: tuple[str, ...] = ()
    """Tag filters, one for each policy."""
    problem: str = ""


class ResolvedStack(Report):
    """The lock file of one stack."""

    stack: str
    file: str
    ok: bool
    changed: bool
    """The file was written, or would be with `--check`."""
    rules: tuple[ResolvedRule, ...]
    removed: tuple[str, ...]
    """Rules that were locked and have no expression any more."""


class ResolveReport(Report):
    """What `resolve --json` prints."""

    ok: bool
    stacks: tuple[ResolvedStack, ...]


class ImportDecision(Report):
    """An entry of an imported file that is not translated, or not wholly."""

    file: str
    line: int
    entry: str
    reason: str


class ImportReport(Report):
    """What `import --json` prints."""

    ok: bool
    """Everything is translated: no decision is left."""
    file: str | None
    """The file that was written; None if there is none."""
    endpoints: tuple[str, ...]
    projects: tuple[str, ...]
    rules: tuple[str, ...]
    decisions: tuple[ImportDecision, ...]
    notes: tuple[ImportDecision, ...]
    """What is translated and yet may surprise."""
    secrets_needed: tuple[str, ...]
    """Paths of secrets to set."""
    resolve: bool
    """Rules have tag expressions: `mirrorctl resolve` comes next."""
    configuration: str
    """The stack's file in YAML."""


class CoveredImage(Report):
    """An image that deployments use."""

    image: str
    state: Literal["mirrored", "missing"]
    rule: str | None
    """The rule that brings it."""
    proxy_cache: str | None = None
    """The proxy cache project that serves it, if no rule brings it."""
    destination: str | None
    """Where it is in the mirror, without tag."""
    reason: str
    uses: tuple[str, ...]
    """`file:line` of each use."""
    is_to_bring: bool
    """The proposal has a rule for it."""


class CoverageReport(Report):
    """What `coverage --json` prints."""

    ok: bool
    """The mirror has or serves every image, and every file could be read."""
    images: tuple[CoveredImage, ...]
    problems: tuple[str, ...]
    """Files and references that can't be read."""
    proposal: str
    """Endpoints and rules for what is missing, in YAML."""


class Images(RootModel[dict[str, str]]):
    """What `images --json` prints: source reference -> mirror reference, both without tag."""
