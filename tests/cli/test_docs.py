"""docs/mirrorctl.md documents every command and option, and none that does not exist."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from typer.main import get_command

from mirrorctl.app import app
from mirrorctl.live import status
from mirrorctl.live.connection import PASSWORD, URL, USERNAME
from mirrorctl.live.password_rotation import NEW_PASSWORD
from mirrorctl.output.image_list import FORMATS
from mirrorctl.output.reports import DriftKind, Outcome, TagStatus
from tests.cli.conftest import ROOT

DOCS = (ROOT / "docs" / "mirrorctl.md").read_text()
SECTIONS = {part.partition("\n")[0].strip(): part for part in re.split(r"^## ", DOCS, flags=re.MULTILINE)[1:]}
#: Documented once for all commands.
COMMON = {"--json", "--stack", "-s", "--cwd", "--verbose", "-v", "--help"}
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def options(command: str) -> set[str]:
    return {name for option in COMMANDS[command].params for name in option.opts if name.startswith("-")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    section = SECTIONS[command]
    assert f"`{command}" in section or f"mirrorctl {command}" in section
    for option in options(command) - COMMON:
        assert f"`{option}`" in section, f"{command} {option}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_documented_option_exists(command: str) -> None:
    tabled = re.findall(r"^\| ((?:`-[^|]*`(?:, )?)+) \|", SECTIONS[command], re.MULTILINE)
    documented = {name for row in tabled for name in re.findall(r"`(-[^`]+)`", row)}
    assert documented == options(command) - COMMON


def test_common_options_and_exit_codes() -> None:
    for option in COMMON:
        assert f"`{option}`" in SECTIONS["Output"]
    assert re.findall(r"^\| (\d) \|", SECTIONS["Exit codes"], re.MULTILINE) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("sync", get_args(Outcome)),
        ("verify", get_args(TagStatus)),
        ("status", (*status.STATES, status.PAUSED)),
        ("drift", get_args(DriftKind)),
        ("images", tuple(FORMATS)),
        ("Choose the Harbor", (URL, USERNAME, PASSWORD)),
        ("rotate-admin-password", (NEW_PASSWORD,)),
    ],
)
def test_states_and_variables_are_documented(section: str, words: tuple[str, ...]) -> None:
    assert [word for word in words if f"`{word}`" not in SECTIONS[section]] == []
