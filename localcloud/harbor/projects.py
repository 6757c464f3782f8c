"""Projects, their metadata and their storage quotas."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from localcloud.harbor.api import Call, Endpoint, created, listing, ok, timestamp
from localcloud.harbor.auth import ADMIN
from localcloud.harbor.body import Struct
from localcloud.harbor.core import Core
from localcloud.harbor.data import ADMIN_ID, UNLIMITED, ZERO_TIME, HarborData, Member, Project, Quota
from localcloud.harbor.errors import (
    bad_request,
    conflict,
    forbidden,
    internal,
    not_found,
    precondition,
    unprocessable,
)
from localcloud.harbor.retention import PROXY_CACHE_RETENTION, add_retention
from localcloud.harbor.system import CVE_ALLOWLIST, setting

MAX_NAME = 255
MAX_STORAGE = 1024 << 40
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SEVERITIES = ("unknown", "negligible", "low", "medium", "high", "critical", "none")
_PROJECT_ADMIN = 1

_METADATA = (
    *("public", "enable_content_trust", "enable_content_trust_cosign", "prevent_vul", "severity", "auto_scan"),
    *("auto_sbom_generation", "reuse_sys_cve_allowlist", "retention_id", "proxy_speed_kb", "max_upstream_conn"),
    "proxy_cache_local_on_not_found",
)
_PROJECT = Struct(
    "ProjectReq",
    {
        "project_name": "string",
        "public": "bool",
        "metadata": Struct("ProjectMetadata", dict.fromkeys(_METADATA, "string")),
        "cve_allowlist": CVE_ALLOWLIST,
        "storage_limit": "int64",
        "registry_id": "int64",
    },
)
_ONE_METADATA = Struct("Metadata", dict.fromkeys(_METADATA, "string"))
_SWITCHES = ("public", "enable_content_trust", "enable_content_trust_cosign", "prevent_vul", "auto_scan")
_QUOTA = Struct("QuotaUpdateReq", {"hard": "map"})


def first_boot(core: Core) -> None:
    """Create the public project `library`, as Harbor's database migrations do."""
    if not len(core.data.projects):
        add_project(core, "library", {"public": "true"})


def add_project(core: Core, name: str, metadata: dict[str, str], storage: int = UNLIMITED) -> Project:
    """Create a project with its quota, owned by the administrator. The caller holds the lock."""
    data, now = core.data, core.clock()
    project = data.projects.add(Project(data.projects.next_id(), name, metadata, now, now))
    data.quotas.add(Quota(data.quotas.next_id(), project.id, storage, now, now))
    data.members.add(Member(data.members.next_id(), project.id, ADMIN_ID, "u", _PROJECT_ADMIN))
    return project


def used_storage(data: HarborData, project: Project) -> int:
    """Return the bytes stored in the project; each blob counts once."""
    return data.images.stored_bytes(r.name for r in data.repositories.where(project_id=project.id))


def repository_count(data: HarborData, project: Project) -> int:
    return sum(1 for _ in data.repositories.where(project_id=project.id))


def create_project(call: Call) -> Response:
    given = call.json(_PROJECT, "project")
    name = given.get("project_name", "")
    if len(name) > MAX_NAME:
        raise unprocessable(f"validation failure list:\nproject_name in body should be at most {MAX_NAME} chars long")
    call.require_login()
    if not call.principal.is_admin and setting(call, "project_creation_restriction") == "adminonly":
        raise forbidden("Only system admin can create project")
    metadata = _metadata(given)
    storage = _storage(given.get("storage_limit"))
    if not name:
        raise bad_request(f"Project name {name} is illegal in length. (greater than {MAX_NAME} or less than 1)")
    if not _NAME.fullmatch(name):
        raise bad_request("project name is not in lower case or contains illegal characters")
    with call.data.lock:
        registry_id = given.get("registry_id") or 0
        if registry_id and call.data.registries.get(registry_id) is None:
            raise internal()
        if call.data.projects.find(name=name) is not None:
            raise conflict(f"The project named {name} already exists")
        project = add_project(call.core, name, metadata, storage)
        _take_allowlist(project, given)
        if registry_id:
            project.registry_id = registry_id
            scope = {"level": "project", "ref": project.id}
            add_retention(call.data, project, {**PROXY_CACHE_RETENTION, "scope": scope})
    return created(f"/projects/{project.id}")


def _metadata(given: dict[str, Any]) -> dict[str, str]:
    metadata = dict(given.get("metadata") or {})
    if "public" in given:
        metadata.setdefault("public", str(given["public"]).lower())
    public = metadata.setdefault("public", "false")
    if public not in ("true", "false"):
        raise bad_request(f"metadata.public should only be 'true' or 'false', but got: '{public}'")
    return _known_severity(metadata)


