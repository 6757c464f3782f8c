"""Backup and restore while a call of rclone fails: nothing is deleted or reported as done, and the next run heals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import cycle, product
from pathlib import Path

import pytest

from tests.host.machine import STUBS, Machine

Make = Callable[..., Machine]
WAYS = ("error", "not-found", "half", "killed")
FORMS = pytest.mark.parametrize(
    "is_long", [pytest.param(False, id="short"), pytest.param(True, id="long", marks=pytest.mark.slow)]
)
BLOB = "/mnt/harbor/data/registry/docker/registry/v2/blobs/sha256/aa"


class Target:
    """A directory that a machine has mounted as its backup target, which can be put back to what it was."""

    def __init__(self, path: Path) -> None:
        self.path, self.saved = path, path.with_suffix(".saved")
        path.mkdir()

    def save(self) -> None:
        shutil.copytree(self.path, self.saved, symlinks=True)

    def put_back(self) -> None:
        for entry in self.path.iterdir():
            shutil.rmtree(entry)
        shutil.copytree(self.saved, self.path, symlinks=True, dirs_exist_ok=True)

    def complete(self) -> set[str]:
        return {path.parent.name for path in self.path.glob("backups/*/manifest.json")}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / "target")


@pytest.fixture
def server(machine: Make, target: Target) -> Machine:
    """A Harbor with three backups, of which the next one expires two."""
    server = machine(backup={"directory": "/mnt/backup", "keep": 2})
    server.mount(target.path, "/mnt/backup")
    assert server.bootstrap() == 0, server.output
    shutil.copy(STUBS / "rclone", server.path("/usr/local/bin/rclone"))
    _push(server, "layer 1")
    status, output = _back_up(server, "20260101T000000Z")
    assert status == 0, output
    for stamp in ("20260102T000000Z", "20260103T000000Z"):
        shutil.copytree(target.path / "backups/20260101T000000Z", target.path / "backups" / stamp)
        (target.path / "replaced" / stamp).mkdir(parents=True)
        (target.path / "replaced" / stamp / "blob").write_text("replaced at this backup")
    _push(server, "layer 4")
    target.save()
    return server


def _push(server: Machine, content: str) -> None:
    path = server.path(f"{BLOB}/{content.split()[-1]}/data")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    link = server.path("/mnt/harbor/data/registry/docker/registry/v2/tags/latest")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.write_text(content)


def _back_up(server: Machine, stamp: str) -> tuple[int, str]:
    date = server.path("/usr/local/bin/date")
    date.write_text(f'#!/bin/bash\ncase $* in *Y%m%dT*) echo {stamp} ;; *) exec /bin/date "$@" ;; esac\n')
    date.chmod(0o755)
    server.stub("rclone-calls", "")
    return server.run("/usr/local/sbin/harbor-backup")


def _points(calls: list[str], *, is_long: bool) -> list[tuple[int, str]]:
    """Return the number of each call with the ways in which it fails: all of them in the long form, else one."""
    numbers = range(1, len(calls) + 1)
    return list(product(numbers, WAYS)) if is_long else list(zip(numbers, cycle(WAYS), strict=False))


def _calls(server: Machine) -> list[str]:
    return server.text("/stub/rclone-calls").splitlines()


@FORMS
def test_failing_calls_of_a_backup_delete_nothing_and_are_reported(
    server: Machine, target: Target, is_long: bool
) -> None:
    status, output = _back_up(server, "20260104T000000Z")
    assert status == 0, output
    assert target.complete() == {"20260103T000000Z", "20260104T000000Z"}
    calls = _calls(server)
    assert sum("purge" in call for call in calls) == 4
    for number, way in _points(calls, is_long=is_long):
        target.put_back()
        before = target.complete()
        server.path("/mnt/harbor/backup-last").write_text("20260103T000000Z\n")
        server.stub("rclone-fails-at", str(number))
        server.stub("rclone-fails-how", way)
        status, output = _back_up(server, "20260104T000000Z")
        about = f"{way} of call {number}, {calls[number - 1]}: {output}"
        assert status != 0, about
        assert not server.path("/var/lib/harbor-mirror/backup.done").exists(), about
        assert server.text("/var/lib/harbor-mirror/backup.failed"), about
        if number < _first(calls, "purge"):
            assert target.complete() >= before, about
        else:
            assert target.complete() >= {"20260103T000000Z", "20260104T000000Z"}, about
    server.stub("rclone-fails-at", "")
    target.put_back()
    assert _back_up(server, "20260105T000000Z")[0] == 0
    assert target.complete() == {"20260103T000000Z", "20260105T000000Z"}


def _first(calls: list[str], word: str) -> int:
    return next(number for number, call in enumerate(calls, start=1) if word in call)


def test_listing_without_the_new_backup_deletes_nothing(server: Machine, target: Target) -> None:
    """A store that answers, but with an old listing."""
    rclone = server.path("/usr/local/bin/rclone")
    rclone.write_text(
        "#!/bin/bash\n/usr/bin/rclone \"$@\" | { case $* in *'lsf -R'*) grep -v 20260104T ;; *) cat ;; esac; }\n"
    )
    assert _back_up(server, "20260104T000000Z")[0] == 1
    assert "nothing was deleted" in server.text("/var/lib/harbor-mirror/backup.failed")
    assert target.complete() >= {"20260102T000000Z", "20260103T000000Z", "20260104T000000Z"}


def test_backup_with_a_clock_in_the_past_deletes_nothing(server: Machine, target: Target) -> None:
    before = target.complete()
    assert _back_up(server, "20250101T000000Z")[0] == 1
    assert "Is the clock right?" in server.text("/var/lib/harbor-mirror/backup.failed")
    assert target.complete() >= before


def test_other_directories_in_the_target_are_unchanged(server: Machine, target: Target) -> None:
    for name in ("backups/by-hand", "backups/20260101", "replaced/notes"):
        (target.path / name).mkdir(parents=True, exist_ok=True)
        (target.path / name / "file").write_text("theirs")
    assert _back_up(server, "20260104T000000Z")[0] == 0
    for name in ("backups/by-hand", "backups/20260101", "replaced/notes"):
        assert (target.path / name / "file").read_text() == "theirs"


def test_copy_that_cannot_be_read_back_is_not_complete(server: Machine, target: Target) -> None:
    rclone = server.path("/usr/local/bin/rclone")
    rclone.write_text(
        "#!/bin/bash\ncase $* in *' cat '*keys.tar) /usr/bin/rclone \"$@\" | tr a b ;;\n"
        '*) exec /usr/bin/rclone "$@" ;; esac\n'
    )
    assert _back_up(server, "20260104T000000Z")[0] == 1
    assert "could not be read back" in server.text("/var/lib/harbor-mirror/backup.failed")
    assert "20260104T000000Z" not in target.complete()


def test_target_that_is_not_mounted_is_refused(server: Machine) -> None:
    server.run("umount", "/mnt/backup")
    for present in (True, False):
        if not present:
            server.path("/mnt/backup").rmdir()
        assert _back_up(server, "20260104T000000Z")[0] == 3
        assert "is not on a mounted file system of its own" in server.text("/var/lib/harbor-mirror/backup.failed")
    assert not server.path("/mnt/backup").exists()
    status, output = server.run("/usr/local/sbin/harbor-restore", "list")
    assert status == 3
    assert "is not on a mounted file system of its own" in output


@FORMS
def test_failing_calls_of_a_restore_change_no_data(server: Machine, is_long: bool) -> None:
    old = server.path(f"{BLOB}/4/data").read_text()
    server.stub("rclone-calls", "")
    command = ("/usr/local/sbin/harbor-restore", "20260101T000000Z", "--yes")
    status, output = server.run(*command)
    assert status == 0, output
    assert server.text("/mnt/harbor/data/registry/docker/registry/v2/tags/latest") == "layer 1"
    calls = _calls(server)
    _push(server, "layer 4")
    for number, way in _points(calls, is_long=is_long):
        server.stub("rclone-calls", "")
        server.stub("rclone-fails-at", str(number))
        server.stub("rclone-fails-how", way)
        status, output = server.run(*command)
        about = f"{way} of call {number}, {calls[number - 1]}: {output}"
        assert status != 0, about
        assert server.text("/var/lib/harbor-mirror/restore.failed"), about
        assert not server.path("/mnt/harbor/restoring").exists(), about
        assert server.path(f"{BLOB}/4/data").read_text() == old, about
        assert server.harbor_runs, about
