"""import: files of other tools become a valid configuration, and nothing of them is lost silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from jsonschema import Draft202012Validator

from harbor_mirror.plan.references import InvalidReference, Reference
from mirrorctl.offline.located import load
from mirrorctl.offline.schemas import report_schema
from tests.cli.conftest import ROOT, Run

FILES = ROOT / "tests/data/importing"


def imported(run: Run, form: str, file: Path, *more: str) -> dict[str, Any]:
    done = run("import", form, str(file), "--json", *more)
    Draft202012Validator(report_schema("import")).validate(done.json)
    assert done.code == (0 if done.json["ok"] else 2)
    report: dict[str, Any] = done.json
    report["config"] = yaml.safe_load(report["configuration"])["config"]
    return report


def config(report: dict[str, Any], section: str) -> dict[str, Any]:
    found: dict[str, Any] = report["config"][f"harbor-mirror:{section}"]
    return found


def lines(report: dict[str, Any]) -> set[int]:
    return {decision["line"] for decision in report["decisions"]}


@pytest.mark.parametrize(
    ("form", "file"), [("regsync", "regsync.yaml"), ("skopeo", "skopeo.yaml"), ("images", "images.txt")]
)
def test_the_written_file_passes_check(form: str, file: str, run: Run, tmp_path: Path) -> None:
    done = run("import", form, str(FILES / file), "--into", "Pulumi.new.yaml")
    assert done.code == 2
    written = tmp_path / "Pulumi.new.yaml"
    content = yaml.safe_load(written.read_text())
    content["config"]["harbor-mirror:harbor"] = {"url": "https://harbor.example.com"}
    content["config"]["harbor-mirror:harborPassword"] = {"secure": "v1:abc"}
    for endpoint in content["config"]["harbor-mirror:endpoints"].values():
        if "username" in endpoint:
            endpoint["secret"] = {"secure": "v1:abc"}
    written.write_text(yaml.safe_dump(content, sort_keys=False))
    faults = [fault["text"] for fault in run("check", "--json").json["files"][0]["faults"]]
    assert [fault for fault in faults if "is not resolved yet" not in fault] == []
    again = run("import", form, str(FILES / file), "--into", "Pulumi.new.yaml")
    assert (again.code, again.err) == (1, "mirrorctl: Pulumi.new.yaml exists already; use another --into\n")


def test_every_regsync_entry_is_a_rule_or_a_decision(run: Run) -> None:
    report = imported(run, "regsync", FILES / "regsync.yaml")
    entries = load((FILES / "regsync.yaml").read_text())["sync"]
    assert len(entries) == 96
    sources = {f"{rule['endpoint']} {rule['repositories']}" for rule in config(report, "rules").values()}
    assert len(sources) == len(report["rules"])
    lost = [entry for entry in entries if not sources & names(report, entry["source"])]
    assert {entry.line for entry in lost} <= lines(report)
    assert len(report["rules"]) + len(lost) == 96
    reasons = " ".join(decision["reason"] for decision in report["decisions"])
    for reason in ("platform has no counterpart", "referrers has no counterpart", "renames the tag", "renames the rep"):
        assert reason in reasons
    assert report["secretsNeeded"] == ["endpoints.docker-hub.secret"]
    rules = config(report, "rules")
    assert all(
        (rule["project"] == "mirror" and rule["schedule"] == "0 H */6 * * *") or "/4" in rule["schedule"]
        for rule in rules.values()
    )


def names(report: dict[str, Any], source: str) -> set[str]:
    """Endpoint and repository of a source, for every endpoint that the host may have."""
    reference = Reference.parse(source)
    return {f"{name} {reference.repository}" for name in config(report, "endpoints")}


def test_every_skopeo_entry_is_a_rule_or_a_decision(run: Run) -> None:
    report = imported(run, "skopeo", FILES / "skopeo.yaml")
    content = load((FILES / "skopeo.yaml").read_text())
    wanted: set[tuple[str, str]] = set()
    digests = 0
    for registry in content.values():
        for repository, tags in registry.get("images", {}).items():
            wanted |= {(repository, tag) for tag in tags or [""] if "sha256:" not in tag}
            digests += sum("sha256:" in tag for tag in tags)
        for kind in ("images-by-semver", "images-by-tag-regex"):
            wanted |= {(repository, value) for repository, value in registry.get(kind, {}).items()}
    found = set()
    for rule in config(report, "rules").values():
        tags = rule.get("tags", "")
        values = tags.values() if isinstance(tags, dict) else [tags] if isinstance(tags, str) else tags
        found |= {(rule["repositories"], value) for value in values}
    assert found == wanted
    assert len(report["decisions"]) == digests > 0
    assert "not-to-be-copied" not in str(report)


def test_every_image_of_a_list_is_a_tag_or_a_decision(run: Run) -> None:
    report = imported(run, "images", FILES / "images.txt", "--project", "airgap")
    entries = [line for line in (FILES / "images.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(entries) == 166
    tags = [rule["tags"] for rule in config(report, "rules").values()]
    count = sum(1 if isinstance(tag, str) else len(tag) for tag in tags)
    assert count + len(report["decisions"]) == 166
    assert config(report, "projects") == {"airgap": {}}


def test_terraform(run: Run) -> None:
    report = imported(run, "terraform", FILES / "infra.tf")
    assert config(report, "endpoints") == {
        "hub": {"type": "docker-hub", "name": "hub", "username": "mirror-bot"},
        "quay": {"type": "docker-registry", "name": "quay", "url": "https://quay.io"},
    }
    assert config(report, "projects") == {"mirror": {"quotaGb": 200}}
    assert config(report, "rules") == {
        "nginx": {
            "endpoint": "hub",
            "repositories": "library/nginx",
            "tags": {"excludes": ["*-rc*"]},
            "resource": "image",
            "project": "mirror",
            "flatten": -1,
            "schedule": "0 0 2 * * *",
            "override": False,
        },
        "prometheus": {
            "endpoint": "quay",
            "repositories": "prometheus/prometheus",
            "tags": {"matches": ["v3.*"]},
            "project": "mirror",
            "path": "quay",
            "schedule": "daily",
        },
    }
    assert [(decision["line"], decision["entry"], decision["reason"]) for decision in report["decisions"]] == [
        (23, "harbor_project.mirror", "enable_content_trust has no counterpart"),
        (65, "harbor_replication.fan_out", "action push: only pull rules are imported"),
        (71, "harbor_replication.many", "is repeated; write each rule out"),
        (82, "harbor_label.release", "has no counterpart"),
    ]
    assert "a filters block has name and tag, of which the provider sent one only" in report["notes"][0]["reason"]
    assert report["secretsNeeded"] == ["endpoints.hub.secret"]


def test_terraform_that_is_not_written_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.tf").write_text(
        """data "harbor_registry" "d" { name = "x" }
