"""Tests of check, explain, schema and images, which use neither engine nor network."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from mirrorctl import stack_file
from mirrorctl.app import app
from mirrorctl.offline.explanation import explain_rules
from mirrorctl.offline.schemas import REPORTS
from tests.cli.conftest import ROOT, Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import HarborFixture

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]

GOOD = """\
config:
  linode:token: {secure: v1:abc}
  harbor-mirror:host: {region: sg-sin-2, hostname: harbor.example.com, maintenanceWindow: {}}
  harbor-mirror:endpoints:
    hub: {type: docker-hub, username: bot, secret: {secure: v1:abc}}
    gcr: {type: google-gcr, url: "https://gcr.io", secret: {secure: v1:abc}}
  harbor-mirror:projects:
    mirror: {}
  harbor-mirror:rules:
    nginx:
      endpoint: hub
      repositories: library/nginx
      tags: "{1.25,1.26}"
      project: mirror
      schedule: 0 0 */6 * * *
"""
#: With these variables any request fails.
NOWHERE = {"HARBOR_URL": "", "PATH": "/nonexistent", "HTTPS_PROXY": "http://127.0.0.1:1"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(GOOD)
    return path


def test_a_valid_file(file: Path, run: Run) -> None:
    result = run("check", **NOWHERE)
    assert (result.code, result.out) == (0, f"ok {file.name}\n")


def test_the_files_of_this_repository_are_valid(run: Run) -> None:
    result = run("check", "--cwd", str(ROOT), **NOWHERE)
    assert (result.code, result.out.count("ok ")) == (0, 4), result.out


def faults(report: Any) -> dict[str, Any]:
    return {fault["path"]: fault for fault in report["files"][0]["faults"]}


def test_every_fault_with_its_line(file: Path, run: Run) -> None:
    bad = GOOD.replace("0 0 */6 * * *", "0 */1 * * * *").replace("endpoint: hub", "endpoint: hup")
    file.write_text(bad.replace("mirror: {}", "mirror: {quotaGb: lots}"))
    result = run("check", "--json", **NOWHERE)
    assert result.code == 2
    found = faults(result.json)
    assert found["rules.nginx.endpoint"]["line"] == 11
    assert found["projects.mirror.quotaGb"]["line"] == 8
    shown = run("check", **NOWHERE).out
    assert f"fault {file.name}:11: rules.nginx.endpoint: 'hup' is not defined in endpoints" in shown


def test_a_duplicate_key(file: Path, run: Run) -> None:
    file.write_text(GOOD + "    nginx: {endpoint: hub, repositories: library/redis, project: mirror}\n")
    result = run("check", "--json", **NOWHERE)
    assert result.code == 2
    fault = faults(result.json)["rules.nginx"]
    assert "is a duplicate key (lines 10 and 16)" in fault["reason"]


def test_a_secret_in_plain_text_is_a_fault_and_not_shown(file: Path, run: Run) -> None:
    file.write_text(GOOD.replace("username: bot, secret: {secure: v1:abc}", "username: bot, secret: Plain-Secret-1"))
    result = run("check", **NOWHERE)
    assert result.code == 2
    assert "endpoints.hub.secret: is a secret in plain text" in result.out
    assert "Plain-Secret-1" not in result.out + result.err


def test_yaml_is_read_as_the_engine_reads_it(file: Path, run: Run) -> None:
    """`on` and 12:30 are text in YAML 1.2; YAML 1.1 reads them as True and 750."""
    file.write_text(
        GOOD.replace('"{1.25,1.26}"', "on").replace("project: mirror", "project: mirror\n      description: 12:30")
    )
    assert run("check", **NOWHERE).code == 0


@pytest.mark.parametrize("text", ["config: [", "config: 5", "\0"])
def test_invalid_files_are_an_error(file: Path, run: Run, text: str) -> None:
    file.write_text(text)
    result = run("check", **NOWHERE)
    assert (result.code, result.out) == (1, "")
    assert file.name in result.err


def test_selection_of_files(file: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(GOOD.replace("endpoint: hub", "endpoint: hup"))
    assert run("check", "--stack", "acme/harbor-mirror/dev", **NOWHERE).code == 0
    assert run("check", **NOWHERE).code == 2
    result = run("check", "--stack", "staging", **NOWHERE)
    assert result.code == 1
    assert "stacks with a file here: dev, prod" in result.err
    assert run("check", "--cwd", "bin", **NOWHERE).code == 1
    assert file.exists()


def test_explain_describes_rules(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harbor's schedules are in UTC; local times are shown, too."""
    import time

    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    report = explain_rules(stack_file.read(file), [], datetime(2026, 11, 25, 3, 0, tzinfo=UTC))
    monkeypatch.delenv("TZ")
    rule = report.rules[0]
    assert rule.source == "docker.io/library/nginx"
    assert rule.destinations == ("library/nginx -> harbor.example.com/mirror/library/nginx",)
    assert [f"{run.utc:%H:%M} {run.local:%H:%M}" for run in rule.next_runs] == [
        "06:00 14:00",
        "12:00 20:00",
        "18:00 02:00",
    ]
    assert (rule.pulls_per_run, rule.pulls_per_six_hours, rule.certain) == (2, 2, True)
    time.tzset()


