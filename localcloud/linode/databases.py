"""Managed PostgreSQL: an instance takes a moment to become active, and nothing behind its address answers."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from localcloud.linode import labels
from localcloud.linode.errors import Problems, not_found
from localcloud.linode.events import Entity
from localcloud.linode.routing import Call, Json, Operation
from localcloud.linode.state import now

# techdocs.akamai.com/linode-api/reference/post-databases-postgre-sql-instances
LABEL_LENGTHS = range(3, 33)
ENGINES = tuple(f"postgresql/{major}" for major in range(13, 18))
SIZES = (1, 2, 3)
USERNAME = "akmadmin"
AUTHORITY = "-----BEGIN CERTIFICATE-----\nMIIEXAMPLE\n-----END CERTIFICATE-----\n"
DEFAULT_UPDATES: Json = {"day_of_week": 1, "duration": 4, "frequency": "weekly", "hour_of_day": 20}


@dataclass
class Database:
    """A managed database."""

    id: int
    label: str
    region: str
    type: str
    major: str
    size: int
    allowed: list[str]
    created: str
    status: str = "provisioning"
    updates: Json = field(default_factory=lambda: dict(DEFAULT_UPDATES))
    password: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)

    @property
    def entity(self) -> Entity:
        return Entity(self.id, "database", self.label, f"/v4/databases/postgresql/instances/{self.id}")

    def json(self) -> Json:
        host = f"a{self.id}-akamai-prod.g2a.akamaidb.net"
        return {
            "id": self.id,
            "label": self.label,
            "region": self.region,
            "type": self.type,
            "engine": "postgresql",
            "version": f"{self.major}.4",
            "cluster_size": self.size,
            "allow_list": self.allowed,
            "status": self.status,
            "hosts": {"primary": host, "standby": f"replica-{host}" if self.size > 1 else None},
            "port": 26174,
            "ssl_connection": True,
            "encrypted": True,
            "platform": "rdbms-default",
            "members": {"172.104.0.1": "primary"},
            "oldest_restore_time": None,
            "updates": self.updates | {"pending": []},
            "engine_config": {},
            "private_network": None,
            "fork": None,
            "created": self.created,
            "updated": self.created,
        }


def _database(call: Call) -> Database:
    if call.id not in call.cloud.databases:
        raise not_found()
    return call.cloud.databases[call.id]


def _create(call: Call) -> Json:
    cloud, body = call.cloud, call.body
    problems = Problems()
    taken = {database.label for database in cloud.databases.values()}
    labels.check(problems, body.get("label"), LABEL_LENGTHS, taken, "databases")
    problems.unless(body.get("region") in cloud.regions, "region is not valid", "region")
    problems.unless(body.get("type") in cloud.types, "type is not valid", "type")
    problems.unless(body.get("engine") in ENGINES, "engine is not valid", "engine")
    problems.unless(body.get("cluster_size", 1) in SIZES, "Must be one of 1, 2, 3", "cluster_size")
    problems.check()
    database = Database(
        cloud.next_id(),
        body["label"],
        body["region"],
        body["type"],
        body["engine"].partition("/")[2],
        body.get("cluster_size", 1),
        list(body.get("allow_list") or []),
        now(),
    )
    cloud.databases[database.id] = database
    event = cloud.event("database_create", database.entity)
    event.start()

    def activate() -> None:
        database.status = "active"
        event.finish()

    cloud.timers.after(cloud.job_seconds, activate)
    return database.json()


def _update(call: Call) -> Json:
    database, body = _database(call), call.body
    database.label = body.get("label", database.label)
    database.type = body.get("type", database.type)
    database.allowed = list(body.get("allow_list", database.allowed))
    database.updates = {**database.updates, **(body.get("updates") or {})}
    return database.json()


def _delete(call: Call) -> Json:
    database = _database(call)
    del call.cloud.databases[database.id]
    call.cloud.event("database_delete", database.entity, done=True)
    return {}


def _credentials(call: Call) -> Json:
    return {"username": USERNAME, "password": _database(call).password}


def _authority(call: Call) -> Json:
    _database(call)
    return {"ca_certificate": base64.b64encode(AUTHORITY.encode()).decode()}


def _list(call: Call) -> Json:
    found: list[dict[str, Any]] = [database.json() for database in call.cloud.databases.values()]
    return call.page(found)


_ONE = "/databases/postgresql/instances/{id:int}"
OPERATIONS = [
    Operation("GET", "/databases/postgresql/instances", _list),
    Operation("POST", "/databases/postgresql/instances", _create),
    Operation("GET", _ONE, lambda call: _database(call).json()),
    Operation("PUT", _ONE, _update),
    Operation("DELETE", _ONE, _delete),
    Operation("GET", f"{_ONE}/credentials", _credentials),
    Operation("GET", f"{_ONE}/ssl", _authority),
]
