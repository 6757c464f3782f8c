"""What a reviewer of workflows looks for: all is pinned, rights are the least, no update can be cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.engine import PROJECT
from tests.ci.conftest import script

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
#: All that a job may ask for beyond reading the code.
WRITES = {("preview", "pull-requests"), ("drift", "issues")}


def workflow(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    # YAML 1.1 reads the key `on` as a truth value.
    content["on"] = content.pop(True)  # type: ignore[call-overload]
    return content


def jobs() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    for path in WORKFLOWS:
        whole = workflow(path)
        for name, job in whole["jobs"].items():
            yield path.stem, name, job, whole


def test_there_are_the_four_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "deploy", "drift", "preview"]


def test_linters_find_nothing() -> None:
    ran = script("lint.sh")
    assert ran.code == 0, ran.output + ran.errors


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_and_no_logic_stands_in_the_file(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert PINNED.search(line), line
        if match := re.search(r"- run: (.*)|^ +run: (.*)", line):
            command = match[1] or match[2]
            assert re.search(r"^(make |sudo env \"PATH=\$PATH\" \.ci/run|echo \"\w+=\$\()|ci/", command), command


def test_no_job_has_more_rights_than_it_needs() -> None:
    for file, name, job, whole in jobs():
        assert whole["permissions"] == {}
        for scope, access in job["permissions"].items():
            assert (scope, access) == ("contents", "read") or (file, scope) in WRITES, (file, name, scope)


def test_forks_get_no_secrets() -> None:
    for path in WORKFLOWS:
        whole = workflow(path)
        assert "pull_request_target" not in whole["on"]
        assert "workflow_run" not in whole["on"]
    assert "secrets." not in (PROJECT / ".github/workflows/check.yml").read_text()
    preview = workflow(PROJECT / ".github/workflows/preview.yml")["jobs"]
    assert preview["changed"]["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert preview["preview"]["needs"] == "changed"


def test_no_update_is_ever_cancelled() -> None:
    for file, name, job, whole in jobs():
        if file in {"deploy", "drift"}:
            assert job["concurrency"]["cancel-in-progress"] is False
            assert job["concurrency"]["group"] in {f"stack-{name}", "stack-${{ matrix.environment }}"}
            assert "concurrency" not in whole


def test_prod_comes_after_dev_and_each_in_its_environment() -> None:
    deploy = workflow(PROJECT / ".github/workflows/deploy.yml")["jobs"]
    assert list(deploy) == ["dev", "prod"]
    assert [job["environment"] for job in deploy.values()] == ["dev", "prod"]
    assert deploy["prod"]["needs"] == "dev"


def test_gitlab_runs_the_same_scripts() -> None:
    called = re.compile(r"ci/\w+\.(?:sh|py)")
    github = {name for path in WORKFLOWS for name in called.findall(path.read_text())}
    gitlab = set(called.findall((PROJECT / ".gitlab-ci.yml").read_text()))
    assert gitlab == github
