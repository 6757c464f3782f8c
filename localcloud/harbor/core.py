"""What the handlers share: the data, the settings of this installation, and whoever runs jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from localcloud.harbor.auth import Accounts
from localcloud.harbor.data import HarborData

if TYPE_CHECKING:
    from localcloud.harbor.executions import Runner

Clock = Callable[[], datetime]


@dataclass
class Core:
    """`version` has a leading `v`; `clock` gives aware times in UTC."""

    data: HarborData
    hostname: str
    external_url: str
    version: str
    clock: Clock
    accounts: Accounts
    runner: Runner = field(init=False)
