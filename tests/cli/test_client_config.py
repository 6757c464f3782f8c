"""images --format containerd, cri-o, docker and kyverno: what they say, and that real clients pull from Harbor so."""

from __future__ import annotations

import json
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.registry import RegistrySimulator
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD, STARTED, HarborFixture
from tests.programs import left_out, program


@pytest.fixture
def hub(stack: FakeStack) -> str:
    """A stack of which Docker Hub is the source."""
    stack.outputs["endpoints"]["hub"] = {"id": 1, "type": "docker-hub", "url": "https://hub.docker.com"}
    return "docker.io"


def rule(stack: FakeStack, name: str, **changes: Any) -> None:
    stack.outputs["rules"][name] = {**stack.outputs["rules"]["nginx"], **changes}


@pytest.mark.usefixtures("hub")
def test_containerd(run: Run, stack: FakeStack, tmp_path: Path) -> None:
    stack.outputs["harborUrl"] = "https://harbor.example.com"
    rule(stack, "flat", destination={"namespace": "flat", "flatten": -1})
    done = run("images", "--format", "containerd", "--into", "certs.d", **stack.environment)
    assert (done.code, done.out) == (0, "ok certs.d/docker.io/hosts.toml\n")
    assert "note: flat: flatten changes the path, which hosts.toml can't follow" in done.err
    assert tomllib.loads((tmp_path / "certs.d/docker.io/hosts.toml").read_text()) == {
        "server": "https://registry-1.docker.io",
        "host": {
            "https://harbor.example.com/v2/mirror": {"capabilities": ["pull", "resolve"], "override_path": True},
        },
    }


@pytest.mark.usefixtures("hub")
def test_cri_o_names_repositories_whose_path_changes(run: Run, stack: FakeStack) -> None:
    stack.outputs["harborUrl"] = "https://harbor.example.com"
    rule(stack, "flat", repositories=["bitnami/redis"], destination={"namespace": "flat", "flatten": -1})
    rule(stack, "wild", repositories=["bitnami/*"], destination={"namespace": "flat", "flatten": -1})
    done = run("images", "--format", "cri-o", **stack.environment)
    assert tomllib.loads(done.out)["registry"] == [
        {"prefix": "docker.io", "location": "docker.io", "mirror": [{"location": "harbor.example.com/mirror"}]},
        {
            "prefix": "docker.io/bitnami/redis",
            "location": "docker.io/bitnami/redis",
            "mirror": [{"location": "harbor.example.com/flat/redis"}],
        },
    ]
    assert "note: wild: flatten changes the path of repositories that are not named exactly" in done.err


@pytest.mark.usefixtures("hub")
def test_docker_serves_what_keeps_docker_hubs_path(run: Run, stack: FakeStack) -> None:
    stack.outputs["harborUrl"] = "https://harbor.example.com"
    done = run("images", "--format", "docker", **stack.environment)
    assert json.loads(done.out) == {}
    assert "library/nginx is at mirror/library/nginx; Docker looks under the same path only" in done.err
    stack.outputs["rules"]["nginx"]["destination"] = {"namespace": "library", "flatten": 1}
    done = run("images", "--format", "docker", **stack.environment)
    assert json.loads(done.out) == {"registry-mirrors": ["https://harbor.example.com"]}
    assert "the project must be public" in done.err


