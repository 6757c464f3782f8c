"""The command `report`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mirrorctl.failure import Failure, exit_code
from mirrorctl.options import AsJson, Cwd, Stack, Verbose


def report(
    html: Annotated[Path, typer.Option("--html", help="Write the page to FILE.")],
    stack: Stack = None,
    cwd: Cwd = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Write one self-contained HTML page about the whole mirror."""
    from mirrorctl.context import command_context
    from mirrorctl.live.overview import collect_overview
    from mirrorctl.output.page import render_page

    with command_context(stack, cwd, json=json, verbose=verbose) as context:
        connection, output = context.connection, context.output
        title = f"Mirror {connection.stack}" if connection.stack else f"Mirror at {connection.registry_host}"
        overview = collect_overview(context.harbor, list(context.rules.values()), title, datetime.now(UTC))
        try:
            html.write_text(render_page(overview, output.secrets), encoding="utf-8")
        except OSError as error:
            raise Failure(f"--html {html}: {error.strerror}") from None
        failed = len(overview.failed_rules)
        output.report(overview.report)
        output.line(f"ok {html}: {len(overview.report.rules)} rules, {failed} failed")
        return exit_code(ok=not failed)
