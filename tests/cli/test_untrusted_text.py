"""Texts from Harbor, sources and files are printed without control characters and never start a CI command."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from localcloud.faults import Fault
from localcloud.harbor.core import Outcome
from localcloud.registry import RegistrySimulator
from mirrorctl.output.image_list import FORMATS
from mirrorctl.output.untrusted import safe_json, safe_line
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import STARTED, HarborFixture, change
from tests.cli.terminal import run_on_terminal, without_styles
from tests.cli.test_offline import GOOD

#: A window title, clear screen (7 and 8 bit), carriage return, CI commands, a forged result, reordered text.
ATTACK = (
    "\x1b]0;owned\x07\x1b[2J\x9b2J\rok forged\n::stop-commands::x\n  ::error::x\n##[add-mask]x\n##vso[task.x]y\n"
    "section_start:1:x\r\x1b[0K\nok forged\u2028ok forged \u202edesrever\u2066"
)
#: Commands against a Harbor whose texts are all hostile.
COMMANDS = (
    ("sync", "--all", "--wait", "--verify"),
    ("verify", "--images"),
    ("verify", "--digests"),
    ("status",),
    ("logs", "nginx"),
    ("doctor",),
    ("drift",),
    ("adopt", "--name", "new"),
    ("report", "--html", "page.html"),
)
OF_A_STACK = ("drift", "verify", "doctor")


def assert_printable(text: str) -> None:
    """Fail if the text has a control character or reorders what is shown."""
    unsafe = {character for character in text if not character.isprintable() and character != "\n"}
    assert not unsafe, sorted(map(repr, unsafe))


def assert_safe(output: str) -> None:
    """Fail if the output has a control character, a line that a CI system executes, or a forged line."""
    assert_printable(output)
    assert "##[" not in output
    assert "##vso[" not in output
    for line in output.split("\n"):
        assert not line.lstrip().startswith(("::", "section_start:", "ok forged")), line


@pytest.fixture
def hostile(mirrored: HarborFixture, source: RegistrySimulator) -> HarborFixture:
    """A Harbor with the attack in every text that its API returns."""
    mirrored.replicate(1, start=STARTED - timedelta(hours=1))
    mirrored.add_policy(f"::rule {ATTACK}", 1, repositories="library/redis", namespace="mirror", description=ATTACK)
    mirrored.add_project(f"::project {ATTACK}")
    quota = mirrored.quota(f"::project {ATTACK}")
    change(quota, storage=100, reported_use=100)
    mirrored.add_registry(f"::registry {ATTACK}", f"http://127.0.0.1:1/{ATTACK}", description=ATTACK)
    tasks = [(f"::repository {ATTACK}", "Failed", f"{ATTACK}\nx [ERROR] [/a.go:1]: {ATTACK}")]
    mirrored.add_execution(1, tasks, status="Failed", status_text=ATTACK)
    mirrored.conditions.outcomes[1] = Outcome("Failed", ATTACK, tasks)
    artifact = mirrored.push("mirror/library/nginx", "by-hand", "by-hand")
    tag = mirrored.data.tags.find(name="by-hand")
    assert artifact
    assert tag
    tag.name = f"::tag {ATTACK}"
    assert source.store.repositories()
    return mirrored


@pytest.mark.usefixtures("hostile", "quick_retries")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_terminal(run: Run, stack: FakeStack, arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, **(stack.environment if arguments[0] in OF_A_STACK else {}))
    assert result.code in (0, 2), result.err
    assert result.out or arguments == ("verify", "--digests")
    assert_safe(result.out)
    assert_safe(result.err)
    for path in tmp_path.glob("*.html"):
        assert_printable(path.read_text())


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_on_a_terminal(environment: dict[str, str], stack: FakeStack, arguments: tuple[str, ...]) -> None:
    more = stack.environment if arguments[0] in OF_A_STACK else {}
    output = run_on_terminal({**environment, **more, "NO_COLOR": ""}, 80, *arguments)
    # The terminal turns line ends into CR LF, and progress bars return to the start of their line.
    lines = without_styles(output).replace("\r\n", "\n").replace("\r", "\n")
    assert_safe(lines)


@pytest.mark.usefixtures("hostile", "quick_retries")
@pytest.mark.parametrize("arguments", [("status",), ("logs", "nginx"), ("verify",), ("doctor",)], ids=" ".join)
def test_reports_as_json_keep_their_values(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--json")
    assert_safe(result.out)
    assert any(ATTACK in text for text in _texts(result.json))


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("options", [(), ("--json",), ("--verbose",)], ids=" ".join)
def test_error_responses(mirrored: HarborFixture, run: Run, options: tuple[str, ...]) -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": ATTACK}]})
    for answer in (body, ATTACK):
        mirrored.faults.add(Fault("/replication/policies", 400, answer, times=1))
        result = run("status", *options)
        assert result.code == 1
        assert_safe(result.out)
        assert_safe(result.err)


def test_tags_that_no_registry_may_have_are_left_out(
    mirrored: HarborFixture, source: RegistrySimulator, run: Run, tmp_path: Path
) -> None:
    """A source that lists them could write lines of its choice into the file of --resume."""
    mirrored.policies[1].filters.pop()
    digest = source.store.digests("library/nginx")[0]
    manifest = source.store.manifest("library/nginx", digest)
    assert manifest is not None
    source.store.put_manifest("library/nginx", f"x\n{digest} forged", manifest.body, manifest.media_type)
    mirrored.replicate(2)
    run("verify", "--resume", "known")
    assert "forged" not in (tmp_path / "known").read_text()


@pytest.mark.parametrize("command", [("check",), ("explain",)], ids=" ".join)
def test_files(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    config = {
        "harbor-mirror:harbor": {"url": f"https://harbor.example.com/{ATTACK}"},
        f"harbor-mirror:{ATTACK}": ATTACK,
        "harbor-mirror:rules": {f"::{ATTACK}": {"endpoint": ATTACK, "repositories": [ATTACK], "project": ATTACK}},
    }
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
    result = run(*command, HARBOR_URL="")
    assert result.code in (1, 2)
    assert_safe(result.out)
    assert_safe(result.err)


def test_files_of_other_tools(run: Run, tmp_path: Path) -> None:
    (tmp_path / "images.txt").write_text(f"docker.io/library/nginx:1.25\n{ATTACK}\nquay.io/{ATTACK.strip()}:1\n")
    result = run("import", "images", "images.txt", HARBOR_URL="")
    assert_safe(result.out)
    assert_safe(result.err)


def test_files_of_deployments(run: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(GOOD)
    pod = {"kind": "Pod", "spec": {"containers": [{"image": f"docker.io/library/nginx:{ATTACK}"}, {"image": ATTACK}]}}
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "pod.yaml").write_text(yaml.safe_dump(pod))
    (folder / "Dockerfile").write_text(f"FROM quay.io/{ATTACK}\nFROM docker.io/library/redis:7\n")
    result = run("coverage", "deploy", HARBOR_URL="")
    assert result.code in (1, 2)
    assert_safe(result.out)
    assert_safe(result.err)


@pytest.mark.parametrize("form", FORMATS)
def test_output_for_other_programs(run: Run, stack: FakeStack, form: str) -> None:
    stack.outputs["images"] = {f"docker.io/{ATTACK}": f"harbor.example.com/{ATTACK}"}
    result = run("images", "--format", form, **stack.environment)
    assert result.code in (0, 1)
    assert_safe(result.out)
    assert_safe(result.err)


def test_a_secret_is_hidden_in_json_whatever_characters_it_has(mirrored: HarborFixture, run: Run) -> None:
    """JSON escapes quotes and backslashes: the secret must be found before that."""
    secret = 'Quo"ted\\Secret-1'
    mirrored.set_password(secret)
    mirrored.add_execution(1, status="Failed", status_text=f"wrong password {secret}")
    result = run("status", "--json", HARBOR_PASSWORD=secret)
    assert result.code == 0
    assert result.json["rules"][0]["text"] == "wrong password [secret]"


def test_a_secret_in_the_wrong_place_of_a_file_is_not_shown(run: Run, tmp_path: Path) -> None:
    config = {
        "harbor": {"url": "https://harbor.example.com", "username": ["admin", "Misplaced-Secret-1"]},
        "endpoints": {
            "hub": {"type": "docker-hub", "username": ["bot", "Misplaced-Secret-2"], "secret": ["Misplaced-Secret-3"]},
            "quay": {"type": "quay", "username": {"password": "Misplaced-Secret-4"}},
            "gcr": {"type": "google-gcr", "password": "Misplaced-Secret-5"},
        },
    }
    settings = {f"harbor-mirror:{key}": value for key, value in config.items()}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": settings}))
    for options in ((), ("--json",)):
        result = run("check", *options, HARBOR_URL="")
        assert result.code == 2
        assert "endpoints.hub.username" in result.out
        assert "Misplaced-Secret" not in result.out + result.err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ü and 漢字", "plain text, ü and 漢字"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\x9bb\x7f", "a\\x9bb\\x7f"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eabc", "\\u202eabc"),
        ("::error::x", "\\::error::x"),
        ("  ::error::x", "  \\::error::x"),
        ("a ::error::x", "a ::error::x"),
        ("a ##[error]x", "a #\\#[error]x"),
        ("##vso[task.complete]", "#\\#vso[task.complete]"),
        ("section_end:1:x", "\\section_end:1:x"),
        ("## heading", "## heading"),
    ],
)
def test_safe_lines(text: str, shown: str) -> None:
    assert safe_line(text) == shown


def test_escapes_of_json_keep_the_value() -> None:
    document = json.dumps({"a": "\x9b ##[x] \u202e \U000e0001"}, ensure_ascii=False)
    assert_safe(safe_json(document))
    assert json.loads(safe_json(document)) == json.loads(document)
