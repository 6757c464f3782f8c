"""Previews on GitLab: a schedule of the default branch previews merge requests that were pushed since the last one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.engine import PROJECT
from localcloud.http import serve
from localcloud.tls import trust
from tests.ci.conftest import Ran, Repository, script
from tests.ci.forge import gitlab_environment

BOT = "project_42_bot"
#: Stands in for the engine: prints the settings that it sees. The scripts around it are the real ones.
ENGINE = """#!/bin/sh
cat "$2/Pulumi.dev.yaml"
"""


@dataclass
class GitLab:
    """A project with merge requests and their comments, by the API."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        project = "/api/v4/projects/42/merge_requests"
        return Starlette(
            routes=[
                Route("/api/v4/user", self.user),
                Route(project, self.list),
                Route(f"{project}/{{iid:int}}/notes", self.comments, methods=["GET", "POST"]),
                Route(f"{project}/{{iid:int}}/notes/{{id:int}}", self.comment, methods=["PUT"]),
            ]
        )

    async def user(self, _: Request) -> Response:
        return JSONResponse({"username": BOT})

    async def list(self, request: Request) -> Response:
        assert (request.query_params["state"], request.query_params["target_branch"]) == ("opened", "main")
        return JSONResponse(self.requests)

    async def comments(self, request: Request) -> Response:
        notes = self.notes.setdefault(request.path_params["iid"], [])
        if request.method == "POST":
            body = (await request.json())["body"]
            notes.append({"id": len(notes) + 1, "author": {"username": BOT}, "body": body, "writes": 1})
        return JSONResponse(notes)

    async def comment(self, request: Request) -> Response:
        note = self.notes[request.path_params["iid"]][request.path_params["id"] - 1]
        note["body"] = (await request.json())["body"]
        note["writes"] += 1
        return JSONResponse(note)


@dataclass(frozen=True)
class Schedule:
    """A scheduled pipeline of the default branch, in a clone of `remote`."""

    gitlab: GitLab
    remote: Repository
    clone: Repository
    env: dict[str, str]

    def run(self) -> Ran:
        self.clone.git("fetch", "--quiet", "origin", "main")
        self.clone.git("reset", "--quiet", "--hard", "origin/main")
        return script(str(self.clone.path / "ci/preview_merge_requests.sh"), "dev", env=self.env)

    def propose(self, number: int, files: dict[str, str], *, is_fork: bool = False) -> None:
        """Push a commit to the merge request's branch."""
        self.remote.git("checkout", "--quiet", "-B", f"branch-{number}")
        head = self.remote.commit(**files)
        self.remote.git("checkout", "--quiet", "main")
        others = [request for request in self.gitlab.requests if request["iid"] != number]
        source = 77 if is_fork else 42
        request = {"iid": number, "sha": head, "source_project_id": source, "target_project_id": 42}
        self.gitlab.requests[:] = [*others, request]


def settings(schedule: str) -> str:
    return json.dumps({"config": {"harbor-mirror:rules": {"nginx": {"schedule": schedule}}}})


@pytest.fixture
def schedule(repository: Repository, tmp_path: Path) -> Iterator[Schedule]:
    for folder in ("ci", "policy"):
        shutil.copytree(PROJECT / folder, repository.path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (repository.path / ".gitignore").write_text("/.venv\n/.tools\n")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    repository.git("add", ".")
    repository.commit(**{"Pulumi.dev.yaml": settings("daily"), "Pulumi.prod.yaml": settings("daily")})
    clone = Repository(tmp_path / "clone")
    repository.git("clone", "--quiet", str(repository.path), str(clone.path))
    (clone.path / ".venv").symlink_to(PROJECT / ".venv")
    (clone.path / ".tools/bin").mkdir(parents=True)
    engine = clone.path / ".tools/bin/pulumi"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    gitlab = GitLab()
    with trust() as files, serve(gitlab.app, certificate=files.certificate) as server:
        env = {
            **gitlab_environment(server.url, files, tmp_path), "CI_DEFAULT_BRANCH": "main",
            "PULUMI_BACKEND_URL": "file:///nowhere", "PYTHONPATH": str(PROJECT),
        }  # fmt: skip
        yield Schedule(gitlab, repository, clone, env)


@pytest.mark.slow
def test_each_push_is_previewed_once_with_its_settings_only(schedule: Schedule) -> None:
    schedule.propose(1, {"Pulumi.dev.yaml": settings("hourly"), "ci/lib.sh": "echo stolen >&2; exit 0"})
    schedule.propose(2, {"docs/page.md": "text"})
    schedule.propose(3, {"Pulumi.dev.yaml": settings("weekly")}, is_fork=True)
    ran = schedule.run()
    assert ran.code == 0, ran.errors
    assert "stolen" not in ran.errors
    assert {number for number, notes in schedule.gitlab.notes.items() if notes} == {1}
    (comment,) = schedule.gitlab.notes[1]
    assert '"hourly"' in comment["body"]
    assert "The change also touches the program." in comment["body"]
    assert schedule.clone.git("status", "--porcelain") == "", "the next merge request starts from the default branch"

    schedule.run()
    assert comment["writes"] == 1
    schedule.propose(1, {"Pulumi.dev.yaml": settings("weekly")})
    schedule.run()
    assert (len(schedule.gitlab.notes[1]), comment["writes"]) == (1, 2)
    assert '"weekly"' in comment["body"]
    schedule.remote.commit(**{"Pulumi.prod.yaml": settings("manual")})
    schedule.run()
    assert comment["writes"] == 3, "the target moved"


def test_a_merge_request_that_cannot_be_previewed_is_reported_and_the_others_are_previewed(schedule: Schedule) -> None:
    schedule.propose(1, {"Pulumi.dev.yaml": json.dumps({"secretsprovider": "hashivault://x"})})
    schedule.propose(2, {"Pulumi.dev.yaml": settings("hourly")})
    ran = schedule.run()
    assert ran.code == 0, ran.errors
    assert "**Not previewed.**" in schedule.gitlab.notes[1][0]["body"]
    assert '"hourly"' in schedule.gitlab.notes[2][0]["body"]
