"""The types of resources and the ids under which the engine imports them from Harbor."""

from __future__ import annotations

from harbor_mirror.harbor.client import Json

REGISTRY = "harbor:index/registry:Registry"
HARBOR_PROJECT = "harbor:index/project:Project"
REPLICATION = "harbor:index/replication:Replication"
RETENTION = "harbor:index/retentionPolicy:RetentionPolicy"
GARBAGE_COLLECTION = "harbor:index/garbageCollection:GarbageCollection"
ROBOT = "harbor:index/robotAccount:RobotAccount"
IMMUTABLE_TAGS = "harbor:index/immutableTagRule:ImmutableTagRule"
WEBHOOK = "harbor:index/projectWebhook:ProjectWebhook"
#: Why webhooks are not imported (docs/adr/0008).
NO_IMPORT_OF_WEBHOOKS = "an import would write its URL, which may have a secret, into the state in plain text"
#: By the kind of member.
MEMBERS = {
    "user": "harbor:index/projectMemberUser:ProjectMemberUser",
    "group": "harbor:index/projectMemberGroup:ProjectMemberGroup",
}
#: Lists of a project in Harbor's API, by the type of their entries.
PARTS = {
    IMMUTABLE_TAGS: "immutabletagrules",
    WEBHOOK: "webhook/policies",
    **dict.fromkeys(MEMBERS.values(), "members"),
}
#: Hooks on these set the audit purge, and what the provider lacks in a rule.
RANDOM_ID = "random:index/randomId:RandomId"


def of_registry(registry: Json) -> str:
    """Return the id of an endpoint."""
    return f"/registries/{registry['id']}"


def of_project(project: Json) -> str:
    """Return the id of a project."""
    return f"/projects/{project['project_id']}"


def of_policy(policy: Json) -> str:
    """Return the id of a replication rule."""
    return f"/replication/policies/{policy['id']}"


def of_retention(project: Json) -> str:
    """Return the id of a project's retention; empty if it has none."""
    number = (project.get("metadata") or {}).get("retention_id")
    return f"/retentions/{number}" if number else ""


def list_of_part(project: Json, kind: str) -> str:
    """Return the list in which Harbor has the parts of a project of this type."""
    return f"{of_project(project)}/{PARTS[kind]}"


def of_robot(robot: Json) -> str:
    """Return the id of a robot account."""
    return f"/robots/{robot['id']}"
