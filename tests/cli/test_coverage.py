"""coverage: images of deployments against the rules of a stack, and against Harbor itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from localcloud.registry import RegistrySimulator
from mirrorctl.offline.schemas import report_schema
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import STARTED, HarborFixture

STACK = """\
config:
  harbor-mirror:harbor: {url: "https://harbor.example.com"}
  harbor-mirror:harborPassword: {secure: v1:abc}
  harbor-mirror:endpoints:
    hub: {type: docker-hub}
    quay: {type: docker-registry, url: "https://quay.io"}
  harbor-mirror:projects:
    mirror: {}
  harbor-mirror:rules:
    nginx: {endpoint: hub, repositories: library/nginx, project: mirror, tags: "1.27*"}
    prometheus: {endpoint: quay, repositories: "prometheus/*", project: mirror, path: quay}
"""
FILES = {
    "k8s/web.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers:
      - {name: init, image: "busybox:1.36"}
      containers:
      - name: web
        image: nginx:1.27.3
      - name: exporter
        image: quay.io/prometheus/node-exporter:v1.8.0
---
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: nginx:1.25}]}}}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec:
  image: harbor.example.com/mirror/quay/prometheus/prometheus:v3.1.0
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec: {image: not-an-image:1}
""",
    "k8s/values.yaml": "image: {repository: not-a-manifest}\\n",
    "base/kustomization.yaml": "resources: [deployment.yaml]\\n",
    "base/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
      - image: api
      - image: docker.io/library/nginx:1.20
""",
    "prod/kustomization.yaml": """\
resources:
- ../base
images:
- name: api
  newName: quay.io/prometheus/api
  newTag: "2.0"
- name: nginx
  newTag: "1.27.9"
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    spec: {template: {spec: {containers: [{name: side, image: "ghcr.io/team/side:7"}]}}}
""",
    "compose.yaml": """\
services:
  db: {image: "postgres:${PG_VERSION:-17}"}
  web: {image: local/web, build: .}
  x: {image: "redis:${NOT_SET}"}
""",
    "app/Dockerfile": """\
