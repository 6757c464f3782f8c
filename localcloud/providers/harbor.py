"""The stand-in for the Harbor provider (pulumi-harbor 3.10.21): its resources, and the requests that it sends for them.

What it sends, reads back and, above all, does not read back was recorded from the real plugin and is held against those
recordings in tests/localcloud/test_providers_harbor.py. Bodies leave out what Go's `omitempty` leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote_plus

import httpx

from localcloud.providers.resource import Draft, Failed, Resource
from localcloud.providers.schema import bag, flag, listing, number, optional_record, out, record, text
from localcloud.providers.values import Values

#: Like the real plugin, the stand-in waits as long as Harbor takes; the limit only keeps a test from hanging for good.
TIMEOUT_SECONDS = 600
_GIB = 1024**3
_GO_ZERO_TIME = "0001-01-01T00:00:00Z"


class Harbor:
    """A Harbor as one configured provider sees it. Paths are relative to /api/v2.0."""

    def __init__(self, config: Values, environment: Mapping[str, str]) -> None:
        def setting(name: str, variable: str) -> str:
            return str(config.get(name) or environment.get(variable, ""))

        url = setting("url", "HARBOR_URL")
        if not url:
            raise Failed(
                "url is required and must be provided in the provider config or the HARBOR_URL environment variable"
            )
        self._base = url.strip("/") + ("/api" if config.get("apiVersion", 2) == 1 else "/api/v2.0")
        self._headers = {"Content-Type": "application/json"}
        self._auth: tuple[str, str] | None = None
        if session := setting("sessionId", "HARBOR_SESSION_ID"):
            self._headers["Cookie"] = f"sid={session}"
        elif token := setting("bearerToken", "HARBOR_BEARER_TOKEN"):
            self._headers["Authorization"] = f"Bearer {token}"
        else:
            self._auth = (setting("username", "HARBOR_USERNAME"), setting("password", "HARBOR_PASSWORD"))
        self.robot_prefix = str(config.get("robotPrefix", ""))
        insecure = config.get("insecure", True) is not False
        # Harbor's cookies are not kept: with one, the next write would lack the token that goes with it.
        refused = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._client = httpx.Client(verify=not insecure, timeout=TIMEOUT_SECONDS, cookies=refused)

    def send(self, method: str, path: str, body: Any = None, expect: int = 200) -> httpx.Response:
        """One request; any other status than `expect` is `Refused`, with the real plugin's text."""
        response = self._send(method, path, body, {})
        if response.status_code == 403:
            response = self._send(method, path, body, _csrf(response))
        if response.status_code != expect:
            raise Refused(
                response.status_code,
                f"[ERROR] unexpected status code got: {response.status_code} expected: {expect} \n {response.text}",
            )
        return response

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        merged = {**self._headers, **{k: v for k, v in headers.items() if k != "Cookie"}}
        if "Cookie" in headers:
            merged["Cookie"] = "; ".join(filter(None, (self._headers.get("Cookie"), headers["Cookie"])))
        content = None if body is None else json.dumps(body)
        try:
            return self._client.request(
                method, self._base + path, content=content, headers=merged, auth=self._auth
            )
        except httpx.HTTPError as error:
            raise Refused(502, f'{method.title()} "{self._base + path}": {error}') from None


class Refused(Failed):
    """An answer with another status than the one that was expected."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _csrf(response: httpx.Response) -> dict[str, str]:
    """The token that Harbor gives with a 403, for the second try."""
    token = response.headers.get("X-Harbor-Csrf-Token")
    if token is None:
        raise Refused(403, "[ERROR] no X-Harbor-Csrf-Token present to retry")
    for cookie in response.headers.get_list("set-cookie"):
        name, _, value = cookie.split(";", 1)[0].partition("=")
        if name == "_gorilla_csrf" and value:
            return {"Cookie": f"_gorilla_csrf={value}", "X-Harbor-Csrf-Token": token}
    raise Refused(403, "[ERROR] no valid _gorilla_csrf token present to retry")


def _location(response: httpx.Response) -> str:
    return str(response.headers["Location"]).replace("/api", "").replace("/v2.0", "")


def sparse(values: Mapping[str, Any]) -> Values:
    """A body as Go's `omitempty` leaves it."""
    return {key: value for key, value in values.items() if value not in ("", 0, False, None, [], {})}


