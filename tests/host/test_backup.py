"""Backup and restore with a real PostgreSQL: a restore brings back exactly the state of the backup."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.host.machine import Machine, Volume

Make = Callable[..., Machine]
BLOBS = "/mnt/harbor/data/registry/docker/registry/v2"


@pytest.fixture
def volume(_root: None, tmp_path: Path) -> Iterator[Volume]:
    volume = Volume(tmp_path / "volume", megabytes=512)
    yield volume
    volume.close()


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Return the backup target, which outlives servers and volumes."""
    path = tmp_path / "bucket"
    path.mkdir()
    return path


@pytest.fixture
def harbor(machine: Make, postgres: Path, bucket: Path) -> Callable[..., Machine]:
    def boot(*, keep: int = 14, backup: Mapping[str, str] = {}, **values: str) -> Machine:
        server = machine(backup={"directory": "/mnt/backup", "keep": keep, **backup}, **values)
        server.mount(bucket, "/mnt/backup")
        server.stub("postgres", str(postgres))
        assert server.bootstrap() == 0, server.output
        return server

    return boot


def _sql(server: Machine, statement: str) -> str:
    command = f'docker exec -i harbor-db psql -qAt -U postgres -d registry <<< "{statement}"'
    status, output = server.run("bash", "-c", command)
    assert status == 0, output
    return output.strip()


def _push(server: Machine, name: str, content: str) -> None:
    """Store an image as a backup sees it: a row, a blob and a tag that points to it."""
    _sql(server, f"CREATE TABLE IF NOT EXISTS artifact (name text); INSERT INTO artifact VALUES ('{name}')")
    for path, text in ((f"{BLOBS}/blobs/{name}", content), (f"{BLOBS}/tags/latest", name)):
        server.path(path).parent.mkdir(parents=True, exist_ok=True)
        server.path(path).write_text(text)


def _images(server: Machine) -> set[str]:
    return set(_sql(server, "SELECT name FROM artifact").split())


def _back_up(server: Machine, stamp: str) -> None:
    """Make a backup with the given time stamp."""
    date = server.path("/usr/local/bin/date")
    date.write_text(f'#!/bin/bash\ncase $* in *Y%m%dT*) echo {stamp} ;; *) exec /bin/date "$@" ;; esac\n')
    date.chmod(0o755)
    status, output = server.run("/usr/local/sbin/harbor-backup")
    assert status == 0, output
    date.unlink()


def _restore(server: Machine, which: str, *options: str) -> tuple[int, str]:
    return server.run("/usr/local/sbin/harbor-restore", which, "--yes", *options)


def test_lost_volume_is_restored(harbor: Callable[..., Machine], volume: Volume) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    key = server.text("/mnt/harbor/data/secret/keys/secretkey")
    server.path("/mnt/harbor/data/secret/keys/secretkey").write_text(key + "-of-this-harbor")
    _back_up(server, "20260101T000000Z")
    server.close()
    volume.wipe()

    # Another stack, whose signing key is another: the operator has to accept the backup.
    server = harbor(database_password="Another0ne-database")
    assert _restore(server, "latest")[0] == 3
    assert "does not carry this stack's signature" in server.text("/var/lib/harbor-mirror/restore.failed")
    status, output = _restore(server, "latest", "--unverified")
    assert status == 0, output
    assert _images(server) == {"nginx"}
    assert server.text(f"{BLOBS}/blobs/nginx") == "layers"
    assert server.path(f"{BLOBS}/blobs/nginx").stat().st_uid == 10000
    assert server.text("/mnt/harbor/data/secret/keys/secretkey") == key + "-of-this-harbor"
    assert server.done
    assert server.harbor_runs
    assert list(server.path("/mnt/harbor").glob("data.before-restore-*")), "what was there is moved aside, not deleted"


@pytest.mark.slow
def test_older_backup_undoes_later_changes(harbor: Callable[..., Machine]) -> None:
    server = harbor()
    _push(server, "v1", "one")
    _back_up(server, "20260101T000000Z")
    _push(server, "v2", "two")
    server.path(f"{BLOBS}/blobs/v1").unlink()
    _back_up(server, "20260102T000000Z")
    _push(server, "v3", "three")
    _back_up(server, "20260103T000000Z")
    status, output = _restore(server, "20260101T000000Z")
    assert status == 0, output
    assert _images(server) == {"v1"}
    assert server.text(f"{BLOBS}/blobs/v1") == "one", "garbage collected since"
    assert server.text(f"{BLOBS}/tags/latest") == "v1", "moved twice since"
    status, output = _restore(server, "20260102T000000Z")
    assert status == 0, output
    assert _images(server) == {"v1", "v2"}
    assert server.text(f"{BLOBS}/tags/latest") == "v2"


