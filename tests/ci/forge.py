"""Comments, issues and pull requests of one project, by the APIs of GitHub and GitLab."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from localcloud.tls import Trust

#: The token that both APIs accept.
TOKEN = "Forge-Token-0f3a9c"
ME = {"github": "github-actions[bot]", "gitlab": "project_42_bot"}


class Forge:
    """Comments and issues of one project by both services' APIs, paged, for requests with the right token."""

    def __init__(self) -> None:
        self.comments = [self.entry(f"talk {number}", "someone", number) for number in range(1, 131)]
        self.issues: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        github, gitlab = "/repos/acme/mirror", "/api/v4/projects/42"
        self.app = Starlette(
            routes=[
                Route(f"{github}/issues/7/comments", self.entries(self.comments), methods=["GET", "POST"]),
                Route(f"{github}/issues/comments/{{id:int}}", self.change(self.comments), methods=["PATCH"]),
                Route(f"{github}/issues", self.entries(self.issues), methods=["GET", "POST"]),
                Route(f"{github}/issues/{{id:int}}", self.change(self.issues), methods=["PATCH"]),
                Route(f"{github}/pulls", self.entries(self.requests), methods=["GET", "POST"]),
                Route(f"{github}/pulls/{{id:int}}", self.change(self.requests), methods=["PATCH"]),
                Route(f"{gitlab}/merge_requests", self.entries(self.requests), methods=["GET", "POST"]),
                Route(f"{gitlab}/merge_requests/{{id:int}}", self.change(self.requests), methods=["PUT"]),
                Route(f"{gitlab}/merge_requests/7/notes", self.entries(self.comments), methods=["GET", "POST"]),
                Route(f"{gitlab}/merge_requests/7/notes/{{id:int}}", self.change(self.comments), methods=["PUT"]),
                Route(f"{gitlab}/issues", self.entries(self.issues), methods=["GET", "POST"]),
                Route(f"{gitlab}/issues/{{id:int}}", self.change(self.issues), methods=["PUT"]),
                Route("/api/v4/user", self.user),
            ]
        )

    def texts(self) -> dict[str, bytes]:
        """Return what the pipelines of GitHub have written, by its place."""
        kinds = {"comment": self.comments, "issue": self.issues, "pull request": self.requests}
        return {
            f"{kind} {entry['number']}": json.dumps(entry).encode()
            for kind, entries in kinds.items()
            for entry in entries
            if entry["user"]["login"] == ME["github"]
        }

    @staticmethod
    def entry(body: str, author: str, number: int, **more: Any) -> dict[str, Any]:
        authors = {"user": {"login": author}, "author": {"username": author}}
        numbers = {"id": number, "number": number, "iid": number, "state": "open"}
        return {**numbers, **authors, "body": body, "description": body, **more}

    def entries(self, entries: list[dict[str, Any]]) -> Any:
        async def answer(request: Request) -> Response:
            kind = _service(request)
            if kind is None:
                return JSONResponse({"message": "Bad credentials"}, status_code=401)
            if request.method == "POST":
                entries.append({**self.entry("", ME[kind], len(entries) + 1), **await request.json()})
                return JSONResponse(entries[-1], status_code=201)
            size, page = int(request.query_params.get("per_page", 20)), int(request.query_params.get("page", 1))
            state = request.query_params.get("state")
            shown = [entry for entry in entries if state is None or state.startswith(entry["state"])]
            query = request.query_params
            branch = query.get("head", "").rpartition(":")[2] or query.get("source_branch")
            shown = [entry for entry in shown if branch in (None, entry.get("head"), entry.get("source_branch"))]
            more = page * size < len(shown)
            following = str(request.url.include_query_params(page=page + 1))
            headers = {"X-Next-Page": str(page + 1), "Link": f'<{following}>; rel="next"'} if more else {}
            return JSONResponse(shown[size * (page - 1) : size * page], headers=headers)

        return answer

    def change(self, entries: list[dict[str, Any]]) -> Any:
        async def answer(request: Request) -> Response:
            entry = next(entry for entry in entries if entry["id"] == request.path_params["id"])
            change = await request.json()
            if change.pop("state_event", None) == "close":
                change["state"] = "closed"
            entry |= change
            return JSONResponse(entry)

        return answer

    async def user(self, request: Request) -> Response:
        if _service(request) is None:
            return JSONResponse({"message": "401 Unauthorized"}, status_code=401)
        return JSONResponse({"username": ME["gitlab"]})


def _service(request: Request) -> str | None:
    if request.headers.get("Authorization") in (f"token {TOKEN}", f"Bearer {TOKEN}"):
        return "github"
    return "gitlab" if request.headers.get("PRIVATE-TOKEN") == TOKEN else None


class GitHubApi:
    """Serves `app` to gh through a proxy, because gh uses plain HTTP only for the host github.localhost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A request to a proxy has a complete URL as its path.
        if "path" in scope:
            scope["path"] = scope["path"].removeprefix("http://api.github.localhost")
        await self.app(scope, receive, send)

    @staticmethod
    def environment(url: str, folder: Path) -> dict[str, str]:
        """Return the environment with which gh and the scripts reach the app at `url`."""
        return {
            "GITHUB_REPOSITORY": "acme/mirror",
            "GITHUB_TOKEN": TOKEN,
            "GH_HOST": "github.localhost",
            "HTTP_PROXY": url,
            "GH_CONFIG_DIR": str(folder),
        }


def gitlab_environment(url: str, files: Trust, folder: Path) -> dict[str, str]:
    """Return the environment with which glab and the scripts reach GitLab's API at `url`, which is served over TLS.

    glab speaks TLS only. Where it is not installed, a stand-in beside this file sends its requests.
    """
    return {
        **files.env,
        "CI_PROJECT_ID": "42",
        "CI_SERVER_URL": url,
        "GITLAB_TOKEN": TOKEN,
        "GLAB_CONFIG_DIR": str(folder),
        "PATH": f"{os.environ['PATH']}:{Path(__file__).parent}",
    }