def schedule_of(schedule: str) -> tuple[str, str]:
    """Type and cron of a schedule given by name or as a cron."""
    named = {
        "hourly": ("Hourly", "0 0 * * * *"),
        "daily": ("Daily", "0 0 0 * * *"),
        "weekly": ("Weekly", "0 0 0 * * 0"),
    }
    for name, (kind, cron) in named.items():
        if schedule.lower() in (name, cron):
            return kind, cron
    return ("Custom", schedule) if schedule else ("None", "")


class HarborResource(Resource[Harbor]):
    """A resource whose id is its API path. A read that finds nothing forgets it, a delete of nothing is no error."""

    @property
    def _autonamed(self) -> bool:
        return "name" in self.fields

    def fetch(self, api: Harbor, draft: Draft, masked: bool = True) -> Any:
        """The object behind the draft's id; None, with the id cleared, if it is gone.

        `masked`: any other failure is reported as if the resource were missing, as most of the real ones do.
        """
        try:
            return api.send("GET", draft.id).json()
        except Refused as error:
            if error.status == 404:
                draft.id = ""
                return None
            raise Failed(f"resource not found {draft.id}" if masked else str(error)) from None

    def delete(self, api: Harbor, draft: Draft) -> None:
        try:
            api.send("DELETE", draft.id)
        except Refused as error:
            if error.status != 404:
                raise


def one_of(name: str, allowed: list[str]) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        return None if value in allowed else f'"{name}" must be one of [{", ".join(allowed)}], got {value}'

    return check


