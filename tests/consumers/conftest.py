"""A deployed mirror whose rules have run, and its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.cloud import PARTNER_PASSWORD, LocalCloud
from localcloud.demo import mirrorctl, stack_config
from localcloud.engine import Workspace
from localcloud.http import free_port


@pytest.fixture(scope="package")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="package")
def mirror(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The deployed stack `dev`; each rule has run once."""
    workspace = Workspace(tmp_path_factory.mktemp("mirror") / "dev", "dev", cloud.env)
    workspace.create()
    workspace.configure(stack_config(cloud, free_port()))
    workspace.set_secret("endpoints.partner.secret", PARTNER_PASSWORD)
    workspace.up().ok()
    code, output = mirrorctl(workspace, "sync", "--all", "--wait")
    assert code == 0, output
    yield workspace
    workspace.destroy()


@pytest.fixture(scope="package")
def outputs(mirror: Workspace) -> dict[str, Any]:
    """The outputs of the stack, secrets in plain text."""
    return mirror.outputs(secrets=True)
