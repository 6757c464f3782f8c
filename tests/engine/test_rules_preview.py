"""Warnings in a preview, each once on its component; and rule files read by the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.engine import Result, Workspace

#: A stack that works, and deserves a warning in each of its sections. Nothing in it is reached: a preview asks nobody.
WARNED: dict[str, Any] = {
    "harbor-mirror:harbor": {"url": "https://harbor.example.com", "restrictProjectCreation": False},
    "harbor-mirror:endpoints": {
        "hub": {"type": "docker-hub"},
        "plain": {"type": "docker-registry", "url": "http://registry.example.com", "username": "bot"},
    },
    "harbor-mirror:projects": {"mirror": {"retention": {"keep": [{"mostRecentlyPushed": 5}]}}, "other": {}},
    "harbor-mirror:rules": {
        "nginx": {
            "endpoint": "hub",
            "repositories": "library/nginx",
            "tags": "1.2*",
            "project": "mirror",
            "schedule": "hourly",
            "expectedTags": 40,
        },
        "latest": {
            "endpoint": "hub",
            "repositories": "library/redis",
            "tags": "latest",
            "project": "other",
            "override": False,
            "schedule": "0 0 */5 * * *",
        },
    },
    "harbor-mirror:maintenance": {"garbageCollection": {"deleteUntagged": True}},
}
#: Component -> the beginnings of its warnings.
WARNINGS = {
    "hub": ["the rules of hub make 242 pulls in 6 hours, but Docker Hub allows 100 (plan anonymous)"],
    "plain": ["the secret is sent unencrypted over http"],
    "nginx": ["the retention of project mirror may delete library/nginx:1.2"],
    "latest": ["*/5 for the hour starts again at 0", "override is false, so that latest stays as it first arrived"],
    "harbor": ["deleteUntagged deletes what a moved tag leaves behind"],
}


def configured(workspace: Callable[[str], Workspace], config: dict[str, Any]) -> Workspace:
    stack = workspace("warned")
    stack.configure(config)
    stack.set_secret("harborPassword", "Harbor-Password-1")
    stack.set_secret("endpoints.plain.secret", "Plain-Secret-1")
    return stack


def warnings(result: Result) -> dict[str, list[str]]:
    """Return logical name -> the warnings that the engine shows on that resource."""
    found: dict[str, list[str]] = {}
    for severity, name, text in result.diagnostics:
        if severity == "warning":
            found.setdefault(name, []).append(text)
    return found


def test_each_warning_is_shown_once_on_its_component(workspace: Callable[[str], Workspace]) -> None:
    result = configured(workspace, WARNED).preview()
    assert result.code == 0, result.output
    shown = warnings(result)
    assert shown.keys() == WARNINGS.keys()
    for name, expected in WARNINGS.items():
        assert len(shown[name]) == len(expected), shown[name]
        for text, beginning in zip(sorted(shown[name]), sorted(expected), strict=True):
            assert text.startswith(beginning)
            # While it runs, the engine shows a line as it comes; what stays is the list at the end.
            assert result.output.partition("Diagnostics:")[2].count(text) == 1


def test_strict_refuses_what_exceeds_the_budget_and_names_the_endpoint(workspace: Callable[[str], Workspace]) -> None:
    result = configured(workspace, {**WARNED, "harbor-mirror:strict": True}).preview()
    assert result.code != 0
    said = next(text for severity, _, text in result.diagnostics if severity == "error")
    assert said.splitlines()[0].startswith("1 fault in the stack's configuration")
    assert "endpoints.hub: the rules of hub make 242 pulls in 6 hours" in said
    assert "Traceback" not in result.output


def test_rule_files_belong_to_the_stack_and_their_faults_name_file_and_line(
    workspace: Callable[[str], Workspace],
) -> None:
    stack = configured(workspace, {**WARNED, "harbor-mirror:rulesDir": "mirrors/dev"})
    teams = stack.directory / "mirrors" / "dev"
    teams.mkdir(parents=True)
    (teams / "web.yaml").write_text("rules:\n  api: {endpoint: plain, repositories: web/api, project: other}\n")
    (teams / "data.yaml").write_text(
        "rules:\n  etl:\n    endpoint: plain\n    repositories: data/etl\n    project: other\n"
    )
    result = stack.preview()
    assert result.code == 0, result.output
    rules = {step.name for step in result.steps if step.type == "harbor:index/replication:Replication"}
    assert rules == {"nginx", "latest", "api", "etl"}

    (teams / "data.yaml").write_text(
        "rules:\n  etl:\n    endpoint: plain\n    repositories: Data/etl\n    project: other\n"
    )
    (teams / "web.yaml").write_text("rules:\n  nginx: {endpoint: plain, repositories: web/api, project: other}\n")
    result = stack.preview()
    said = next(text for severity, _, text in result.diagnostics if severity == "error")
    assert "mirrors/dev/data.yaml:4: rules.etl.repositories: 'Data/etl' can never match" in said
    assert "mirrors/dev/web.yaml:2: rules.nginx: is already defined in the stack's own configuration" in said
    assert not [step for step in result.steps if step.type.startswith("harbor")]


def test_debug_messages_of_the_sdk_come_on_request(workspace: Callable[[str], Workspace]) -> None:
    """Each is a blocking request to the engine, and there are several for each resource."""
    stack = configured(workspace, WARNED)
    message = "registering resource: ty=harbor:index/replication:Replication, name=nginx"
    assert message not in stack.preview("--debug").ok().output
    stack.env = {**stack.env, "HARBOR_MIRROR_DEBUG": "1"}
    assert message in stack.preview("--debug").ok().output
