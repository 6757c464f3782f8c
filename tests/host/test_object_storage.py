"""Settings and backups over S3: rclone, with the environment that the program writes, against an S3 server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from harbor_mirror.host import SETTINGS_OBJECT, Bucket
from tests.faults.secrets import leaks
from tests.host.machine import STUBS, Machine, Server

Make = Callable[..., Machine]


@pytest.fixture
def s3() -> Iterator[Callable[[str], Bucket]]:
    """Makes a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"

    def make(name: str) -> Bucket:
        _client(endpoint).create_bucket(Bucket=name)
        return Bucket(
            name=name, endpoint=endpoint, region="us-east-1", access_key="ACCESSKEY01", secret_key="secret-key-01"
        )

    yield make
    server.stop()


def _client(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **keys)


def _publish(bucket: Bucket, document: str) -> None:
    _client(bucket.endpoint).put_object(Bucket=bucket.name, Key=SETTINGS_OBJECT, Body=document.encode())


def test_settings_arrive_from_the_bucket(machine: Make, s3: Callable[[str], Bucket]) -> None:
    bucket = s3("settings")
    server = machine(settings_bucket=bucket, objectStorage={})
    _publish(bucket, Server.of(objectStorage={}, service={"workers": 7}).document())
    assert server.bootstrap() == 0, server.output
    assert "max_job_workers: 7\n" in server.text("/opt/harbor/2.15.1/harbor.yml")


def test_backup_goes_to_the_bucket_and_comes_back(machine: Make, s3: Callable[[str], Bucket]) -> None:
    bucket, settings = s3("backup"), s3("settings")
    server = machine(settings_bucket=settings, objectStorage={}, backup={})
    _publish(settings, server.server.document(backup=bucket))
    assert server.bootstrap() == 0, server.output
    blob = server.path("/mnt/harbor/data/registry/docker/registry/v2/blobs/one")
    blob.parent.mkdir(parents=True)
    blob.write_text("layers")
    status, output = server.run("/usr/local/sbin/harbor-backup")
    assert status == 0, output
    assert "secret-key-01" not in output
    stored = _client(bucket.endpoint).list_objects_v2(Bucket=bucket.name)["Contents"]
    names = {entry["Key"].rsplit("/", 1)[-1] for entry in stored}
    assert names >= {"manifest.json", "registry.dump", "keys.tar", "harbor.yml", "SHA256SUMS", "one"}
    blob.unlink()
    status, output = server.run("/usr/local/sbin/harbor-restore", "latest", "--yes")
    assert status == 0, output
    assert blob.read_text() == "layers"


def test_versioning_of_the_bucket_is_turned_on(machine: Make, s3: Callable[[str], Bucket]) -> None:
    bucket, settings = s3("backup"), s3("settings")
    server = machine(settings_bucket=settings, objectStorage={}, backup={"versioned": True})
    _publish(settings, server.server.document(backup=bucket))
    assert server.bootstrap() == 0, server.output
    server.path("/mnt/harbor/data/registry").mkdir()
    status, output = server.run("/usr/local/sbin/harbor-backup")
    assert status == 0, f"the first backup of a Harbor without images: {output}"
    client = _client(bucket.endpoint)
    assert client.get_bucket_versioning(Bucket=bucket.name)["Status"] == "Enabled"
    # A purge by rclone leaves the versions behind.
    for entry in client.list_objects_v2(Bucket=bucket.name)["Contents"]:
        client.delete_object(Bucket=bucket.name, Key=entry["Key"])
    assert "Contents" not in client.list_objects_v2(Bucket=bucket.name)
    versions = client.list_object_versions(Bucket=bucket.name)["Versions"]
    assert any(version["Key"].endswith("/manifest.json") for version in versions)


def test_secrets_are_in_no_process_argument_output_or_report(machine: Make, s3: Callable[[str], Bucket]) -> None:
    bucket, settings = s3("backup"), s3("settings")
    server = machine(settings_bucket=settings, objectStorage={}, backup={})
    shutil.copy(STUBS / "rclone", server.path("/usr/local/bin/rclone"))
    _publish(settings, server.server.document(backup=bucket))
    shown = ""
    processes: list[bytes] = []
    for command in (
        ("harbor-bootstrap",),
        ("harbor-settings",),
        ("harbor-backup",),
        ("harbor-restore", "list"),
        ("harbor-restore", "latest", "--yes"),
    ):
        status, output, started = server.traced(f"/usr/local/sbin/{command[0]}", *command[1:])
        assert status == 0, output
        shown += output
        processes += started
    assert any(arguments.startswith(b"rclone\n") for arguments in processes)
    values = server.server.values
    secrets = {bucket.secret_key, values.admin_password, values.database_password, values.signing_key}
    assert leaks({arguments.decode(): arguments for arguments in processes}, secrets) == []
    shown += server.text("/stub/rclone-calls") + "\n".join(server.calls)
    shown += server.text("/var/lib/harbor-status/status.json")
    assert shown.count("copyto") >= 3
    assert bucket.secret_key not in shown
    assert "Initial0nly" not in shown
    for path in server.path("/var/lib/harbor-mirror").rglob("*"):
        if path.is_file() and bucket.secret_key in path.read_text(errors="replace"):
            assert path.stat().st_mode & 0o077 == 0, path
