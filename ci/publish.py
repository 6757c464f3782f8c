"""Keeps one comment on a pull request, or one issue, up to date: on GitHub and on GitLab.

    publish.py comment --key preview-dev < text      a comment, rewritten at each push
    publish.py issue --key drift-prod --title T < text      an issue, opened or rewritten
    publish.py issue --key drift-prod --close      closed with a last word, if it is open

The text carries a hidden mark with the key, by which it is found again. Address, repository and number come from the
environment that the pipeline sets; the token from GITHUB_TOKEN or GITLAB_TOKEN.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

#: Both services page by this many at the most.
PAGE = 100
SECONDS = 30.0
SETTLED = "Nothing differs any more."


class Unpublished(Exception):
    """Why there is no comment or issue; the text is for the job's log."""


@dataclass(frozen=True)
class Forge:
    """One project on one service. The two differ in words only."""

    client: httpx.Client
    project: str
    request: str
    """Number of the pull or merge request; empty outside of one."""
    text: str
    """What the service calls the text of an issue."""
    number: str
    comments: str
    update: str
    closed: Mapping[str, str]

    def comment(self, mark: str, body: str) -> str:
        """Writes or rewrites the comment with this mark; says which."""
        if not self.request:
            raise Unpublished("this is no pipeline of a pull request; nothing to comment on")
        found = self._find(self.comments, "body", mark)
        if found is None:
            self._call("POST", self.comments, {"body": body})
            return "commented"
        one = self.comments if self.update == "PUT" else f"{self.project}/issues/comments"
        self._call(self.update, f"{one}/{found['id']}", {"body": body})
        return "comment rewritten"

    def issue(self, mark: str, title: str, body: str) -> str:
        """Opens or rewrites the issue with this mark; says which."""
        found = self._open_issue(mark)
        if found is None:
            self._call("POST", f"{self.project}/issues", {"title": title, self.text: body})
            return "issue opened"
        self._call(self.update, self._place(found), {self.text: body})
        return "issue rewritten"

    def close(self, mark: str) -> str:
        """Closes the issue with this mark, if there is one; says which."""
        found = self._open_issue(mark)
        if found is None:
            return "no issue is open"
        body = f"{mark}\n{SETTLED}\n\n{found[self.text].removeprefix(mark).strip()}"
        self._call(self.update, self._place(found), {self.text: body, **self.closed})
        return "issue closed"

    def _open_issue(self, mark: str) -> Mapping[str, Any] | None:
        state = "opened" if self.update == "PUT" else "open"
        return self._find(f"{self.project}/issues?state={state}", self.text, mark)

    def _place(self, issue: Mapping[str, Any]) -> str:
        return f"{self.project}/issues/{issue[self.number]}"

    def _find(self, path: str, field: str, mark: str) -> Mapping[str, Any] | None:
        return next((entry for entry in self._all(path) if mark in (entry.get(field) or "")), None)

    def _all(self, path: str) -> Iterator[Mapping[str, Any]]:
        page, more = 1, True
        while more:
            entries = self._call("GET", f"{path}{'&' if '?' in path else '?'}per_page={PAGE}&page={page}")
            yield from entries
            page, more = page + 1, len(entries) == PAGE

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        try:
            answer = self.client.request(method, path, json=body)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise Unpublished(f"{method} {error.request.url}: {answer.status_code} {answer.text[:200]}") from None
        except httpx.HTTPError as error:
            raise Unpublished(f"{method} {path}: {error}") from None
        return answer.json()


def forge(environ: Mapping[str, str]) -> Forge:
    """The service whose pipeline this is. Raises Unpublished outside of one."""
    if "GITHUB_REPOSITORY" in environ:
        project = f"/repos/{environ['GITHUB_REPOSITORY']}"
        headers = {
            "Authorization": f"Bearer {_token(environ, 'GITHUB_TOKEN')}",
            "Accept": "application/vnd.github+json",
        }
        client = httpx.Client(base_url=environ["GITHUB_API_URL"], headers=headers, timeout=SECONDS)
        request = environ.get("PULL_REQUEST", "")
        comments = f"{project}/issues/{request}/comments"
        return Forge(client, project, request, "body", "number", comments, "PATCH", {"state": "closed"})
    if "CI_PROJECT_ID" in environ:
        project = f"/projects/{quote(environ['CI_PROJECT_ID'], safe='')}"
        headers = {"PRIVATE-TOKEN": _token(environ, "GITLAB_TOKEN")}
        client = httpx.Client(base_url=environ["CI_API_V4_URL"], headers=headers, timeout=SECONDS)
        request = environ.get("CI_MERGE_REQUEST_IID", "")
        comments = f"{project}/merge_requests/{request}/notes"
        return Forge(client, project, request, "description", "iid", comments, "PUT", {"state_event": "close"})
    raise Unpublished("neither GITHUB_REPOSITORY nor CI_PROJECT_ID is set; this runs in a pipeline")


def _token(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise Unpublished(f"{name} is not set: docs/pipelines.md says which rights it needs")
    return environ[name]


def main() -> int:
    """Says what was done; a text that could not be published is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["comment", "issue"])
    parser.add_argument("--key", required=True, help="what it is about; there is one of it")
    parser.add_argument("--title", default="", help="of a new issue")
    parser.add_argument("--close", action="store_true", help="closes the issue")
    options = parser.parse_args()
    mark = f"<!-- harbor-mirror {options.key} -->"
    try:
        there = forge(os.environ)
        with there.client:
            if options.close:
                done = there.close(mark)
            elif options.kind == "issue":
                done = there.issue(mark, options.title or options.key, f"{mark}\n{sys.stdin.read()}")
            else:
                done = there.comment(mark, f"{mark}\n{sys.stdin.read()}")
    except Unpublished as reason:
        print(reason, file=sys.stderr)
        return 1
    print(done, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
