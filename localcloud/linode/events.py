"""The account's events: action, user, entity, and status."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from localcloud.linode.errors import not_found
from localcloud.linode.routing import Call, Json, Operation

USERNAME = "local"


@dataclass(frozen=True)
class Entity:
    """The object of an event."""

    id: int | str
    type: str
    label: str
    url: str

    def json(self) -> Json:
        return {"id": self.id, "type": self.type, "label": self.label, "url": self.url}


@dataclass
class Event:
    """One event; `status` goes scheduled, started, finished (or failed)."""

    id: int
    action: str
    entity: Entity
    created: str
    secondary: Entity | None = None
    status: str = "scheduled"
    begun: float = field(default_factory=time.monotonic)
    duration: float | None = None

    def start(self) -> None:
        self.status = "started"

    def finish(self, status: str = "finished") -> None:
        self.status, self.duration = status, round(time.monotonic() - self.begun, 6)

    def json(self) -> Json:
        over = self.status in ("finished", "failed", "notification")
        return {
            "id": self.id,
            "action": self.action,
            "status": self.status,
            "percent_complete": 100 if over else 30 if self.status == "started" else 0,
            "rate": None,
            "read": False,
            "seen": False,
            "time_remaining": None,
            "username": USERNAME,
            "entity": self.entity.json(),
            "secondary_entity": self.secondary.json() if self.secondary else None,
            "created": self.created,
            "message": "",
            "duration": self.duration if over else round(time.monotonic() - self.begun, 6),
        }


def _list(call: Call) -> Json:
    return call.page([event.json() for event in call.cloud.events.values()], newest_first=True)


def _get(call: Call) -> Json:
    event = call.cloud.events.get(call.id)
    if event is None:
        raise not_found()
    return event.json()


OPERATIONS = [
    Operation("GET", "/account/events", _list),
    Operation("GET", "/account/events/{id:int}", _get),
]
