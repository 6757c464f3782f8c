"""The short form of the fault trials: a stack on an existing Harbor, whose calls each meet another kind of answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.faults import FAULTS
from tests.faults.answers import SHORT_SILENCE, FaultyCloud, Kinds, certificate_trial, converge
from tests.faults.stack import TrialStack
from tests.plugins import REAL_PLUGINS

pytestmark = pytest.mark.skipif(REAL_PLUGINS, reason="the trials count the requests of the stand-ins")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_creation_among_all_kinds_of_answers_converges(tmp_path: Path) -> None:
    with FaultyCloud(Kinds(), silence=SHORT_SILENCE) as cloud:
        stack = TrialStack(cloud, tmp_path, "answers", has_host=False)
        answers, failures = converge(stack, "up")
    assert {answer.kind for answer in answers} == set(FAULTS)
    assert [str(answer) for answer in answers if answer.failures] == []
    assert failures == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_wrong_certificate_of_harbor_ends_each_command_at_once_and_the_next_converges(tmp_path: Path) -> None:
    answers, failures = certificate_trial(tmp_path)
    assert [answer.call for answer in answers] == ["creation", "update", "destruction"]
    assert failures + [str(answer) for answer in answers if answer.failures] == []
