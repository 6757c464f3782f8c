"""First boot and upgrade killed at random commands: the next run completes them."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.machine import Machine, Volume, World, usual_server

Make = Callable[..., Machine]
#: Commands of the scripts that a shim wraps.
COMMANDS = (
    *("awk", "blkid", "chattr", "chmod", "cmp", "cp", "curl", "cut", "df", "docker", "du"),
    *("findmnt", "install", "jq", "ln", "md5sum", "mkdir", "mkfs.ext4", "mktemp", "mount", "mountpoint"),
    *("mv", "readlink", "rm", "sed", "sha256sum", "sort", "sync", "systemctl", "tail", "tar", "touch"),
)
KILLS = 10
#: A fixed seed makes failures repeatable.
SEED = 7


def _killed(server: Machine, at: int, when: str) -> int:
    for command in COMMANDS:
        shim = server.path(f"/stub/shims/{command}")
        if not shim.is_symlink():
            shim.symlink_to("/stub/bin/shim")
    server.stub("count", "0")
    server.stub("seen", "")
    server.stub("kill-at", str(at))
    server.stub("kill-when", when)
    return server.bootstrap(PATH="/stub/shims:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def _points(total: int) -> list[tuple[int, str]]:
    """Return one point in each tenth of all commands."""
    draw = random.Random(SEED)
    return [
        (draw.randint(i * total // KILLS + 1, (i + 1) * total // KILLS), draw.choice(["before", "after"]))
        for i in range(KILLS)
    ]


@pytest.fixture(scope="module")
def points(_root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[tuple[int, str]]]]:
    """Return where to kill a first boot and an upgrade, after counting the commands of complete ones."""
    directory = tmp_path_factory.mktemp("count")
    world, volume = World(), Volume(directory / "volume")
    found = {}
    try:
        for name, version in (("first boot", "2.13.5"), ("upgrade", "2.15.2")):
            server = Machine(directory / version, usual_server(world, version=version), volume)
            world.machine = server
            try:
                assert _killed(server, 0, "never") == 0, server.output
                found[name] = _points(int(server.text("/stub/count")))
            finally:
                server.close()
        yield found
    finally:
        volume.close()
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(KILLS))
def test_killed_first_boot_completes_at_the_next_run(
    machine: Make, points: dict[str, list[tuple[int, str]]], tenth: int
) -> None:
    at, when = points["first boot"][tenth]
    server = machine(version="2.13.5")
    assert _killed(server, at, when) == -signal.SIGKILL, server.output
    assert not server.done
    assert server.bootstrap() == 0, f"killed {when} command {at}: {server.output}"
    assert server.done
    assert server.text("/etc/fstab").count("/mnt/harbor") == 1
    assert server.text("/mnt/harbor/data/database/pg15/registry") == "empty"


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(KILLS))
def test_killed_upgrade_completes_at_the_next_run(
    machine: Make, volume: Volume, points: dict[str, list[tuple[int, str]]], tmp_path: Path, tenth: int
) -> None:
    at, when = points["upgrade"][tenth]
    volume.populate("2.13.5", tmp_path / "populate", {})
    server = machine(version="2.15.2")
    assert _killed(server, at, when) == -signal.SIGKILL, server.output
    assert server.bootstrap() == 0, f"killed {when} command {at}: {server.output}"
    assert server.text("/mnt/harbor/data/database/pg18/registry") == "images"
    assert not server.path("/mnt/harbor/data/database/pg15").exists()