module "m" { source = "./m" }
resource "harbor_registry" "quay" {
  provider_name = "docker-registry"
  name = "quay"
  endpoint_url = "https://quay.io"
  access_id = var.user
  access_secret = "in-plain-text"
}
resource "harbor_replication" "many" {
  name = "two words/x"
  action = "pull"
  registry_id = harbor_registry.quay.registry_id
  dest_namespace = "mirror/${var.team}"
  schedule = "event_based"
  filters { name = "coreos/etcd" }
}
"""
    )
    report = imported(run, "terraform", Path("odd.tf"))
    assert "in-plain-text" not in str(report)
    assert [(decision["line"], decision["entry"], decision["reason"]) for decision in report["decisions"]] == [
        (1, "data.harbor_registry.d", "has no counterpart"),
        (2, "module.m", "has no counterpart"),
        (3, "harbor_registry.quay", "access_id = ${var.user} is not written out; write its value"),
        (3, "quay", "has a password and no user that is written out: set endpoints.quay.username"),
        (10, "harbor_replication.many", "dest_namespace = mirror/${var.team} is not written out; write its value"),
        (
            10,
            "harbor_replication.many",
            "dest_namespace is not set: images would keep the source's projects; set project",
        ),
    ]


@pytest.mark.parametrize("registry", ["Bad Host", "{{x}}", ""])
def test_names_that_are_not_registries(registry: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "sync.yml").write_text(yaml.safe_dump({registry: {"images": {"a": ["1"]}}}))
    assert imported(run, "skopeo", Path("sync.yml"))["decisions"]
    (tmp_path / "regsync.yml").write_text(yaml.safe_dump({"creds": [{"registry": registry}], "sync": []}))
    assert imported(run, "regsync", Path("regsync.yml"))["decisions"]


REGSYNC = """\
sync:
  - source: {source}
    target: harbor.example.com/{target}
    type: {kind}
    tags: {tags}
    {more}
