"""Object storage, used through boto3: which requests it accepts, and which it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import botocore.exceptions  # type: ignore[import-untyped]
import httpx
import pytest
from botocore.config import Config  # type: ignore[import-untyped]

from localcloud.cloud import LINODE_TOKEN, LocalCloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(providers=False) as cloud:
        for name in ("ours", "theirs"):
            ask(cloud, "buckets", {"region": "us-ord", "label": name})
        yield cloud


def ask(cloud: LocalCloud, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {LINODE_TOKEN}"}
    answer = httpx.post(f"{cloud.linode_url}/v4/object-storage/{path}", json=body, headers=headers).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def client(cloud: LocalCloud, permissions: str, *, secret: str | None = None) -> Any:
    access = [{"region": "us-ord", "bucket_name": "ours", "permissions": permissions}]
    key = ask(cloud, "keys", {"label": "k", "bucket_access": access})
    return boto3.client(
        "s3",
        endpoint_url=f"https://{cloud.linode.cloud.s3_host}",
        verify=cloud.env["SSL_CERT_FILE"],
        aws_access_key_id=key["access_key"],
        aws_secret_access_key=secret or key["secret_key"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_what_is_put_is_got_by_the_key_that_may_read_only(cloud: LocalCloud) -> None:
    writer, reader = client(cloud, "read_write"), client(cloud, "read_only")
    body = b'{"schema": 1}'
    put = writer.put_object(Bucket="ours", Key="a/settings.json", Body=body, ContentType="application/json")
    got = reader.get_object(Bucket="ours", Key="a/settings.json")
    assert got["Body"].read() == body
    assert (got["ETag"], got["ContentType"]) == (put["ETag"], "application/json")
    assert refusal(reader.put_object, Bucket="ours", Key="a/settings.json", Body=b"x") == "AccessDenied"
    assert refusal(reader.delete_object, Bucket="ours", Key="a/settings.json") == "AccessDenied"
    writer.delete_object(Bucket="ours", Key="a/settings.json")
    assert refusal(reader.get_object, Bucket="ours", Key="a/settings.json") == "NoSuchKey"


def test_a_key_opens_its_bucket_only_and_its_secret_counts(cloud: LocalCloud) -> None:
    writer = client(cloud, "read_write")
    assert refusal(writer.put_object, Bucket="theirs", Key="x", Body=b"x") == "AccessDenied"
    assert refusal(writer.put_object, Bucket="nobodys", Key="x", Body=b"x") == "NoSuchBucket"
    wrong = client(cloud, "read_write", secret="not-the-secret")
    assert refusal(wrong.put_object, Bucket="ours", Key="x", Body=b"x") == "SignatureDoesNotMatch"
