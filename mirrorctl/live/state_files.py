"""Repairs state files in a directory that a killed run left unreadable.

Pulumi replaces a state file as a whole, but writes the attributes beside it (`<stack>.json.attrs`) in place: a kill at
that moment leaves them empty, and Pulumi then refuses the stack with `failed to load checkpoint: EOF`. The state file
itself is cut off only if the machine loses power or the disk is full. Other backends write objects as a whole.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from mirrorctl import stack_file
from mirrorctl.failure import Failure
from mirrorctl.live import engine

ATTRIBUTES = ".attrs"
#: Where Pulumi keeps files of a stack, below `.pulumi`.
FOLDERS = ("stacks", "locks", "history", "backups")
COMPRESSIONS = ("", ".gz", ".zst")
GZIP_MARK, ZSTD_MARK = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Restoration:
    """The replacement of an unreadable state file by a copy of it."""

    file: Path
    copy: Path

    def __str__(self) -> str:
        written = datetime.fromtimestamp(self.copy.stat().st_mtime, UTC)
        return (
            f"restore the state {self.file}, which was cut off, from {self.copy} of {written:%Y-%m-%dT%H:%M:%SZ}; "
            f"the cut-off file is kept as {self._kept.name}"
        )

    @property
    def _kept(self) -> Path:
        return self.file.with_name(f"{self.file.name}.unreadable")

    def run(self) -> None:
        """Replace the file, and keep it under another name."""
        restored = shutil.copy(self.copy, self.file.with_name(f"{self.file.name}.restored"))
        shutil.copy(self.file, self._kept)
        Path(restored).replace(self.file)


def remove_cut_off_attributes(cwd: Path) -> list[Path]:
    """Remove each file of attributes that cannot be read, and return these. Raise Failure.

    They have nothing that Pulumi needs.
    """
    root = _root(cwd)
    files = [file for folder in FOLDERS for file in root.glob(f"{folder}/**/*{ATTRIBUTES}")] if root else []
    cut_off = [file for file in sorted(files) if not _is_json(file)]
    for file in cut_off:
        file.unlink(missing_ok=True)
    return cut_off


def find_cut_off_state(stack: str | None, cwd: Path) -> Restoration | None:
    """Return how to restore a stack's state file; None if it can be read. Raise Failure if no copy can be read.

    Needs readable attributes: without them, Pulumi does not say which stack is selected.
    """
    root = _root(cwd)
    if root is None:
        return None
    *_, project, name = (stack_file.project(cwd), *(stack or engine.selected(cwd)).split("/"))
    file = _newest(root / "stacks" / place / f"{name}.json{end}" for place in (project, ".") for end in COMPRESSIONS)
    if file is None or _is_json(file):
        return None
    copy = _newest(copy for copy in _copies(root, file, name) if _is_json(copy))
    if copy is None:
        raise Failure(
            f"the state {file} is cut off, and Pulumi's copies of it cannot be read or do not exist; "
            "restore this file from your own backup of the directory"
        )
    return Restoration(file, copy)


def _copies(root: Path, file: Path, name: str) -> Iterator[Path]:
    """Yield the checkpoint before, and those that Pulumi copies at the end of each run."""
    yield file.with_name(f"{file.name}.bak")
    folder = file.parent.relative_to(root / "stacks") / name
    yield from (root / "backups" / folder).glob(f"{name}.*.json*")
    yield from (root / "history" / folder).glob(f"{name}-*.checkpoint.json*")


def _newest(files: Iterable[Path]) -> Path | None:
    existing = [file for file in files if file.is_file() and file.suffix != ATTRIBUTES]
    return max(existing, key=lambda file: file.stat().st_mtime, default=None)


def _root(cwd: Path) -> Path | None:
    """Return the directory `.pulumi` of the backend; None if the state is elsewhere."""
    scheme, _, path = engine.backend(cwd).partition("://")
    return cwd / Path(unquote(path)).expanduser() / ".pulumi" if scheme == "file" else None


def _is_json(file: Path) -> bool:
    """Return whether a file is complete. Python cannot decompress zstd, so such a file counts as complete."""
    try:
        content = file.read_bytes()
        if content.startswith(ZSTD_MARK):
            return True
        json.loads(gzip.decompress(content) if content.startswith(GZIP_MARK) else content)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile):
        return False
    except FileNotFoundError:
        # A run that is going on has removed it.
        return True
    return True
