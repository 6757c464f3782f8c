"""Harbor's two global schedules and its settings."""

from __future__ import annotations

import json
from typing import Any

from localcloud.providers.harbor.client import Harbor, Refused, content
from localcloud.providers.harbor.common import HarborResource, one_of, schedule_of
from localcloud.providers.harbor.projects import GIB
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import flag, number, optional_record, properties, text
from localcloud.providers.values import Values, sparse

_GO_ZERO_TIME = "0001-01-01T00:00:00Z"


class Scheduled(HarborResource):
    """One of Harbor's global schedules; its ID is its path."""

    path: str

    def parameters(self, draft: Draft) -> Values:
        raise NotImplementedError

    def parse(self, parameters: Values) -> Values:
        raise NotImplementedError

    def create(self, api: Harbor, draft: Draft) -> None:
        self._schedule(api, draft["schedule"], self.parameters(draft))
        draft.id = self.path
        self.read(api, draft)

    update = create

    def read(self, api: Harbor, draft: Draft) -> None:
        try:
            response = api.send("GET", self.path)
        except Refused as error:
            if error.status != 404:
                raise Failed("unexpected end of JSON input") from None
            raise Failed(f"Resource not found {draft.id}") from None
        if not response.content:
            draft.id = ""
            return
        found = content(response)
        kind, cron = found["schedule"].get("type", ""), found["schedule"].get("cron", "")
        parameters = json.loads(found.get("job_parameters") or "{}")
        draft.set(schedule=cron if kind == "Custom" else kind, **self.parse(parameters))

    def _schedule(self, api: Harbor, schedule: str, parameters: Values) -> None:
        known = api.send("GET", self.path).content
        method, status = ("PUT", 200) if known else ("POST", 201)
        api.send(method, self.path, _schedule_body(*schedule_of(schedule), parameters), status)


def _schedule_body(kind: str, cron: str, parameters: Values) -> Values:
    return {
        "schedule": sparse({"type": kind, "cron": cron}),
        "creation_time": _GO_ZERO_TIME,
        "update_time": _GO_ZERO_TIME,
        "parameters": sparse(parameters),
    }


class GarbageCollection(Scheduled):
    path = "/system/gc/schedule"
    fields = properties(
        deleteUntagged=flag(),
        schedule=text(required=True),
        workers=number(
            default=1,
            check=lambda value: None if 1 <= int(value) <= 5 else "GC workers must be between 1 and 5",
        ),
    )

    def parameters(self, draft: Draft) -> Values:
        return {"delete_untagged": draft["deleteUntagged"], "workers": draft["workers"]}

    def parse(self, parameters: Values) -> Values:
        return {
            "deleteUntagged": parameters.get("delete_untagged", False),
            "workers": parameters.get("workers", 0),
        }

    def delete(self, api: Harbor, draft: Draft) -> None:  # noqa: ARG002
        api.send("PUT", self.path, _schedule_body("None", "", {}))


def _valid_operations(value: Any) -> str | None:
    for operation in str(value).split(","):
        if operation.strip() not in ("create", "pull", "delete"):
            return (
                f'Invalid value "{operation.strip()}" in "include_operations". Valid values are: create, pull, delete'
            )
    return None


class PurgeAuditLog(Scheduled):
    path = "/system/purgeaudit/schedule"
    fields = properties(
        auditRetentionHour=number(required=True),
        includeOperations=text(required=True, check=_valid_operations),
        schedule=text(required=True),
    )

    def parameters(self, draft: Draft) -> Values:
        return {
            "audit_retention_hour": draft["auditRetentionHour"],
            "include_operations": draft["includeOperations"],
        }

    def parse(self, parameters: Values) -> Values:
        return {
            "auditRetentionHour": parameters.get("audit_retention_hour", 0),
            "includeOperations": parameters.get("include_operations", ""),
        }

    def delete(self, api: Harbor, draft: Draft) -> None:
        self._schedule(api, "", self.parameters(draft))


#: Property -> Harbor's name of the setting, for those that are passed on unchanged.
_SETTINGS = {
    "projectCreationRestriction": "project_creation_restriction",
    "readOnly": "read_only",
    "robotTokenExpiration": "robot_token_duration",
    "robotNamePrefix": "robot_name_prefix",
    "scannerSkipUpdatePulltime": "scanner_skip_update_pulltime",
    "auditLogForwardEndpoint": "audit_log_forward_endpoint",
    "skipAuditLogDatabase": "skip_audit_log_database",
}


class ConfigSystem(HarborResource):
    """System settings; a destroy does not change them."""

    fields = properties(
        auditLogForwardEndpoint=text(default=""),
        bannerMessage=optional_record(
            {
                "closable": flag(default=False),
                "fromDate": text(default=""),
                "message": text(required=True),
                "toDate": text(default=""),
                "type": text(
                    default="info", check=one_of("banner_message.0.type", ["success", "info", "warning", "danger"])
                ),
            }
        ),
        projectCreationRestriction=text(default="adminonly"),
        readOnly=flag(default=False),
        robotNamePrefix=text(default="robot$"),
        robotTokenExpiration=number(default=30),
        scannerSkipUpdatePulltime=flag(default=False),
        skipAuditLogDatabase=flag(default=False),
        storagePerProject=number(default=-1),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        storage = draft["storagePerProject"]
        banner = draft["bannerMessage"] if draft.values.get("bannerMessage") else None
        settings = {setting: draft[name] for name, setting in _SETTINGS.items()}
        body = {
            **sparse(settings),
            **{name: value for name, value in settings.items() if isinstance(value, bool)},
            "quota_per_project_enable": True,
            **sparse(
                {
                    "storage_per_project": storage * GIB if storage > 0 else storage,
                    "banner_message": json.dumps(banner_order(banner), separators=(",", ":")) if banner else "",
                }
            ),
        }
        api.send("PUT", "/configurations", body)
        self.read(api, draft)

    update = create

    def prepare_import(self, api: Harbor, draft: Draft) -> None:
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        try:
            found = content(api.send("GET", "/configurations"))
        except Refused as error:
            raise Failed(f"error getting system configuration {error}") from None
        value = {name: setting.get("value") for name, setting in found.items() if isinstance(setting, dict)}
        storage = value.get("storage_per_project") or 0
        if banner := value.get("banner_message"):
            draft.set(bannerMessage=json.loads(banner))
        draft.set(
            storagePerProject=storage // GIB if storage > 0 else storage,
            **{
                name: self.fields[name].zero if value.get(setting) is None else value[setting]
                for name, setting in _SETTINGS.items()
            },
        )
        draft.id = "configuration/system"

    def delete(self, api: Harbor, draft: Draft) -> None:
        pass


def banner_order(banner: Values) -> Values:
    return {key: banner[key] for key in ("closable", "message", "type", "fromDate", "toDate")}
