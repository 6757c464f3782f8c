"""Searches for secrets, in every form in which a program may write them."""

from __future__ import annotations

import base64
import html
import json
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

#: Links of a workspace lead to the checkout.
OUTSIDE = frozenset({"components", "harbor_mirror", "mirrorctl", ".venv"})
#: Marks of encrypted secrets: of Pulumi's secrets managers, of its state, and of a plan's.
ENCRYPTED = re.compile(rb"v1:[A-Za-z0-9+/]{16}|4dabf18193072939515e22adb298388d")
#: Lines of a PEM file, without its first and last.
LINE_LENGTH = 60
#: Pulumi.<stack>.yaml has encrypted secrets and is committed.
COMMITTED = re.compile(r"Pulumi\.[^/]+\.yaml")


def forms(secret: str) -> set[bytes]:
    """Return a secret as it is, in base64, URL-encoded, escaped for HTML, and once or twice for JSON."""
    raw = secret.encode()
    texts = {
        *(
            secret,
            html.escape(secret),
            *_in_json(secret),
            *(twice for once in _in_json(secret) for twice in _in_json(once)),
        ),
        *(encode(secret, safe=safe) for encode in (quote, quote_plus) for safe in ("", "/")),
    }
    encoded = {_within_base64(raw, alignment) for alignment in range(3)}
    return {text.encode() for text in texts} | encoded | {part.translate(_URL_SAFE) for part in encoded}


def _in_json(text: str) -> tuple[str, str]:
    """Return a text escaped for JSON, as Python and as Go do it."""
    escaped = json.dumps(text)[1:-1]
    return escaped, re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", escaped)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _within_base64(raw: bytes, alignment: int) -> bytes:
    """Return the characters that stand for `raw` alone where base64 encodes a longer text.

    `alignment`: how many bytes of a group of three are before it.
    """
    encoded = base64.b64encode(bytes(alignment) + raw)
    first = -(-alignment * 8 // 6)
    return encoded[first : (alignment + len(raw)) * 8 // 6]


def places(directory: Path, outputs: Mapping[str, str]) -> dict[str, bytes]:
    """Return what a workspace's commands have left: the text of every file and of every output, by its name."""
    found = {name: text.encode() for name, text in outputs.items()}
    for path in _files(directory):
        found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def leaks(searched: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """Return the places that have a secret in some form."""
    wanted = {form for secret in secrets for part in _parts(secret) for form in forms(part)}
    return [name for name, content in searched.items() if any(form in content for form in wanted)]


def _parts(secret: str) -> Iterable[str]:
    """Return a secret, and the lines of a key, which a program may indent."""
    lines = secret.splitlines()
    return [secret, *(line for line in lines if len(line) >= LINE_LENGTH)] if len(lines) > 1 else [secret]


def exposed(directory: Path) -> list[str]:
    """Return the files that have encrypted secrets and that others than their owner can read."""
    return [
        str(path.relative_to(directory))
        for path in _files(directory)
        if _can_others_read(path, directory)
        and not COMMITTED.fullmatch(path.name)
        and ENCRYPTED.search(path.read_bytes())
    ]


def _files(directory: Path) -> Iterable[Path]:
    for path in directory.rglob("*"):
        if path.is_file() and not OUTSIDE & set(path.relative_to(directory).parts):
            yield path


def _can_others_read(path: Path, directory: Path) -> bool:
    """Return whether others can read a file: its own mode and those of the directories below `directory` let them."""
    inside = [parent for parent in path.parents if parent != directory and parent.is_relative_to(directory)]
    read = stat.S_IRGRP | stat.S_IROTH
    search = stat.S_IXGRP | stat.S_IXOTH
    return bool(path.stat().st_mode & read) and all(parent.stat().st_mode & search for parent in inside)
