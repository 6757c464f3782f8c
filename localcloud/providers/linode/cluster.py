"""The parts of a cluster: LkeCluster (SDK kind), DatabasePostgresqlV2 and NodeBalancer (framework kind).

By the provider's schema and its source; unlike the other resources, not compared with recordings of the real plugin.
The real plugin waits for a node to be ready in Kubernetes, and goes on without one; the stand-in does not ask.
"""

from __future__ import annotations

import base64
from typing import Any

from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.linode.common import (
    CREATE_SECONDS,
    FrameworkResource,
    SdkResource,
    between,
    numeric_id,
    same_words,
    told,
    tolerant,
    utc,
)
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import (
    Field,
    bag,
    flag,
    listing,
    mapping,
    number,
    optional_record,
    out,
    properties,
    record,
    text,
)
from localcloud.providers.values import UNKNOWN, Values, sparse

_NODE = record(id=out(text()), instanceId=out(number()), status=out(text()))
_POOL = record(
    autoscaler=optional_record({"max": number(required=True), "min": number(required=True)}),
    count=number(computed=True),
    diskEncryption=out(text()),
    id=out(number()),
    label=text(default=""),
    nodes=out(listing(_NODE)),
    tags=bag(text()),
    type=text(required=True),
)
_ACL = {
    "addresses": listing(record(ipv4s=bag(text(), computed=True), ipv6s=bag(text(), computed=True)), computed=True),
    "enabled": flag(computed=True),
}


