"""The first boot and later ones: every state of volume, packages and network that a new server may meet."""

from __future__ import annotations

import pytest


def test_blank_volume_gets_a_harbor(machine, world):
    server = machine()
    assert server.bootstrap() == 0, server.output
    assert server.done
    assert server.failed == ""
    assert server.harbor_runs
    assert server.text("/mnt/harbor/harbor-version") == "2.15.1"
