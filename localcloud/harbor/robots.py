"""Robot accounts of the system and of projects. The secret is shown once, on creation."""

from __future__ import annotations

import re
import secrets
import string
from datetime import datetime
from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.auth import hash_of
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.data import Robot
from localcloud.harbor.errors import bad_request, conflict, forbidden, internal, not_found
from localcloud.harbor.system import good_secret, setting

MAX_NAME, MAX_DESCRIPTION = 255, 1024
SECRET_LENGTH = 32
DAY_SECONDS = 24 * 60 * 60
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_ACCESS = Struct("Access", {"resource": "string", "action": "string", "effect": "string"})
_PERMISSION = Struct(
    "RobotPermission", {"kind": "string", "namespace": "string", "access": ListOf(_ACCESS, "*models.Access")}
)
_ROBOT = Struct(
    "RobotCreate",
    {
        **{"id": "int64", "name": "string", "level": "string", "description": "string", "secret": "string"},
        **{"duration": "int64", "disable": "bool", "permissions": ListOf(_PERMISSION, "*models.RobotPermission")},
    },
)
_SECRET = Struct("RobotSec", {"secret": "string"})
_ACTIONS = {"create", "read", "update", "delete", "list", "pull", "push", "scanner-pull", "operate", "stop", "*"}
_RESOURCES = {
    *("repository", "artifact", "tag", "label", "project", "registry", "replication", "replication-policy", "robot"),
    *("artifact-addition", "artifact-label", "accessory", "scan", "sbom", "immutable-tag", "tag-retention", "log"),
    *("member", "metadata", "notification-policy", "preheat-policy", "quota", "scanner", "configuration"),
    *("replication-adapter", "garbage-collection", "purge-audit", "catalog", "audit-log", "preheat-instance", "system"),
    *("export-cve", "jobservice-monitor", "ldap-user", "scan-all", "security-hub", "system-volumes", "user", "*"),
    *("user-group",),
}


def show(robot: Robot) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "creation_time": timestamp(robot.creation_time),
        "creator_ref": robot.creator_ref,
        "creator_type": robot.creator_type,
        "description": robot.description,
        "disable": robot.disable,
        "duration": robot.duration,
        "editable": True,
        "expires_at": robot.expires_at,
        "id": robot.id,
        "level": robot.level,
        "name": robot.name,
        "permissions": robot.permissions,
        "update_time": timestamp(robot.update_time),
    }
    return {name: value for name, value in shown.items() if value != ""}


def create_robot(call: Call) -> Response:
    given = call.json(_ROBOT, "robot")
    _require_admin(call)
    name, level = given.get("name", ""), given.get("level", "")
    if not _NAME.fullmatch(name):
        raise bad_request("robot name is not in lower case or contains illegal characters")
    project_id = _check(call, given)
    data, now = call.data, call.now()
    with data.lock:
        prefix = setting(call, "robot_name_prefix")
        namespace = given["permissions"][0]["namespace"]
        full = f"{prefix}{namespace}+{name}" if level == "project" else f"{prefix}{name}"
        if data.robots.find(name=full) is not None:
            raise conflict(f"robot account {project_id}:{name} already exists")
        if len(name) > MAX_NAME or len(given.get("description", "")) > MAX_DESCRIPTION:
            raise internal()
        secret = new_secret()
        duration = given["duration"]
        robot = data.robots.add(
            Robot(
                data.robots.next_id(),
                full,
                level,
                duration,
                _expiry(now, duration),
                given["permissions"],
                hash_of(secret, full),
                now,
                now,
                given.get("description", ""),
                project_id,
            )
        )
    body = {
        "creation_time": timestamp(now),
        "expires_at": robot.expires_at,
        "id": robot.id,
        "name": full,
        "secret": secret,
    }
    return created(f"/robots/{robot.id}", body)


def _expiry(made: datetime, days: int) -> int:
    # Computed in seconds: Harbor accepts more days than datetime supports.
    return -1 if days < 0 else int(made.timestamp()) + days * DAY_SECONDS


def new_secret() -> str:
    """Return letters and digits: at least one upper case letter, one lower case letter and one digit."""
    alphabet = string.ascii_letters + string.digits
    while not good_secret(secret := "".join(secrets.choice(alphabet) for _ in range(SECRET_LENGTH))):
        pass
    return secret


