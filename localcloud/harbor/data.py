"""Harbor's data volume: the tables of its database and the stored images.

A Harbor that starts on a `HarborData` continues where the last one stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from localcloud.oci.store import ImageStore

#: Go's zero time, which Harbor shows for unknown times.
ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
ADMIN_ID = 1
UNLIMITED = -1


@dataclass
class Project:
    id: int
    name: str
    metadata: dict[str, str]
    creation_time: datetime
    update_time: datetime
    registry_id: int = 0  # of a proxy cache; 0: none
    allowlist_items: list[dict[str, Any]] = field(default_factory=list)
    allowlist_expires_at: int | None = None

    @property
    def public(self) -> bool:
        return self.metadata.get("public") == "true"


@dataclass
class Quota:
    id: int
    project_id: int
    storage: int
    creation_time: datetime
    update_time: datetime
    reported_use: int | None = None  # shown instead of what is stored


@dataclass
class Credential:
    type: str
    access_key: str
    access_secret: str


@dataclass
class Registry:
    id: int
    name: str
    type: str
    url: str
    insecure: bool
    creation_time: datetime
    update_time: datetime
    description: str = ""
    ca_certificate: str = ""
    credential: Credential | None = None
    status: str = "healthy"


@dataclass
class Policy:
    """A replication policy; `trigger` is None if the request had none."""

    id: int
    name: str
    creation_time: datetime
    update_time: datetime
    description: str = ""
    src_registry_id: int = 0
    dest_registry_id: int = 0
    dest_namespace: str = ""
    dest_namespace_replace_count: int = -1
    filters: list[dict[str, Any]] = field(default_factory=list)
    trigger: dict[str, Any] | None = None
    enabled: bool = False
    override: bool = False
    deletion: bool = False
    speed: int = 0
    copy_by_chunk: bool = False
    single_active_replication: bool = False

    @property
    def trigger_type(self) -> str:
        return str((self.trigger or {}).get("type", ""))

    @property
    def cron(self) -> str:
        """The active cron, or ""."""
        if self.trigger_type != "scheduled":
            return ""
        return str(((self.trigger or {}).get("trigger_settings") or {}).get("cron") or "")


@dataclass
class Execution:
    """One run of a replication policy. The public status lags behind the tasks (see executions.py)."""

    id: int
    policy_id: int
    trigger: str
    start_time: datetime
    status: str = "InProgress"
    status_text: str = ""
    end_time: datetime = ZERO_TIME
    stopped: bool = False  # by a request
    abandoned: bool = False  # its jobs were lost when the job service restarted: it never ends


@dataclass
class Task:
    """The copy of one repository; the resources are texts such as `library/nginx [2 item(s) in total]`."""

    id: int
    execution_id: int
    src_resource: str
    dst_resource: str
    start_time: datetime
    resource_type: str = "image"
    operation: str = "copy"
    job_id: str = ""
    status: str = "Pending"
    end_time: datetime = ZERO_TIME
    log: list[str] | None = None  # None until the job starts


@dataclass
class Robot:
    """`name` is the full one, prefix included; `secret_hash` is salted with it."""

    id: int
    name: str
    level: str
    duration: int
    expires_at: int
    permissions: list[dict[str, Any]]
    secret_hash: str
    creation_time: datetime
    update_time: datetime
    description: str = ""
    project_id: int = 0
    disable: bool = False
    creator_type: str = "local"
    creator_ref: int = ADMIN_ID


@dataclass
class Repository:
    id: int
    name: str
    project_id: int
    creation_time: datetime
    update_time: datetime
    description: str = ""
    pull_count: int = 0


@dataclass
class Artifact:
    """A manifest in Harbor's database."""

    id: int
    repository_id: int
    digest: str
    push_time: datetime
    pull_time: datetime = ZERO_TIME
    labels: list[str] = field(default_factory=list)
    subject_digest: str = ""  # of an accessory: the artifact that it belongs to
    accessory_type: str = ""


