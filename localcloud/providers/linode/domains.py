"""DNS zones and their records."""

from __future__ import annotations

import json
from typing import Any

from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.linode.common import SdkResource, length, numeric_id
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import number, properties, text
from localcloud.providers.values import Values, sparse

#: The times to live that the API rounds to.
_SECONDS = (0, 30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200)


def _same_seconds(old: Any, new: Any) -> bool:
    rounded = next((allowed for allowed in _SECONDS if allowed >= int(new or 0)), _SECONDS[-1])
    return int(old or 0) == rounded


_RECORD_TYPES = ("A", "AAAA", "NS", "MX", "CNAME", "TXT", "SRV", "PTR", "CAA")


class DomainRecord(SdkResource):
    fields = properties(
        domainId=number(required=True, new=True),
        name=text(computed=True, check=length("name", 0, 100)),
        port=number(),
        priority=number(),
        protocol=text(),
        recordType=text(
            required=True,
            new=True,
            check=lambda value: (
                None
                if value in _RECORD_TYPES
                else f"expected record_type to be one of [{' '.join(map(json.dumps, _RECORD_TYPES))}], got {value}"
            ),
        ),
        service=text(),
        tag=text(),
        target=text(required=True, same=lambda old, new: "." not in str(new) and str(new) in str(old)),
        ttlSec=number(same=_same_seconds),
        weight=number(),
    )

    def create(self, api: Linode, draft: Draft) -> None:
        try:
            made = api.post(f"/domains/{draft['domainId']}/records", self._body(draft))
        except Refused as error:
            raise Failed(f"Error creating a Linode DomainRecord: {error}") from None
        draft.id = numeric_id(made)
        self.read(api, draft)

    def prepare_import(self, api: Linode, draft: Draft) -> None:  # noqa: ARG002
        domain, comma, number_text = draft.id.partition(",")
        if not comma:
            raise Failed(f"failed to parse argument: {draft.id}")
        draft.id = number_text
        draft.set(domainId=domain)

    def read(self, api: Linode, draft: Draft) -> None:
        domain = draft["domainId"]
        try:
            found = api.find(f"/domains/{domain}/records/{draft.id}")
        except Refused as error:
            raise Failed(f"Error finding the specified Linode DomainRecord: {error}") from None
        if found is None:
            draft.id = ""
            return
        name = found.get("name") or ""
        if stated := draft["name"]:
            zone = api.get(f"/domains/{domain}")["domain"]
            if name == stated.removesuffix(zone).removesuffix("."):
                name = stated
        draft.set(
            name=name,
            recordType=found["type"],
            ttlSec=found.get("ttl_sec", 0),
            **{key: found.get(key) for key in ("port", "priority", "protocol", "service", "tag", "target", "weight")},
        )

    def update(self, api: Linode, draft: Draft) -> None:
        try:
            api.put(f"/domains/{draft['domainId']}/records/{draft.id}", self._body(draft))
        except Refused as error:
            raise Failed(f"Error updating Domain Record: {error}") from None
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/domains/{draft['domainId']}/records/{draft.id}")
        except Refused as error:
            raise Failed(f"Error deleting Linode DomainRecord {draft.id}: {error}") from None

    @staticmethod
    def _body(draft: Draft) -> Values:
        numbers = ("priority", "weight", "port")
        return {
            "type": draft["recordType"],
            **sparse({"name": draft["name"], "target": draft["target"]}),
            # Zero is sent once it is in state, which is after the first update.
            **{key: draft[key] for key in numbers if draft[key] or draft.old.get(key) is not None},
            **sparse({key: draft[key] for key in ("service", "protocol", "tag")}),
            **sparse({"ttl_sec": draft["ttlSec"]}),
        }
