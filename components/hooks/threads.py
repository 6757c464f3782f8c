"""Threads for hooks that wait for a server."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Not the threads of the event loop: with `pulumi up --parallel N` it has N, each of which may be waiting for a
#: registration that ends only after its hook. A hook that needs another of them never runs (measured: N = 1).
_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="hook")


async def run_in_thread(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call a function that blocks: in the event loop, it would hold up the registration of everything else."""
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
