"""Messages that hooks show."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast
from unittest.mock import patch

import pulumi

from components.hooks.messages import show


class Urn:
    """A URN that is known only after a while."""

    async def future(self) -> str:
        for _ in range(10):
            await asyncio.sleep(0)
        return "urn:of-the-rule"


def test_the_engine_has_a_message_when_it_was_shown() -> None:
    sent: list[tuple[str, str]] = []
    engine = SimpleNamespace(Log=lambda request: sent.append((request.urn, request.message)))
    resource = cast("pulumi.Resource", SimpleNamespace(urn=Urn()))

    async def run() -> list[tuple[str, str]]:
        await show(pulumi.log.error, "run it again", resource)
        return list(sent)

    with patch("pulumi.log.get_engine", lambda: engine):
        assert asyncio.run(run()) == [("urn:of-the-rule", "run it again")]
