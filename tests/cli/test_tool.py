"""Tests of what commands share: login, secrets, sessions, passwords, terminals, completion."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from localcloud.faults import Fault
from tests.cli.conftest import ROOT, Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import PASSWORD, ROBOT, ROBOT_SECRET, STARTED, HarborFixture
from tests.cli.terminal import run_on_terminal, without_styles

NEW = "Brand-New-Secret-9"


# Logging in


def test_one_login_per_command(mirrored: HarborFixture, run: Run) -> None:
    assert run("status").code == 0
    assert mirrored.basic_requests() == 0
    assert mirrored.calls().count(("POST", "/c/login")) == 1


def test_an_expired_session_is_renewed(mirrored: HarborFixture, run: Run) -> None:
    unauthorized = '{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}'
    mirrored.faults.add(Fault("/replication/policies", 401, unauthorized))
    assert run("status").code == 0
    assert mirrored.calls().count(("POST", "/c/login")) == 2


def test_basic_authentication_without_sessions(mirrored: HarborFixture, run: Run) -> None:
    mirrored.faults.add(Fault("/c/login", 404, times=None))
    assert run("sync", "--all", "--wait").code == 0
    assert mirrored.basic_requests() > 0


def test_a_robot(mirrored: HarborFixture, run: Run) -> None:
    access = [{"resource": name, "action": "list"} for name in ("replication-policy", "replication")]
    mirrored.add_robot("robot$watcher", ROBOT_SECRET, [{"kind": "system", "namespace": "/", "access": access}])
    result = run("status", HARBOR_USERNAME="robot$watcher", HARBOR_PASSWORD=ROBOT_SECRET)
    assert result.code == 0


def test_a_wrong_password_is_an_error_not_an_empty_harbor(mirrored: HarborFixture, run: Run) -> None:
    mirrored.set_password("Another-Secret-1")
    result = run("status")
    assert (result.code, result.out) == (1, "")
    assert "rejects the password of admin" in result.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HARBOR_PASSWORD": ""}, "HARBOR_PASSWORD not; set all three"),
        ({"HARBOR_URL": "harbor.example.com"}, "is not an address of a Harbor"),
        ({"HARBOR_URL": "https://admin:Secret-In-Url-1@harbor.example.com"}, "https://[secret]@harbor.example.com"),
        ({"HARBOR_URL": "", "PATH": "/nonexistent"}, "pulumi is not on PATH"),
    ],
)
def test_wrong_connections(mirrored: HarborFixture, run: Run, settings: dict[str, str], message: str) -> None:
    result = run("status", **settings)
    assert result.code == 1
    assert message in result.err
    assert "Secret-In-Url-1" not in result.err
    assert not mirrored.calls()


def test_a_stack_without_outputs(run: Run, stack: FakeStack) -> None:
    stack.outputs.clear()
    result = run("status", "--stack", "dev", **stack.environment)
    assert result.code == 1
    assert "stack dev has no output harborUrl" in result.err


def test_outputs_of_another_project(run: Run, stack: FakeStack) -> None:
    stack.outputs["rules"] = {"nginx": {"id": 1}}
    result = run("status", **stack.environment)
    assert result.code == 1
    assert "the stack's outputs lack 'endpoint'" in result.err


def test_verbose_shows_requests_and_no_secret(mirrored: HarborFixture, run: Run) -> None:
    result = run("sync", "--all", "--wait", "--verify", "--verbose")
    assert "POST " in result.err
    assert "/c/login: 200" in result.err
    for secret in (PASSWORD, *mirrored.accounts.sessions):
        assert secret not in result.out + result.err


def test_secrets_in_harbors_messages_are_hidden(mirrored: HarborFixture, run: Run) -> None:
    body = f'{{"errors":[{{"message":"bad password {PASSWORD}"}}]}}'
    mirrored.faults.add(Fault("/replication/policies", 400, body))
    result = run("status")
    assert result.code == 1
    assert "bad password [secret]" in result.err


@pytest.mark.usefixtures("harbor")
def test_a_mirror_without_rules(run: Run) -> None:
    for command in (("sync", "--all"), ("verify",)):
        result = run(*command)
        assert (result.code, "this mirror has no rules" in result.err) == (1, True)
    result = run("status")
    assert (result.code, result.out) == (0, "this mirror has no rules\n")


# session


def test_session_prints_an_export_line(mirrored: HarborFixture, run: Run) -> None:
    result = run("session")
    assert result.code == 0
    assert re.fullmatch(r"export HARBOR_SESSION_ID=[0-9a-f]+\n", result.out)
    assert mirrored.accounts.sessions[result.out.strip().partition("=")[2]]
    result = run("session", HARBOR_USERNAME=ROBOT, HARBOR_PASSWORD=ROBOT_SECRET)
    assert result.code == 1
    assert "no session" in result.err


# rotate-admin-password


def test_a_new_password_without_a_stack(mirrored: HarborFixture, run: Run) -> None:
    assert run("rotate-admin-password", MIRRORCTL_NEW_PASSWORD=NEW).code == 0
    assert mirrored.accepts(NEW)
    assert run("status").code == 1


@pytest.mark.parametrize("weak", ["", "short1A", "alllowercase1", "NoDigitsAtAll"])
def test_a_weak_password_changes_nothing(mirrored: HarborFixture, run: Run, weak: str) -> None:
    assert run("rotate-admin-password", MIRRORCTL_NEW_PASSWORD=weak).code == 1
    assert mirrored.accepts(PASSWORD)


def test_a_new_password_with_a_stack(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    result = run("rotate-admin-password", "--generate", "--stack", "dev", **stack.environment)
    assert result.code == 0
    assert "pulumi up --stack dev" in result.out
    saved = stack.saved_config()["harborPassword"]
    assert mirrored.accepts(saved)
    assert saved != PASSWORD
    # Neither command lines nor output show it.
    assert saved not in result.out + result.err + str(stack.calls())


@pytest.mark.parametrize("had", [True, False])
def test_a_rejected_password_leaves_the_stack_unchanged(
    mirrored: HarborFixture, run: Run, stack: FakeStack, had: bool
) -> None:
    if not had:
        del stack.config["harborPassword"]
    mirrored.faults.add(Fault("/users/1/password", 403, '{"errors":[{"message":"not allowed"}]}'))
    result = run("rotate-admin-password", "--generate", **stack.environment)
    assert result.code == 1
    assert "the password is unchanged" in result.err
    assert mirrored.accepts(PASSWORD)
    assert stack.saved_config().get("harborPassword") == (PASSWORD if had else None)


@pytest.mark.usefixtures("quick_retries")
def test_a_harbor_that_fails_after_the_change_locks_nobody_out(
    mirrored: HarborFixture, run: Run, stack: FakeStack
) -> None:
    # The login and the rotation each read the current user; later requests fail.
    mirrored.faults.add(Fault("/users/current", 502, "<html>", times=99, skip=2))
    result = run("rotate-admin-password", "--generate", **stack.environment)
    assert result.code == 1
    assert "cannot tell whether Harbor accepted the new password (the stack's configuration has it)" in result.err
    assert mirrored.accepts(stack.saved_config()["harborPassword"])
    assert not mirrored.accepts(PASSWORD)


def test_generating_a_password_needs_a_stack(mirrored: HarborFixture, run: Run) -> None:
    assert run("rotate-admin-password", "--generate").code == 1
    assert mirrored.accepts(PASSWORD)


# logs


def test_logs_of_the_last_execution(mirrored: HarborFixture, run: Run) -> None:
    assert "has never run" in run("logs", "nginx").err
    old = mirrored.add_execution(1)
    log = "x [ERROR] [/a.go:1]: http status code: 429, body: toomanyrequests"
    tasks = [("library/nginx", "Failed", log), ("library/redis", "Succeed", "all well")]
    mirrored.add_execution(1, tasks, status="Failed", start=STARTED + timedelta(hours=1))
    result = run("logs", "nginx")
    assert result.code == 2
    assert "toomanyrequests" in result.out
    assert "all well" in result.out
    assert "limits requests" in result.out
    assert "all well" not in run("logs", "nginx", "--failed").out
    assert run("logs", "nginx", "--execution", str(old)).code == 0
    assert run("logs", "redis", "--execution", str(old)).code == 1
    assert run("logs", "nginx", "--execution", "99").code == 1


# Terminals


@pytest.mark.usefixtures("mirrored")
def test_without_a_terminal_there_are_plain_lines(process: Run) -> None:
    result = process("sync", "--all", "--wait", "--verify")
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "\r" not in result.out + result.err


@pytest.mark.usefixtures("mirrored")
def test_a_terminal_of_forty_columns(environment: dict[str, str]) -> None:
    shown = run_on_terminal(environment, 40, "sync", "--all", "--wait", "--verify")
    assert "\x1b[" in shown
    plain = without_styles(shown).replace("\r", "\n")
    lines = [line.rstrip() for line in plain.split("\n")]
    # A block of lines for each rule instead of a row.
    assert re.search(r"^nginx$", "\n".join(lines), re.MULTILINE)
    assert "  digest proof equal 2/2" in lines
    assert max(map(len, lines)) <= 40


@pytest.mark.usefixtures("mirrored")
def test_no_color(environment: dict[str, str]) -> None:
    shown = run_on_terminal({**environment, "NO_COLOR": "1"}, 100, "status")
    assert "never" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", re.sub(r"\x1b\[0?m", "", shown))


# Help, speed, completion


def test_help_is_quick() -> None:
    """--help takes less than 0.3 s on an idle machine, because slow modules are not imported."""
    slow = ("httpx", "pydantic", "rich.console", "yaml", "ssl", "asyncio")
    code = (
        "import sys; from mirrorctl.app import main; main(['--help']);"
        f"print([name for name in {slow!r} if name in sys.modules], file=sys.stderr)"
    )
    best = 9.0
    for _ in range(5):
        began = time.monotonic()
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        best = min(best, time.monotonic() - began)
    assert result.stderr == "[]\n"
    assert "rotate-admin-password" in result.stdout
    assert best < 3, "ten times what it takes: something slow is imported"


def test_help_names_the_exit_codes(run: Run) -> None:
    assert "0 success, 1 error or wrong usage, 2 bad finding" in " ".join(run("--help").out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.code == 0
    assert "mirrorctl" in result.out
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=result.out, text=True, check=True)
    assert run("completion", "tcsh").code == 1


@pytest.fixture
def stack_files(tmp_path: Path) -> None:
    """Stack `dev` with nginx, `prod` with redis and web (in a rule file); the file in `broken/` is invalid."""
    for name, text in {
        "Pulumi.dev.yaml": "config: {harbor-mirror:rules: {nginx: {}}}",
        "Pulumi.prod.yaml": "config: {harbor-mirror:rulesDir: mirrors, harbor-mirror:rules: {redis: {}}}",
        "mirrors/web.yaml": "rules: {web: {}}",
        "broken/Pulumi.dev.yaml": "[",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)


@pytest.mark.usefixtures("stack_files")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("st", ["status"]),
        ("sync n", ["nginx"]),
        ("sync --stack prod ''", ["redis", "web"]),
        ("logs w", ["web"]),
        ("verify nginx --stack p", ["prod"]),
        ("sync --cwd elsewhere ''", []),
        ("sync --cwd broken ''", []),
    ],
)
def test_bash_completes_commands_rules_and_stacks(run: Run, tmp_path: Path, typed: str, offered: list[str]) -> None:
    (tmp_path / "completion").write_text(run("completion", "bash").out)
    program = tmp_path / "bin" / "mirrorctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mirrorctl "$@"\n')
    program.chmod(0o755)
    words = f"COMP_WORDS=(mirrorctl {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))"
    result = subprocess.run(
        ["bash", "-c", f'. ./completion; {words}; _mirrorctl_completion mirrorctl; echo "${{COMPREPLY[@]}}"'],
        cwd=tmp_path,
        env={"PATH": f"{program.parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout.split(), result.stderr) == (offered, "")
