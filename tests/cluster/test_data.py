"""The commands that dump, restore and move Harbor's data, with a real PostgreSQL, rclone, S3 server and registry.

Not here: Linode's own database and buckets, and the shell of a pod, in which the job runs its commands.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
import yaml
from moto.server import ThreadedMotoServer

from harbor_mirror.cluster import manifests
from harbor_mirror.cluster.backends import BucketAddress, DatabaseAddress
from localcloud.http import free_port
from tests.cluster.conftest import cluster
from tests.cluster.documents import shell_blocks
from tests.host.authority import Authority, tls_database
from tests.programs import left_out, program
from tests.waiting import until

#: As Harbor's schema: a sequence, a foreign key, a function in PL/pgSQL and a trigger.
SCHEMA = """
CREATE TABLE project (project_id serial PRIMARY KEY, name varchar(255) UNIQUE, update_time timestamp);
CREATE TABLE robot (id serial PRIMARY KEY, project_id int REFERENCES project, secret varchar(2048));
CREATE FUNCTION update_update_time_at_column() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.update_time = NOW(); RETURN NEW; END $$;
CREATE TRIGGER project_time BEFORE UPDATE ON project FOR EACH ROW EXECUTE PROCEDURE update_update_time_at_column();
INSERT INTO project (name) VALUES ('mirror'), ('library');
INSERT INTO robot (project_id, secret) VALUES (1, '<enc-v1>c2VjcmV0');
"""
UPGRADE = "ALTER TABLE project DROP COLUMN update_time; CREATE TABLE artifact_accessory (id serial); DELETE FROM robot"
ROWS = "SELECT name, secret FROM project LEFT JOIN robot USING (project_id) ORDER BY name"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
CHART = {"version": "1.20.0", "sha256": "0" * 64}
BLOBS, BACKUPS = "harbor-blobs-1", "harbor-backups-1"


class Data:
    """A database and an S3 server; `env` is what "Reach the database and the buckets" sets."""

    def __init__(self, directory: Path, port: int, endpoint: str, authority: Path) -> None:
        self.directory, self.endpoint, self.authority = directory, endpoint, authority
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PG", "RCLONE_"))},
            **{"PGHOST": "localhost", "PGPORT": str(port), "PGUSER": "akmadmin", "PGDATABASE": "defaultdb"},
            **{"PGSSLMODE": "require", "RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENDPOINT": endpoint},
            **{"RCLONE_CONFIG_BLOBS_TYPE": "s3", "RCLONE_CONFIG_BACKUPS_TYPE": "s3"},
            **{f"RCLONE_CONFIG_{name}_ACCESS_KEY_ID": "ACCESSKEY01" for name in ("BLOBS", "BACKUPS")},
            **{f"RCLONE_CONFIG_{name}_SECRET_ACCESS_KEY": "secret-key-01" for name in ("BLOBS", "BACKUPS")},
            **{"BLOBS": BLOBS, "BACKUPS": BACKUPS},
        }
        self.sql("CREATE ROLE akmadmin LOGIN", PGUSER="postgres", PGDATABASE="postgres")
        self.create_database("defaultdb")

    def create_database(self, name: str) -> None:
        """Create a database whose owner has no privileges beyond it, as Linode's."""
        self.sql(f"CREATE DATABASE {name} OWNER akmadmin", PGUSER="postgres", PGDATABASE="postgres")

    def sql(self, command: str, **env: str) -> str:
        return self.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", command], **env)

    def shell(self, command: str, **env: str) -> str:
        return self.run(["bash", "-euo", "pipefail", "-c", command], **env)

    def run(self, command: list[str], **env: str) -> str:
        done = subprocess.run(
            command, cwd=self.directory, env={**self.env, **env}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    for name in ("rclone", "psql", "curl", "openssl", "setpriv"):
        program(name)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid() != 0:
        left_out("needs root, and PostgreSQL: apt-get install postgresql")
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", aws_access_key_id="a", aws_secret_access_key="b",
        region_name="us-east-1",
    )  # fmt: skip
    for bucket in (BLOBS, BACKUPS):
        client.create_bucket(Bucket=bucket)
    with tls_database(found[-1].parent, tmp_path, certificate, key) as database_port:
        yield Data(tmp_path, database_port, f"http://{host}:{port}", authority.file)
    server.stop()


