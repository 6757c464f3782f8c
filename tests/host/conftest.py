"""Fixtures of the host tests, which need root (mount namespaces, loop devices) and a few Debian packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.machine import Machine, Server, Volume, World, usual_server
from tests.programs import left_out, program

#: Debian packages with the programs the scripts and these tests use.
PROGRAMS = {
    "cloud-init": "cloud-init",
    "rclone": "rclone",
    "jq": "jq",
    "caddy": "caddy",
    "openssl": "openssl",
    "curl": "curl",
    "mkfs.ext4": "e2fsprogs",
    "systemd-analyze": "systemd",
    "nft": "nftables",
    "age": "age",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "host: the server's scripts on real devices and programs; wants root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def _programs() -> None:
    for name, package in PROGRAMS.items():
        program(name, package)


@pytest.fixture(scope="session")
def _root(_programs: None) -> None:
    if os.geteuid() != 0:
        left_out("needs root, for mount namespaces and loop devices")


@pytest.fixture(scope="session")
def postgres() -> Path:
    """Return the directory of Debian's newest PostgreSQL programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        left_out("needs PostgreSQL: apt-get install postgresql")
    return found[-1].parent


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def volume(_root: None, tmp_path: Path) -> Iterator[Volume]:
    volume = Volume(tmp_path / "volume")
    yield volume
    volume.close()


@pytest.fixture
def machine(world: World, volume: Volume, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Create a machine from keys of the host's configuration; delete the one before first, as Pulumi does."""
    machines: list[Machine] = []

    def make(*, attached: bool = True, server: Server | None = None, **keys: Any) -> Machine:
        if machines:
            machines.pop().close()
        server = server or usual_server(world, **keys)
        made = Machine(tmp_path / f"machine-{os.urandom(4).hex()}", server, volume, attached=attached)
        machines.append(made)
        world.machine = made
        return made

    yield make
    for made in machines:
        made.close()
