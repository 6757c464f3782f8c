"""Upgrades: which versions may follow which, and that none ends with an empty or incomplete database."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.examples import BUCKET
from tests.host.machine import Machine, Server, Volume, World

Make = Callable[..., Machine]
Populated = Callable[..., None]
DATABASE = "/mnt/harbor/data/database"


def _content(server: Machine) -> dict[str, str]:
    return {path.parent.name: path.read_text().rstrip() for path in sorted(server.path(DATABASE).glob("pg*/registry"))}


def _refused(server: Machine) -> str:
    before = _content(server) if server.path(DATABASE).exists() else {}
    assert server.bootstrap() == 3, server.output
    assert not server.done
    assert not server.harbor_runs
    assert not server.called("prepare")
    assert not before or _content(server) == before
    return server.failed


@pytest.fixture
def populated(volume: Volume, tmp_path: Path) -> Populated:
    """Fill the volume as a healthy Harbor of that version leaves it, with the given changes (None: absent)."""

    def populate(version: str, changes: Mapping[str, str | None] | None = None) -> None:
        volume.populate(version, tmp_path / "populate", changes or {})

    return populate


def test_upgrade_from_2_9_to_2_15_in_steps_of_two_minors(populated: Populated, machine: Make) -> None:
    populated("2.9.5")
    for version, major in (("2.11.2", 15), ("2.13.5", 15), ("2.15.1", 15), ("2.15.2", 18)):
        server = machine(version=version)
        assert server.bootstrap() == 0, server.output
        assert _content(server) == {f"pg{major}": "images"}
        assert server.text("/mnt/harbor/harbor-version") == version


def test_upgrade_keeps_a_copy_of_the_database_from_before(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    assert server.bootstrap() == 0, server.output
    assert server.text("/mnt/harbor/upgrade-snapshot/version") == "2.13.5"
    assert server.text("/mnt/harbor/upgrade-snapshot/database/pg15/registry") == "images"


def test_postgres_is_upgraded_alone_and_without_restarts(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    assert server.bootstrap() == 0, server.output
    ups = [call for call in server.calls if " up " in call]
    assert ups == [
        "docker compose -f upgrade.yml up -d --force-recreate log postgresql",
        "docker compose up -d --remove-orphans --force-recreate",
    ]
    assert 'restart: "no"' in server.text("/opt/harbor/2.15.2/upgrade.yml")


def test_upgrade_in_place(machine: Make) -> None:
    server = machine(version="2.13.5")
    assert server.bootstrap() == 0, server.output
    newer = server.server.host.model_copy(update={"version": "2.15.1"})
    server.boot_media(replace(server.server, host=newer))
    assert server.bootstrap() == 0, server.output
    assert server.called("docker compose stop") == 1, "the copy is made of a database at rest"
    assert _content(server) == {"pg15": "empty"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2.15.1", "2.14.4", "2.14.4 is older and cannot read it"),
        ("2.15.1", "2.15.0", "2.15.0 is older and cannot read it"),
        ("2.15.2", "2.15.1", "the database is PostgreSQL 18; Harbor 2.15.1 accepts 14 or 15"),
        ("2.9.5", "2.15.2", "the database is PostgreSQL 14; Harbor 2.15.2 accepts 15 or 18"),
        ("2.9.5", "2.12.4", "Harbor 2.9.5 cannot be upgraded to 2.12.4 in one step"),
        ("2.11.2", "2.14.4", "at most 2 minor releases at a time"),
    ],
)
def test_unsupported_upgrade_is_refused(populated: Populated, machine: Make, old: str, new: str, reason: str) -> None:
    populated(old)
    assert reason in _refused(machine(version=new))


def test_refused_server_works_again_with_its_own_version(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    _refused(machine(version="2.12.4"))
    server = machine(version="2.13.5")
    assert server.bootstrap() == 0, server.output
    assert _content(server) == {"pg15": "images"}


def test_empty_database_beside_the_old_one_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.13.5", {"data/database/pg18/PG_VERSION": "18", "data/database/pg18/registry": "empty"})
    assert "several databases (PostgreSQL 15 18) without an interrupted upgrade" in _refused(machine(version="2.15.2"))


def test_missing_database_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.15.1", {"data/database/pg15/PG_VERSION": None, "data/database/pg15/registry": None})
    server = machine(version="2.15.1")
    assert "its database is missing" in _refused(server)
    assert not server.path(DATABASE).exists()


def test_database_of_unknown_version_is_refused_until_the_version_is_written(
    populated: Populated, machine: Make
) -> None:
    populated("2.13.5", {"harbor-version": None})
    server = machine(version="2.15.1")
    assert "of unknown version. Write that version to /mnt/harbor/harbor-version" in _refused(server)
    server.path("/mnt/harbor/harbor-version").write_text("2.13.5\n")
    assert server.bootstrap() == 0, server.output


def test_unreadable_version_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.13.5", {"harbor-version": "v2.13"})
    assert "contains 'v2.13', which is not a version" in _refused(machine(version="2.13.5"))


def test_damaged_database_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.13.5", {"data/database/pg15/PG_VERSION": None, "data/database/pg15/global/pg_control": "control"})
    assert "has lost its PG_VERSION file" in _refused(machine(version="2.13.5"))


def test_database_from_before_harbor_2_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.13.5", {"data/database/PG_VERSION": "9.6"})
    assert "older than every supported Harbor version" in _refused(machine(version="2.13.5"))


def test_missing_secret_key_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.15.1", {"data/secret/keys/secretkey": None})
    assert "secretkey is missing" in _refused(machine(version="2.15.1"))


def test_upgrade_without_space_is_refused(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    assert server.bootstrap(SPARE_MEGABYTES="100000") == 3
    assert "enlarge the volume first" in server.failed
    assert _content(server) == {"pg15": "images"}
    assert server.bootstrap() == 0, server.output


def test_moved_blobs_or_database_are_refused(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    moved = Server.of(objectStorage={"blobs": True}).document(blobs=BUCKET)
    server.path("/etc/harbor-mirror/settings.json").write_text(moved)
    assert server.bootstrap() == 3
    assert "Migrate them first" in server.failed
    assert server.harbor_runs, "what works goes on working"


def test_power_cut_during_the_upgrade_of_postgres_is_recovered(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    server.stub("upgrade-is-cut-off", "")
    assert server.bootstrap() == -signal.SIGKILL
    assert server.path(f"{DATABASE}/pg18/PG_VERSION").exists(), "half filled, and the container would take it"
    server.stub("calls", "")
    assert server.bootstrap() == 0, server.output
    assert _content(server) == {"pg18": "images"}
    docker = [call for call in server.calls if call.startswith("docker compose") and "version" not in call]
    assert docker[0] == "docker compose stop -t 60", "an upgrade may still be at work in its container"


def test_power_cut_during_the_upgrade_is_recovered_on_another_server(populated: Populated, machine: Make) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    server.stub("upgrade-is-cut-off", "")
    assert server.bootstrap() == -signal.SIGKILL
    server = machine(version="2.15.2")
    assert server.bootstrap() == 0, server.output
    assert _content(server) == {"pg18": "images"}


def test_incomplete_database_is_removed(machine: Make) -> None:
    server = machine()
    server.stub("pull-fails", "again\n" * 9)
    assert server.bootstrap() == 1
    server.stub("pull-fails", "")
    server.path(f"{DATABASE}/pg15/base").mkdir(parents=True)
    assert server.bootstrap() == 0, server.output
    assert _content(server) == {"pg15": "empty"}


def test_failed_upgrade_can_be_undone(populated: Populated, machine: Make, world: World) -> None:
    populated("2.13.5")
    server = machine(version="2.15.2")
    world.unhealthy_polls = 10**9
    assert server.bootstrap(HEALTH_WAIT_SECONDS="1") == 1
    assert server.text("/mnt/harbor/harbor-version") == "2.13.5"
    assert server.text("/mnt/harbor/harbor-version.next") == "2.15.2"
    world.unhealthy_polls = 0

    # The version before may not simply be started on what the new one has touched.
    old = machine(version="2.14.4")
    assert "Harbor 2.15.2 has written to this volume" in _refused(old) or "PostgreSQL 18" in old.failed

    server = machine(version="2.15.2")
    server.bootstrap(HEALTH_WAIT_SECONDS="0")
    status, output = server.run("/usr/local/sbin/harbor-restore", "snapshot", "--yes")
    assert status == 0, output
    assert "Now set `version: 2.13.5`" in output
    old = machine(version="2.13.5")
    assert old.bootstrap() == 0, old.output
    assert _content(old) == {"pg15": "images"}


def test_newer_patch_after_a_failed_upgrade(populated: Populated, machine: Make, world: World) -> None:
    populated("2.13.5")
    world.unhealthy_polls = 10**9
    server = machine(version="2.15.1")
    assert server.bootstrap(HEALTH_WAIT_SECONDS="1") == 1
    server.path(f"{DATABASE}/pg15/registry").write_text("migrated images")
    world.unhealthy_polls = 0
    server = machine(version="2.15.2")
    assert server.bootstrap() == 0, server.output
    assert _content(server) == {"pg18": "migrated images"}
    assert server.text("/mnt/harbor/upgrade-snapshot/version") == "2.13.5"
    assert server.text("/mnt/harbor/upgrade-snapshot/database/pg15/registry") == "images", "the copy from before both"
