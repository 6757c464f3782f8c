"""mirrorctl over real HTTP: a simulated Harbor and source registry, and the tool as a user runs it."""

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
from tests.cli.stage import Stage
from tests.cli.stage import stage as open_stage

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a run of the tool left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


class Front:
    """One server for all tests, so that each need not start its own; `app` is the present test's."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.server = serve(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def fronts() -> Iterator[tuple[Front, Front]]:
    fronts = Front(), Front()
    yield fronts
    for front in fronts:
        front.server.close()


@pytest.fixture
def harbor(fronts: tuple[Front, Front]) -> Iterator[HarborFixture]:
    harbor = HarborFixture(fronts[0].server.url)
    fronts[0].app = harbor.app
    yield harbor
    harbor.close()


@pytest.fixture
def source(fronts: tuple[Front, Front]) -> RegistrySimulator:
    """Three tags of one repository and one of another, behind the token flow."""
    source = RegistrySimulator(token_flow=True)
    for tag in ("1.25", "1.26", "2.0"):
        push_image(source.store, "library/nginx", tag, f"nginx-{tag}")
    push_image(source.store, "library/redis", "7", "redis-7")
    fronts[1].app = source.app
    return source


@pytest.fixture
def source_url(fronts: tuple[Front, Front]) -> str:
    """Where the source is served."""
    return fronts[1].server.url


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
    """A user's environment, with the simulated Harbor in it and a home of its own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HARBOR_URL": harbor.url,
        "HARBOR_USERNAME": ADMIN,
        "HARBOR_PASSWORD": PASSWORD,
    }


@pytest.fixture
def run(environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in this process, which is quick; `process` does as a user does."""

    def run(*arguments: str, **more: str) -> Done:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in {**environment, **more}.items():
            if value:
                monkeypatch.setenv(name, value)
        monkeypatch.chdir(environment["HOME"])
        capsys.readouterr()
        code = main(list(arguments))
        done = Done(code, *capsys.readouterr())
        assert PASSWORD not in done.out + done.err
        return done

    return run


@pytest.fixture
def process(environment: dict[str, str]) -> Run:
    """Runs a command line as a user does, in a process of its own."""

    def process(*arguments: str, **more: str) -> Done:
        env = {**environment, "PYTHONPATH": str(ROOT), **more}
        done = subprocess.run(
            [sys.executable, "-m", "mirrorctl", *arguments],
            env={name: value for name, value in env.items() if value},
            cwd=env["HOME"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert PASSWORD not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return process


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without their pauses."""
    monkeypatch.setattr("harbor_mirror.http.Retry.pause", _no_pause)


def _no_pause(_retry: Retry, _state: object) -> float:
    return 0.0


@pytest.fixture
def stack(mirrored: HarborFixture, tmp_path: Path) -> FakeStack:
    """A stack that declares what the Harbor has of it."""
    return FakeStack(tmp_path, mirrored.url, mirrored.registries[1].url)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """The local cloud's Harbor, with the endpoint `hub` and the project `mirror`."""
    with open_stage() as stage:
        yield stage