def test_retention_keeps_the_newest_and_deletes_incomplete_backups(
    harbor: Callable[..., Machine], bucket: Path
) -> None:
    server = harbor(keep=2)
    _push(server, "v0", "zero")
    (bucket / "backups/20250101T000000Z").mkdir(parents=True)
    (bucket / "backups/20250101T000000Z/registry.dump").write_text("half")
    for day in range(1, 5):
        _push(server, f"v{day}", str(day))
        _back_up(server, f"2026010{day}T000000Z")
    assert sorted(path.name for path in (bucket / "backups").iterdir()) == ["20260103T000000Z", "20260104T000000Z"]
    assert sorted(path.name for path in (bucket / "replaced").iterdir()) == ["20260104T000000Z"]
    status, output = _restore(server, "20260103T000000Z")
    assert status == 0, output
    assert server.text(f"{BLOBS}/tags/latest") == "v3"
    assert server.run("/usr/local/sbin/harbor-restore", "list")[1].split() == ["20260103T000000Z", "20260104T000000Z"]


def test_damaged_backup_is_refused_before_anything_is_touched(harbor: Callable[..., Machine], bucket: Path) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    _back_up(server, "20260101T000000Z")
    dump = bucket / "backups/20260101T000000Z/registry.dump"
    dump.write_bytes(dump.read_bytes()[:-10])
    status, _ = _restore(server, "latest")
    assert status == 3
    assert "checksums do not match" in server.text("/var/lib/harbor-mirror/restore.failed")
    assert server.harbor_runs
    assert _images(server) == {"nginx"}


def test_backup_of_another_version_is_refused(harbor: Callable[..., Machine], bucket: Path) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    _back_up(server, "20260101T000000Z")
    manifest = bucket / "backups/20260101T000000Z/manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": "2.14.4"}))
    status, _ = _restore(server, "latest", "--unverified")
    assert status == 3
    assert "of Harbor 2.14.4, this server runs 2.15.1" in server.text("/var/lib/harbor-mirror/restore.failed")


def test_interrupted_restore_does_not_start_harbor(harbor: Callable[..., Machine]) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    _back_up(server, "20260101T000000Z")
    server.stub("prepare-fails", "cut off\n")
    status, _ = _restore(server, "latest")
    assert status == 1
    assert server.bootstrap() == 3
    assert "a restore was interrupted: run it again (harbor-restore 20260101T000000Z --yes)" in server.failed
    status, output = _restore(server, "latest")
    assert status == 0, output
    assert _images(server) == {"nginx"}


def test_backup_without_database_fails_and_says_so(harbor: Callable[..., Machine], bucket: Path) -> None:
    server = harbor()
    server.run("/stub/bin/docker", "compose", "stop")
    status, _ = server.run("/usr/local/sbin/harbor-backup")
    assert status == 1
    assert server.text("/var/lib/harbor-mirror/backup.failed").startswith("database: pg_dump failed")
    assert not list(bucket.glob("backups/*/manifest.json"))


def test_backup_to_a_full_target_is_not_complete(harbor: Callable[..., Machine], bucket: Path) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    shutil.rmtree(bucket)
    server.run("mount", "-t", "tmpfs", "-o", "size=4k", "full", "/mnt/backup")
    status, _ = server.run("/usr/local/sbin/harbor-backup")
    assert status == 1
    assert "could not be copied to /mnt/backup" in server.text("/var/lib/harbor-mirror/backup.failed")
    server.run("umount", "/mnt/backup")