class Project(HarborResource):
    fields = {
        "autoSbomGeneration": flag(default=False),
        "cveAllowlists": listing(text()),
        "deploymentSecurity": text(check=one_of("deployment_security", ["none", "low", "medium", "high", "critical"])),
        "enableContentTrust": flag(default=False),
        "enableContentTrustCosign": flag(default=False),
        "forceDestroy": flag(default=False),
        "name": text(required=True, new=True),
        "projectId": out(number()),
        "public": flag(default=False),
        "registryId": number(computed=True, new=True),
        "storageQuota": number(default=-1),
        "vulnerabilityScanning": flag(default=True),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        body = self._body(draft)
        draft.id = _location(api.send("POST", "/projects", body, 201))
        if draft["cveAllowlists"]:
            api.send("PUT", draft.id, body)
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft, masked=False)) is None:
            return
        metadata = found["metadata"]
        severity, prevented = metadata.get("severity", ""), metadata.get("prevent_vul") == "true"
        cves = [item["cve_id"] for item in found.get("cve_allowlist", {}).get("items") or []]
        draft.set(
            name=found["name"],
            projectId=found["project_id"],
            registryId=found.get("registry_id"),
            public=metadata.get("public") == "true",
            vulnerabilityScanning=metadata.get("auto_scan") == "true",
            enableContentTrust=metadata.get("enable_content_trust") == "true",
            enableContentTrustCosign=metadata.get("enable_content_trust_cosign") == "true",
            autoSbomGeneration=metadata.get("auto_sbom_generation") == "true",
            deploymentSecurity="" if (severity == "none") == prevented else severity,
            cveAllowlists=cves or draft.values.get("cveAllowlists") and [],
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        try:
            self._update_quota(api, draft)
        except Refused:
            pass  # The real plugin drops this error.
        self.read(api, draft)

    def delete(self, api: Harbor, draft: Draft) -> None:
        project = draft["name"]
        if draft["forceDestroy"]:
            for name in self._repositories(api, project):
                short = name.removeprefix(f"{project}/").replace("/", "%252F")
                api.send("DELETE", f"/projects/{project}/repositories/{short}")
        else:
            try:
                kept = self._repositories(api, project)
            except Refused:
                kept = []
            if kept:
                raise Failed(
                    f"project {project} is not empty, please set force_destroy to TRUE to clean all repositories"
                )
        super().delete(api, draft)

    @staticmethod
    def _body(draft: Draft) -> Values:
        quota, security, cves = draft["storageQuota"], draft["deploymentSecurity"], draft["cveAllowlists"]
        return {
            "project_name": draft["name"],
            **sparse({"registry_id": draft["registryId"]}),
            "cve_allowlist": sparse({"items": [{"cve_id": cve} for cve in cves]}),
            **sparse({"storage_limit": quota if quota == -1 else quota * _GIB}),
            "metadata": {
                "enable_content_trust": _go_bool(draft["enableContentTrust"]),
                "enable_content_trust_cosign": _go_bool(draft["enableContentTrustCosign"]),
                "auto_scan": _go_bool(draft["vulnerabilityScanning"]),
                "severity": security or "low",
                "reuse_sys_cve_allowlist": _go_bool(not cves),
                "public": _go_bool(draft["public"]),
                "prevent_vul": _go_bool(bool(security)),
                "auto_sbom_generation": _go_bool(draft["autoSbomGeneration"]),
            },
        }

    @staticmethod
    def _update_quota(api: Harbor, draft: Draft) -> None:
        settings = api.send("GET", "/configurations").json()
        if not settings.get("quota_per_project_enable", {}).get("value") or not draft.changed("storageQuota"):
            return
        quota = draft["storageQuota"]
        body = {"hard": {"storage": quota * _GIB if quota > 0 else quota}}
        page = 1
        while quotas := api.send("GET", f"/quotas/?page={page}&page_size=100").json():
            for found in quotas:
                if draft.id == f"/projects/{found['ref']['id']}":
                    api.send("PUT", f"/quotas/{found['id']}", body)
                    break
            page += 1

    @staticmethod
    def _repositories(api: Harbor, project: str) -> list[str]:
        names: list[str] = []
        page = 1
        while found := api.send("GET", f"/projects/{project}/repositories?page={page}&page_size=100").json():
            names += [repository["name"] for repository in found]
            page += 1
        return names


def _go_bool(value: bool) -> str:
    return "true" if value else "false"


#: The provider's names of registry types, where they differ from Harbor's. "quay" is asymmetric in the real one: Harbor's
#: "quay" reads back as "quay", and so do the names that are the same on both sides.
_TYPES = {
    "alibaba": "ali-acr",
    "aws": "aws-ecr",
    "azure": "azure-acr",
    "github": "github-ghcr",
    "google": "google-gcr",
    "helm": "helm-hub",
    "huawei": "huawei-SWR",
    "jfrog": "jfrog-artifactory",
}
_SAME = ("artifact-hub", "docker-hub", "docker-registry", "gitlab", "harbor", "quay")
REGISTRY_TYPES = {**_TYPES, **{name: name for name in _SAME}, **{kind: name for name, kind in _TYPES.items()}}


class Registry(HarborResource):
    fields = {
        "accessId": text(default=""),
        "accessSecret": text(default="", secret=True),
        "description": text(default=""),
        "endpointUrl": text(required=True),
        "insecure": flag(default=False),
        "name": text(required=True),
        "providerName": text(required=True, new=True),
        "registryId": out(number()),
        "status": out(text()),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        credential = {"access_key": draft["accessId"], "access_secret": draft["accessSecret"], "type": "basic"}
        body = {
            "credential": sparse(credential),
            **sparse(
                {
                    "name": draft["name"],
                    "url": draft["endpointUrl"],
                    "insecure": draft["insecure"],
                    "type": REGISTRY_TYPES.get(draft["providerName"], ""),
                    "description": draft["description"],
                }
            ),
        }
        draft.id = _location(api.send("POST", "/registries", body, 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is None:
            return
        draft.set(
            name=found.get("name", ""),
            description=found.get("description", ""),
            endpointUrl=found.get("url", ""),
            accessId=found.get("credential", {}).get("access_key", ""),
            insecure=found.get("insecure", False),
            status=found.get("status", ""),
            registryId=found["id"],
            providerName=REGISTRY_TYPES.get(found.get("type", ""), ""),
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        body = {
            "access_key": draft["accessId"],
            "access_secret": draft["accessSecret"],
            **sparse({"name": draft["name"], "url": draft["endpointUrl"]}),
            "insecure": draft["insecure"],
            "description": draft["description"],
        }
        api.send("PUT", draft.id, body)
        self.read(api, draft)


class Replication(HarborResource):
    """Filters, description and speed are written and never read back."""

    fields = {
        "action": text(required=True, new=True),
        "copyByChunk": flag(default=False),
        "deletion": flag(default=False),
        "description": text(),
        "destNamespace": text(),
        "destNamespaceReplace": number(default=0),
        "enabled": flag(default=True),
        "executeOnChanged": flag(default=False),
        "filters": bag(record(decoration=text(), labels=listing(text()), name=text(), resource=text(), tag=text())),
        "name": text(required=True),
        "override": flag(default=True),
        "registryId": number(required=True),
        "replicationPolicyId": out(number()),
        "schedule": text(default="manual"),
        "speed": number(default=-1),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        path = _location(api.send("POST", "/replication/policies", self._body(draft), 201))
        self._execute(api, draft, path)
        draft.id = path
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is None:
            return
        pushed_to = (found.get("dest_registry") or {}).get("id", 0)
        trigger = found.get("trigger") or {}
        schedule = {"scheduled": (trigger.get("trigger_settings") or {}).get("cron", ""), "event_based": "event_based"}
        draft.set(
            action="push" if pushed_to else "pull",
            registryId=pushed_to or (found.get("src_registry") or {}).get("id", 0),
            schedule=schedule.get(trigger.get("type", ""), "manual"),
            replicationPolicyId=found["id"],
            enabled=found.get("enabled", False),
            name=found.get("name", ""),
            deletion=found.get("deletion", False),
            override=found.get("override", False),
            destNamespace=found.get("dest_namespace", ""),
            destNamespaceReplace=found.get("dest_namespace_replace_count", 0),
            copyByChunk=found.get("copy_by_chunk", False),
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self._execute(api, draft, draft.id)
        self.read(api, draft)

    @staticmethod
    def _execute(api: Harbor, draft: Draft, path: str) -> None:
        if draft["executeOnChanged"]:
            api.send("POST", "/replication/executions", {"policy_id": int(path.rsplit("/", 1)[-1])}, 201)

    @staticmethod
    def _body(draft: Draft) -> Values:
        registry, action, schedule = {"id": draft["registryId"]}, draft["action"], draft["schedule"]
        named = schedule in ("manual", "event_based")
        return {
            **sparse({"name": draft["name"], "description": draft["description"]}),
            "id": 0,
            "src_registry": registry if action == "pull" else {},
            "dest_registry": registry if action == "push" else {},
            **sparse({"dest_namespace": draft["destNamespace"]}),
            "dest_namespace_replace_count": draft["destNamespaceReplace"],
            "trigger": {
                "type": schedule if named else "scheduled",
                "trigger_settings": {} if named else sparse({"cron": schedule}),
            },
            "enabled": draft["enabled"],
            **sparse(
                {
                    "deletion": draft["deletion"],
                    "override": draft["override"],
                    "copy_by_chunk": draft["copyByChunk"],
                    "filters": [Replication._filter(block) for block in draft["filters"]],
                    "speed": draft["speed"],
                }
            ),
        }

    @staticmethod
    def _filter(block: Values) -> Values:
        """One filter of a block; a block that states several kinds sends the last one only (resource, label, tag, name)."""
        made: Values = {}
        if block["name"]:
            made = {"type": "name", "value": block["name"]}
        if block["tag"]:
            made = {"type": "tag", "value": block["tag"].replace(" ", ""), "decoration": block["decoration"]}
        if block["labels"]:
            made = {"type": "label", "value": block["labels"], "decoration": block["decoration"]}
        if block["resource"]:
            made |= {"type": "resource", "value": block["resource"]}
        return sparse(made)


_ACCESS = {"action": text(required=True), "effect": text(), "resource": text(required=True)}


class RobotAccount(HarborResource):
    fields = {
        "description": text(),
        "disable": flag(default=False),
        "duration": number(default=-1),
        "fullName": out(text()),
        "level": text(required=True, new=True),
        "name": text(required=True, new=True),
        "permissions": bag(
            record(
                accesses=bag(record(**_ACCESS), required=True),
                kind=text(required=True),
                namespace=text(required=True),
            ),
            required=True,
        ),
        "robotId": out(text()),
        "secret": text(computed=True, secret=True),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        response = api.send("POST", "/robots", self._body(draft, draft["name"]), 201)
        made, path = response.json(), _location(response)
        if own := draft["secret"]:
            api.send("PATCH", f"/robots/{made['id']}", {"secret": own})
        else:
            draft.set(secret=made.get("secret", ""))
        draft.id = path
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        try:
            robot = api.send("GET", draft.id).json()
        except Refused:
            draft.id = ""  # Any failure counts as gone in the real plugin.
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
            name = api.send("GET", draft.id).json()["name"]  # Harbor's name has the prefix; without it, it is refused.
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
        settings = api.send("GET", "/configurations").json()
        return str(settings.get("robot_name_prefix", {}).get("value", ""))

    @staticmethod
    def _permission(draft: Draft, found: Values) -> Values:
        """What Harbor has; an `effect` only as the program stated it, or if it is not the usual "allow"."""
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


#: Rule property -> (template, parameter), in the order in which the real plugin looks at them.
_TEMPLATES = {
    "nDaysSinceLastPull": ("nDaysSinceLastPull", "nDaysSinceLastPull"),
    "nDaysSinceLastPush": ("nDaysSinceLastPush", "nDaysSinceLastPush"),
    "mostRecentlyPulled": ("latestPulledN", "latestPulledN"),
    "mostRecentlyPushed": ("latestPushedK", "latestPushedK"),
}


class RetentionPolicy(HarborResource):
    fields = {
        "rules": listing(
            record(
                alwaysRetain=flag(),
                disabled=flag(default=False),
                mostRecentlyPulled=number(),
                mostRecentlyPushed=number(),
                nDaysSinceLastPull=number(),
                nDaysSinceLastPush=number(),
                repoExcluding=text(),
                repoMatching=text(),
                tagExcluding=text(),
                tagMatching=text(),
                untaggedArtifacts=flag(default=True),
            ),
            required=True,
        ),
        "schedule": text(),
        "scope": text(required=True, new=True),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        body = self._body(draft)
        try:
            path = _location(api.send("POST", "/retentions", body, 201))
        except Refused:
            # The project has one already: take it over.
            project = api.send("GET", f"/projects/{body['scope']['ref']}").json()
            path = f"/retentions/{project['metadata'].get('retention_id', '')}"
            api.send("PUT", path, body)
        draft.id = path
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft, masked=False)) is None:
            return
        cron = found["trigger"]["settings"].get("cron", "")
        kind, _ = schedule_of(cron)
        draft.set(
            scope=f"/projects/{found['scope']['ref']}",
            schedule=cron if kind in ("Custom", "None") else kind,
            rules=[self._rule(rule) for rule in found["rules"]],
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self.read(api, draft)

    def delete(self, api: Harbor, draft: Draft) -> None:
        empty = self._body(draft) | {"rules": [], "id": int(draft.id.removeprefix("/retentions/"))}
        empty["trigger"]["settings"]["cron"] = ""
        api.send("PUT", draft.id, empty)

    @staticmethod
    def _body(draft: Draft) -> Values:
        digits = "".join(character if character.isdigit() else " " for character in draft["scope"]).split()
        return {
            "algorithm": "or",
            "rules": [RetentionPolicy._api_rule(rule) for rule in draft["rules"]] or None,
            "trigger": {
                "kind": "Schedule",
                "references": {},
                "settings": {"cron": schedule_of(draft["schedule"])[1]},
            },
            "scope": {"level": "project", "ref": int(digits[0]) if digits else 0},
        }

    @staticmethod
    def _api_rule(rule: Values) -> Values:
        template, params = ("always" if rule["alwaysRetain"] else ""), {}
        for name, (kind, parameter) in reversed(_TEMPLATES.items()):
            if rule[name] > 0:
                template, params = kind, {parameter: rule[name]}
        tag = {"kind": "doublestar", "decoration": "", "pattern": "", "extras": ""}
        for decoration, pattern in (("matches", rule["tagMatching"]), ("excludes", rule["tagExcluding"])):
            if pattern:
                extras = f'{{"untagged":{_go_bool(rule["untaggedArtifacts"])}}}'
                tag |= {"decoration": decoration, "pattern": pattern, "extras": extras}
        repository = {"kind": "doublestar", "decoration": "", "pattern": ""}
        for decoration, pattern in (("repoMatches", rule["repoMatching"]), ("repoExcludes", rule["repoExcluding"])):
            if pattern:
                repository |= {"decoration": decoration, "pattern": pattern}
        return {
            "disabled": rule["disabled"],
            "action": "retain",
            "scope_selectors": {"repository": [repository]},
            "tag_selectors": [tag],
            "params": params,
            "template": template,
        }

    @staticmethod
    def _rule(found: Values) -> Values:
        rule: Values = {"disabled": found.get("disabled", False), "alwaysRetain": found["template"] == "always"}
        for name in _TEMPLATES:
            rule[name] = 0
        for name, (kind, parameter) in _TEMPLATES.items():
            if found["template"] == kind:
                rule[name] = (found.get("params") or {}).get(parameter, 0)
        tag, repository = found["tag_selectors"][0], found["scope_selectors"]["repository"][0]
        rule["tagMatching"] = tag["pattern"] if tag["decoration"] == "matches" else ""
        rule["tagExcluding"] = tag["pattern"] if tag["decoration"] == "excludes" else ""
        rule["repoMatching"] = repository["pattern"] if repository["decoration"] == "repoMatches" else ""
        rule["repoExcluding"] = repository["pattern"] if repository["decoration"] == "repoExcludes" else ""
        rule["untaggedArtifacts"] = "true" in tag.get("extras", "")
        return rule


class Scheduled(HarborResource):
    """One of Harbor's two global schedules; its id is its path, and it can't be imported."""

    importable = False
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
        found = response.json()
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
    fields = {
        "deleteUntagged": flag(),
        "schedule": text(required=True),
        "workers": number(
            default=1,
            check=lambda value: None if 1 <= int(value) <= 5 else "GC workers must be between 1 and 5",
        ),
    }

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
    fields = {
        "auditRetentionHour": number(required=True),
        "includeOperations": text(required=True, check=_valid_operations),
        "schedule": text(required=True),
    }

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


class ConfigSystem(HarborResource):
    """System settings. A destroy leaves them as they are."""

    fields = {
        "auditLogForwardEndpoint": text(default=""),
        "bannerMessage": optional_record(
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
        "projectCreationRestriction": text(default="adminonly"),
        "readOnly": flag(default=False),
        "robotNamePrefix": text(default="robot$"),
        "robotTokenExpiration": number(default=30),
        "scannerSkipUpdatePulltime": flag(default=False),
        "skipAuditLogDatabase": flag(default=False),
        "storagePerProject": number(default=-1),
    }
    #: Property -> Harbor's name of the setting, for those that are passed on unchanged.
    _settings = {
        "projectCreationRestriction": "project_creation_restriction",
        "readOnly": "read_only",
        "robotTokenExpiration": "robot_token_duration",
        "robotNamePrefix": "robot_name_prefix",
        "scannerSkipUpdatePulltime": "scanner_skip_update_pulltime",
        "auditLogForwardEndpoint": "audit_log_forward_endpoint",
        "skipAuditLogDatabase": "skip_audit_log_database",
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        storage = draft["storagePerProject"]
        banner = draft["bannerMessage"] if draft.values.get("bannerMessage") else None
        settings = {setting: draft[name] for name, setting in self._settings.items()}
        body = {
            **sparse(settings),
            **{name: value for name, value in settings.items() if isinstance(value, bool)},
            "quota_per_project_enable": True,
            **sparse(
                {
                    "storage_per_project": storage * _GIB if storage > 0 else storage,
                    "banner_message": json.dumps(banner_order(banner), separators=(",", ":")) if banner else "",
                }
            ),
        }
        api.send("PUT", "/configurations", body)
        self.read(api, draft)

    update = create

    def found(self, api: Harbor, draft: Draft) -> None:
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        try:
            found = api.send("GET", "/configurations").json()
        except Refused as error:
            raise Failed(f"error getting system configuration {error}") from None
        value = {name: setting.get("value") for name, setting in found.items() if isinstance(setting, dict)}
        storage = value.get("storage_per_project") or 0
        if banner := value.get("banner_message"):
            draft.set(bannerMessage=json.loads(banner))
        draft.set(
            storagePerProject=storage // _GIB if storage > 0 else storage,
            **{
                name: self.fields[name].zero if value.get(setting) is None else value[setting]
                for name, setting in self._settings.items()
            },
        )
        draft.id = "configuration/system"

    def delete(self, api: Harbor, draft: Draft) -> None:
        pass


def banner_order(banner: Values) -> Values:
    return {key: banner[key] for key in ("closable", "message", "type", "fromDate", "toDate")}


class ConfigAuth(HarborResource):
    """The authentication mode, and OpenID Connect's settings; LDAP's are left out. A destroy leaves them as they are."""

    _oidc = {
        "oidcName": "oidc_name",
        "oidcEndpoint": "oidc_endpoint",
        "oidcClientId": "oidc_client_id",
        "oidcGroupsClaim": "oidc_groups_claim",
        "oidcScope": "oidc_scope",
        "oidcUserClaim": "oidc_user_claim",
        "oidcAdminGroup": "oidc_admin_group",
        "oidcVerifyCert": "oidc_verify_cert",
        "oidcAutoOnboard": "oidc_auto_onboard",
    }
    fields = {
        "authMode": text(required=True),
        "primaryAuthMode": flag(default=False),
        "oidcClientSecret": text(secret=True),
        "oidcGroupFilter": text(),
        **{name: flag() if name in ("oidcVerifyCert", "oidcAutoOnboard") else text() for name in _oidc},
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        body: Values = {name: False for name in ("oidc_verify_cert", "oidc_auto_onboard", "self_registration")}
        body |= {
            "ldap_scope": 0,
            "ldap_group_search_scope": 0,
            "ldap_verify_cert": False,
            "scan_all_policy": {"parameter": {}},
        }
        if draft["authMode"] in ("oidc_auth", "oidc"):
            stated = {setting: draft[name] for name, setting in self._oidc.items()}
            body |= sparse(stated) | sparse(
                {
                    "auth_mode": "oidc_auth",
                    "primary_auth_mode": draft["primaryAuthMode"],
                    "oidc_client_secret": draft["oidcClientSecret"],
                    "oidc_group_filter": draft["oidcGroupFilter"],
                }
            )
        api.send("PUT", "/configurations", body)
        self.read(api, draft)

    update = create

    def found(self, api: Harbor, draft: Draft) -> None:
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        found = api.send("GET", "/configurations").json()

        def value(setting: str) -> Any:
            return found.get(setting, {}).get("value")

        draft.set(authMode=value("auth_mode"), primaryAuthMode=bool(value("primary_auth_mode")))
        if value("auth_mode") in ("oidc_auth", "oidc"):
            draft.set(**{name: value(setting) for name, setting in self._oidc.items()})
        draft.id = "/configurations"

    def delete(self, api: Harbor, draft: Draft) -> None:
        pass


class Label(HarborResource):
    fields = {
        "color": text(default="false"),
        "description": text(),
        "name": text(required=True),
        "projectId": text(),
        "scope": out(text()),
    }

    def create(self, api: Harbor, draft: Draft) -> None:
        draft.id = _location(api.send("POST", "/labels", self._body(draft), 201))
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        if (found := self.fetch(api, draft)) is not None:
            draft.set(**{name: found.get(name, "") for name in ("name", "description", "color", "scope")})

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self.read(api, draft)

    @staticmethod
    def _body(draft: Draft) -> Values:
        project = draft["projectId"].replace("/projects/", "")
        return {
            "description": draft["description"],
            "color": draft["color"],
            "deleted": False,
            "scope": "p" if project else "g",
            "project_id": int(project or 0),
            "id": 0,
            "name": draft["name"],
        }


class ImmutableTagRule(HarborResource):
    fields = {
        "disabled": flag(default=False),
        "projectId": text(required=True, new=True),
        "repoExcluding": text(),
        "repoMatching": text(),
        "tagExcluding": text(),
        "tagMatching": text(),
    }
    #: Rules are read page by page.
    _page = 15

    def create(self, api: Harbor, draft: Draft) -> None:
        project = draft["projectId"]
        path = project if "/projects/" in project else f"/projects/{project}"
        draft.id = _location(api.send("POST", f"{path}/immutabletagrules", self._body(draft), 201))
        if draft["disabled"]:
            api.send("PUT", draft.id, self._body(draft))  # A new rule is always enabled.
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        path, _, number_text = draft.id.rpartition("/")
        page = 1
        while True:
            try:
                rules = api.send("GET", f"{path}?page={page}&page_size={self._page}").json()
            except Refused as error:
                if error.status == 404:
                    draft.id = ""
                    return
                raise Failed(f"resource not found {path} / {error} / {error.status}") from None
            for rule in rules:
                if rule["id"] == int(number_text):
                    self._take(draft, rule, path.replace("/immutabletagrules", ""))
                    return
            if len(rules) < self._page:
                draft.id = ""
                return
            page += 1

    @staticmethod
    def _take(draft: Draft, rule: Values, project: str) -> None:
        draft.set(disabled=rule.get("disabled", False), projectId=project)
        tag, repository = rule["tag_selectors"][0], rule["scope_selectors"]["repository"][0]
        if (name := {"matches": "tagMatching", "excludes": "tagExcluding"}.get(tag["decoration"])) is not None:
            draft.set(**{name: tag["pattern"]})
        if repository["decoration"] == "repoMatches":
            draft.set(repoMatching=repository["pattern"])

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        self.read(api, draft)

    def delete(self, api: Harbor, draft: Draft) -> None:
        api.send("DELETE", draft.id)

    @staticmethod
    def _body(draft: Draft) -> Values:
        tag = {"kind": "doublestar", "decoration": "", "pattern": ""}
        repository = dict(tag)
        for selector, decoration, name in (
            (tag, "matches", "tagMatching"),
            (tag, "excludes", "tagExcluding"),
            (repository, "repoMatches", "repoMatching"),
            (repository, "repoExcludes", "repoExcluding"),
        ):
            if draft[name]:
                selector |= {"decoration": decoration, "pattern": draft[name]}
        return {
            **sparse({"id": int(draft.id.rpartition("/")[2] or 0)}),
            "disabled": draft["disabled"],
            "scope_selectors": {"repository": [repository]},
            "tag_selectors": [tag],
            "action": "immutable",
            "template": "immutable_template",
        }


def get_project(api: Harbor, arguments: Values) -> Values:
    name = arguments["name"]
    for found in api.send("GET", f"/projects?name={name}").json():
        if found["name"] == name:
            metadata = found.get("metadata", {})
            return {
                "id": f"/projects/{found['project_id']}",
                "name": name,
                "projectId": found["project_id"],
                "public": metadata.get("public") == "true",
                "type": "Project" if found.get("registry_id") is None else "ProxyCache",
                "vulnerabilityScanning": metadata.get("auto_scan") == "true",
            }
    raise Failed("Your query returned no results. Please change your search criteria and try again.")


def get_registry(api: Harbor, arguments: Values) -> Values:
    name = arguments["name"]
    for found in api.send("GET", f"/registries?name={quote_plus(name)}").json():
        if found["name"] == name:
            return {
                "id": f"/projects/{found['id']}",  # The real one says projects, too.
                "name": name,
                "registryId": found["id"],
                "type": found.get("type", ""),
                "description": found.get("description", ""),
                "url": found.get("url", ""),
                "insecure": found.get("insecure", False),
                "status": found.get("status", ""),
            }
    raise Failed("Your query returned no results. Please change your search criteria and try again.")


class HarborPackage:
    name = "harbor"
    label = "harbor@v3.10.21"
    resources: Mapping[str, Resource[Any]] = {
        f"harbor:index/{kind.__name__[0].lower()}{kind.__name__[1:]}:{kind.__name__}": kind()
        for kind in (
            Project,
            Registry,
            Replication,
            RobotAccount,
            RetentionPolicy,
            GarbageCollection,
            PurgeAuditLog,
            ConfigSystem,
            ConfigAuth,
            Label,
            ImmutableTagRule,
        )
    }
    functions: Mapping[str, Callable[[Any, Values], Values]] = {
        "harbor:index/getProject:getProject": get_project,
        "harbor:index/getRegistry:getRegistry": get_registry,
    }

    def configure(self, config: Values, environment: Mapping[str, str]) -> Harbor:
        return Harbor(config, environment)
