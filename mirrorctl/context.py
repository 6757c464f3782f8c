"""What a running command needs: its output, its connection to Harbor, and the handling of errors."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from harbor_mirror.config.faults import ConfigurationError
from mirrorctl.failure import ERROR, Failure
from mirrorctl.output.console import Output

# The others are imported when they are used: an HTTP client and its parts cost more time than checking a stack.
if TYPE_CHECKING:
    from harbor_mirror.harbor.client import Harbor
    from harbor_mirror.plan.tag_locks import LockedRule
    from mirrorctl.live.connection import Connection
    from mirrorctl.live.mirror import Rule
    from mirrorctl.live.proof import Verification

Entered = TypeVar("Entered")


class CommandContext:
    """The output, the stack and the Harbor of one command run."""

    def __init__(self, output: Output, stack: str | None, cwd: Path | None, resources: ExitStack) -> None:
        self.output = output
        self.stack = stack
        self._cwd = cwd
        self._resources = resources

    @property
    def folder(self) -> Path:
        """Return the folder of the stacks' files."""
        return self._cwd or Path()

    @cached_property
    def connection(self) -> Connection:
        """Resolve the connection on first use: offline commands need none."""
        from mirrorctl.live.connection import connect

        connection = connect(self.stack, self._cwd)
        self.output.secrets.add(*connection.secrets)
        return connection

    @cached_property
    def harbor(self) -> Harbor:
        """Return a client that is logged in."""
        harbor = self.enter(self.connection.harbor())
        harbor.login()
        return harbor

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """Return all rules by name."""
        return self.connection.rules(self.harbor)

    @property
    def locks(self) -> dict[str, LockedRule]:
        """Return what the stack's lock file says; nothing if it is not here, and for a Harbor without stack."""
        from harbor_mirror.plan.tag_locks import LockError, lock_path, read_locks
        from mirrorctl.live import engine

        if not any(rule.expression for rule in self.rules.values()):
            return {}
        stack = self.connection.stack or engine.selected(self.connection.cwd)
        path = lock_path(self.connection.cwd, stack)
        try:
            return read_locks(path)
        except LockError as error:
            raise Failure(f"{path} {error}") from None

    def verification(self, *, allow_empty: bool) -> Verification:
        """Return a comparison of this Harbor with its sources."""
        from mirrorctl.live.proof import Verification
        from mirrorctl.live.sources import Sources

        return Verification(
            harbor=self.harbor,
            served=self.enter(self.connection.registry()),
            registry_host=self.connection.registry_host,
            rules=self.rules,
            sources=self.enter(closing(Sources(self.connection, self.output.secrets.add))),
            locks=self.locks,
            allow_empty=allow_empty,
            note=self.output.note,
        )

    def enter(self, resource: AbstractContextManager[Entered]) -> Entered:
        """Open a resource until the command ends."""
        return self._resources.enter_context(resource)


@contextmanager
def command_context(
    stack: str | None = None, cwd: Path | None = None, *, json: bool = False, verbose: bool = False
) -> Iterator[CommandContext]:
    """Provide the context of a command; print any error as one message and exit with code 1."""
    output = Output(json=json)
    try:
        with ExitStack() as resources:
            if verbose:
                resources.enter_context(_logged_requests(output))
            yield CommandContext(output, stack, cwd, resources)
        return
    except typer.Exit:
        raise
    except ConfigurationError as error:
        summary, *faults = str(error).splitlines()
        output.error(summary, faults)
    except Failure as error:
        output.error(str(error))
    except KeyboardInterrupt:
        output.error("interrupted")
    except BrokenPipeError:
        # The reader of our output has exited, as with `| head`. Python must not report the same again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if (text := _advised(error)) is not None:
            output.error(text)
            raise typer.Exit(ERROR) from None
        # A response that Harbor never sends, or a fault in this tool: one line, and the traceback on request.
        output.error(f"unexpected {type(error).__name__}: {error} (--verbose shows where)")
        if verbose:
            output.quote_note(traceback.format_exc())
    raise typer.Exit(ERROR)


def _advised(error: Exception) -> str | None:
    """Return the text of a server's error with what to do, or None for an error that nobody expects."""
    from harbor_mirror.harbor.client import HarborError
    from harbor_mirror.linode import LinodeError
    from harbor_mirror.registry.distribution import RegistryError
    from mirrorctl.advice import with_advice

    return with_advice(error) if isinstance(error, HarborError | LinodeError | RegistryError) else None


@contextmanager
def _logged_requests(output: Output) -> Iterator[None]:
    class NoteHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            output.note(record.getMessage())

    logger, handler = logging.getLogger("harbor_mirror"), NoteHandler()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
