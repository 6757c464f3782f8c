"""Registry endpoints and replication policies."""

from __future__ import annotations

from localcloud.providers.harbor.client import Harbor, location
from localcloud.providers.harbor.common import HarborResource
from localcloud.providers.resource import Draft
from localcloud.providers.schema import bag, flag, listing, number, out, properties, record, text
from localcloud.providers.values import Values, sparse

#: The provider's names of registry types, where they differ from Harbor's.
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
    fields = properties(
        accessId=text(default=""),
        accessSecret=text(default="", secret=True),
        description=text(default=""),
        endpointUrl=text(required=True),
        insecure=flag(default=False),
        name=text(required=True),
        providerName=text(required=True, new=True),
        registryId=out(number()),
        status=out(text()),
    )

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
        draft.id = location(api.send("POST", "/registries", body, 201))
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
    """A replication policy. Filters, description and speed are written and never read."""

    fields = properties(
        action=text(required=True, new=True),
        copyByChunk=flag(default=False),
        deletion=flag(default=False),
        description=text(),
        destNamespace=text(),
        destNamespaceReplace=number(default=0),
        enabled=flag(default=True),
        executeOnChanged=flag(default=False),
        filters=bag(record(decoration=text(), labels=listing(text()), name=text(), resource=text(), tag=text())),
        name=text(required=True),
        override=flag(default=True),
        registryId=number(required=True),
        replicationPolicyId=out(number()),
        schedule=text(default="manual"),
        speed=number(default=-1),
    )

    def create(self, api: Harbor, draft: Draft) -> None:
        path = location(api.send("POST", "/replication/policies", self._body(draft), 201))
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
        """Return the filter of a block; of several kinds, only the last of name, tag, label, resource is sent."""
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
