"""Messages about a resource that a hook shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pulumi


async def show(log: Callable[[str, pulumi.Resource], None], text: str, resource: pulumi.Resource) -> None:
    """Log a text about a resource, and wait until the engine has it.

    The SDK (3.272) sends such a message in a task of its own, and the engine may end the program after the hook.
    """
    others = asyncio.all_tasks()
    log(text, resource)
    await asyncio.gather(*(asyncio.all_tasks() - others))
