"""Projects, their retention policies and immutable tag rules."""

from __future__ import annotations

import contextlib

from localcloud.providers.harbor.client import Harbor, Refused, content, location
from localcloud.providers.harbor.common import HarborResource, go_bool, one_of, schedule_of
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import flag, listing, number, out, properties, record, text
from localcloud.providers.values import Values, sparse

GIB = 1024**3


class Project(HarborResource):
    fields = properties(
        autoSbomGeneration=flag(default=False),
        cveAllowlists=listing(text()),
        deploymentSecurity=text(check=one_of("deployment_security", ["none", "low", "medium", "high", "critical"])),
        enableContentTrust=flag(default=False),
        enableContentTrustCosign=flag(default=False),
        forceDestroy=flag(default=False),
        name=text(required=True, new=True),
        projectId=out(number()),
        public=flag(default=False),
        registryId=number(computed=True, new=True),
        storageQuota=number(default=-1),
        vulnerabilityScanning=flag(default=True),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        body = self._body(draft)
        draft.id = location(api.send("POST", "/projects", body, 201))
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
            cveAllowlists=cves or (draft.values.get("cveAllowlists") and []),
        )

    def update(self, api: Harbor, draft: Draft) -> None:
        api.send("PUT", draft.id, self._body(draft))
        with contextlib.suppress(Refused):  # The real plugin ignores this error.
            self._update_quota(api, draft)
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
            **sparse({"storage_limit": quota if quota == -1 else quota * GIB}),
            "metadata": {
                "enable_content_trust": go_bool(draft["enableContentTrust"]),
                "enable_content_trust_cosign": go_bool(draft["enableContentTrustCosign"]),
                "auto_scan": go_bool(draft["vulnerabilityScanning"]),
                "severity": security or "low",
                "reuse_sys_cve_allowlist": go_bool(not cves),
                "public": go_bool(draft["public"]),
                "prevent_vul": go_bool(bool(security)),
                "auto_sbom_generation": go_bool(draft["autoSbomGeneration"]),
            },
        }

    @staticmethod
    def _update_quota(api: Harbor, draft: Draft) -> None:
        settings = content(api.send("GET", "/configurations"))
        if not settings.get("quota_per_project_enable", {}).get("value") or not draft.changed("storageQuota"):
            return
        quota = draft["storageQuota"]
        body = {"hard": {"storage": quota * GIB if quota > 0 else quota}}
        page = 1
        while quotas := content(api.send("GET", f"/quotas/?page={page}&page_size=100")):
            for found in quotas:
                if draft.id == f"/projects/{found['ref']['id']}":
                    api.send("PUT", f"/quotas/{found['id']}", body)
                    break
            page += 1

    @staticmethod
    def _repositories(api: Harbor, project: str) -> list[str]:
        names: list[str] = []
        page = 1
        while found := content(api.send("GET", f"/projects/{project}/repositories?page={page}&page_size=100")):
            names += [repository["name"] for repository in found]
            page += 1
        return names


#: Rule property -> (template, parameter), in the order in which the real plugin looks at them.
_TEMPLATES = {
    "nDaysSinceLastPull": ("nDaysSinceLastPull", "nDaysSinceLastPull"),
    "nDaysSinceLastPush": ("nDaysSinceLastPush", "nDaysSinceLastPush"),
    "mostRecentlyPulled": ("latestPulledN", "latestPulledN"),
    "mostRecentlyPushed": ("latestPushedK", "latestPushedK"),
}


class RetentionPolicy(HarborResource):
    fields = properties(
        rules=listing(
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
        schedule=text(),
        scope=text(required=True, new=True),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        body = self._body(draft)
        try:
            path = location(api.send("POST", "/retentions", body, 201))
        except Refused:
            # The project has a policy already: update it.
            project = content(api.send("GET", f"/projects/{body['scope']['ref']}"))
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
                extras = f'{{"untagged":{go_bool(rule["untaggedArtifacts"])}}}'
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


class ImmutableTagRule(HarborResource):
    fields = properties(
        disabled=flag(default=False),
        projectId=text(required=True, new=True),
        repoExcluding=text(),
        repoMatching=text(),
        tagExcluding=text(),
        tagMatching=text(),
    )
    #: Rules are read page by page.
    _page = 15

    def create(self, api: Harbor, draft: Draft) -> None:
        project = draft["projectId"]
        path = project if "/projects/" in project else f"/projects/{project}"
        draft.id = location(api.send("POST", f"{path}/immutabletagrules", self._body(draft), 201))
        if draft["disabled"]:
            api.send("PUT", draft.id, self._body(draft))  # A new rule is always enabled.
        self.read(api, draft)

    def read(self, api: Harbor, draft: Draft) -> None:
        path, _, number_text = draft.id.rpartition("/")
        page = 1
        while True:
            try:
                rules = content(api.send("GET", f"{path}?page={page}&page_size={self._page}"))
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
