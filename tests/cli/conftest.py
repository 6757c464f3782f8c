"""Fixtures: a simulated Harbor and source registry over real HTTP, and mirrorctl as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from harbor_mirror.http import Retry
from localcloud.http import serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from mirrorctl.app import main
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD, HarborFixture
from tests.cli.simulated_mirror import SimulatedMirror
from tests.cli.simulated_mirror import simulated_mirror as open_mirror

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


class SharedServer:
    """A server for all tests, because starting one takes time; `app` is the current test's."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.server = serve(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[SharedServer, SharedServer]]:
    servers = SharedServer(), SharedServer()
    yield servers
    for server in servers:
        server.server.close()


@pytest.fixture
def harbor(servers: tuple[SharedServer, SharedServer]) -> Iterator[HarborFixture]:
    harbor = HarborFixture(servers[0].server.url)
    servers[0].app = harbor.app
    yield harbor
    harbor.close()


@pytest.fixture
def source(servers: tuple[SharedServer, SharedServer]) -> RegistrySimulator:
    """A registry with token authentication: `library/nginx` with three tags, `library/redis` with one."""
    source = RegistrySimulator(token_flow=True)
    for tag in ("1.25", "1.26", "2.0"):
        push_image(source.store, "library/nginx", tag, f"nginx-{tag}")
    push_image(source.store, "library/redis", "7", "redis-7")
    servers[1].app = source.app
    return source


@pytest.fixture
def source_url(servers: tuple[SharedServer, SharedServer]) -> str:
    """The URL of the source."""
    return servers[1].server.url


@pytest.fixture
def mirrored(harbor: HarborFixture, source: RegistrySimulator, source_url: str) -> HarborFixture:
    """A Harbor with the endpoint `hub`, the project `mirror` and the rules `nginx` (tags 1.*) and `redis`."""
    assert source.store.repositories()
    hub = harbor.add_registry("hub", source_url)
    harbor.add_project("mirror")
    harbor.add_policy("nginx", hub, repositories="library/nginx", tags="1.*")
    harbor.add_policy("redis", hub, repositories="library/redis", cron="0 0 */6 * * *")
    return harbor


@pytest.fixture
def environment(harbor: HarborFixture, tmp_path: Path) -> dict[str, str]:
    """Environment variables for the simulated Harbor, with an empty home."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HARBOR_URL": harbor.url,
        "HARBOR_USERNAME": ADMIN,
        "HARBOR_PASSWORD": PASSWORD,
    }


@pytest.fixture
def run(environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process, which is quicker than `process`."""

    def run(*arguments: str, **more: str) -> Result:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in {**environment, **more}.items():
            if value:
                monkeypatch.setenv(name, value)
        monkeypatch.chdir(environment["HOME"])
        capsys.readouterr()
        code = main(list(arguments))
        result = Result(code, *capsys.readouterr())
        assert PASSWORD not in result.out + result.err
        return result

    return run


@pytest.fixture
def process(environment: dict[str, str]) -> Run:
    """Run a command line in a new process, as a user does."""

    def process(*arguments: str, **more: str) -> Result:
        env = {**environment, "PYTHONPATH": str(ROOT), **more}
        result = subprocess.run(
            [sys.executable, "-m", "mirrorctl", *arguments],
            env={name: value for name, value in env.items() if value},
            cwd=env["HOME"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert PASSWORD not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr, result.stderr
        return Result(result.returncode, result.stdout, result.stderr)

    return process


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without pauses."""
    monkeypatch.setattr("harbor_mirror.http.Retry.pause", _no_pause)


def _no_pause(_retry: Retry, _state: object) -> float:
    return 0.0


@pytest.fixture
def stack(mirrored: HarborFixture, tmp_path: Path) -> FakeStack:
    """A stack that matches the Harbor `mirrored`."""
    return FakeStack(tmp_path, mirrored.url, mirrored.registries[1].url)


@pytest.fixture
def simulated() -> Iterator[SimulatedMirror]:
    """A Harbor with the endpoint `hub` and the project `mirror`, whose objects are created through its API."""
    with open_mirror() as simulated:
        yield simulated
