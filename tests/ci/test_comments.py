"""What a reviewer reads: a diff that fits into a comment, and one comment instead of many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.http import serve
from tests.ci.conftest import script

# --- the diff ---------------------------------------------------------------------------------------------------------


def test_marks_come_first_and_fences_stay_whole() -> None:
    diff = "  ~ a: (update)\n      - old\n      +-replaced\n~~~\nplain\n"
    assert script("as_diff.py", stdin=diff).output.splitlines() == [
        "!   a: (update)", "-       old", "      +-replaced", "~ ~ ~", "plain",
    ]  # fmt: skip


def test_a_long_diff_is_cut_at_a_line_and_says_so() -> None:
    ran = script("as_diff.py", "100", stdin="x" * 40 + "\n" + "y" * 40 + "\n" + "z" * 40 + "\nlast\n")
    assert ran.output.splitlines() == ["x" * 40, "y" * 40, "... 2 more lines; the job's log has all"]
    assert "last" in ran.errors, "the job's log has all of it"


# --- comments and issues ----------------------------------------------------------------------------------------------


class FakeForge:
    """Both services' API as far as it is used: comments and issues, paged, with a token."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = [{"id": number, "body": f"talk {number}"} for number in range(1, 131)]
        self.issues: list[dict[str, Any]] = []
        self.routes = [
            Route("/repos/acme/mirror/issues/7/comments", self.listed(self.comments), methods=["GET", "POST"]),
            Route("/repos/acme/mirror/issues/comments/{id:int}", self.one(self.comments), methods=["PATCH"]),
            Route("/repos/acme/mirror/issues", self.listed(self.issues), methods=["GET", "POST"]),
            Route("/repos/acme/mirror/issues/{id:int}", self.one(self.issues), methods=["PATCH"]),
            Route(
                "/projects/acme%2Fmirror/merge_requests/7/notes", self.listed(self.comments), methods=["GET", "POST"]
            ),
            Route("/projects/42/merge_requests/7/notes", self.listed(self.comments), methods=["GET", "POST"]),
            Route("/projects/42/merge_requests/7/notes/{id:int}", self.one(self.comments), methods=["PUT"]),
            Route("/projects/42/issues", self.listed(self.issues), methods=["GET", "POST"]),
            Route("/projects/42/issues/{id:int}", self.one(self.issues), methods=["PUT"]),
        ]
        self.app = Starlette(routes=self.routes)

    def listed(self, entries: list[dict[str, Any]]) -> Any:
        async def answer(request: Request) -> Response:
            if not self._known(request):
                return JSONResponse({"message": "Bad credentials"}, status_code=401)
            if request.method == "POST":
                number = len(entries) + 1
                entries.append({"id": number, "number": number, "iid": number, "state": "open", **await request.json()})
                return JSONResponse(entries[-1], status_code=201)
            size, page = int(request.query_params["per_page"]), int(request.query_params["page"])
            state = request.query_params.get("state")
            there = [entry for entry in entries if state is None or state.startswith(entry["state"])]
            return JSONResponse(there[size * (page - 1) : size * page])

        return answer

    def one(self, entries: list[dict[str, Any]]) -> Any:
        async def answer(request: Request) -> Response:
            entry = next(entry for entry in entries if entry["id"] == request.path_params["id"])
            change = await request.json()
            if change.pop("state_event", None) == "close":
                change["state"] = "closed"
            entry |= change
            return JSONResponse(entry)

        return answer

    @staticmethod
    def _known(request: Request) -> bool:
        return "token-1" in (
            request.headers.get("Authorization", "").removeprefix("Bearer "),
            request.headers.get("PRIVATE-TOKEN"),
        )


@pytest.fixture
def forge() -> Iterator[tuple[FakeForge, str]]:
    fake = FakeForge()
    with serve(fake.app) as server:
        yield fake, server.url


def pipeline(kind: str, url: str) -> dict[str, str]:
    """What the service sets in a pipeline of a pull request."""
    if kind == "github":
        return {
            "GITHUB_REPOSITORY": "acme/mirror", "GITHUB_API_URL": url, "GITHUB_TOKEN": "token-1", "PULL_REQUEST": "7",
        }  # fmt: skip
    return {"CI_PROJECT_ID": "42", "CI_API_V4_URL": url, "GITLAB_TOKEN": "token-1", "CI_MERGE_REQUEST_IID": "7"}


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_one_comment_is_rewritten_among_many(kind: str, forge: tuple[FakeForge, str]) -> None:
    fake, url = forge
    talk = len(fake.comments)
    for text in ("first", "second", "third"):
        ran = script("publish.py", "comment", "--key", "preview-dev", env=pipeline(kind, url), stdin=text)
        assert ran.code == 0, ran.errors
    script("publish.py", "comment", "--key", "preview-prod", env=pipeline(kind, url), stdin="of prod")
    assert [comment["body"] for comment in fake.comments[talk:]] == [
        "<!-- harbor-mirror preview-dev -->\nthird",
        "<!-- harbor-mirror preview-prod -->\nof prod",
    ]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_one_issue_is_opened_rewritten_closed_and_opened_anew(kind: str, forge: tuple[FakeForge, str]) -> None:
    fake, url = forge
    env, text = pipeline(kind, url), "body" if kind == "github" else "description"

    def publish(*arguments: str, body: str = "") -> str:
        ran = script("publish.py", "issue", "--key", "drift-dev", *arguments, env=env, stdin=body)
        assert ran.code == 0, ran.errors
        return ran.errors.strip()

    assert publish("--close") == "no issue is open"
    assert publish("--title", "Drift of dev", body="a") == "issue opened"
    assert publish("--title", "Drift of dev", body="b") == "issue rewritten"
    assert [(issue["title"], issue[text]) for issue in fake.issues] == [
        ("Drift of dev", "<!-- harbor-mirror drift-dev -->\nb")
    ]
    assert publish("--close") == "issue closed"
    assert fake.issues[0]["state"] == "closed"
    assert "Nothing differs any more." in fake.issues[0][text]
    assert publish("--title", "Drift of dev", body="c") == "issue opened"
    assert len(fake.issues) == 2


def test_what_goes_wrong_is_said_without_the_token(forge: tuple[FakeForge, str]) -> None:
    _, url = forge
    env = {**pipeline("github", url), "GITHUB_TOKEN": "wrong-token"}
    for changed, said in (
        (env, "401"),
        ({**env, "GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({**env, "PULL_REQUEST": ""}, "no pipeline of a pull request"),
        ({**env, "GITHUB_API_URL": "http://127.0.0.1:1"}, "/repos/acme/mirror"),
        ({}, "runs in a pipeline"),
    ):
        ran = script("publish.py", "comment", "--key", "k", env=changed, stdin="text")
        assert ran.code == 1
        assert said in ran.errors
        assert "wrong-token" not in ran.errors
        assert "Traceback" not in ran.errors
