"""The real client skopeo inspects, lists, and copies images of the registry simulator."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.http import Server, serve
from localcloud.oci.images import BUILDS
from localcloud.registry import RegistrySimulator
from tests.programs import program


class Skopeo:
    def __init__(self, directory: Path) -> None:
        self._program = program("skopeo")
        self._auth = directory / "auth.json"  # an empty one, so that nobody's own credentials take part
        self._auth.write_text("{}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self._auth.parent), "REGISTRY_AUTH_FILE": str(self._auth)}
        command = [self._program, "--insecure-policy", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    return Skopeo(tmp_path)


@pytest.fixture(scope="module", params=["open", "basic", "token"])
def registry(request: pytest.FixtureRequest) -> Iterator[tuple[RegistrySimulator, Server, list[str]]]:
    credentials = () if request.param == "open" else ("bot", "pw")
    source = RegistrySimulator(*credentials, token_flow=request.param == "token", page_size=100)
    source.seed()
    with serve(source.app) as server:
        yield source, server, ["--creds", "bot:pw"] if credentials else []


Registry = tuple[RegistrySimulator, Server, list[str]]


def at(server: Server, image: str) -> str:
    return f"docker://127.0.0.1:{server.port}/{image}"


def test_inspect_and_list_tags(skopeo: Skopeo, registry: Registry) -> None:
    source, server, credentials = registry
    inspected = skopeo.ok("inspect", "--tls-verify=false", *credentials, at(server, "library/alpine:latest"))
    answer = json.loads(inspected)
    assert answer["Digest"] == source.store.tags("library/alpine")["latest"]
    assert (answer["Os"], answer["Architecture"], len(answer["Layers"])) == ("linux", "amd64", 2)
    listed = skopeo.ok("list-tags", "--tls-verify=false", *credentials, at(server, "ci/builds"))
    assert len(json.loads(listed)["Tags"]) == BUILDS


@pytest.mark.parametrize("image", ["library/nginx:latest", "library/alpine:latest", "library/redis:latest"])
def test_copy_out_and_in_again_keeps_the_digest(skopeo: Skopeo, registry: Registry, image: str, tmp_path: Path) -> None:
    source, server, credentials = registry
    repository, _, tag = image.partition(":")
    copy = ("copy", "--all", "--preserve-digests")
    # An OCI layout can't hold Docker's types unchanged; skopeo's plain directory can.
    here = f"oci:{tmp_path}/image:1" if repository != "library/redis" else f"dir:{tmp_path}/image"
    skopeo.ok(
        *copy, "--src-tls-verify=false", *[c.replace("--", "--src-") for c in credentials], at(server, image), here
    )
    back = f"back/{repository}:{tag}"
    skopeo.ok(
        *copy, "--dest-tls-verify=false", *[c.replace("--", "--dest-") for c in credentials], here, at(server, back)
    )
    digest = source.store.tags(repository)[tag]
    assert source.store.tags(f"back/{repository}")[tag] == digest
    assert source.store.size(f"back/{repository}", tag) == source.store.size(repository, tag)


def test_copy_by_digest_and_delete(skopeo: Skopeo, registry: Registry, tmp_path: Path) -> None:
    source, server, credentials = registry
    digest = source.store.tags("team/app/web")["1.0.0"]
    creds = [c.replace("--", "--src-") for c in credentials]
    image = at(server, f"team/app/web@{digest}")
    skopeo.ok("copy", "--src-tls-verify=false", *creds, image, f"oci:{tmp_path}/image")
    both = [c.replace("--", f"--{side}-") for side in ("src", "dest") for c in credentials]
    between = ("copy", "--src-tls-verify=false", "--dest-tls-verify=false", *both)
    skopeo.ok(*between, image, at(server, "gone/web:1"))
    assert source.store.tags("gone/web") == {"1": digest}
    skopeo.ok("delete", "--tls-verify=false", *credentials, at(server, "gone/web:1"))
    assert source.store.tags("gone/web") == {}


def test_refusals(skopeo: Skopeo, registry: Registry) -> None:
    _, server, credentials = registry
    missing = skopeo.run("inspect", "--tls-verify=false", *credentials, at(server, "library/nginx:nosuch"))
    assert missing.returncode != 0
    assert "manifest unknown" in missing.stderr
    if credentials:
        for wrong in ([], ["--creds", "bot:wrong"]):
            refused = skopeo.run("inspect", "--tls-verify=false", *wrong, at(server, "library/nginx:latest"))
            assert refused.returncode != 0
            assert "unauthorized" in refused.stderr