def test_new_database_password_opens_the_old_database(harbor: Callable[..., Machine]) -> None:
    harbor().close()
    server = harbor(database_password="Another0ne-database")
    hashed = _sql(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
    assert hashed.startswith("SCRAM-SHA-256")
    server.stub("calls", "")
    again = harbor(database_password="Third-0ne-database")
    assert _sql(again, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'") != hashed


def test_restore_without_yes_prints_its_usage(harbor: Callable[..., Machine]) -> None:
    server = harbor()
    status, output = server.run("/usr/local/sbin/harbor-restore", "latest")
    assert status == 1
    assert "harbor-restore STAMP|latest --yes" in output
    assert server.harbor_runs


@pytest.fixture
def age_key(tmp_path: Path) -> tuple[Path, str]:
    """Return the file of a private key, and the public key."""
    path = tmp_path / "age.key"
    made = subprocess.run(["age-keygen", "-o", str(path)], capture_output=True, text=True, check=True)
    return path, made.stderr.split()[-1]


def test_encrypted_backup_is_readable_with_the_private_key_only(
    harbor: Callable[..., Machine], bucket: Path, age_key: tuple[Path, str], tmp_path: Path
) -> None:
    private, recipient = age_key
    server = harbor(backup={"recipient": recipient})
    _push(server, "nginx", "layers")
    key = server.text("/mnt/harbor/data/secret/keys/secretkey")
    _back_up(server, "20260101T000000Z")
    names = {path.name for path in (bucket / "backups/20260101T000000Z").iterdir()}
    assert names == {
        *("blobs", "SHA256SUMS", "manifest.json", "manifest.sig"),
        *("registry.dump.age", "keys.tar.age", "harbor.yml.age"),
    }
    for path in (bucket / "backups").rglob("*.age"):
        assert path.read_bytes().startswith(b"age-encryption.org/v1")
    for path in server.path("/").glob("mnt/harbor/backup.part*"):
        pytest.fail(f"{path} is left in plain text")

    assert _restore(server, "latest")[0] == 3
    assert "the backup is encrypted" in server.text("/var/lib/harbor-mirror/restore.failed")
    wrong = tmp_path / "other.key"
    subprocess.run(["age-keygen", "-o", str(wrong)], capture_output=True, check=True)
    for name, path in (("wrong", wrong), ("right", private)):
        shutil.copy(path, server.path(f"/dev/shm/{name}"))
    assert _restore(server, "latest", "--identity", "/dev/shm/wrong")[0] == 3
    assert "does not decrypt the backup" in server.text("/var/lib/harbor-mirror/restore.failed")
    assert server.harbor_runs
    _push(server, "later", "more")
    status, output = _restore(server, "latest", "--identity", "/dev/shm/right")
    assert status == 0, output
    assert _images(server) == {"nginx"}
    assert server.text("/mnt/harbor/data/secret/keys/secretkey") == key


def test_changed_backup_is_refused(harbor: Callable[..., Machine], bucket: Path) -> None:
    """Checksums in the target can be changed together with the files; the signature cannot."""
    server = harbor()
    _push(server, "nginx", "layers")
    _back_up(server, "20260101T000000Z")
    backup = bucket / "backups/20260101T000000Z"
    (backup / "harbor.yml").write_text("hostname: evil.example.com\n")
    names = [line.split()[1] for line in (backup / "SHA256SUMS").read_text().splitlines()]
    sums = subprocess.run(["sha256sum", *names], cwd=backup, capture_output=True, text=True, check=True).stdout
    (backup / "SHA256SUMS").write_text(sums)
    manifest = json.loads((backup / "manifest.json").read_text())
    status, _ = _restore(server, "latest")
    assert status == 3
    assert "is damaged" in server.text("/var/lib/harbor-mirror/restore.failed")
    manifest["sums"] = hashlib.sha256(sums.encode()).hexdigest()
    (backup / "manifest.json").write_text(json.dumps(manifest))
    assert _restore(server, "latest")[0] == 3
    assert "does not carry this stack's signature" in server.text("/var/lib/harbor-mirror/restore.failed")
    backup.rename(bucket / "backups/20260102T000000Z")


def test_damaged_layers_are_found_before_anything_is_touched(harbor: Callable[..., Machine], bucket: Path) -> None:
    server = harbor()
    _push(server, "nginx", "layers")
    digest = hashlib.sha256(b"a layer").hexdigest()
    name = f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    layer = server.path(f"/mnt/harbor/data/registry/{name}")
    layer.parent.mkdir(parents=True)
    layer.write_bytes(b"a layer")
    _back_up(server, "20260101T000000Z")
    stored = bucket / "blobs" / name
    for damage in (lambda: stored.write_bytes(b"a lizer"), stored.unlink):
        damage()
        status, output = _restore(server, "latest")
        assert status == 3, output
        assert "missing or damaged (--damaged-blobs" in server.text("/var/lib/harbor-mirror/restore.failed")
        assert digest in output
        assert layer.read_bytes() == b"a layer"
    status, output = _restore(server, "latest", "--damaged-blobs")
    assert status == 0, output
    assert _images(server) == {"nginx"}
