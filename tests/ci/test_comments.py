"""Comments for reviewers: a safe code block that fits into a comment, and one comment instead of many.

publish.sh runs the real gh against a server that keeps comments and issues as GitHub does, and glab, or a stand-in
where it is not installed, against one that does so as GitLab does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.http import serve
from localcloud.tls import trust
from tests.ci.conftest import Ran, script
from tests.ci.forge import ME, Forge, GitHubApi, gitlab_environment
from tests.programs import program

# --- code blocks ------------------------------------------------------------------------------------------------------


def test_a_diff_has_its_marks_at_the_start_of_the_line() -> None:
    diff = "  ~ a: (update)\n      - old\n      +-replaced\nplain\n"
    assert script("code_block.py", "--diff", stdin=diff).output.splitlines() == [
        "~~~diff", "!   a: (update)", "-       old", "      +-replaced", "plain", "~~~",
    ]  # fmt: skip


def test_a_long_text_is_cut_at_a_line_and_says_so() -> None:
    ran = script("code_block.py", "--most", "100", stdin="x" * 40 + "\n" + "y" * 40 + "\n" + "z" * 40 + "\nlast\n")
    assert ran.output.splitlines()[1:-1] == [
        "x" * 40, "y" * 40, "... 3 more lines; the log of the job has the complete text",
    ]  # fmt: skip
    assert "last" in ran.errors


@pytest.mark.parametrize("option", [(), ("--diff",)])
def test_no_text_leaves_its_code_block_or_hides(option: tuple[str, ...]) -> None:
    hostile = "~~~\n  ~~~~\n@everyone\n\x1b[2Khidden\rshown\n\u202eesrever\n\x9b31m\x85after\n"
    ran = script("code_block.py", *option, stdin=hostile)
    opening, *content, closing = ran.output.splitlines()
    assert (opening[:3], closing) == ("~~~", "~~~")
    assert not [line for line in content if "~~~" in line]
    for text in (ran.output, ran.errors):
        assert not [character for character in text if character in "\x1b\r\u202e\x9b\x85"]
    assert "\\x1b[2Khidden\\rshown" in ran.output
    assert "\\u202eesrever" in ran.output


# --- comments and issues ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of pull request 7 on one of the services."""

    kind: str
    forge: Forge
    env: dict[str, str]

    @property
    def text(self) -> str:
        return "body" if self.kind == "github" else "description"

    def publish(self, *arguments: str, text: str = "", **env: str) -> Ran:
        return script("publish.sh", *arguments, env={**self.env, **env}, stdin=text)


@pytest.fixture(params=["github", "gitlab"])
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pipeline]:
    kind: str = request.param
    forge = Forge()
    if kind == "github":
        program("gh")
        with serve(GitHubApi(forge.app)) as server:
            yield Pipeline(kind, forge, {**GitHubApi.environment(server.url, tmp_path), "PULL_REQUEST": "7"})
        return
    with trust() as files, serve(forge.app, certificate=files.certificate) as server:
        yield Pipeline(kind, forge, {**gitlab_environment(server.url, files, tmp_path), "CI_MERGE_REQUEST_IID": "7"})


def test_one_comment_is_replaced_among_many(pipeline: Pipeline) -> None:
    comments = pipeline.forge.comments
    talk = len(comments)
    for text in ("first", "second", "third"):
        ran = pipeline.publish("comment", "preview-dev", text=text)
        assert ran.code == 0, ran.errors
    pipeline.publish("comment", "preview-prod", text="of prod")
    assert [comment["body"] for comment in comments[talk:]] == [
        "<!-- harbor-mirror preview-dev -->\nthird",
        "<!-- harbor-mirror preview-prod -->\nof prod",
    ]


def test_one_pull_request_for_a_branch(pipeline: Pipeline) -> None:
    requests, branch = pipeline.forge.requests, "head" if pipeline.kind == "github" else "source_branch"
    requests.append(pipeline.forge.entry("of others", "someone", 1, **{branch: "other"}))
    if pipeline.kind == "gitlab":
        fork = {"source_branch": "resolve-tags", "source_project_id": 77, "target_project_id": 42}
        requests[0] |= fork
    for text in ("first", "second"):
        ran = pipeline.publish("propose", "resolve-tags", "Update mirrored tags", text=text)
        assert ran.code == 0, ran.errors
    assert [(request[branch], request[pipeline.text]) for request in requests] == [
        ("other" if pipeline.kind == "github" else "resolve-tags", "of others"), ("resolve-tags", "second"),
    ]  # fmt: skip
    assert requests[1]["title"] == "Update mirrored tags"
    assert requests[1]["base" if pipeline.kind == "github" else "target_branch"] == "main"


def test_one_issue_is_opened_replaced_closed_and_opened_again(pipeline: Pipeline) -> None:
    issues, text = pipeline.forge.issues, pipeline.text

    def publish(*arguments: str, body: str = "") -> str:
        ran = pipeline.publish(*arguments, text=body)
        assert ran.code == 0, ran.errors
        return ran.errors.strip()

    assert publish("close", "drift-dev") == "no issue is open"
    assert publish("issue", "drift-dev", "Drift of dev", body="a") == "issue opened"
    assert publish("issue", "drift-dev", "Drift of dev", body="b") == "issue replaced"
    assert [(issue["title"], issue[text]) for issue in issues] == [
        ("Drift of dev", "<!-- harbor-mirror drift-dev -->\nb")
    ]
    assert publish("close", "drift-dev") == "issue closed"
    assert issues[0]["state"] == "closed"
    assert publish("issue", "drift-dev", "Drift of dev", body="c") == "issue opened"
    assert len(issues) == 2


def test_marks_of_strangers_are_ignored(pipeline: Pipeline) -> None:
    forge = pipeline.forge
    strangers_comment = forge.entry("<!-- harbor-mirror preview-dev -->\nall fine", "stranger", 500)
    strangers_issue = forge.entry("<!-- harbor-mirror drift-dev -->\nall fine", "stranger", 501, title="Drift of dev")
    quoting = forge.entry("> <!-- harbor-mirror preview-dev -->\nquoted", ME[pipeline.kind], 502)
    forge.comments += [strangers_comment, quoting]
    forge.issues.append(strangers_issue)
    before = [dict(entry) for entry in (strangers_comment, strangers_issue, quoting)]
    pipeline.publish("close", "drift-dev")
    pipeline.publish("comment", "preview-dev", text="ours")
    pipeline.publish("issue", "drift-dev", "Drift of dev", text="ours")
    assert [strangers_comment, strangers_issue, quoting] == before
    assert forge.comments[-1]["body"].endswith("ours")
    assert forge.issues[-1][pipeline.text].endswith("ours")


def test_a_failure_is_reported_without_the_token(pipeline: Pipeline) -> None:
    token = {"github": "GITHUB_TOKEN", "gitlab": "GITLAB_TOKEN"}[pipeline.kind]
    number = {"github": "PULL_REQUEST", "gitlab": "CI_MERGE_REQUEST_IID"}[pipeline.kind]
    for change, message in (
        ({token: "wrong-token"}, "401"),
        ({token: ""}, f"{token} is not set"),
        ({number: ""}, "is not set"),
    ):
        ran = pipeline.publish("comment", "key", text="text", **change)
        assert ran.code == 1
        assert message in ran.errors, ran.errors
        assert "wrong-token" not in ran.errors
    assert "runs in a pipeline" in script("publish.sh", "comment", "key", stdin="text").errors
