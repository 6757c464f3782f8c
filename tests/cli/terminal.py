"""Runs mirrorctl on a pseudo terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys

from tests.cli.conftest import ROOT


def run_on_terminal(environment: dict[str, str], columns: int, *arguments: str) -> str:
    """Return everything that a terminal of this width receives."""
    main, side = pty.openpty()
    tool = subprocess.Popen(
        [sys.executable, "-m", "mirrorctl", *arguments],
        env={**environment, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": str(columns)},
        cwd=environment["HOME"],
        stdin=side,
        stdout=side,
        stderr=side,
        close_fds=True,
    )
    os.close(side)
    output = b""
    while True:
        ready, _, _ = select.select([main], [], [], 300)
        try:
            data = os.read(main, 4096) if ready else b""
        except OSError:
            break
        if not data:
            break
        output += data
    tool.wait(timeout=300)
    os.close(main)
    return output.decode()


def without_styles(output: str) -> str:
    """Return a terminal's output without colours and cursor movements of progress bars."""
    return re.sub(r"\x1b\[(?:[0-9;]*m|\?25[hl]|[12]?K|1A)", "", output)
