"""Local users, user groups, and the members of projects. Users other than the administrator cannot log in here."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.auth import ADMIN
from localcloud.harbor.body import Struct
from localcloud.harbor.data import ADMIN_ID, Member, User, UserGroup
from localcloud.harbor.errors import bad_request, conflict, internal, not_found
from localcloud.harbor.system import good_secret, setting, show_admin

ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
LDAP, OIDC = 1, 3
_GROUP_FIELDS: dict[str, Any] = {
    "id": "int64",
    "group_name": "string",
    "group_type": "int64",
    "ldap_group_dn": "string",
}
_MEMBER = Struct(
    "ProjectMember",
    {
        "role_id": "int64",
        "member_user": Struct("UserEntity", {"user_id": "int64", "username": "string"}),
        "member_group": Struct("UserGroup", _GROUP_FIELDS),
    },
)
_ROLE = Struct("RoleRequest", {"role_id": "int64"})
_USER = Struct("UserCreationReq", dict.fromkeys(("email", "realname", "comment", "password", "username"), "string"))
_GROUP = Struct("UserGroup", _GROUP_FIELDS)


# Members


def _show_member(call: Call, member: Member) -> dict[str, Any]:
    if member.entity_type == "u":
        user = call.data.users.get(member.entity_id)
        name = user.username if user else ADMIN
    else:
        group = call.data.groups.get(member.entity_id)
        name = group.group_name if group else ""
    return {
        "entity_id": member.entity_id,
        "entity_name": name,
        "entity_type": member.entity_type,
        "id": member.id,
        "project_id": member.project_id,
        "role_id": member.role_id,
        "role_name": ROLES[member.role_id],
    }


def list_members(call: Call) -> Response:
    project = call.require(call.project(), "member", "list")
    rows = [_show_member(call, member) for member in call.data.members.where(project_id=project.id)]
    wanted = call.query("entityname")
    rows = [row for row in rows if wanted in row["entity_name"]]
    return listing(call, rows, {"id": lambda row: row["id"]}, "id", lambda row: row)


def create_member(call: Call) -> Response:
    given = call.json(_MEMBER, "project_member")
    project = call.require(call.project(), "member", "create")
    with call.data.lock:
        entity_type, entity_id = _entity(call, given.get("member_user") or {}, given.get("member_group") or {})
        if call.data.members.find(project_id=project.id, entity_type=entity_type, entity_id=entity_id) is not None:
            raise conflict("The project member specified already exist")
        _check_role(given.get("role_id", 0))
        member = Member(call.data.members.next_id(), project.id, entity_id, entity_type, given["role_id"])
        call.data.members.add(member)
    return created(f"/projects/{call.params['project']}/members/{member.id}")


def _entity(call: Call, user: dict[str, Any], group: dict[str, Any]) -> tuple[str, int]:
    """Return type and id of the user or group that a request names."""
    if user.get("user_id"):
        if user["user_id"] != ADMIN_ID and call.data.users.get(user["user_id"]) is None:
            raise bad_request(f"User {user['user_id']} not found")
        return "u", user["user_id"]
    if group.get("id"):
        if call.data.groups.get(group["id"]) is None:
            raise bad_request(f"Group {group['id']} not found")
        return "g", group["id"]
    if name := user.get("username"):
        found = call.data.users.find(username=name)
        if found is None and name != ADMIN:
            raise not_found(f"user {name} not found")
        return "u", found.id if found else ADMIN_ID
    if group.get("ldap_group_dn") or group.get("group_name"):
        return "g", _known_group(call, group).id
    raise bad_request("at least one of member_user or member_group must be provided")


def _known_group(call: Call, given: dict[str, Any]) -> UserGroup:
    """Return the named group; one of OpenID Connect is created when it is first named, others must exist."""
    name, kind, dn = given.get("group_name", ""), given.get("group_type", 0), given.get("ldap_group_dn", "")
    wanted = {"ldap_group_dn": dn} if dn else {"group_name": name, "group_type": kind}
    group = call.data.groups.find(**wanted)
    if group is None:
        if setting(call, "auth_mode") != "oidc_auth" or kind != OIDC:
            raise internal()
        group = call.data.groups.add(UserGroup(call.data.groups.next_id(), name, OIDC))
    return group


def _check_role(role_id: int) -> None:
    if role_id not in ROLES:
        raise bad_request(f"Failed to update member, role {role_id} is invalid")


def _member(call: Call, action: str) -> Member:
    project = call.require(call.project(), "member", action)
    member = call.data.members.get(call.id("member"))
    if member is None or member.project_id != project.id:
        raise not_found(f"the project member {call.id('member')} not found")
    return member


def get_member(call: Call) -> Response:
    return ok(_show_member(call, _member(call, "read")))


def update_member(call: Call) -> Response:
    given = call.json(_ROLE, "role")
    member = _member(call, "update")
    _check_role(given.get("role_id", 0))
    member.role_id = given["role_id"]
    return ok()


def delete_member(call: Call) -> Response:
    call.data.members.delete(_member(call, "delete").id)
    return ok()


# Users


def _show_user(user: User) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "admin_role_in_auth": False,
        "comment": user.comment,
        "creation_time": timestamp(user.creation_time),
        "email": user.email,
        "realname": user.realname,
        "sysadmin_flag": False,
        "update_time": timestamp(user.creation_time),
        "user_id": user.id,
        "username": user.username,
    }
    return {name: value for name, value in shown.items() if value != ""}


def list_users(call: Call) -> Response:
    call.require_system("user", "list")
    rows = [show_admin(call), *(_show_user(user) for user in call.data.users)]
    fields = {"user_id": lambda row: row["user_id"], "username": lambda row: row["username"]}
    return listing(call, rows, fields, "user_id", lambda row: row)


def create_user(call: Call) -> Response:
    given = call.json(_USER, "userReq")
    call.require_system("user", "create")
    name = given.get("username", "")
    if not good_secret(given.get("password", "")):
        raise bad_request(
            "the password or secret must be longer than 8 chars with at least 1 uppercase letter, "
            "1 lowercase letter and 1 number"
        )
    with call.data.lock:
        if name == ADMIN or call.data.users.find(username=name) is not None:
            raise conflict(f"user {name} or email {given.get('email', '')} already exists")
        texts = (given.get(field, "") for field in ("email", "realname", "comment"))
        user = call.data.users.add(User(call.data.users.next_id(), name, call.now(), *texts))
    return created(f"/users/{user.id}")


def get_user(call: Call) -> Response:
    user_id = call.id()
    call.require_system("user", "read")
    if user_id == ADMIN_ID:
        return ok(show_admin(call))
    user = call.data.users.get(user_id)
    if user is None:
        raise not_found(f"user {user_id} not found")
    return ok(_show_user(user))


def delete_user(call: Call) -> Response:
    user_id = call.id()
    call.require_system("user", "delete")
    if call.data.users.get(user_id) is None:
        raise not_found(f"user {user_id} not found")
    with call.data.lock:
        for member in call.data.members.where(entity_type="u", entity_id=user_id):
            call.data.members.delete(member.id)
        call.data.users.delete(user_id)
    return ok()


# Groups


def _show_group(group: UserGroup) -> dict[str, Any]:
    shown: dict[str, Any] = {"group_name": group.group_name, "group_type": group.group_type, "id": group.id}
    return shown | ({"ldap_group_dn": group.ldap_group_dn} if group.ldap_group_dn else {})


def list_groups(call: Call) -> Response:
    call.require_system("user-group", "list")
    rows = [_show_group(group) for group in call.data.groups if call.query("group_name") in group.group_name]
    return listing(call, rows, {"id": lambda row: row["id"]}, "id", lambda row: row)


def create_group(call: Call) -> Response:
    given = call.json(_GROUP, "usergroup")
    call.require_system("user-group", "create")
    name, kind, dn = given.get("group_name", ""), given.get("group_type", 0), given.get("ldap_group_dn", "")
    if not name:
        raise bad_request("The group name can't be empty")
    if kind == LDAP and not dn:
        raise bad_request("LDAP Group DN can not be empty")
    with call.data.lock:
        if call.data.groups.find(group_name=name, group_type=kind) is not None:
            raise conflict(f"the user group {name} already exists")
        group = call.data.groups.add(UserGroup(call.data.groups.next_id(), name, kind, dn))
    return created(f"/usergroups/{group.id}")


def _group(call: Call, action: str) -> UserGroup:
    call.require_system("user-group", action)
    group = call.data.groups.get(call.id())
    if group is None:
        raise not_found(f"the user group with id {call.id()} not found")
    return group


def get_group(call: Call) -> Response:
    return ok(_show_group(_group(call, "read")))


def delete_group(call: Call) -> Response:
    group = _group(call, "delete")
    with call.data.lock:
        for member in call.data.members.where(entity_type="g", entity_id=group.id):
            call.data.members.delete(member.id)
        call.data.groups.delete(group.id)
    return ok()


_MEMBERS = "/projects/{project}/members"
ENDPOINTS = [
    Endpoint("GET", _MEMBERS, list_members),
    Endpoint("POST", _MEMBERS, create_member),
    Endpoint("GET", f"{_MEMBERS}/{{member}}", get_member),
    Endpoint("PUT", f"{_MEMBERS}/{{member}}", update_member),
    Endpoint("DELETE", f"{_MEMBERS}/{{member}}", delete_member),
    Endpoint("GET", "/users", list_users),
    Endpoint("POST", "/users", create_user),
    Endpoint("GET", "/users/{id}", get_user),
    Endpoint("DELETE", "/users/{id}", delete_user),
    Endpoint("GET", "/usergroups", list_groups),
    Endpoint("POST", "/usergroups", create_group),
    Endpoint("GET", "/usergroups/{id}", get_group),
    Endpoint("DELETE", "/usergroups/{id}", delete_group),
]
