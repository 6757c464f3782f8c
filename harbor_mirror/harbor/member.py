"""Members of a project: the mapping between a plan, Harbor's JSON, the provider and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harbor_mirror.harbor.facts import Facts, Json
from harbor_mirror.plan.project import PlannedMember

#: Harbor's numbers for roles and for types of groups.
ROLES: Mapping[str, int] = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
GROUP_TYPES: Mapping[str, int] = {"ldap": 1, "internal": 2, "oidc": 3}
_ROLE_NAMES = {number: name for name, number in ROLES.items()}
_GROUP_NAMES = {number: name for name, number in GROUP_TYPES.items()}
#: Harbor's type of a member that is a group.
GROUP = "g"


def to_role(member: PlannedMember) -> Json:
    """Return the role as Harbor's update of a member takes it."""
    return {"role_id": ROLES[member.role]}


def to_provider(member: PlannedMember) -> dict[str, Any]:
    """Return the provider's arguments, all of them but `project_id`."""
    role = member.role.lower()
    if member.group_type is None:
        return {"user_name": member.name, "role": role}
    dn = {"ldap_group_dn": member.ldap_dn} if member.ldap_dn else {}
    return {"group_name": member.name, "type": member.group_type, "role": role, **dn}


def to_configuration(found: Json, group: Json | None) -> Any:
    """Return the value of a member under `members`; `group` is Harbor's group, None for a user."""
    role = _ROLE_NAMES[found["role_id"]]
    if group is None:
        return role
    dn = {"ldapDn": group["ldap_group_dn"]} if group.get("ldap_group_dn") else {}
    return {"role": role, "type": _GROUP_NAMES[group["group_type"]], **dn}


def obstacle(found: Json, group: Json | None) -> str:
    """Return why the configuration can't declare a member, or an empty text if it can."""
    if found.get("role_id") not in _ROLE_NAMES:
        return f"its role {found.get('role_name')} has no counterpart"
    if found.get("entity_type") == GROUP and (group or {}).get("group_type") not in _GROUP_NAMES:
        return "its group can't be read"
    return ""


def key(found: Json) -> str:
    """Return the member's key under `members`: `users.alice`."""
    return f"{'groups' if found.get('entity_type') == GROUP else 'users'}.{found.get('entity_name')}"


def facts(found: Json) -> Facts:
    """Return what can drift in a member."""
    return {"role": _ROLE_NAMES.get(int(found.get("role_id") or 0), str(found.get("role_name") or ""))}
