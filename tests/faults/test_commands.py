"""The short form of the fault trials of mirrorctl: a command meets each kind of answer at another of its calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.commands import COMMANDS, KINDS, Commands


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("commands")) as commands:
        yield commands


#: Each command gets a part of the kinds; all of them together get each kind several times.
PARTS = 4


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_failed_where_and_what_to_do(commands: Commands, command: str) -> None:
    calls = commands.calls(command)
    first = list(COMMANDS).index(command) % PARTS
    failures = []
    for number, kind in enumerate(list(KINDS)[first::PARTS]):
        call = calls[number % len(calls)]
        failures += [f"{kind} to {' '.join(call)}: {text}" for text in commands.trial(command, call, kind)]
    assert failures + commands.trial_of_certificate(command) == []


def test_a_rotation_that_harbor_did_not_do_names_harbor(commands: Commands) -> None:
    command, call = "rotate-admin-password", ("PUT", "/api/v2.0/users/{id}/password")
    assert call in commands.calls(command)
    assert commands.trial(command, call, "page instead of JSON") == []