def _known_severity(metadata: dict[str, str]) -> dict[str, str]:
    if "severity" in metadata and metadata["severity"].lower() not in _SEVERITIES:
        metadata["severity"] = "unknown"
    return metadata


def _storage(value: int | None) -> int:
    if value in (None, 0, UNLIMITED):
        return UNLIMITED
    if value < 0:
        raise bad_request(f"bad request: invalid non-positive value for quota limit, value={value}")
    if value > MAX_STORAGE:
        raise bad_request(f"bad request: exceeded 1024TB, which is {MAX_STORAGE} Bytes, value={value}")
    return int(value)


def project_exists(call: Call) -> Response:
    name = call.query("project_name")
    project = call.data.projects.find(name=name)
    if project is None:
        call.require_login()
        raise not_found(f"project {name} not found")
    call.require(project, "project", "read")
    return ok()


def list_projects(call: Call) -> Response:
    rows = [p for p in call.data.projects if call.principal.has_access_to(p)]
    name, public, owner = call.query("name"), call.query("public"), call.query("owner")
    if name:
        rows = [p for p in rows if name in p.name]
    if public:
        rows = [p for p in rows if p.public == call.query_flag("public", False)]
    if owner:
        rows = [p for p in rows if owner == ADMIN]
    detail = call.query_flag("with_detail", True)
    fields = {
        "name": lambda p: p.name,
        "project_id": lambda p: p.id,
        "creation_time": lambda p: timestamp(p.creation_time),
        "update_time": lambda p: timestamp(p.update_time),
        "public": lambda p: p.public,
        "registry_id": lambda p: p.registry_id,
    }
    return listing(call, rows, fields, "name", lambda p: _show(call, p) if detail else _show_bare(call, p))


def _show_bare(call: Call, project: Project) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "creation_time": timestamp(project.creation_time),
        "cve_allowlist": {
            "creation_time": timestamp(ZERO_TIME),
            "items": None,
            "update_time": timestamp(ZERO_TIME),
        },
        "name": project.name,
        "owner_id": ADMIN_ID,
        "project_id": project.id,
        "repo_count": repository_count(call.data, project),
        "update_time": timestamp(project.update_time),
        "current_user_role_ids": None,
    }
    if project.registry_id:
        shown["registry_id"] = project.registry_id
    if call.principal.is_admin:
        shown |= {"current_user_role_id": _PROJECT_ADMIN, "current_user_role_ids": [_PROJECT_ADMIN]}
    return shown


def _show(call: Call, project: Project) -> dict[str, Any]:
    shown = _show_bare(call, project)
    allowlist = shown["cve_allowlist"] | {
        "id": project.id,
        "items": project.allowlist_items,
        "project_id": project.id,
        **({"expires_at": project.allowlist_expires_at} if project.allowlist_expires_at else {}),
    }
    return shown | {"cve_allowlist": allowlist, "metadata": project.metadata, "owner_name": ADMIN}


def get_project(call: Call) -> Response:
    return ok(_show(call, call.require(call.project(), "project", "read")))


def update_project(call: Call) -> Response:
    """Update metadata and CVE allowlist; `project_name` and `storage_limit` are ignored, as in Harbor."""
    given = call.json(_PROJECT, "project")
    project = call.require(call.project(), "project", "update")
    with call.data.lock:
        project.metadata |= _known_severity(dict(given.get("metadata") or {}))
        _take_allowlist(project, given)
    return ok()


def _take_allowlist(project: Project, given: dict[str, Any]) -> None:
    allowlist = given.get("cve_allowlist") or {}
    if "items" in allowlist:
        project.allowlist_items = allowlist["items"]
        project.allowlist_expires_at = allowlist.get("expires_at")


def delete_project(call: Call) -> Response:
    project = call.require(call.project(), "project", "delete")
    with call.data.lock:
        if repository_count(call.data, project):
            raise precondition("precondition failed: the project contains repositories, can not be deleted")
        data = call.data
        for table in (data.quotas, data.retentions, data.robots, data.members, data.immutable_rules, data.webhooks):
            for row in table.where(project_id=project.id):
                table.delete(row.id)
        call.data.projects.delete(project.id)
    return ok()


def deletable(call: Call) -> Response:
    project = call.require(call.project(), "project", "delete")
    if repository_count(call.data, project):
        return ok({"message": "the project contains repositories, can not be deleted"})
    return ok({"deletable": True})


