"""One run of the tool: its output, its connection, and what becomes of errors. The rooms do the work."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from harbor_mirror.harbor.client import Harbor, HarborError
from harbor_mirror.registry.distribution import RegistryError
from mirrorctl.failure import ERROR, Failure
from mirrorctl.live.connection import Connection, connect
from mirrorctl.live.mirror import Rule
from mirrorctl.output.render import Output

Entered = TypeVar("Entered")


class Tool:
    """One run of the tool: where it writes, which stack it is about, which Harbor it talks to."""

    def __init__(self, output: Output, stack: str | None, cwd: Path | None, closing: ExitStack) -> None:
        self.output = output
        self.stack = stack
        self._cwd = cwd
        self._closing = closing

    @property
    def folder(self) -> Path:
        """Where the stacks' files are."""
        return self._cwd or Path()

    @cached_property
    def connection(self) -> Connection:
        """Found at the first use: some commands need none."""
        connection = connect(self.stack, self._cwd)
        self.output.secrets.add(*connection.secrets)
        return connection

    @cached_property
    def harbor(self) -> Harbor:
        """Logged in."""
        harbor = self._closing.enter_context(self.connection.harbor())
        harbor.login()
        return harbor

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """All rules by name."""
        return self.connection.rules(self.harbor)

    def enter(self, context: AbstractContextManager[Entered]) -> Entered:
        """Opens something until the command ends."""
        return self._closing.enter_context(context)


def run(work: Callable[[Tool], int], *, stack: str | None, cwd: Path | None, json: bool, verbose: bool) -> int:
    """Runs a command; whatever goes wrong ends in one message and exit code 1."""
    output = Output(json=json)
    try:
        with ExitStack() as closing:
            if verbose:
                closing.enter_context(_requests_shown(output))
            return work(Tool(output, stack, cwd, closing))
    except (Failure, HarborError, RegistryError) as error:
        output.error(str(error))
    except KeyboardInterrupt:
        output.error("interrupted")
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # An answer of a shape that Harbor never gives, or a fault of ours: one line for the user, the place on demand.
        output.error(f"unexpected {type(error).__name__}: {error} (--verbose shows where)")
        if verbose:
            output.note(traceback.format_exc())
    return ERROR


@contextmanager
def _requests_shown(output: Output) -> Iterator[None]:
    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            output.note(record.getMessage())

    logger, handler = logging.getLogger("harbor_mirror"), Notes()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
