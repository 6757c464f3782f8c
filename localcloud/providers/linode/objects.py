"""Object storage: buckets, keys and objects."""

from __future__ import annotations

import base64

import httpx

from localcloud import signatures
from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.linode.common import FrameworkResource, SdkResource, numeric_id, told
from localcloud.providers.resource import Draft, Failed
from localcloud.providers.schema import Field, bag, flag, mapping, out, properties, record, text
from localcloud.providers.values import UNKNOWN, Values, sparse

#: The real plugin pauses after the deletion of a key.
KEY_PAUSE_SECONDS = 3


class ObjectStorageBucket(SdkResource):
    """A bucket and its access. Versioning, lifecycle rules and certificates, which need S3, are left out."""

    fields = properties(
        accessKey=text(),
        acl=text(default="private"),
        cluster=text(computed=True, new=True),
        corsEnabled=flag(computed=True),
        endpoint=out(text()),
        endpointType=text(computed=True, new=True),
        hostname=out(text()),
        label=text(required=True, new=True),
        region=text(computed=True, new=True),
        s3Endpoint=text(computed=True, new=True),
        secretKey=text(secret=True),
        versioning=flag(computed=True),
    )

    def create(self, api: Linode, draft: Draft) -> None:
        self._check_region(api, draft)
        body = sparse(
            {
                "region": draft["region"],
                "cluster": draft["cluster"],
                "label": draft["label"],
                "acl": draft["acl"],
                "cors_enabled": draft["corsEnabled"],
                "s3_endpoint": draft["s3Endpoint"],
                "endpoint_type": draft["endpointType"],
            }
        )
        try:
            made = api.post("/object-storage/buckets", body)
        except Refused as error:
            raise Failed(f"failed to create a Linode ObjectStorageBucket: {error}") from None
        draft.id = f"{made.get('region') or made['cluster']}:{made['label']}"
        draft.set(endpoint=made.get("s3_endpoint"), s3Endpoint=made.get("s3_endpoint"))
        self._check_region(api, draft)
        self._write_access(api, draft)
        self.read(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        path = f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}"
        try:
            found = api.find(path)
        except Refused as error:
            raise Failed(f"failed to find the specified Linode ObjectStorageBucket: {error}") from None
        if found is None:
            draft.id = ""
            return
        access = api.get(f"{path}/access")
        draft.id = f"{found.get('region') or found['cluster']}:{found['label']}"
        draft.set(
            **{name: found.get(name) for name in ("cluster", "region", "label", "hostname")},
            acl=access.get("acl"),
            corsEnabled=access.get("cors_enabled"),
            endpoint=found.get("s3_endpoint"),
            s3Endpoint=found.get("s3_endpoint"),
            endpointType=found.get("endpoint_type"),
        )

    def update(self, api: Linode, draft: Draft) -> None:
        self._write_access(api, draft)
        self.read(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}")
        except Refused as error:
            raise Failed(f"Error deleting Linode ObjectStorageBucket {draft.id}: {error}") from None

    @staticmethod
    def _check_region(api: Linode, draft: Draft) -> None:
        if region := draft["region"]:
            known = {entry["region"] for entry in api.listing("/object-storage/endpoints")}
            if region not in known:
                raise Failed(f"Region '{region}' is not valid for Object Storage.")

    @staticmethod
    def _write_access(api: Linode, draft: Draft) -> None:
        changes = {
            key: draft[name] for name, key in (("acl", "acl"), ("corsEnabled", "cors_enabled")) if draft.changed(name)
        }
        if changes:
            path = f"/object-storage/buckets/{draft.id.replace(':', '/', 1)}/access"
            try:
                api.post(path, changes)
            except Refused as error:
                raise Failed(f"failed to update bucket access: {error}") from None


