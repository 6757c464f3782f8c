"""Authentication: the administrator, a robot or an anonymous caller; by Basic credentials or session, with CSRF tokens.

As in Harbor, a caller with wrong credentials is anonymous, not refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request, cookie_parser

from localcloud.harbor.data import Admin, HarborData, Project, Robot
from localcloud.oci.auth import basic_credentials

SESSION_COOKIE = "sid"
CSRF_COOKIE = "_gorilla_csrf"
CSRF_HEADER = "X-Harbor-Csrf-Token"
CSRF_BYTES = 32
ADMIN = "admin"

# What anonymous callers may do in a public project.
_PUBLIC = {
    ("project", "read"),
    ("repository", "list"),
    ("repository", "read"),
    ("repository", "pull"),
    ("artifact", "list"),
    ("artifact", "read"),
    ("tag", "list"),
    ("artifact-addition", "read"),
    ("label", "list"),
    ("metadata", "read"),
}


def hash_of(secret: str, salt: str) -> str:
    """Return a fast hash; Harbor's own takes 80-100 ms for each request."""
    return hashlib.sha256(f"{salt}\0{secret}".encode()).hexdigest()


@dataclass(frozen=True)
class Principal:
    """A caller. `robot` is set for robot accounts; neither administrator nor robot means anonymous."""

    name: str = ""
    is_admin: bool = False
    robot: Robot | None = None

    @property
    def authenticated(self) -> bool:
        return self.is_admin or self.robot is not None

    def can(self, project: Project, resource: str, action: str) -> bool:
        """Return whether the caller has this permission in the project."""
        if self.is_admin or (project.public and (resource, action) in _PUBLIC):
            return True
        return self._granted("project", project.name, resource, action)

    def can_system(self, resource: str, action: str) -> bool:
        return self.is_admin or self._granted("system", "/", resource, action)

    def has_access_to(self, project: Project) -> bool:
        """Return whether the caller's list of projects contains this one."""
        if self.is_admin or project.public:
            return True
        return self.robot is not None and any(
            p["kind"] == "project" and p["namespace"] in (project.name, "*") for p in self.robot.permissions
        )

    def _granted(self, kind: str, namespace: str, resource: str, action: str) -> bool:
        if self.robot is None:
            return False
        return any(
            access.get("effect", "allow") != "deny"
            and access.get("resource") in (resource, "*")
            and access.get("action") in (action, "*")
            for permission in self.robot.permissions
            if permission["kind"] == kind and permission["namespace"] in (namespace, "*")
            for access in permission["access"]
        )


NOBODY = Principal()


class Accounts:
    """Checks credentials and stores sessions, in memory."""

    def __init__(self, data: HarborData) -> None:
        self._data = data
        self.sessions: dict[str, bool] = {}  # session ID -> whether it has logged in

    def first_boot(self, password: str, now: datetime) -> None:
        """Set the administrator's password on the first start on this data."""
        if self._data.admin.password_hash is None:
            self._data.admin = Admin(creation_time=now)
            self.set_password(password, now)

    def set_password(self, password: str, now: datetime) -> None:
        admin = self._data.admin
        admin.salt = secrets.token_hex(16)
        admin.password_hash = hash_of(password, admin.salt)
        admin.update_time = now

    def check_admin(self, password: str) -> bool:
        admin = self._data.admin
        return secrets.compare_digest(admin.password_hash or "", hash_of(password, admin.salt))

    def by_password(self, username: str | None, password: str | None, now: datetime) -> Principal:
        if username is None:
            return NOBODY
        if username == ADMIN:
            return Principal(ADMIN, is_admin=True) if self.check_admin(password or "") else NOBODY
        robot = self._data.robots.find(name=username)
        if robot is None or robot.disable or 0 < robot.expires_at <= now.timestamp():
            return NOBODY
        right = secrets.compare_digest(robot.secret_hash, hash_of(password or "", robot.name))
        return Principal(robot.name, robot=robot) if right else NOBODY

    def of_request(self, request: Request, now: datetime) -> Principal:
        credentials = basic_credentials(request)
        if credentials is not None:
            return self.by_password(*credentials, now)
        if self.sessions.get(cookies_of(request).get(SESSION_COOKIE, "")):
            return Principal(ADMIN, is_admin=True)
        return NOBODY

    def open_session(self, logged_in: bool = False) -> str:
        session = secrets.token_hex(16)
        self.sessions[session] = logged_in
        return session

    def knows_session(self, session: str | None) -> bool:
        return session in self.sessions

    def close_session(self, session: str | None) -> None:
        self.sessions.pop(session or "", None)


def cookies_of(request: Request) -> dict[str, str]:
    """Return the cookies of all Cookie headers: the real provider sends two, and Go's servers read both."""
    return cookie_parser("; ".join(request.headers.getlist("cookie")))


def new_csrf_cookie() -> str:
    """Return a cookie value without `=`: the real provider cuts values at the first one, and Harbor's have none."""
    return secrets.token_hex(CSRF_BYTES)


def csrf_token(cookie: str) -> str:
    """Return a header token for the cookie, a different one each time, as Gorilla masks it."""
    mask = secrets.token_bytes(CSRF_BYTES)
    return base64.b64encode(mask + _xor(mask, bytes.fromhex(cookie))).decode()


def csrf_fault(cookie: str | None, token: str | None) -> str | None:
    """Return Harbor's reason to refuse a write with a session; None if the token is valid."""
    if not token:
        return "CSRF token not found in request"
    try:
        raw = base64.b64decode(token, validate=True)
        wanted = bytes.fromhex(cookie or "")
    except (binascii.Error, ValueError):
        return "CSRF token invalid"
    if len(wanted) != CSRF_BYTES or len(raw) != 2 * CSRF_BYTES:
        return "CSRF token invalid"
    unmasked = _xor(raw[:CSRF_BYTES], raw[CSRF_BYTES:])
    return None if secrets.compare_digest(unmasked, wanted) else "CSRF token invalid"


def good_csrf_cookie(cookie: str) -> bool:
    try:
        return len(bytes.fromhex(cookie)) == CSRF_BYTES
    except ValueError:
        return False


def _xor(left: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, other, strict=True))