@dataclass
class Tag:
    id: int
    repository_id: int
    artifact_id: int
    name: str
    push_time: datetime
    pull_time: datetime = ZERO_TIME


@dataclass
class Retention:
    """A project's tag retention; `body` is the policy as it was sent, without its id."""

    id: int
    project_id: int
    body: dict[str, Any]


@dataclass
class Schedule:
    """A schedule. `vendor_type` is the job's name in Harbor, `vendor_id` its object (or -1)."""

    id: int
    vendor_type: str
    vendor_id: int
    kind: str  # Hourly, Daily, Weekly, Custom, or "" for a plain cron
    cron: str
    creation_time: datetime
    update_time: datetime
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class Admin:
    """The administrator; `password_hash` is None until Harbor has started once."""

    password_hash: str | None = None
    salt: str = ""
    creation_time: datetime = ZERO_TIME
    update_time: datetime = ZERO_TIME


@dataclass
class User:
    """A local user other than the administrator."""

    id: int
    username: str
    creation_time: datetime
    email: str = ""
    realname: str = ""
    comment: str = ""


@dataclass
class UserGroup:
    id: int
    group_name: str
    group_type: int
    ldap_group_dn: str = ""


@dataclass
class Member:
    """A user ("u") or a group ("g") in a project."""

    id: int
    project_id: int
    entity_id: int
    entity_type: str
    role_id: int


@dataclass
class ImmutableRule:
    """`body` is the rule as it was sent."""

    id: int
    project_id: int
    body: dict[str, Any]
    disabled: bool = False


@dataclass
class WebhookPolicy:
    id: int
    project_id: int
    name: str
    creation_time: datetime
    update_time: datetime
    description: str = ""
    enabled: bool = False
    targets: list[dict[str, Any]] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)


Row = TypeVar("Row")


class Table(Generic[Row]):
    """Rows by ID; IDs count up and are never reused, as in a database."""

    def __init__(self, first: int = 1) -> None:
        self._rows: dict[int, Row] = {}
        self._last = first - 1

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def add(self, row: Row) -> Row:
        """Store `row` under its `id`, which must come from `next_id`."""
        self._rows[row.id] = row  # type: ignore[attr-defined]
        return row

    def get(self, row_id: int) -> Row | None:
        return self._rows.get(row_id)

    def __getitem__(self, row_id: int) -> Row:
        return self._rows[row_id]

    def find(self, **wanted: Any) -> Row | None:
        """Return the first row whose fields have these values."""
        return next(self.where(**wanted), None)

    def where(self, **wanted: Any) -> Iterator[Row]:
        for row in list(self._rows.values()):
            if all(getattr(row, name) == value for name, value in wanted.items()):
                yield row

    def delete(self, row_id: int) -> None:
        self._rows.pop(row_id, None)

    def clear(self) -> None:
        self._rows.clear()

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)


class HarborData:
    """A blank data volume. Hold `lock` to read or change more than one row."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.images = ImageStore()
        self.admin = Admin()
        self.configuration: dict[str, Any] = {}  # only what differs from the defaults
        self.projects: Table[Project] = Table()
        self.quotas: Table[Quota] = Table()
        self.registries: Table[Registry] = Table()
        self.policies: Table[Policy] = Table()
        self.executions: Table[Execution] = Table()
        self.tasks: Table[Task] = Table()
        self.robots: Table[Robot] = Table()
        self.repositories: Table[Repository] = Table()
        self.artifacts: Table[Artifact] = Table()
        self.tags: Table[Tag] = Table()
        self.retentions: Table[Retention] = Table()
        self.schedules: Table[Schedule] = Table()
        # 1 is the administrator, 2 the anonymous user.
        self.users: Table[User] = Table(first=3)
        self.groups: Table[UserGroup] = Table()
        self.members: Table[Member] = Table()
        self.immutable_rules: Table[ImmutableRule] = Table()
        self.webhooks: Table[WebhookPolicy] = Table()
        self.system_allowlist: dict[str, Any] = {"items": []}
