"""Robot accounts."""

from __future__ import annotations

from localcloud.providers.harbor.client import Harbor, Refused, content, location
from localcloud.providers.harbor.common import HarborResource
from localcloud.providers.resource import Draft
from localcloud.providers.schema import bag, flag, number, out, properties, record, text
from localcloud.providers.values import Values, sparse

_ACCESS = {"action": text(required=True), "effect": text(), "resource": text(required=True)}


class RobotAccount(HarborResource):
    fields = properties(
        description=text(),
        disable=flag(default=False),
        duration=number(default=-1),
        fullName=out(text()),
        level=text(required=True, new=True),
        name=text(required=True, new=True),
        permissions=bag(
            record(
                accesses=bag(record(**_ACCESS), required=True),
                kind=text(required=True),
                namespace=text(required=True),
            ),
            required=True,
        ),
        robotId=out(text()),
        secret=text(computed=True, secret=True),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        response = api.send("POST", "/robots", self._body(draft, draft["name"]), 201)
        made, path = content(response), location(response)
        if own := draft["secret"]:
            api.send("PATCH", f"/robots/{made['id']}", {"secret": own})
        else:
            draft.set(secret=made.get("secret", ""))
        draft.id = path
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        try:
            robot = content(api.send("GET", draft.id))
        except Refused:
            draft.id = ""  # The real plugin treats any failure as a missing robot.
            return
        permissions = robot.get("permissions") or []
        if robot["level"] == "project":
            name = robot["name"].split(permissions[0]["namespace"] + "+", 1)[1]
        else:
            name = robot["name"].removeprefix(self._prefix(api))
        draft.set(
            name=name,
            robotId=str(robot["id"]),
            fullName=robot["name"],
            description=robot.get("description", ""),
            level=robot["level"],
            duration=robot.get("duration", 0),
            disable=robot.get("disable", False),
            permissions=[self._permission(draft, permission) for permission in permissions],
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        name = draft["name"]
        if not draft.changed("name"):
            name = content(api.send("GET", draft.id))["name"]  # Harbor accepts only the full name, with the prefix.
        api.send("PUT", draft.id, self._body(draft, name))
        if draft.changed("secret"):
            api.send("PATCH", draft.id, {"secret": draft["secret"]})
        self.read(api, draft)

    def delete(self, api: Harbor, draft: Draft) -> None:
        api.send("DELETE", draft.id)

    @staticmethod
    def _prefix(api: Harbor) -> str:
        if api.robot_prefix:
            return api.robot_prefix
        settings = content(api.send("GET", "/configurations"))
        return str(settings.get("robot_name_prefix", {}).get("value", ""))

    @staticmethod
    def _permission(draft: Draft, found: Values) -> Values:
        """Return Harbor's permission; with `effect` only if the program states it or it is not "allow"."""
        stated = {
            (access["action"], access["resource"]): access["effect"]
            for permission in draft["permissions"]
            if (permission["kind"], permission["namespace"]) == (found["kind"], found["namespace"])
            for access in permission["accesses"]
        }

        def effect(access: Values) -> str:
            known = stated.get((access["action"], access["resource"]))
            given = str(access.get("effect", ""))
            return known if known is not None else "" if given == "allow" else given

        accesses = [
            {"action": access["action"], "resource": access["resource"], "effect": effect(access)}
            for access in found.get("access") or []
        ]
        return {"kind": found["kind"], "namespace": found["namespace"], "accesses": accesses}

    @staticmethod
    def _body(draft: Draft, name: str) -> Values:
        permissions = [
            {
                "access": [
                    sparse({"action": access["action"], "resource": access["resource"], "effect": access["effect"]})
                    for access in permission["accesses"]
                ],
                "kind": permission["kind"],
                "namespace": permission["namespace"],
            }
            for permission in draft["permissions"]
        ]
        return sparse(
            {
                "name": name,
                "level": draft["level"],
                "description": draft["description"],
                "duration": draft["duration"],
                "disable": draft["disable"],
                "permissions": permissions,
            }
        )
