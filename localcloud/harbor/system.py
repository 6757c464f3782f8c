"""Health, system information, configuration, the administrator, volumes, system CVE allowlist."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse, Response

from localcloud.harbor.api import Call, Endpoint, ok, timestamp
from localcloud.harbor.auth import ADMIN
from localcloud.harbor.body import ListOf, Struct
from localcloud.harbor.data import ADMIN_ID, ZERO_TIME
from localcloud.harbor.errors import bad_request, forbidden, not_found, precondition, unauthorized

_COMPONENTS = ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl")
_PASSWORD = Struct("PasswordReq", {"old_password": "string", "new_password": "string"})
_TEXTS, _FLAGS, _NUMBERS = "string", "bool", "int64"


@cache
def default_configuration() -> dict[str, Any]:
    """Return Harbor 2.15.2's own defaults."""
    return dict(json.loads((Path(__file__).parent / "configuration.json").read_text()))


@cache
def _configuration_request() -> Struct:
    kinds = {bool: _FLAGS, int: _NUMBERS, str: _TEXTS}
    return Struct("Configurations", {name: kinds[type(value)] for name, value in default_configuration().items()})  # type: ignore[misc]


def setting(call: Call, name: str) -> Any:
    return call.data.configuration.get(name, default_configuration()[name])


def health(call: Call) -> Response:
    unhealthy = call.core.conditions.unhealthy
    components = [{"name": name, "status": "unhealthy" if name in unhealthy else "healthy"} for name in _COMPONENTS]
    return ok({"components": components, "status": "unhealthy" if unhealthy else "healthy"})


def ping(_call: Call) -> Response:
    return PlainTextResponse("Pong")


def systeminfo(call: Call) -> Response:
    info: dict[str, Any] = {
        "auth_mode": setting(call, "auth_mode"),
        "banner_message": setting(call, "banner_message"),
        "oidc_provider_name": setting(call, "oidc_name"),
        "primary_auth_mode": setting(call, "primary_auth_mode"),
        "self_registration": setting(call, "self_registration"),
    }
    if call.principal.authenticated:
        info |= {
            "current_time": timestamp(call.now()),
            "external_url": call.core.external_url,
            "harbor_version": call.core.version,
            "has_ca_root": False,
            "notification_enable": setting(call, "notification_enable"),
            "project_creation_restriction": setting(call, "project_creation_restriction"),
            "read_only": setting(call, "read_only"),
            "registry_storage_provider_name": "filesystem",
            "registry_url": re.sub(r"^https?://", "", call.core.external_url),
        }
    return ok(info)


def ca_certificate(_call: Call) -> Response:
    raise not_found("resource not found: cert not found in path: /etc/core/ca/ca.crt")


def volumes(call: Call) -> Response:
    call.require_system("system-volumes", "read")
    return ok({"storage": call.core.conditions.volumes})


def configurations(call: Call) -> Response:
    call.require_system("configuration", "read")
    values = default_configuration() | call.data.configuration
    shown: dict[str, Any] = {name: {"editable": True, "value": value} for name, value in values.items()}
    return ok(dict(sorted((shown | {"scan_all_policy": {}}).items())))


def update_configurations(call: Call) -> Response:
    given = call.json(_configuration_request(), "configurations")
    call.require_system("configuration", "update")
    if given.get("project_creation_restriction", "everyone") not in ("everyone", "adminonly"):
        value = given["project_creation_restriction"]
        raise bad_request(f"the project creation restriction must be 'adminonly' or 'everyone', but got: {value}")
    with call.data.lock:
        call.data.configuration |= given
    return ok()


def current_user(call: Call) -> Response:
    if call.principal.robot is not None:
        raise precondition("get current user not available for security context: robot")
    if not call.principal.is_admin:
        raise unauthorized()
    return ok(show_admin(call))


def show_admin(call: Call) -> dict[str, Any]:
    admin = call.data.admin
    return {
        "admin_role_in_auth": False,
        "comment": "admin user",
        "creation_time": timestamp(admin.creation_time),
        "realname": "system admin",
        "sysadmin_flag": True,
        "update_time": timestamp(admin.update_time),
        "user_id": ADMIN_ID,
        "username": ADMIN,
    }


def change_password(call: Call) -> Response:
    """Change a password: 8 to 128 characters with upper case, lower case and a digit, and not the old one."""
    given = call.json(_PASSWORD, "password")
    user_id = call.id()
    call.require_login()
    if not call.principal.is_admin:
        raise forbidden()
    if user_id != ADMIN_ID:
        raise not_found(f"user {user_id} not found")
    old, new = given.get("old_password", ""), given.get("new_password", "")
    accounts = call.core.accounts
    if not accounts.check_admin(old):
        raise forbidden("Current password is incorrect")
    if not good_secret(new):
        raise bad_request(
            "the password or secret must be longer than 8 chars with at least 1 uppercase letter, "
            "1 lowercase letter and 1 number"
        )
    if old == new:
        raise bad_request("the new password can not be same with the old one")
    with call.data.lock:
        accounts.set_password(new, call.now())
    return ok()


def good_secret(text: str) -> bool:
    return 8 <= len(text) <= 128 and all(re.search(part, text) for part in ("[A-Z]", "[a-z]", "[0-9]"))


#: Of the system or of a project.
CVE_ALLOWLIST = Struct(
    "CVEAllowlist",
    {
        "id": "int64",
        "project_id": "int64",
        "expires_at": "int64",
        "items": ListOf(Struct("CVEAllowlistItem", {"cve_id": "string"}), "*models.CVEAllowlistItem"),
    },
)


def get_allowlist(call: Call) -> Response:
    call.require_login()
    zero = timestamp(ZERO_TIME)
    return ok({"creation_time": zero, "id": 1, "update_time": zero, **call.data.system_allowlist})


def update_allowlist(call: Call) -> Response:
    given = call.json(CVE_ALLOWLIST, "allowlist")
    call.require_system("configuration", "update")
    expiry = {"expires_at": given["expires_at"]} if "expires_at" in given else {}
    call.data.system_allowlist = {"items": given.get("items") or [], **expiry}
    return ok()


def statistics(call: Call) -> Response:
    call.require_login()
    projects = [p for p in call.data.projects if call.principal.has_access_to(p)]
    ids = {p.id: p.public for p in projects}
    repositories = [r for r in call.data.repositories if r.project_id in ids]
    public = sum(ids.values())
    public_repositories = sum(ids[r.project_id] for r in repositories)
    return ok(
        {
            "private_project_count": len(ids) - public,
            "private_repo_count": len(repositories) - public_repositories,
            "public_project_count": public,
            "public_repo_count": public_repositories,
            "total_project_count": len(ids),
            "total_repo_count": len(repositories),
            "total_storage_consumption": call.data.images.stored_bytes(r.name for r in repositories),
        }
    )


ENDPOINTS = [
    Endpoint("GET", "/health", health),
    Endpoint("GET", "/ping", ping),
    Endpoint("GET", "/systeminfo", systeminfo),
    Endpoint("GET", "/systeminfo/getcert", ca_certificate),
    Endpoint("GET", "/systeminfo/volumes", volumes),
    Endpoint("GET", "/configurations", configurations),
    Endpoint("PUT", "/configurations", update_configurations),
    Endpoint("GET", "/users/current", current_user),
    Endpoint("PUT", "/users/{id}/password", change_password),
    Endpoint("GET", "/statistics", statistics),
    Endpoint("GET", "/system/CVEAllowlist", get_allowlist),
    Endpoint("PUT", "/system/CVEAllowlist", update_allowlist),
]
