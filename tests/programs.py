"""Programs that take part in tests for real: clients, registries, databases, a browser."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def program(name: str, package: str | None = None) -> str:
    """Path of a program from Debian's `package` (its own name, if none is said).

    Where it is missing, the test is left out and says so; in CI, which installs them all, it fails.
    """
    found = shutil.which(name)
    if found is None:
        left_out(f"needs {name}: apt-get install {package or name}")
    return found


def left_out(why: str) -> NoReturn:
    """Leaves a test out that this machine can't run; in CI there is nothing that it can't, so the test fails."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing is left out: {why}")
    pytest.skip(f"left out: {why}")