"""


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({}, {}),
        ({"tags": "{allow: ['1.27', 'latest']}"}, {"tags": ["1.27", "latest"]}),
        ({"tags": "{allow: ['v1\\..*']}"}, {"tags": "v1.*"}),
        ({"tags": "{allow: ['1.27']}", "more": "digestTags: true"}, {"tags": "1.27", "signatures": True}),
        ({"more": "digestTags: true"}, {}),
        ({"tags": "{allow: ['.*'], deny: ['.*-rc.*']}"}, {"tags": {"regex": "^(?!(?:.*-rc.*)$)(?:.*)$"}}),
        ({"tags": "{deny: ['latest']}"}, {"tags": {"excludes": ["latest"]}}),
        ({"tags": "{allow: ['v\\d+', 'x'], deny: ['v1']}"}, {"tags": {"regex": "^(?:v\\d+|x)$", "excludes": ["v1"]}}),
        ({"tags": "{semverRange: ['>=1.25 <2']}"}, {"tags": {"semver": ">=1.25 <2"}}),
        ({"target": "mirror/nginx"}, {"flatten": -1}),
        ({"target": "mirror/hub/library/nginx"}, {"path": "hub"}),
        ({"source": "quay.io/a/b/c", "target": "mirror/b/c"}, {"repositories": "a/b/c", "flatten": 1}),
        ({"more": "schedule: '5 * * * *'"}, {"schedule": "0 5 * * * *"}),
        ({"more": "interval: 60m"}, {"schedule": "hourly"}),
        ({"more": "interval: 12h"}, {"schedule": "0 H */12 * * *"}),
        ({"more": "interval: 10m"}, {"schedule": "0 */10 * * * *"}),
    ],
)
def test_regsync_entries(entry: dict[str, str], rule: dict[str, Any], run: Run, tmp_path: Path) -> None:
    default = {"source": "nginx", "target": "mirror/library/nginx", "kind": "repository", "tags": "{}", "more": ""}
    (tmp_path / "regsync.yml").write_text(REGSYNC.format(**{**default, **entry}))
    report = imported(run, "regsync", Path("regsync.yml"))
    assert report["decisions"] == []
    (found,) = config(report, "rules").values()
    del found["endpoint"]
    assert found == {"repositories": "library/nginx", "project": "mirror", **rule}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"target": "mirror/web"}, "target mirror/web renames the repository, which Harbor can't"),
        ({"target": "nginx"}, "target nginx names no project; Harbor's images are in one"),
        ({"kind": "registry"}, "type registry: a rule names repositories; list those you need"),
        ({"tags": "{semverRange: ['banana']}"}, "is not a version range"),
        ({"tags": "{allow: ['[[:digit:]]+']}"}, "is a regular expression that only Go reads"),
        ({"source": "'{{env \"X\"}}/a/b'"}, "is a template; write its value"),
        ({"more": "interval: 7h"}, "interval 7h does not divide an hour or a day"),
        ({"more": "schedule: '* * * * *'"}, "runs every minute, which Harbor refuses"),
        ({"more": "platforms: [linux/amd64]"}, "platforms has no counterpart"),
        ({"kind": "image"}, "names no image"),
    ],
)
def test_regsync_entries_to_decide(entry: dict[str, str], reason: str, run: Run, tmp_path: Path) -> None:
    default = {"source": "nginx", "target": "mirror/library/nginx", "kind": "repository", "tags": "{}", "more": ""}
    if entry.get("kind") == "image":
        default["source"] = "'nginx:'"
    (tmp_path / "regsync.yml").write_text(REGSYNC.format(**{**default, **entry}))
    report = imported(run, "regsync", Path("regsync.yml"))
    assert reason in " ".join(decision["reason"] for decision in report["decisions"])
    assert lines(report) <= {2, 3, 4, 5, 6}


def test_the_ca_of_a_registry_is_taken_over(run: Run, tmp_path: Path) -> None:
    ca = trustme.CA().cert_pem.bytes().decode()
    creds = {"registry": "registry.corp.example", "regcert": f"# the authority\n{ca}"}
    sync = [{"source": "registry.corp.example/team/app", "target": "mirror/team/app", "type": "repository"}]
    (tmp_path / "regsync.yml").write_text(yaml.safe_dump({"creds": [creds], "sync": sync}))
    report = imported(run, "regsync", Path("regsync.yml"))
    (endpoint,) = config(report, "endpoints").values()
    assert (report["decisions"], endpoint["caCertificate"]) == ([], ca)

    block = 'resource "harbor_registry" "corp" {{\n  provider_name = "docker-registry"\n  name = "corp"\n{}\n}}\n'
    url = '  endpoint_url = "https://registry.corp.example"\n  ca_certificate = '
    (tmp_path / "heredoc.tf").write_text(block.format(f"{url}<<EOT\n{ca}EOT"))
    report = imported(run, "terraform", Path("heredoc.tf"))
    assert config(report, "endpoints")["corp"]["caCertificate"] == ca
    (tmp_path / "file.tf").write_text(block.format(f'{url}file("corp-ca.pem")'))
    report = imported(run, "terraform", Path("file.tf"))
    assert "ca_certificate = ${file" in report["decisions"][0]["reason"]


def test_tags_that_exceed_harbors_limit_become_several_rules(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("".join(f"nginx:1.{minor}.{minor * 7919}\n" for minor in range(168)))
    report = imported(run, "images", Path("list"))
    assert report["rules"] == ["nginx", "nginx-2", "nginx-3"]
    assert sum(len(rule["tags"]) for rule in config(report, "rules").values()) == 168


def test_entries_with_the_same_destination_need_a_decision(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("quay.io/team/web:1\nghcr.io/team/web:1\n")
    report = imported(run, "images", Path("list"))
    assert len(report["rules"]) == 1
    assert "ghcr.io/team/web are copied to mirror/team/web" in report["decisions"][0]["reason"]


@pytest.mark.parametrize(
    ("form", "text"), [("regsync", "sync: ["), ("skopeo", "a: {"), ("regsync", "- 1"), ("terraform", 'resource "x" {')]
)
def test_a_file_that_cannot_be_read(form: str, text: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    assert run("import", form, "file").code in (1, 2)
    assert run("import", form, "missing").err == "mirrorctl: missing: No such file or directory\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("index.docker.io/bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("quay.io/a/b@sha256:" + "0" * 64, "quay.io/a/b@sha256:" + "0" * 64),
        ("a.b:5000/c/d:v1", "a.b:5000/c/d:v1"),
    ],
)
def test_references(text: str, shown: str) -> None:
    assert str(Reference.parse(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "Nginx", "nginx:", "a b", "nginx:-x", "nginx@sha256:1", "https://quay.io/a", "/a"]
)
def test_no_references(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)
