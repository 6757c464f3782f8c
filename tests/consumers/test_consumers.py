"""Consumers of a mirror: another program, a shell step, kustomize, Helm. Real clients pull the images."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.cloud import LocalCloud
from localcloud.engine import PROJECT, Workspace
from tests.consumers.program import OtherProgram
from tests.programs import program

EXAMPLES = PROJECT / "examples"
TAG = "1.27.0"


def run(*command: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={**env}, cwd=cwd, capture_output=True, text=True, check=False)


def pulls(reference: str, auth: Path) -> subprocess.CompletedProcess[str]:
    """Let a real client read the image with these credentials."""
    command = (program("skopeo"), "inspect", "--tls-verify=false", "--authfile", str(auth), f"docker://{reference}")
    return run(*command, env=os.environ)


@pytest.fixture
def source(cloud: LocalCloud) -> str:
    """The reference of nginx at its source."""
    return f"{cloud.hub_url.removeprefix('http://')}/library/nginx"


@pytest.mark.slow
def test_another_program_reads_references_and_a_pull_secret(
    mirror: Workspace, outputs: dict[str, Any], source: str, tmp_path: Path
) -> None:
    # A StackReference reads the state of another stack in the same backend.
    env = {**mirror.env, "PULUMI_BACKEND_URL": mirror.environment()["PULUMI_BACKEND_URL"]}
    consumer = OtherProgram(tmp_path / "consumer", "web", env, EXAMPLES / "consumer")
    consumer.create()
    images = {"web": f"{source}:{TAG}"}
    consumer.configure({"consumer:mirror": "organization/harbor-mirror/dev", "consumer:images": images})
    consumer.up().ok()
    made = consumer.outputs(secrets=True)
    assert made["images"] == {"web": f"{outputs['registryHost']}/mirror/library/nginx:{TAG}"}
    auth = tmp_path / "auth.json"
    auth.write_text(made["pullSecret"])
    inspected = pulls(made["images"]["web"], auth)
    assert inspected.returncode == 0, inspected.stderr
    assert consumer.outputs()["pullSecret"] == "[secret]"
    assert outputs["pullPassword"] not in consumer.export()

    consumer.configure({**consumer.configuration(), "consumer:images": {"web": "docker.io/library/unknown:1"}})
    refused = consumer.preview()
    assert refused.code != 0
    assert "images.web: no rule mirrors docker.io/library/unknown" in refused.output


def test_a_shell_step_pulls_by_digest(mirror: Workspace, outputs: dict[str, Any], source: str, tmp_path: Path) -> None:
    env = {**mirror.environment(), "TLS_VERIFY": "false"}
    file = tmp_path / "nginx.tar"
    program("jq")
    script = str(EXAMPLES / "shell" / "pull.sh")
    done = run(script, source, TAG, str(file), env=env, cwd=mirror.directory)
    assert done.returncode == 0, done.stderr
    place, _, digest = done.stdout.strip().partition("@")
    assert place == f"{outputs['registryHost']}/mirror/library/nginx"
    inspected = run(program("skopeo"), "inspect", "--format", "{{.Digest}}", f"oci-archive:{file}", env=os.environ)
    assert inspected.stdout.strip() == digest
    assert outputs["pullPassword"] not in done.stdout + done.stderr

    unknown = run(script, "docker.io/library/unknown", TAG, str(file), env=env, cwd=mirror.directory)
    assert unknown.returncode == 1
    assert "no rule mirrors docker.io/library/unknown" in unknown.stderr


def test_kubernetes_pulls_with_the_secret(mirror: Workspace, outputs: dict[str, Any], tmp_path: Path) -> None:
    program("jq")
    script = str(EXAMPLES / "kubernetes" / "pull-secret.sh")
    done = run(script, "dev", "mirror-pull", env=mirror.environment(), cwd=mirror.directory)
    assert done.returncode == 0, done.stderr
    secret = json.loads(done.stdout)
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "mirror-pull")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    auth = tmp_path / "auth.json"
    auth.write_bytes(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert set(json.loads(auth.read_text())["auths"]) == {outputs["registryHost"]}
    inspected = pulls(f"{outputs['registryHost']}/mirror/library/nginx:{TAG}", auth)
    assert inspected.returncode == 0, inspected.stderr


def print_images(mirror: Workspace, form: str) -> str:
    """Return what `mirrorctl images` prints for programs; notes for people go to standard error."""
    done = mirror.mirrorctl("images", "--format", form, "--stack", mirror.stack)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kustomize_moves_a_deployments_images_to_the_mirror(
    mirror: Workspace, outputs: dict[str, Any], source: str, tmp_path: Path
) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(EXAMPLES / "kubernetes", folder)
    deployment = folder / "deployment.yaml"
    deployment.write_text(deployment.read_text().replace("docker.io/library/nginx", source))
    images = print_images(mirror, "kustomize")
    with (folder / "kustomization.yaml").open("a") as kustomization:
        kustomization.write(images)
    done = run(program("kubectl", "kubernetes-client"), "kustomize", str(folder), env=os.environ)
    assert done.returncode == 0, done.stderr
    container = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"{outputs['registryHost']}/mirror/library/nginx:{TAG}"


@pytest.mark.parametrize("form", ["helm", "env", "json"])
def test_the_other_formats_have_the_same_references(
    form: str, mirror: Workspace, outputs: dict[str, Any], source: str
) -> None:
    text = print_images(mirror, form)
    place = outputs["images"][source]
    if form == "helm":
        # Debian has no Helm. docs/outputs.md has the line with which a chart uses these values.
        entry = yaml.safe_load(text)["images"][source]
        assert f"{entry['registry']}/{entry['repository']}" == place
    elif form == "json":
        assert json.loads(text) == outputs["images"]
    else:
        shown = run("sh", "-c", f'set -a\n{text}\nprintenv | grep "={place}$"', env={"PATH": os.environ["PATH"]})
        assert shown.stdout.strip().startswith("IMAGE_"), shown.stderr
        assert shown.stdout.count("\n") == 1
