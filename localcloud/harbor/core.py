"""State that all handlers share: data, settings, conditions, and the job runner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from localcloud.harbor.auth import Accounts
from localcloud.harbor.data import HarborData

if TYPE_CHECKING:
    from localcloud.harbor.executions import Runner

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Outcome:
    """A scripted end of an execution, without copying; a task is (repository, status, log)."""

    status: str
    status_text: str = ""
    tasks: Sequence[tuple[str, str, str]] = ()


@dataclass
class Conditions:
    """States that a real Harbor reaches only by accident. Tests set them.

    `unhealthy`: components that /health reports as unhealthy. `queues`: fields of job queues by job type, such as
    `{"REPLICATION": {"paused": True}}`. `volumes`: the disks that /systeminfo/volumes reports. `schedules`: further
    rows of /schedules. `outcomes`: how executions of a policy (by id) end, instead of copying. `stalled`: executions
    that start now never move.
    """

    unhealthy: set[str] = field(default_factory=set)
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    scheduler_paused: bool = False
    volumes: list[dict[str, int]] = field(default_factory=lambda: [{}])
    schedules: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    stalled: bool = False


@dataclass
class Core:
    """`version` has a leading `v`; `clock` gives aware times in UTC."""

    data: HarborData
    hostname: str
    external_url: str
    version: str
    clock: Clock
    accounts: Accounts
    conditions: Conditions = field(default_factory=Conditions)
    runner: Runner = field(init=False)
