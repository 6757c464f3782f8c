"""Outputs of a stack that other tests do not cover."""

from __future__ import annotations

import re

import pytest

from harbor_mirror.plan.outputs import pull_robot

#: What Harbor 2.15.2 takes (measured).
ROBOT_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


@pytest.mark.parametrize(
    ("stack", "robot"),
    [
        ("dev", "mirror-dev"),
        ("dev-eu", "mirror-dev-eu"),
        ("dev_eu.2", "mirror-dev_eu.2"),
        ("Prod", "mirror-prod-5f56359e"),
        ("PROD", "mirror-prod-e3c83459"),
        ("trial-_not", "mirror-trial-not-6aa198bd"),
        ("_-x--", "mirror-x-e96fb27b"),
    ],
)
def test_harbor_accepts_the_robot_name_of_every_stack(stack: str, robot: str) -> None:
    assert pull_robot(stack) == robot
    assert ROBOT_NAME.fullmatch(robot)
