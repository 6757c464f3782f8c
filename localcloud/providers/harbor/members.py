"""Members and webhooks of projects, user groups and users."""

from __future__ import annotations

from typing import Any

from localcloud.providers.harbor.client import Harbor, Refused, location
from localcloud.providers.harbor.common import HarborResource, one_of
from localcloud.providers.resource import Draft
from localcloud.providers.schema import flag, listing, number, out, properties, text
from localcloud.providers.values import Values, sparse

_ROLES = {"projectadmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedguest": 5}
_GROUP_TYPES = {"ldap": 1, "internal": 2, "oidc": 3}


def _project_path(project: str) -> str:
    return project if project.startswith("/projects/") else f"/projects/{project}"


class _ProjectMember(HarborResource):
    """A member; `member` is the part of the request that names the user or the group."""

    def member(self, draft: Draft) -> Values:
        raise NotImplementedError

    def take(self, draft: Draft, found: Values) -> None:
        raise NotImplementedError

    def create(self, api: Harbor, draft: Draft) -> None:
        path = f"{_project_path(draft['projectId'])}/members"
        draft.id = location(api.send("POST", path, self._body(draft), 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is None:
            return
        role = next((name for name, number_ in _ROLES.items() if number_ == found["role_id"]), "")
        draft.set(role=role, projectId=_project_path(str(found["project_id"])), memberId=found["id"])
        self.take(draft, found)

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self.read(api, draft)

    def _body(self, draft: Draft) -> Values:
        return {"role_id": _ROLES[draft["role"]], **self.member(draft)}


class ProjectMemberUser(_ProjectMember):
    fields = properties(
        memberId=out(number()),
        projectId=text(required=True, new=True),
        role=text(required=True, check=one_of("role", list(_ROLES))),
        userName=text(required=True, new=True),
    )

    def member(self, draft: Draft) -> Values:
        return {"member_group": {}, "member_user": {"username": draft["userName"]}}

    def take(self, draft: Draft, found: Values) -> None:
        draft.set(userName=found["entity_name"])


class ProjectMemberGroup(_ProjectMember):
    fields = properties(
        groupId=number(new=True),
        groupName=text(new=True),
        ldapGroupDn=text(),
        memberId=out(number()),
        projectId=text(required=True, new=True),
        role=text(required=True, check=one_of("role", list(_ROLES))),
        type=text(required=True, check=one_of("type", list(_GROUP_TYPES))),
    )

    def member(self, draft: Draft) -> Values:
        group = {
            "id": draft["groupId"],
            "group_name": draft["groupName"],
            "group_type": _GROUP_TYPES[draft["type"]],
            "ldap_group_dn": draft["ldapGroupDn"],
        }
        return {"member_group": sparse(group), "member_user": {}}

    def take(self, draft: Draft, found: Values) -> None:
        draft.set(groupName=found["entity_name"])


class ProjectWebhook(HarborResource):
    """The event types are written and never read back."""

    fields = properties(
        address=text(required=True),
        authHeader=text(),
        description=text(),
        enabled=flag(default=True),
        eventsTypes=listing(text(), required=True),
        name=text(required=True, new=True),
        notifyType=text(required=True),
        projectId=text(required=True),
        skipCertVerify=flag(default=True),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        path = f"{draft['projectId']}/webhook/policies"
        draft.id = location(api.send("POST", path, self._body(draft), 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is None:
            return
        target = found["targets"][0]
        draft.set(
            name=found["name"],
            description=found.get("description", ""),
            enabled=found["enabled"],
            notifyType=target["type"],
            address=target["address"],
            authHeader=target.get("auth_header", ""),
            skipCertVerify=target.get("skip_cert_verify", False),
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self.read(api, draft)

    @staticmethod
    def _body(draft: Draft) -> Values:
        target = {
            "type": draft["notifyType"],
            "auth_header": draft["authHeader"],
            "skip_cert_verify": draft["skipCertVerify"],
            "address": draft["address"],
        }
        return {
            "name": draft["name"],
            "description": draft["description"],
            "enabled": draft["enabled"],
            "targets": [target],
            "event_types": draft["eventsTypes"],
        }


class Group(HarborResource):
    """A change of anything but the name is accepted and does nothing, as in the real plugin."""

    fields = properties(
        groupName=text(required=True, new=True),
        groupType=number(required=True),
        ldapGroupDn=text(),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        body = {"group_name": draft["groupName"], "group_type": draft["groupType"]}
        body |= sparse({"ldap_group_dn": draft["ldapGroupDn"]})
        draft.id = location(api.send("POST", "/usergroups", body, 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is not None:
            draft.set(groupName=found["group_name"], groupType=found["group_type"])

    update = read


class User(HarborResource):
    """A local user; changes of an existing one are left out."""

    fields = properties(
        admin=flag(default=False),
        comment=text(),
        email=text(required=True),
        fullName=text(required=True),
        password=text(required=True, secret=True),
        username=text(required=True, new=True),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        body: dict[str, Any] = {name: draft[name] for name in ("username", "password", "email", "comment")}
        draft.id = location(api.send("POST", "/users", body | {"realname": draft["fullName"]}, 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is not None:
            draft.set(
                username=found["username"],
                fullName=found.get("realname", ""),
                email=found.get("email", ""),
                admin=found["sysadmin_flag"],
                comment=found.get("comment", ""),
            )

    def update(self, api: Harbor, draft: Draft) -> None:
        raise Refused(501, f"the stand-in for the Harbor provider cannot change the user {draft.id} of {api}")
