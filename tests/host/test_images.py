"""Harbor's images start only if they have the pinned digests; missing pins are reported first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.host.machine import Machine

Make = Callable[..., Machine]
REPOSITORIES = ("goharbor/harbor-core", "goharbor/harbor-db", "goharbor/prepare")
PINS = {name: f"sha256:{number:064x}" for number, name in enumerate(REPOSITORIES)}


def _pulled(server: Machine, **digests: str) -> None:
    """Let Docker have pulled images with the pinned digests, or others."""
    lines = [
        f"{name}:v2.15.1 {name}@{digests.get(name.split('/')[1].replace('-', '_'), digest)}"
        for name, digest in PINS.items()
    ]
    server.stub("digests", "\n".join(lines) + "\n")


def test_pinned_images_are_started(machine: Make) -> None:
    server = machine(imageDigests=PINS)
    _pulled(server)
    assert server.bootstrap() == 0, server.output
    calls = server.calls
    assert calls.index("docker pull -q goharbor/prepare:v2.15.1") < next(
        number for number, call in enumerate(calls) if call.startswith("prepare")
    ), "the image that runs with access to the host's files is verified before it runs"


@pytest.mark.parametrize(
    ("image", "runs"),
    [("prepare", []), ("harbor_core", ["prepare --with-trivy"]), ("harbor_db", ["prepare --with-trivy"])],
)
def test_image_with_another_digest_is_refused(machine: Make, image: str, runs: list[str]) -> None:
    server = machine(imageDigests=PINS)
    _pulled(server, **{image: f"sha256:{'f' * 64}"})
    assert server.bootstrap() == 3
    assert f"goharbor/{image.replace('_', '-')}:v2.15.1 does not have the pinned digest sha256:0" in server.failed
    assert [call for call in server.calls if call.startswith("prepare")] == runs
    assert not server.harbor_runs
    _pulled(server)
    assert server.bootstrap() == 0, server.output


def test_image_without_a_pin_is_refused_if_others_have_one(machine: Make) -> None:
    server = machine(imageDigests={name: PINS[name] for name in REPOSITORIES[1:]})
    _pulled(server)
    assert server.bootstrap() == 3
    assert "goharbor/harbor-core:v2.15.1 is not in imageDigests" in server.failed
    assert not server.harbor_runs


def test_refused_upgrade_leaves_the_running_harbor(machine: Make) -> None:
    server = machine()
    assert server.bootstrap() == 0, server.output
    changed = server.server.host.model_copy(update={"image_digests": PINS, "version": "2.15.2"})
    server.boot_media(type(server.server)(changed, server.server.values, server.server.installer_url))
    server.stub("digests", "")
    assert server.bootstrap() == 3
    assert server.harbor_runs
    assert server.text("/mnt/harbor/harbor-version") == "2.15.1"