@pytest.mark.usefixtures("hub")
def test_kyverno(run: Run, stack: FakeStack) -> None:
    rule(stack, "wild", repositories=["library/*"], tags={"matches": ["[12]*"], "excludes": ["*-rc*"]})
    done = run("images", "--format", "kyverno", **stack.environment)
    policy = yaml.safe_load(done.out)
    assert (policy["kind"], len(policy["spec"]["rules"])) == ("ClusterPolicy", 12)
    rules = {found["name"]: found["mutate"]["foreach"][0] for found in policy["spec"]["rules"]}
    short = rules["nginx-2-containers"]
    assert [(item["operator"], item["value"]) for item in short["preconditions"]["all"]] == [
        ("Equals", "docker.io"),
        ("AnyIn", ["nginx"]),
        ("NotEquals", ""),
        ("AnyIn", ["1.*"]),
    ]
    image = 'images.containers."{{element.name}}"'
    assert short["patchStrategicMerge"]["spec"]["containers"] == [
        {
            "name": "{{ element.name }}",
            "image": f"harbor.example.com/mirror/library/{{{{ {image}.path }}}}:{{{{ {image}.tag }}}}",
        }
    ]
    # Kyverno's star matches slashes: bitnami/redis is not in library.
    wild = [(item["operator"], item["value"]) for item in rules["wild-2-initcontainers"]["preconditions"]["all"]]
    assert wild[1:3] == [("AnyIn", ["*"]), ("AllNotIn", ["*/*"])]
    assert "note: wild: Kyverno has no character classes as in its tags: every tag is rewritten" in done.err


def test_a_format_that_does_not_exist(run: Run, stack: FakeStack) -> None:
    done = run("images", "--format", "podman", **stack.environment)
    available = "json, env, kustomize, helm, containerd, cri-o, docker, kyverno"
    assert (done.code, done.err) == (1, f"mirrorctl: --format podman: available: {available}\n")


# --- Real clients ----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(mirrored: HarborFixture, source: RegistrySimulator, stack: FakeStack) -> tuple[str, str]:
    """The source's host, which has lost its images since they were mirrored, and the digest of nginx:1.26."""
    mirrored.replicate(mirrored.policies[1].id, start=STARTED)
    digest = source.store.tags("library/nginx")["1.26"]
    for tag in list(source.store.tags("library/nginx")):
        source.store.delete_tag("library/nginx", tag)
    url = stack.outputs["endpoints"]["hub"]["url"]
    stack.outputs["registryHost"] = mirrored.url.removeprefix("http://")
    return url.removeprefix("http://"), digest


def test_skopeo_pulls_from_harbor(served: tuple[str, str], run: Run, stack: FakeStack, tmp_path: Path) -> None:
    host, digest = served
    assert run("images", "--format", "cri-o", "--into", "conf", **stack.environment).code == 0
    auth = tmp_path / "auth.json"
    log_in(auth, stack.outputs["registryHost"])
    command = [program("skopeo"), "--registries-conf", str(tmp_path / "conf/50-harbor-mirror.conf")]
    command += ["inspect", "--authfile", str(auth), "--tls-verify=false", "--format", "{{.Digest}}"]
    command += [f"docker://{host}/library/nginx:1.26"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, digest), done.stderr


def log_in(auth: Path, host: str) -> None:
    command = [program("skopeo"), "login", "--authfile", str(auth), "--tls-verify=false", "--username", ADMIN]
    subprocess.run([*command, "--password-stdin", host], input=PASSWORD, text=True, check=True, capture_output=True)


@pytest.fixture
def containerd_socket(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "containerd"
    folder.mkdir()
    (folder / "config.toml").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    socket = folder / "sock"
    command = [program("containerd"), "--config", str(folder / "config.toml"), "--address", str(socket)]
    command += ["--root", str(folder / "root"), "--state", str(folder / "state")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        ctr = [program("ctr", "containerd"), "--address", str(socket), "version"]
        for _ in range(300):
            if subprocess.run(ctr, capture_output=True, check=False).returncode == 0:
                break
            if process.poll() is not None:
                left_out(f"containerd does not start here: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield socket
        process.terminate()


def test_containerd_pulls_from_harbor(
    served: tuple[str, str], containerd_socket: Path, run: Run, stack: FakeStack, tmp_path: Path
) -> None:
    host, digest = served
    assert run("images", "--format", "containerd", "--into", "certs.d", **stack.environment).code == 0
    command = [program("ctr", "containerd"), "--address", str(containerd_socket), "content", "fetch"]
    command += ["--hosts-dir", str(tmp_path / "certs.d"), "--user", f"{ADMIN}:{PASSWORD}"]
    done = subprocess.run(
        [*command, f"{host}/library/nginx:1.26"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [command[0], "--address", str(containerd_socket), "content", "ls", "--quiet"]
    content = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    assert digest in content
