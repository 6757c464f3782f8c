"""Jobs with credentials install only verified files: Python packages by hash, and a verified engine."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from localcloud.engine import PROJECT
from localcloud.http import serve

# --- Python packages --------------------------------------------------------------------------------------------------


def pins(*files: str) -> dict[str, str]:
    text = "".join((PROJECT / name).read_text() for name in files)
    found = re.findall(r"^([\w.\[\]-]+)==([\w.]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-cluster"])
def test_the_lock_has_each_requirement_at_its_version_and_hashes_for_all(name: str) -> None:
    lock = (PROJECT / f"ci/{name}.lock").read_text()
    locked = pins(f"ci/{name}.lock")
    wanted = pins("requirements.txt", "ci/requirements.txt", f"{name}.txt")
    assert {name: locked.get(name) for name in wanted} == wanted, "run: make lock"
    packages = re.split(r"^(?=\w)", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(packages) == len(locked)
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_test_dependencies_are_not_installed_in_jobs_with_credentials() -> None:
    tests = pins("requirements-dev.txt")
    assert set(tests) & set(pins("ci/requirements.lock")) == set()
    assert "pulumi-kubernetes" not in pins("ci/requirements.lock")


# --- the engine -------------------------------------------------------------------------------------------------------

VERSION = re.findall(r"^version=(.*)", (PROJECT / "ci/engine/install.sh").read_text(), re.MULTILINE)[0]


def archive(text: str) -> bytes:
    """A release of the engine that prints `text`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("pulumi", "pulumi-language-python"):
            content = f"#!/bin/sh\necho {text}\n".encode()
            about = tarfile.TarInfo(f"pulumi/{name}")
            about.size, about.mode = len(content), 0o755
            tar.addfile(about, io.BytesIO(content))
    return packed.getvalue()


@dataclass
class Machine:
    """A checkout with the installer, a user with a cache and a PATH, and a server with releases."""

    folder: Path
    url: str
    release: bytes = archive("genuine")
    published: bytes = archive("genuine")
    """The archive whose checksum the list of the release has."""

    @property
    def name(self) -> str:
        arch = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
        return f"pulumi-v{VERSION}-{os.uname().sysname.lower()}-{arch}.tar.gz"

    @property
    def sums(self) -> str:
        return f"{hashlib.sha256(self.published).hexdigest()}  {self.name}\n"

    @property
    def cache(self) -> Path:
        return self.folder / "cache/harbor-mirror" / f"engine-{VERSION}"

    def on_path(self, version: str) -> None:
        for name in ("pulumi", "pulumi-language-python"):
            program = self.folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho {version}\n")
            program.chmod(0o755)

    def run(self, script: str = "install.sh", *options: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "ENGINE_RELEASES": self.url,
        }
        command = ["bash", str(self.folder / "checkout/ci/engine" / script), *options]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def installed(self, *options: str) -> str:
        """Return the output of the installed engine. Raise AssertionError if the installation failed."""
        done = self.run("install.sh", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return subprocess.check_output([self.folder / "checkout/.tools/bin/pulumi"], text=True).strip()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    shutil.copytree(PROJECT / "ci/engine", tmp_path / "checkout/ci/engine")

    async def download(request: Request) -> Response:
        name = request.path_params["name"]
        if name == user.name:
            return Response(user.release)
        return PlainTextResponse(user.sums if name == f"pulumi-{VERSION}-checksums.txt" else "", 200)

    with serve(Starlette(routes=[Route("/{name}", download)])) as server:
        user = Machine(tmp_path, server.url)
        yield user


def test_a_user_may_use_the_engine_on_path_but_a_verified_installation_may_not(machine: Machine) -> None:
    machine.on_path("v99.0.0")
    assert machine.installed() == "v99.0.0"
    assert "not verified" in machine.run().stdout
    assert machine.installed("--verified") == "genuine"


def test_a_changed_cache_is_replaced_and_never_used_by_a_verified_installation(machine: Machine) -> None:
    assert machine.installed() == "genuine"
    machine.release = b""
    assert machine.installed() == "genuine"
    assert "from this user's cache" in machine.run().stdout
    (machine.cache / "pulumi").write_text("#!/bin/sh\necho changed\n")
    machine.release = machine.published
    assert machine.installed("--verified") == "genuine"
    done = machine.run()
    assert "does not match its recorded checksums" in done.stdout
    assert machine.installed() == "genuine"


@pytest.mark.parametrize("options", [(), ("--verified",)])
def test_a_release_that_does_not_match_its_list_is_not_used(machine: Machine, options: tuple[str, ...]) -> None:
    machine.release = archive("changed")
    done = machine.run("install.sh", *options)
    assert done.returncode == 1
    assert "does not match its checksum" in done.stdout
    assert not (machine.folder / "checkout/.tools").exists()
    assert not machine.cache.exists()


def test_a_pinned_checksum_overrides_the_list_of_the_release(machine: Machine) -> None:
    assert "no entry" in machine.run("install.sh", "--verified").stdout
    assert machine.run("pin.sh").returncode == 0
    assert machine.sums in (machine.folder / "checkout/ci/engine/checksums.txt").read_text()
    assert "checked against ci/engine/checksums.txt" in machine.run("install.sh", "--verified").stdout
    machine.release = machine.published = archive("changed, with its list")
    done = machine.run("install.sh", "--verified")
    assert done.returncode == 1
    assert "does not match its checksum in ci/engine/checksums.txt" in done.stdout


def test_an_unknown_option_is_an_error(machine: Machine) -> None:
    done = machine.run("install.sh", "--verify")
    assert done.returncode == 1
    assert "usage" in done.stderr