class LkeCluster(SdkResource):
    fields = properties(
        apiEndpoints=out(listing(text())),
        aplEnabled=flag(computed=True, new=True),
        controlPlane=optional_record(
            {
                "acl": optional_record(_ACL, computed=True),
                "auditLogsEnabled": flag(computed=True),
                "highAvailability": flag(computed=True),
            },
            computed=True,
        ),
        dashboardUrl=out(text()),
        k8sVersion=text(required=True),
        kubeconfig=out(text(secret=True)),
        label=text(required=True),
        pools=listing(_POOL),
        region=text(required=True, new=True),
        stackType=text(computed=True),
        status=out(text()),
        tags=bag(text(), computed=True, same=same_words),
        tier=text(computed=True, new=True),
    )

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:
        super().adjust(old, planned, inputs)
        for index, pool in enumerate(planned.get("pools") or []):
            before = ((old or {}).get("pools") or [])[index : index + 1]
            known = before[0] if before and before[0].get("type") == pool.get("type") else {}
            for name in ("id", "nodes", "diskEncryption"):
                pool[name] = known.get(name, UNKNOWN)
            if known and known.get("count") != pool.get("count"):
                pool["nodes"] = UNKNOWN

    def create(self, api: Linode, draft: Draft) -> None:
        body = {
            **sparse({"label": draft["label"], "region": draft["region"], "k8s_version": draft["k8sVersion"]}),
            "node_pools": [_pool_body(pool) for pool in draft["pools"]],
            "control_plane": self._control_plane(draft),
            **sparse({"tags": draft["tags"]}),
        }
        made = self._told("failed to create LKE cluster", lambda: api.post("/lke/clusters", body))
        draft.id = numeric_id(made)
        self.read(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/lke/clusters/{draft.id}"
        found = self._told(f"failed to get LKE cluster {draft.id}", lambda: api.find(path))
        if found is None:
            draft.id = ""
            return
        pools = api.listing(f"{path}/pools")
        kubeconfig = api.get(f"{path}/kubeconfig")["kubeconfig"]
        endpoints = [entry["endpoint"] for entry in api.listing(f"{path}/api-endpoints")]
        acl = api.get(f"{path}/control_plane_acl")["acl"]
        dashboard = api.get(f"{path}/dashboard")["url"]
        plane, addresses = found["control_plane"], acl.get("addresses") or {}
        draft.set(
            apiEndpoints=endpoints,
            aplEnabled=found["apl_enabled"],
            controlPlane={
                "acl": {
                    "enabled": acl["enabled"],
                    "addresses": [{"ipv4s": addresses.get("ipv4") or [], "ipv6s": addresses.get("ipv6") or []}],
                },
                "auditLogsEnabled": plane["audit_logs_enabled"],
                "highAvailability": plane["high_availability"],
            },
            dashboardUrl=dashboard,
            k8sVersion=found["k8s_version"],
            kubeconfig=kubeconfig,
            label=found["label"],
            pools=[_pool_state(pool) for pool in pools],
            region=found["region"],
            stackType=found["stack_type"],
            status=found["status"],
            tags=found["tags"],
            tier=found["tier"],
        )

    def update(self, api: Linode, draft: Draft) -> None:
        path = f"/lke/clusters/{draft.id}"
        names = {"label": "label", "k8sVersion": "k8s_version", "tags": "tags"}
        changes: Values = {key: draft[name] for name, key in names.items() if draft.changed(name)}
        if changes or draft.changed("controlPlane"):
            body = {**changes, "control_plane": self._control_plane(draft)}
            self._told(f"failed to update LKE Cluster {draft.id}", lambda: api.put(path, body))
        old, new = draft.before("pools"), draft["pools"]
        for before, after in zip(old, new, strict=False):
            if before["type"] != after["type"]:
                api.post(f"{path}/pools", _pool_body(after))
                api.delete(f"{path}/pools/{before['id']}")
            elif _pool_body(before) != _pool_body(after):
                api.put(f"{path}/pools/{before['id']}", _pool_body(after))
        for added in new[len(old) :]:
            api.post(f"{path}/pools", _pool_body(added))
        for removed in old[len(new) :]:
            api.delete(f"{path}/pools/{removed['id']}")
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        path = f"/lke/clusters/{draft.id}"
        self._told(f"failed to delete Linode LKE cluster {draft.id}", lambda: tolerant(lambda: api.delete(path)))

    @staticmethod
    def _control_plane(draft: Draft) -> Values:
        plane = draft["controlPlane"]
        address = (plane["acl"]["addresses"] or [{"ipv4s": [], "ipv6s": []}])[0]
        return {
            "high_availability": plane["highAvailability"],
            "acl": {
                "enabled": plane["acl"]["enabled"],
                "addresses": {"ipv4": address["ipv4s"], "ipv6": address["ipv6s"]},
            },
        }

    @staticmethod
    def _told(headline: str, call: Any) -> Any:
        try:
            return call()
        except Refused as error:
            raise Failed(f"{headline}: {error}") from None


def _pool_body(pool: Values) -> Values:
    scaler = pool.get("autoscaler") or {}
    enabled = bool(scaler.get("max"))
    count = pool["count"] or scaler.get("min") or 0
    return {
        "type": pool["type"],
        "count": count,
        "tags": list(pool.get("tags") or []),
        "autoscaler": {
            "enabled": enabled,
            "min": scaler["min"] if enabled else count,
            "max": scaler["max"] if enabled else count,
        },
    }


def _pool_state(pool: Values) -> Values:
    scaler = pool["autoscaler"]
    return {
        "autoscaler": {"min": scaler["min"], "max": scaler["max"]} if scaler["enabled"] else None,
        "count": pool["count"],
        "diskEncryption": pool["disk_encryption"],
        "id": pool["id"],
        "label": pool["label"],
        "nodes": [
            {"id": node["id"], "instanceId": node["instance_id"], "status": node["status"]} for node in pool["nodes"]
        ],
        "tags": pool["tags"],
        "type": pool["type"],
    }


class DatabasePostgresqlV2(FrameworkResource):
    fields = properties(
        allowLists=bag(text(), computed=True, keep_order=True),
        caCert=out(text(secret=True)),
        clusterSize=number(computed=True, default=1),
        created=out(text()),
        encrypted=out(flag()),
        engine=out(text()),
        engineId=text(required=True),
        hostPrimary=out(text()),
        hostSecondary=out(text()),
        hostStandby=out(text()),
        label=text(required=True, check=between("label", 3, 32)),
        members=out(mapping()),
        oldestRestoreTime=out(text()),
        platform=out(text()),
        port=out(number()),
        region=text(required=True),
        rootPassword=out(text(secret=True)),
        rootUsername=out(text(secret=True)),
        sslConnection=out(flag()),
        status=out(text()),
        suspended=flag(computed=True, default=False),
        type=text(required=True),
        updated=Field("string", output_only=True, computed=True, keep_known=False),
        updates=optional_record(
            {"dayOfWeek": number(), "duration": number(), "frequency": text(), "hourOfDay": number()}, computed=True
        ),
        version=out(text()),
    )

    def replaced_by(self, old: Values, planned: Values) -> list[str]:
        return [name for name in ("region", "engineId") if planned.get(name) != old.get(name)]

    def create(self, api: Linode, draft: Draft) -> None:
        body = {
            "label": draft["label"],
            "region": draft["region"],
            "type": draft["type"],
            "engine": draft["engineId"],
            "cluster_size": draft["clusterSize"],
            "allow_list": draft["allowLists"],
        }
        made = told("Failed to create PostgreSQL database", lambda: api.post(self._path(), body))
        path = self._path(numeric_id(made))
        told(
            "Failed to wait for PostgreSQL database active",
            lambda: api.wait(path, lambda found: bool(found["status"] == "active"), draft.timeout or CREATE_SECONDS),
        )
        if draft.configured("updates"):
            told("Failed to update PostgreSQL database", lambda: api.put(path, {"updates": self._updates(draft)}))
        draft.id = numeric_id(made)
        draft.complete(**self._state(api, draft.id))

    def read(self, api: Linode, draft: Draft) -> None:
        found = told("Unable to refresh the Database", lambda: api.find(self._path(draft.id)))
        if found is None:
            draft.id = ""
        else:
            draft.set(**self._state(api, draft.id))

    def update(self, api: Linode, draft: Draft) -> None:
        names = {"label": "label", "allowLists": "allow_list", "type": "type", "clusterSize": "cluster_size"}
        changes: Values = {key: draft[name] for name, key in names.items() if draft.changed(name)}
        if draft.changed("updates"):
            changes["updates"] = self._updates(draft)
        if changes:
            told("Failed to update database", lambda: api.put(self._path(draft.id), changes))
        draft.complete(**self._state(api, draft.id))

    def delete(self, api: Linode, draft: Draft) -> None:
        told("Failed to delete the database", lambda: tolerant(lambda: api.delete(self._path(draft.id))))

    @staticmethod
    def _path(id: str | None = None) -> str:
        return "/databases/postgresql/instances" + (f"/{id}" if id else "")

    @staticmethod
    def _updates(draft: Draft) -> Values:
        window = draft["updates"]
        return {
            "day_of_week": window["dayOfWeek"],
            "duration": window["duration"],
            "frequency": window["frequency"],
            "hour_of_day": window["hourOfDay"],
        }

    def _state(self, api: Linode, id: str) -> Values:
        path = self._path(id)
        found, ssl, credentials = api.get(path), api.get(f"{path}/ssl"), api.get(f"{path}/credentials")
        hosts, window = found["hosts"], found["updates"]
        return {
            **{name: found[name] for name in ("encrypted", "engine", "label", "members", "platform", "port", "region")},
            **{name: found[name] for name in ("status", "type", "version")},
            "allowLists": found["allow_list"],
            "caCert": base64.b64decode(ssl["ca_certificate"]).decode(),
            "clusterSize": found["cluster_size"],
            "created": utc(found["created"]),
            "engineId": f"{found['engine']}/{found['version'].partition('.')[0]}",
            "hostPrimary": hosts["primary"],
            "hostSecondary": hosts["standby"],
            "hostStandby": hosts["standby"],
            "oldestRestoreTime": utc(found["oldest_restore_time"]),
            "rootPassword": credentials["password"],
            "rootUsername": credentials["username"],
            "sslConnection": found["ssl_connection"],
            "suspended": found["status"] == "suspended",
            "updated": utc(found["updated"]),
            "updates": {
                "dayOfWeek": window["day_of_week"],
                "duration": window["duration"],
                "frequency": window["frequency"],
                "hourOfDay": window["hour_of_day"],
            },
        }


class NodeBalancer(FrameworkResource):
    fields = properties(
        clientConnThrottle=number(computed=True, default=0),
        clientUdpSessThrottle=number(computed=True, default=0),
        created=out(text()),
        firewallId=number(new=True),
        hostname=out(text()),
        ipv4=out(text()),
        ipv6=out(text()),
        label=text(check=between("label", 3, 32)),
        region=text(computed=True, default="us-east", new=True),
        tags=bag(text(), computed=True, default=[], same=same_words, keep_order=True),
        updated=Field("string", output_only=True, computed=True, keep_known=False),
    )

    def create(self, api: Linode, draft: Draft) -> None:
        body = {
            "region": draft["region"],
            **sparse({"label": draft["label"], "firewall_id": draft["firewallId"]}),
            "client_conn_throttle": draft["clientConnThrottle"],
            "client_udp_sess_throttle": draft["clientUdpSessThrottle"],
            "tags": draft["tags"],
        }
        made = told("Error creating a Linode NodeBalancer", lambda: api.post("/nodebalancers", body))
        draft.id = numeric_id(made)
        self._others(api, draft.id)
        draft.complete(**self._state(made))

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/nodebalancers/{draft.id}"
        found = told(f"Failed to Get NodeBalancer {draft.id}", lambda: api.find(path))
        if found is None:
            draft.id = ""
            return
        self._others(api, draft.id)
        draft.set(**self._state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        body = {
            "label": draft["label"],
            "client_conn_throttle": draft["clientConnThrottle"],
            "client_udp_sess_throttle": draft["clientUdpSessThrottle"],
            "tags": draft["tags"],
        }
        path = f"/nodebalancers/{draft.id}"
        found = told(f"Failed to Update NodeBalancer {draft.id}", lambda: api.put(path, body))
        draft.complete(**self._state(found))

    def delete(self, api: Linode, draft: Draft) -> None:
        path = f"/nodebalancers/{draft.id}"
        told(f"Error deleting Linode NodeBalancer {draft.id}", lambda: tolerant(lambda: api.delete(path)))

    @staticmethod
    def _others(api: Linode, id: str) -> None:
        """What the plugin asks for beside the balancer itself."""
        api.listing(f"/nodebalancers/{id}/firewalls")
        api.listing(f"/nodebalancers/{id}/vpcs")

    @staticmethod
    def _state(found: Values) -> Values:
        return {
            **{name: found[name] for name in ("label", "region", "hostname", "ipv4", "ipv6", "tags")},
            "clientConnThrottle": found["client_conn_throttle"],
            "clientUdpSessThrottle": found["client_udp_sess_throttle"],
            "created": utc(found["created"]),
            "updated": utc(found["updated"]),
        }