def summary(call: Call) -> Response:
    project = call.require(call.project(), "project", "read")
    quota = call.data.quotas.find(project_id=project.id)
    shown: dict[str, Any] = {"repo_count": repository_count(call.data, project)}
    if quota is not None and call.principal.can(project, "quota", "read"):
        shown["quota"] = {
            "hard": {"storage": quota.storage},
            "used": {"storage": used_storage(call.data, project)},
        }
    if call.principal.can(project, "member", "list"):
        shown["project_admin_count"] = 1
    return ok(shown)


def list_quotas(call: Call) -> Response:
    call.require_system("quota", "list")
    rows = [(quota, project) for quota in call.data.quotas if (project := call.data.projects.get(quota.project_id))]
    reference_id = call.query("reference_id")
    if reference_id:
        rows = [(quota, project) for quota, project in rows if str(project.id) == reference_id]
    fields = {
        "id": lambda row: row[0].id,
        "creation_time": lambda row: (row[0].creation_time, row[0].id),
        "hard.storage": lambda row: row[0].storage,
    }
    return listing(call, rows, fields, "-creation_time", lambda row: _show_quota(call, *row))


def _show_quota(call: Call, quota: Quota, project: Project) -> dict[str, Any]:
    return {
        "creation_time": timestamp(quota.creation_time),
        "hard": {"storage": quota.storage},
        "id": quota.id,
        "ref": {"id": project.id, "name": project.name, "owner_name": ""},
        "update_time": timestamp(quota.update_time),
        "used": {"storage": used_storage(call.data, project) if quota.reported_use is None else quota.reported_use},
    }


def _quota(call: Call) -> tuple[Quota, Project]:
    quota_id = call.id()
    quota = call.data.quotas.get(quota_id)
    project = call.data.projects.get(quota.project_id) if quota else None
    if quota is None or project is None:
        raise not_found(f"quota {quota_id} not found")
    return quota, project


def get_quota(call: Call) -> Response:
    call.require_system("quota", "read")
    return ok(_show_quota(call, *_quota(call)))


def update_quota(call: Call) -> Response:
    given = call.json(_QUOTA, "hard")
    call.require_system("quota", "update")
    quota, _ = _quota(call)
    hard = given.get("hard") or {}
    if "storage" not in hard:
        raise bad_request("bad request: no storage in hard limits")
    with call.data.lock:
        quota.storage = _storage(hard["storage"])
        quota.update_time = call.now()
    return ok()


def list_metadata(call: Call) -> Response:
    return ok(call.require(call.project(), "metadata", "read").metadata)


def get_metadata(call: Call) -> Response:
    project = call.require(call.project(), "metadata", "read")
    name = call.params["name"]
    return ok({name: project.metadata[name]} if name in project.metadata else {})


def update_metadata(call: Call) -> Response:
    """Set one key; the API accepts only some keys, and checks their values."""
    given = call.json(_ONE_METADATA, "metadata")
    project = call.require(call.project(), "metadata", "update")
    name = call.params["name"]
    value = str(given.get(name, "")).lower()
    if name not in _SWITCHES and name != "severity":
        raise bad_request(f"invalid key: {name}")
    if value not in (_SEVERITIES if name == "severity" else ("true", "false")):
        raise bad_request(f"invalid value: {given.get(name, '')}")
    project.metadata[name] = value
    return ok()


def delete_metadata(call: Call) -> Response:
    call.require(call.project(), "metadata", "delete").metadata.pop(call.params["name"], None)
    return ok()


ENDPOINTS = [
    Endpoint("HEAD", "/projects", project_exists),
    Endpoint("POST", "/projects", create_project),
    Endpoint("GET", "/projects", list_projects),
    Endpoint("GET", "/projects/{project}", get_project),
    Endpoint("PUT", "/projects/{project}", update_project),
    Endpoint("DELETE", "/projects/{project}", delete_project),
    Endpoint("GET", "/projects/{project}/_deletable", deletable),
    Endpoint("GET", "/projects/{project}/summary", summary),
    Endpoint("GET", "/projects/{project}/metadatas", list_metadata),
    Endpoint("GET", "/projects/{project}/metadatas/{name}", get_metadata),
    Endpoint("PUT", "/projects/{project}/metadatas/{name}", update_metadata),
    Endpoint("DELETE", "/projects/{project}/metadatas/{name}", delete_metadata),
    Endpoint("GET", "/quotas", list_quotas),
    Endpoint("GET", "/quotas/{id}", get_quota),
    Endpoint("PUT", "/quotas/{id}", update_quota),
]