class ObjectStorageKey(FrameworkResource):
    fields = properties(
        accessKey=out(text()),
        bucketAccesses=bag(
            record(
                bucketName=text(required=True),
                cluster=text(computed=True),
                permissions=text(required=True),
                region=text(computed=True),
            ),
            new=True,
            keep_order=True,
        ),
        label=text(required=True),
        limited=out(flag()),
        regions=Field("set", item=text(), computed=True, keep_known=False, keep_order=True),
        regionsDetails=Field(
            "set",
            item=record(endpointType=text(), id=text(), s3Endpoint=text()),
            output_only=True,
            computed=True,
            keep_known=False,
            keep_order=True,
        ),
        secretKey=out(text(secret=True)),
    )
    _redacted = "[REDACTED]"

    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        accesses, known = planned.get("bucketAccesses"), (old or {}).get("bucketAccesses") or []
        if not isinstance(accesses, list):
            return
        # The API fills in a bucket's region or cluster from the other.
        for access in accesses:
            match: Values = next((item for item in known if item.get("bucketName") == access["bucketName"]), {})
            for name in ("cluster", "region"):
                if access[name] is None:
                    access[name] = match.get(name, UNKNOWN if old is None else None)

    def create(self, api: Linode, draft: Draft) -> None:
        body: Values = {"label": draft["label"]}
        if draft.configured("bucketAccesses"):
            body["bucket_access"] = [
                sparse(
                    {
                        "cluster": access["cluster"],
                        "region": access["region"],
                        "bucket_name": access["bucketName"],
                        "permissions": access["permissions"],
                    }
                )
                for access in draft["bucketAccesses"]
            ]
        body |= sparse({"regions": draft["regions"]})
        made = told("Failed to create Object Storage Key", lambda: api.post("/object-storage/keys", body))
        draft.id = numeric_id(made)
        draft.complete(**self._state(made))

    def read(self, api: Linode, draft: Draft) -> None:
        found = told("Unable to refresh the Object Storage Key", lambda: api.find(f"/object-storage/keys/{draft.id}"))
        if found is None:
            draft.id = ""
            return
        draft.set(**{name: value for name, value in self._state(found).items() if value != self._redacted})

    def update(self, api: Linode, draft: Draft) -> None:
        changes: Values = {
            name: draft[name] for name in ("label", "regions") if draft.configured(name) and draft.changed(name)
        }
        if changes:
            found = told(
                f"Failed to update Object Storage Key ({draft.id})",
                lambda: api.put(f"/object-storage/keys/{draft.id}", changes),
            )
            draft.complete(**self._state(found))
        draft.complete(**{name: draft.old.get(name) for name in self.fields})

    def delete(self, api: Linode, draft: Draft) -> None:
        try:
            api.delete(f"/object-storage/keys/{draft.id}")
        except Refused as error:
            if error.status != 404:
                raise Failed(f"Failed to delete the Object Storage Key ({draft.id}): {error}") from None
            return
        api.pause(KEY_PAUSE_SECONDS)

    @staticmethod
    def _state(found: Values) -> Values:
        regions = found.get("regions") or []
        accesses = found.get("bucket_access")
        return {
            "label": found["label"],
            "accessKey": found.get("access_key"),
            "secretKey": found.get("secret_key"),
            "limited": found.get("limited"),
            "regions": [region["id"] for region in regions],
            "regionsDetails": [
                {"id": region["id"], "s3Endpoint": region["s3_endpoint"], "endpointType": region["endpoint_type"]}
                for region in regions
            ],
            "bucketAccesses": None
            if accesses is None
            else [
                {
                    "bucketName": access["bucket_name"],
                    "cluster": access.get("cluster"),
                    "permissions": access["permissions"],
                    "region": access.get("region"),
                }
                for access in accesses
            ],
        }


class ObjectStorageObject(FrameworkResource):
    """An object. The real plugin waits 5 s before each PUT, and repeats a refused one without end.

    State has the written content and a read looks at headers only, so content changed by hand is not seen.
    """

    fields = properties(
        accessKey=text(),
        acl=text(computed=True, default="private"),
        bucket=text(required=True, new=True),
        cacheControl=text(),
        content=text(),
        contentBase64=text(),
        contentDisposition=text(),
        contentEncoding=text(),
        contentLanguage=text(),
        contentType=text(computed=True),
        endpoint=text(computed=True),
        etag=text(computed=True, keep_known=False),
        forceDestroy=flag(computed=True, default=False),
        key=text(required=True, new=True),
        metadata=mapping(computed=True, default={}),
        region=text(required=True, new=True),
        secretKey=text(secret=True),
        source=text(),
        versionId=Field("string", output_only=True, computed=True, keep_known=False),
        websiteRedirect=text(),
    )
    _body = ("content", "contentBase64", "contentType")

    def create(self, api: Linode, draft: Draft) -> None:
        if draft.values.get("endpoint") in (None, UNKNOWN):
            path = f"/object-storage/buckets/{draft['region']}/{draft['bucket']}"
            found = told("Failed to Find the Specified Linode ObjectStorageBucket", lambda: api.get(path))
            draft.set(endpoint=found["s3_endpoint"])
        told("Failed to Put the Object", lambda: self._ask(api, draft, "PUT"))
        draft.id = f"{draft['bucket']}/{draft['key']}"
        self._refresh(api, draft)

    def read(self, api: Linode, draft: Draft) -> None:
        headers = self._headers(api, draft)
        draft.set(etag=_etag(headers), contentType=headers["Content-Type"])

    def update(self, api: Linode, draft: Draft) -> None:
        if any(draft.changed(name) for name in self._body):
            told("Failed to Put the Object", lambda: self._ask(api, draft, "PUT"))
        self._refresh(api, draft)

    def delete(self, api: Linode, draft: Draft) -> None:
        told("Failed to Delete the Object", lambda: self._ask(api, draft, "DELETE"))

    def _refresh(self, api: Linode, draft: Draft) -> None:
        headers = self._headers(api, draft)
        draft.complete(etag=_etag(headers), versionId=None, contentType=headers["Content-Type"])

    def _headers(self, api: Linode, draft: Draft) -> httpx.Headers:
        headers: httpx.Headers | None = told("Failed to Refresh the Object", lambda: self._ask(api, draft, "HEAD"))
        if headers is None:
            # The real plugin tries to remove the object from state and fails.
            raise Failed("Failed to Refresh the Object: https response error StatusCode: 404, NotFound")
        return headers

    @staticmethod
    def _ask(api: Linode, draft: Draft, method: str) -> httpx.Headers | None:
        """Send a request; return the response's headers, or None for a 404."""
        url = f"https://{draft['endpoint']}/{draft['bucket']}/{draft['key']}"
        body = b""
        if method == "PUT":
            encoded, plain = draft["contentBase64"], draft["content"]
            body = base64.b64decode(encoded) if encoded else plain.encode()
        headers = signatures.sign(method, url, body, draft["accessKey"], draft["secretKey"])
        if method == "PUT" and draft["contentType"]:
            headers["Content-Type"] = draft["contentType"]
        try:
            answer = httpx.request(method, url, content=body, headers=headers, verify=api.trust)
        except httpx.HTTPError as error:
            raise Failed(str(error)) from None
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise Failed(f"{answer.status_code}: {answer.text}")
        return answer.headers


def _etag(headers: httpx.Headers) -> str:
    return str(headers.get("ETag", "")).strip('"')