def _check(call: Call, given: dict[str, Any]) -> int:
    """Check a request. Raise 400 and 404; return the project's ID, 0 for the system level."""
    level, duration, permissions = given.get("level", ""), given.get("duration", 0), given.get("permissions") or []
    if level not in ("system", "project"):
        raise bad_request(f"bad request error level input: {level}")
    if not permissions:
        raise bad_request("bad request empty permission")
    if duration != -1 and duration < 1:
        raise bad_request(
            f"bad request error duration input: {duration}, duration must be either -1(Never) or a positive integer"
        )
    if level == "project" and len(permissions) > 1:
        raise bad_request("bad request permission")
    project_id = 0
    for permission in permissions:
        if permission.get("kind") not in ("system", "project"):
            raise bad_request(f"bad request permission level: {permission.get('kind', '')}")
        access = permission.get("access") or []
        if not access:
            raise bad_request("bad request empty access")
        for entry in access:
            if entry.get("resource") not in _RESOURCES or entry.get("action") not in _ACTIONS:
                raise bad_request(f"bad request permission: {entry.get('resource', '')}:{entry.get('action', '')}")
        namespace = permission.get("namespace", "")
        if permission.get("kind") == "project" and (namespace != "*" or level == "project"):
            project = call.data.projects.find(name=namespace)
            if project is None:
                raise not_found(f"project {namespace} not found")
            if level == "project":
                project_id = project.id
    return project_id


def _require_admin(call: Call) -> None:
    call.require_login()
    if not call.principal.is_admin:
        raise forbidden(call.principal.name)


def _find(call: Call) -> Robot:
    robot = call.data.robots.get(call.id())
    if robot is None:
        raise not_found(f"robot {call.id()} not found")
    return robot


def list_robots(call: Call) -> Response:
    _require_admin(call)
    query = dict(part.partition("=")[::2] for part in call.query("q").split(",") if "=" in part)
    level = query.get("Level", "system")
    if level == "project" and not query.get("ProjectID"):
        raise bad_request("must with project ID when to query project robots")
    with call.data.lock:
        rows = [robot for robot in call.data.robots if robot.level == level]
        if level == "project":
            rows = [robot for robot in rows if str(robot.project_id) == query["ProjectID"]]
        fields = {"id": lambda robot: robot.id, "name": lambda robot: robot.name}
        return listing(call, rows, fields, "-id", show)


def get_robot(call: Call) -> Response:
    _require_admin(call)
    with call.data.lock:
        return ok(show(_find(call)))


def update_robot(call: Call) -> Response:
    given = call.json(_ROBOT, "robot")
    _require_admin(call)
    with call.data.lock:
        robot = _find(call)
        _check(call, given)
        if given["level"] != robot.level or given.get("name") != robot.name:
            raise bad_request("cannot update the level or name of robot")
        if given["duration"] != robot.duration:
            robot.duration = given["duration"]
            robot.expires_at = _expiry(robot.creation_time, robot.duration)
        robot.description, robot.disable = given.get("description", ""), given.get("disable", False)
        robot.permissions, robot.update_time = given["permissions"], call.now()
    return ok()


def refresh_secret(call: Call) -> Response:
    given = call.json(_SECRET, "robotSec")
    _require_admin(call)
    with call.data.lock:
        robot = _find(call)
        wanted = given.get("secret", "")
        if wanted and not good_secret(wanted):
            raise bad_request(
                "the secret must be 8-128, inclusively, characters long with at least 1 uppercase letter, "
                "1 lowercase letter and 1 number"
            )
        secret = wanted or new_secret()
        robot.secret_hash = hash_of(secret, robot.name)
    return ok({} if wanted else {"secret": secret})


def delete_robot(call: Call) -> Response:
    _require_admin(call)
    with call.data.lock:
        call.data.robots.delete(_find(call).id)
    return ok()


ENDPOINTS = [
    Endpoint("GET", "/robots", list_robots),
    Endpoint("POST", "/robots", create_robot),
    Endpoint("GET", "/robots/{id}", get_robot),
    Endpoint("PUT", "/robots/{id}", update_robot),
    Endpoint("PATCH", "/robots/{id}", refresh_secret),
    Endpoint("DELETE", "/robots/{id}", delete_robot),
]