def test_explain_on_the_command_line(file: Path, run: Run, process: Run) -> None:
    result = run("explain", "nginx", **NOWHERE)
    assert result.code == 0
    assert "every 6 hours" in result.out
    for zone, times in (("UTC", 1), ("Asia/Shanghai", 2)):
        shown = process("explain", "nginx", TZ=zone, **NOWHERE).out.splitlines()
        assert [len(re.findall(r"\d\d:\d\d", line)) for line in shown if "next" in line] == [times] * 3
    assert run("explain", "ngin", **NOWHERE).code == 1
    file.write_text(GOOD.replace("endpoint: hub", "endpoint: hup"))
    result = run("explain", **NOWHERE)
    assert result.code == 1
    assert "has faults (1)" in result.err


def test_explain_warns_of_docker_hubs_limits(file: Path, run: Run) -> None:
    tags = "{" + ",".join(f"1.{number}" for number in range(50)) + "}"
    file.write_text(GOOD.replace("{1.25,1.26}", tags).replace("0 0 */6 * * *", "0 */10 * * * *"))
    result = run("explain", **NOWHERE)
    assert result.code == 0
    assert "Docker Hub allows 200 (plan personal)" in " ".join(result.out.split())


def test_the_schema_accepts_valid_and_rejects_invalid_files(run: Run) -> None:
    schema = json.loads(run("schema", **NOWHERE).out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name in ("dev", "prod", "local"):
        content = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())
        assert list(validator.iter_errors(content)) == []
    assert list(validator.iter_errors({"config": {"harbor-mirror:rulez": {}}}))
    assert list(validator.iter_errors({"config": {"harbor-mirror:endpoints": {"hub": {"type": "docker-hob"}}}}))


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_has_a_schema(run: Run, name: str) -> None:
    schema = json.loads(run("schema", name, **NOWHERE).out)
    Draft202012Validator.check_schema(schema)
    assert schema["description"]


def test_every_command_that_prints_json_has_a_schema() -> None:
    printing = {name for name, command in COMMANDS.items() if any("--json" in option.opts for option in command.params)}
    assert printing - {"schema"} == set(REPORTS) - {"error"}


@pytest.mark.parametrize("command", ["check", "explain"])
def test_reports_about_files_match_their_schema(file: Path, run: Run, command: str) -> None:
    report = run(command, "--json", "--stack", "dev", "--cwd", str(file.parent), **NOWHERE).json
    schema = json.loads(run("schema", command).out)
    assert list(Draft202012Validator(schema).iter_errors(report)) == []


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize(
    "arguments",
    [
        ("sync", "--all", "--wait", "--verify"),
        ("verify",),
        ("status",),
        ("doctor",),
        ("drift",),
        ("logs", "nginx"),
        ("session",),
        ("report", "--html", "page.html"),
        ("images",),
        ("rotate-admin-password", "--generate"),
        ("adopt", "--name", "new"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_reports_match_their_schema(run: Run, stack: FakeStack, arguments: tuple[str, ...]) -> None:
    run("sync", "nginx", "--wait", **stack.environment)
    environment = {} if arguments[0] == "adopt" else stack.environment
    result = run(*arguments, "--json", **environment)
    schema = json.loads(run("schema", arguments[0]).out)
    assert list(Draft202012Validator(schema).iter_errors(result.json)) == []


def test_images(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    place = "harbor.example.com/mirror/library/nginx"
    assert run("images", **stack.environment).json == {"docker.io/library/nginx": place}
    assert run("images", "--format", "env", **stack.environment).out == f"IMAGE_DOCKER_IO_LIBRARY_NGINX={place}\n"
    found = yaml.safe_load(run("images", "--format", "kustomize", **stack.environment).out)["images"]
    assert {"name": "nginx", "newName": place} in found
    found = yaml.safe_load(run("images", "--format", "helm", **stack.environment).out)["images"]
    assert found["docker.io/library/nginx"] == {"registry": "harbor.example.com", "repository": "mirror/library/nginx"}
    assert run("images", "--format", "toml", **stack.environment).code == 1
    assert run("images").code == 1
    assert mirrored.url
