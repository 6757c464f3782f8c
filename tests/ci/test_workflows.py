"""Rules for workflows: pinned actions, least permissions, and only trusted code in jobs with secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from localcloud.engine import PROJECT
from localcloud.http import serve
from tests.ci.conftest import script
from tests.ci.forge import GitHubApi
from tests.programs import program

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
#: Permissions that a job may ask for beyond reading the code.
WRITES = {
    ("preview", "pull-requests"), ("drift", "issues"), ("resolve", "contents"), ("resolve", "pull-requests"),
}  # fmt: skip


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


def test_there_are_the_five_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "deploy", "drift", "preview", "resolve"]


def test_linters_find_nothing() -> None:
    ran = script("lint.sh")
    assert ran.code == 0, ran.output + ran.errors


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_and_no_logic_is_in_the_file(path: Path) -> None:
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


#: For pull_request_target, github.sha is the last commit of the default branch.
BASE, HEAD = "${{ github.sha }}", "${{ github.event.pull_request.head.sha }}"


def steps(job: dict[str, Any]) -> list[str]:
    """Return the commands and checkouts of a job, in order."""
    return [
        step.get("run") or f"{step['uses'].partition('@')[0]} {step.get('with', {}).get('ref', '')}".strip()
        for step in job["steps"]
    ]


def test_forks_get_no_secrets() -> None:
    assert "secrets." not in (PROJECT / ".github/workflows/check.yml").read_text()
    same_repository = "github.event.pull_request.head.repo.full_name == github.repository"
    preview = workflow(PROJECT / ".github/workflows/preview.yml")["jobs"]
    for first, second in (("changed", "preview"), ("approved", "program")):
        assert preview[first]["if"].startswith(f"{same_repository} && ")
        assert preview[second]["needs"] == first


def test_only_preview_runs_beside_code_of_a_pull_request() -> None:
    for path in WORKFLOWS:
        triggers = set(workflow(path)["on"])
        assert "workflow_run" not in triggers
        assert ("pull_request_target" in triggers) == (path.stem == "preview")
        if "secrets." in path.read_text():
            assert "pull_request" not in triggers, "the file itself would come from the pull request"


def test_a_preview_runs_nothing_of_the_pull_request() -> None:
    preview = workflow(PROJECT / ".github/workflows/preview.yml")["jobs"]
    for name in ("changed", "preview"):
        first, second, third, *_ = steps(preview[name])
        assert (first, second) == (f"actions/checkout {BASE}", f"actions/checkout {HEAD}")
        assert preview[name]["steps"][1]["with"]["path"] == "proposal"
        assert third == "ci/fetch_proposal.sh proposal", "nothing runs while its files are here"
    assert 'ci/preview.sh "$ENVIRONMENT" "$BASE" "$HEAD"' in steps(preview["preview"])[-2]


def test_a_changed_program_runs_at_the_labelled_commit_after_a_maintainer_was_verified() -> None:
    preview = workflow(PROJECT / ".github/workflows/preview.yml")["jobs"]
    approved = preview["approved"]
    assert "github.event.action == 'labeled'" in approved["if"]
    assert "github.event.label.name == 'preview-program'" in approved["if"]
    assert steps(approved) == [
        f"actions/checkout {BASE}", 'ci/require_maintainer.sh "$SENDER"',
    ]  # fmt: skip
    assert approved["steps"][1]["env"]["SENDER"] == "${{ github.event.sender.login }}"
    assert steps(preview["program"])[1] == f"actions/checkout {HEAD}"
    assert steps(preview["program"])[3] == 'ci/merge_proposal.sh "$HEAD"'
    assert "environment" not in approved


@pytest.mark.parametrize(("role", "code"), [("admin", 0), ("maintain", 0), ("write", 1), ("triage", 1), ("none", 1)])
def test_only_labels_by_maintainers_count(role: str, code: int, tmp_path: Path) -> None:
    program("gh")

    async def permission(request: Request) -> JSONResponse:
        return JSONResponse(
            {"permission": "write", "role_name": role if request.path_params["user"] == "someone" else "admin"}
        )

    app = Starlette(routes=[Route("/repos/acme/mirror/collaborators/{user}/permission", permission)])
    with serve(GitHubApi(app)) as server:
        env = GitHubApi.environment(server.url, tmp_path)
        ran = script("require_maintainer.sh", "someone", env=env)
    assert ran.code == code, ran.errors
    assert f"the role {role}" in ran.errors


def test_jobs_with_secrets_install_verified_files_only() -> None:
    for file, name, job, _ in jobs():
        if "secrets." in str(job):
            assert "make pipeline" in steps(job), (file, name)
            assert "make setup" not in steps(job), (file, name)


def test_no_update_is_ever_cancelled() -> None:
    for file, name, job, whole in jobs():
        if file in {"deploy", "drift"}:
            assert job["concurrency"]["cancel-in-progress"] is False
            assert job["concurrency"]["group"] in {f"stack-{name}", "stack-prod", "stack-${{ matrix.environment }}"}
            assert "concurrency" not in whole


def test_prod_is_planned_after_dev_and_applies_the_approved_plan() -> None:
    deploy = workflow(PROJECT / ".github/workflows/deploy.yml")["jobs"]
    assert list(deploy) == ["dev", "plan-prod", "prod"]
    assert [job["environment"] for job in (deploy["dev"], deploy["prod"])] == ["dev", "prod"]
    assert deploy["plan-prod"]["environment"]["name"] == "prod-preview"
    assert (deploy["plan-prod"]["needs"], deploy["prod"]["needs"]) == ("dev", "plan-prod")
    assert "ci/deploy.sh prod outputs.prod.json plan.prod.json" in steps(deploy["prod"])
    gitlab = yaml.safe_load((PROJECT / ".gitlab-ci.yml").read_text())
    assert (gitlab["plan-prod"]["needs"], gitlab["prod"]["needs"]) == (["dev"], ["plan-prod"])
    assert gitlab["prod"]["script"] == ["ci/deploy.sh prod outputs.prod.json plan.prod.json"]


def test_gitlab_gives_secrets_to_pipelines_of_the_default_branch_only() -> None:
    gitlab = yaml.safe_load((PROJECT / ".gitlab-ci.yml").read_text())
    with_secrets = [job for job in gitlab.values() if isinstance(job, dict) and "environment" in job]
    assert len(with_secrets) == 7
    for job in with_secrets:
        for rule in job["rules"]:
            assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in rule["if"]
            assert "merge_request_event" not in rule["if"]


@pytest.mark.parametrize("path", sorted((PROJECT / "ci").glob("*.sh")), ids=lambda path: path.stem)
def test_every_script_switches_commands_in_the_log_off_and_on(path: Path, tmp_path: Path) -> None:
    if path.stem == "lib":
        return
    assert '\n. "$(dirname "$0")/lib.sh"\n' in path.read_text()
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/lib.sh").write_text((PROJECT / "ci/lib.sh").read_text())
    # Whatever the script does or how it ends: this is all of it up to its first own line.
    start = path.read_text().partition('/lib.sh"\n')[0] + '/lib.sh"\necho ::error::x >&2\nfalse\n'
    (tmp_path / "ci" / path.name).write_text(start)
    ran = script(str(tmp_path / "ci" / path.name), env={"GITHUB_ACTIONS": "true"})
    off, error, on = ran.errors.splitlines()
    assert (ran.code, error) == (1, "::error::x")
    assert off.removeprefix("::stop-commands::") == on.strip(":")
    assert len(on) > 16


def test_scripts_remove_what_programs_leave_in_the_directory_of_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "tmp").mkdir()
    start = (
        f'. {PROJECT}/ci/lib.sh\nprintf %s token >"$(mktemp)"\npython -c "import tempfile; tempfile.mkstemp()"\nfalse\n'
    )
    (tmp_path / "ci/run.sh").write_text(start)
    assert script(str(tmp_path / "ci/run.sh"), env={"TMPDIR": str(tmp_path / "tmp")}).code == 1
    assert list((tmp_path / "tmp").iterdir()) == []


#: Each service needs something that the other does not.
ONLY_GITHUB = {"ci/fetch_proposal.sh", "ci/require_maintainer.sh", "ci/changed.sh"}
ONLY_GITLAB = {"ci/preview_merge_requests.sh"}


def test_gitlab_runs_the_same_scripts() -> None:
    called = re.compile(r"ci/\w+\.(?:sh|py)")
    github = {name for path in WORKFLOWS for name in called.findall(path.read_text())}
    gitlab = set(called.findall((PROJECT / ".gitlab-ci.yml").read_text()))
    assert gitlab - ONLY_GITLAB == github - ONLY_GITHUB
