"""Block storage volumes."""

from __future__ import annotations

from typing import Any

from localcloud.providers.linode.client import Linode
from localcloud.providers.linode.common import (
    CREATE_SECONDS,
    DELETE_SECONDS,
    FrameworkResource,
    among,
    between,
    numeric_id,
    same_words,
    told,
)
from localcloud.providers.resource import Draft
from localcloud.providers.schema import bag, number, optional_record, out, properties, text
from localcloud.providers.values import UNKNOWN, Values, sparse

VOLUME_UPDATE_SECONDS = 1200


class Volume(FrameworkResource):
    fields = properties(
        encryption=text(computed=True, new=True, check=among("encryption", "enabled", "disabled")),
        filesystemPath=out(text()),
        label=text(required=True, check=between("label", 1, 32)),
        linodeId=number(computed=True),
        region=text(computed=True, new=True),
        size=number(computed=True, default=20),
        sourceVolumeId=number(),
        status=out(text()),
        tags=bag(text(), computed=True, default=[], same=same_words, keep_order=True),
        timeouts=optional_record({"create": text(), "delete": text(), "update": text()}),
    )
    _same_names = ("label", "region", "size", "encryption", "tags", "status")

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:
        if old is None and inputs.get("encryption") is None:
            planned["encryption"] = "enabled"

    def replaced_by(self, old: Values, planned: Values) -> list[str]:
        source = planned.get("sourceVolumeId")
        return ["sourceVolumeId"] if source is not None and source != old.get("sourceVolumeId") else []

    def create(self, api: Linode, draft: Draft) -> None:
        attach = draft.values.get("linodeId")
        body = {
            **sparse({"label": draft["label"], "region": draft["region"]}),
            **({} if attach in (None, UNKNOWN) else sparse({"linode_id": attach})),
            **sparse({"size": draft["size"]}),
            "tags": draft["tags"],
            "encryption": draft["encryption"],
        }
        made = told("Failed to Create a Volume", lambda: api.post("/volumes", body))
        found = told(
            "Failed to Wait for Created Volume be Active",
            lambda: self._wait_active(api, made["id"], draft.timeout or CREATE_SECONDS),
        )
        draft.id = numeric_id(made)
        draft.complete(**self._state(found))

    def read(self, api: Linode, draft: Draft) -> None:
        found = told("Failed to Get the Volume", lambda: api.find(f"/volumes/{draft.id}"))
        if found is None:
            draft.id = ""
        else:
            draft.set(**self._state(found))

    def update(self, api: Linode, draft: Draft) -> None:
        path, seconds = f"/volumes/{draft.id}", draft.timeout or VOLUME_UPDATE_SECONDS
        if draft.changed("size"):
            told(f"Failed to Resize Volume {draft.id}", lambda: api.post(f"{path}/resize", {"size": draft["size"]}))
            found = told(
                f"Failed to Wait for Volume {draft.id} Ready from Resizing",
                lambda: self._wait_active(api, draft.id, seconds),
            )
            draft.complete(**self._state(found))
        if draft.changed("label") or draft.changed("tags"):
            body = {"label": draft["label"], **({"tags": draft["tags"]} if draft.changed("tags") else {})}
            found = told(f"Failed to Update Volume {draft.id}", lambda: api.put(path, body))
            draft.complete(**self._state(found))
        if draft.values.get("linodeId") != draft.old.get("linodeId"):
            if draft.old.get("linodeId") is not None:
                self._detach(api, draft.id, seconds)
            if draft.values.get("linodeId") is not None:
                self._attach(api, draft, seconds)

    def delete(self, api: Linode, draft: Draft) -> None:
        if draft.old.get("linodeId") is not None:
            self._detach(api, draft.id, draft.timeout or DELETE_SECONDS)
        told(f"Failed to Delete Volume {draft.id}", lambda: api.delete(f"/volumes/{draft.id}"))

    @staticmethod
    def _wait_active(api: Linode, volume: Any, seconds: float) -> Values:
        return api.wait(f"/volumes/{volume}", lambda found: bool(found["status"] == "active"), seconds)

    @staticmethod
    def _detach(api: Linode, volume: str, seconds: float) -> None:
        told(f"Failed to Detach Volume {volume}", lambda: api.post(f"/volumes/{volume}/detach", {}))
        told(
            f"Failed to Wait for Volume {volume} Detached",
            lambda: api.wait(f"/volumes/{volume}", lambda found: found.get("linode_id") is None, seconds),
        )

    @staticmethod
    def _attach(api: Linode, draft: Draft, seconds: float) -> None:
        linode, volume = draft["linodeId"], draft.id
        told(
            f"Failed to Attach Volume {volume} to Linode {linode}",
            lambda: api.post(f"/volumes/{volume}/attach", {"linode_id": linode}),
        )
        told(
            f"Failed to Wait for Volume {volume} Attached to Linode {linode}",
            lambda: api.wait(f"/volumes/{volume}", lambda found: bool(found.get("linode_id") == linode), seconds),
        )

    def _state(self, found: Values) -> Values:
        return {
            **{name: found.get(name) for name in self._same_names},
            "filesystemPath": found.get("filesystem_path", ""),
            # A detached volume has 0 in state, and so is detached before it is attached or deleted.
            "linodeId": found.get("linode_id") or 0,
        }