def run_dump_job(data: Data) -> None:
    """Run the commands of the job, with its variables, in directories of this test."""
    address = DatabaseAddress(
        host="localhost", port=int(data.env["PGPORT"]), name="defaultdb", username="akmadmin",
        ssl_mode="verify-ca", ca_is_private=True, max_open_conns=10,
    )  # fmt: skip
    bucket = BucketAddress(name=BACKUPS, endpoint=data.endpoint, region="us-east-1")
    pod = manifests.dump_job(cluster(version="2.16.0", chart=CHART), address, bucket)["template"]["spec"]
    (data.directory / "ca").mkdir()
    (data.directory / "dump").mkdir()
    (data.directory / "ca" / "ca.crt").write_bytes(data.authority.read_bytes())
    secrets = {"PGPASSWORD": "", "ACCESS_KEY": "ACCESSKEY01", "SECRET_KEY": "secret-key-01"}
    for container in (*pod["initContainers"], *pod["containers"]):
        given = {entry["name"]: entry.get("value", secrets.get(entry["name"], "")) for entry in container["env"]}
        here = {name: value.replace("/ca/", f"{data.directory}/ca/") for name, value in given.items()}
        command = [part.replace("/dump/", f"{data.directory}/dump/") for part in container["command"]]
        data.run(command, **here)


def test_a_failed_upgrade_goes_back_to_the_dump(data: Data) -> None:
    data.sql(SCHEMA)
    before = data.sql(ROWS)
    assert "mirror|<enc-v1>c2VjcmV0" in before
    run_dump_job(data)
    data.sql(UPGRADE)
    _, restore, _ = shell_blocks("Go back after a failed upgrade")
    data.shell(restore)
    assert data.sql(ROWS) == before
    assert data.sql(TABLES) == "2\n"
    data.sql("UPDATE project SET name = 'new' WHERE project_id = 1; INSERT INTO project (name) VALUES ('third')")
    assert data.sql("SELECT project_id FROM project WHERE update_time IS NOT NULL OR name = 'third'") == "1\n3\n"


def test_a_dump_that_is_incomplete_leaves_the_database_as_it_was(data: Data) -> None:
    data.sql(SCHEMA)
    before = data.sql(ROWS)
    broken = gzip.compress(b"CREATE TABLE half (id int);\nnonsense;\n")
    (data.directory / "broken.gz").write_bytes(broken)
    data.shell(f"rclone copyto broken.gz backups:{BACKUPS}/before-2.16.0.sql.gz")
    _, restore, _ = shell_blocks("Go back after a failed upgrade")
    with pytest.raises(AssertionError, match="syntax error"):
        data.shell(restore)
    assert data.sql(ROWS) == before


def test_harbors_data_moves_from_a_host_to_a_cluster(data: Data) -> None:
    """The host's database is another one of the same server; its layers are those of a registry with directories."""
    _, copy, dump, restore, *_ = shell_blocks("Move from a host to a cluster")
    data.create_database("registry")
    data.sql(SCHEMA, PGDATABASE="registry")
    layers = data.directory / "registry"
    with registry(data, {"filesystem": {"rootdirectory": str(layers)}}) as url:
        digest = push(url, b"one layer")
    data.shell(copy.replace("/mnt/harbor/data/registry", str(layers)))
    # Again, after a push in between: only what is new is copied.
    with registry(data, {"filesystem": {"rootdirectory": str(layers)}}) as url:
        later = push(url, b"another layer")
    data.shell(copy.replace("/mnt/harbor/data/registry", str(layers)))
    data.shell(dump.replace("docker exec harbor-db ", ""), PGUSER="postgres")
    data.shell(restore)
    assert data.sql(ROWS) == data.sql(ROWS, PGDATABASE="registry")
    s3 = {
        **{"accesskey": "ACCESSKEY01", "secretkey": "secret-key-01", "region": "us-east-1", "bucket": BLOBS},
        # The directory in the bucket is that of the chart's values.
        **{"regionendpoint": data.endpoint, "secure": False, "v4auth": True, "rootdirectory": "/harbor"},
    }
    with registry(data, {"s3": s3}) as url:
        for blob, content in ((digest, b"one layer"), (later, b"another layer")):
            assert httpx.get(f"{url}/v2/mirror/app/blobs/{blob}").content == content


@contextmanager
def registry(data: Data, storage: dict[str, Any]) -> Iterator[str]:
    """Run a real registry with this storage; yield its URL."""
    port, config = free_port(), data.directory / "registry.yml"
    http = {"addr": f"127.0.0.1:{port}"}
    config.write_text(
        yaml.safe_dump({"version": 0.1, "http": http, "storage": {**storage, "redirect": {"disable": True}}})
    )
    with (data.directory / "registry.log").open("ab") as log:
        command = [program("docker-registry"), "serve", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=data.env)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: _answers(url), seconds=120)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/").is_success
    except httpx.HTTPError:
        return False


def push(url: str, content: bytes) -> str:
    """Push a layer; return its digest."""
    started = httpx.post(f"{url}/v2/mirror/app/blobs/uploads/")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    location = httpx.URL(started.headers["Location"]).copy_merge_params({"digest": digest})
    httpx.put(location, content=content).raise_for_status()
    return digest