ARG BASE=1.27.1
FROM --platform=$BUILDPLATFORM golang:1.23 AS build
RUN --mount=type=bind,from=alpine:3.20,target=/x echo
FROM nginx:${BASE}
COPY --from=build /a /a
COPY --from=quay.io/prometheus/busybox:1 /b /b
FROM build
FROM scratch
""",
}
MIRRORED = {
    "docker.io/library/nginx:1.27.3",
    "docker.io/library/nginx:1.27.9",
    "docker.io/library/nginx:1.27.1",
    "quay.io/prometheus/node-exporter:v1.8.0",
    "quay.io/prometheus/api:2.0",
    "quay.io/prometheus/busybox:1",
    "harbor.example.com/mirror/quay/prometheus/prometheus:v3.1.0",
}
MISSING = {
    "docker.io/library/busybox:1.36": ["k8s/web.yaml:8"],
    "docker.io/library/nginx:1.25": ["k8s/web.yaml:17"],
    "docker.io/library/postgres:17": ["compose.yaml:2"],
    "docker.io/library/golang:1.23": ["app/Dockerfile:2"],
    "docker.io/library/alpine:3.20": ["app/Dockerfile:3"],
    "ghcr.io/team/side:7": ["prod/kustomization.yaml:10"],
}


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    for name, text in FILES.items():
        file = tmp_path / "deploy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("\\n", "\n"))
    return tmp_path / "deploy"


def covered(run: Run, *arguments: str, **more: str) -> dict[str, Any]:
    done = run("coverage", *arguments, "--json", **more)
    Draft202012Validator(report_schema("coverage")).validate(done.json)
    assert done.code == (0 if done.json["ok"] else 2)
    report: dict[str, Any] = done.json
    return report


@pytest.mark.usefixtures("deployments")
def test_every_image_of_every_kind_of_file(run: Run) -> None:
    report = covered(run, "deploy")
    states = {image["image"]: image["state"] for image in report["images"]}
    assert {image for image, state in states.items() if state == "mirrored"} == MIRRORED
    uses = {
        image["image"]: [use.removeprefix("deploy/") for use in image["uses"]]
        for image in report["images"]
        if image["state"] == "missing"
    }
    assert uses == MISSING
    assert report["problems"] == ["deploy/compose.yaml:4: redis:${NOT_SET} has a variable that is not set"]


def test_the_proposal_brings_what_is_missing(deployments: Path, run: Run) -> None:
    proposal = yaml.safe_load(covered(run, "deploy")["proposal"])["config"]
    assert proposal["harbor-mirror:endpoints"] == {"ghcr-io": {"type": "github-ghcr"}}
    rules = proposal["harbor-mirror:rules"]
    assert rules["library-nginx"] == {
        "endpoint": "hub",
        "repositories": "library/nginx",
        "tags": "1.25",
        "project": "mirror",
    }
    config = yaml.safe_load(STACK)["config"]
    for section, entries in proposal.items():
        config[section] |= entries
    (deployments.parent / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    (deployments / "compose.yaml").unlink()
    after = covered(run, "deploy")
    assert after["ok"] is True
    assert after["proposal"] == ""


@pytest.mark.usefixtures("deployments")
def test_a_single_file_and_the_text(run: Run) -> None:
    done = run("coverage", "deploy/app/Dockerfile")
    assert done.code == 2
    assert done.out.splitlines()[:7] == [
        "missing: docker.io/library/alpine:3.20: no rule brings it",
        "    deploy/app/Dockerfile:3",
        "missing: docker.io/library/golang:1.23: no rule brings it",
        "    deploy/app/Dockerfile:2",
        "bad 2 of 4 images are in the mirror",
        "Rules that bring what is missing:",
        "config:",
    ]
    base = covered(run, "deploy/base")
    assert [image["image"] for image in base["images"]] == [
        "docker.io/library/api:latest",
        "docker.io/library/nginx:1.20",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("chart.yaml", "a: {{ .Values.image }}\nb: }", "render the chart first: helm template"),
        ("Dockerfile", "ARG X\nFROM nginx:${X}\n", "FROM nginx:${X} has an argument without a default"),
        ("kustomization.yaml", "resources: ['https://example.com/a.yaml']\n", "is not here; give the output of"),
        ("kustomization.yaml", "helmCharts: [{name: x}]\n", "helmCharts are not rendered here"),
        ("pod.yaml", "apiVersion: v1\nkind: Pod\nspec: {image: 'No Image'}\n", "'No Image' names no image"),
        ("bin.yaml", "\udcff", "can't be read"),
    ],
)
def test_an_unreadable_file_is_not_a_success(
    name: str, text: str, problem: str, deployments: Path, run: Run, tmp_path: Path
) -> None:
    assert deployments
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / name).write_bytes(text.encode(errors="surrogateescape"))
    report = covered(run, "odd")
    assert report["ok"] is False
    assert problem in report["problems"][0]


def test_a_missing_path(deployments: Path, run: Run) -> None:
    assert deployments
    done = run("coverage", "nowhere")
    assert (done.code, done.err) == (1, "mirrorctl: nowhere: there is no such file or directory\n")


def test_live_asks_harbor(
    mirrored: HarborFixture, source: RegistrySimulator, stack: FakeStack, run: Run, tmp_path: Path
) -> None:
    mirrored.replicate(mirrored.policies[1].id, start=STARTED)
    digest = source.store.tags("library/nginx")["1.26"]
    hub = mirrored.registries[1].url.removeprefix("http://")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        STACK.replace("hub: {type: docker-hub}", f'hub: {{type: docker-registry, url: "http://{hub}"}}').replace(
            '"1.27*"', '"1.*"'
        )
    )
    images = [f"{hub}/library/nginx:1.26", f"{hub}/library/nginx:1.99", f"{hub}/library/nginx@{digest}"]
    containers = [{"image": image} for image in images]
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "spec": containers}))
    offline = covered(run, "pod.yaml", "--stack", "dev", **stack.environment)
    assert [image["state"] for image in offline["images"]] == ["missing", "mirrored", "mirrored"]
    live = covered(run, "pod.yaml", "--live", "--stack", "dev", **stack.environment)
    assert [(image["state"], image["reason"]) for image in live["images"]] == [
        ("mirrored", ""),
        ("mirrored", ""),
        ("missing", "Harbor does not have it; run mirrorctl sync nginx"),
    ]


@pytest.mark.usefixtures("deployments")
def test_a_proxy_cache_serves_what_no_rule_brings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(
        STACK.replace("    mirror: {}\n", "    mirror: {}\n    hub-cache: {proxyCache: hub}\n")
    )
    digest = f"sha256:{'0' * 64}"
    images = [
        "nginx:1.27.3", "nginx:1.25", f"postgres@{digest}", "quay.io/prometheus/api:2", "quay.io/other/api:2",
        "harbor.example.com/hub-cache/library/redis:7",
    ]  # fmt: skip
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": [{"image": image} for image in images]}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    report = covered(run, "pod.yaml")
    found = {image["image"]: (image["state"], image["rule"], image["proxyCache"]) for image in report["images"]}
    assert found == {
        "docker.io/library/nginx:1.27.3": ("mirrored", "nginx", None),
        "docker.io/library/nginx:1.25": ("mirrored", None, "hub-cache"),
        f"docker.io/library/postgres@{digest}": ("mirrored", None, "hub-cache"),
        "harbor.example.com/hub-cache/library/redis:7": ("mirrored", None, "hub-cache"),
        "quay.io/prometheus/api:2": ("mirrored", "prometheus", None),
        "quay.io/other/api:2": ("missing", None, None),
    }
    cached = next(image for image in report["images"] if image["image"].endswith("nginx:1.25"))
    assert cached["destination"] == "harbor.example.com/hub-cache/library/nginx"
    assert cached["reason"] == "served by the proxy cache hub-cache"
    assert "library/nginx" not in report["proposal"]
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({**pod, "spec": [{"image": "nginx:1.25"}, {"image": "api:2"}]}))
    done = run("coverage", "pod.yaml")
    assert done.code == 0
    assert done.out.splitlines() == [
        "proxy cache hub-cache: serves 2 images that no rule brings",
        "ok 2 of 2 images are in the mirror",
    ]


def test_live_asks_the_proxy_cache(
    mirrored: HarborFixture, stack: FakeStack, run: Run, source_url: str, tmp_path: Path
) -> None:
    hub = source_url.removeprefix("http://")
    mirrored.add_project("hub-cache", registry_id=1, public="true")
    text = STACK.replace("hub: {type: docker-hub}", f'hub: {{type: docker-registry, url: "{source_url}"}}')
    (tmp_path / "Pulumi.dev.yaml").write_text(
        text.replace("mirror: {}\n", "mirror: {}\n    hub-cache: {proxyCache: hub}\n", 1)
    )
    images = [f"{hub}/library/redis:7", f"{hub}/library/redis:8"]
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": [{"image": image} for image in images]}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    live = covered(run, "pod.yaml", "--live", "--stack", "dev", **stack.environment)
    assert [(image["state"], image["reason"]) for image in live["images"]] == [
        ("mirrored", "served by the proxy cache hub-cache"),
        ("missing", "the proxy cache hub-cache does not get it from its source"),
    ]
