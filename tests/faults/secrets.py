"""Searches for secrets, in every form in which a program may write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

#: Links of a workspace lead to the checkout, and its home has the engine's own files.
OUTSIDE = frozenset({"components", "harbor_mirror", "mirrorctl", ".venv", "home"})


def forms(secret: str) -> set[bytes]:
    """Return a secret as it is, in base64, URL-encoded and escaped for JSON."""
    raw = secret.encode()
    encoded = base64.b64encode(raw).rstrip(b"=")
    return {raw, encoded, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}


def places(directory: Path, outputs: Mapping[str, str]) -> dict[str, bytes]:
    """Return what a workspace's commands have left: the text of every file and of every output, by its name."""
    found = {name: text.encode() for name, text in outputs.items()}
    for path in directory.rglob("*"):
        if path.is_file() and not OUTSIDE & set(path.relative_to(directory).parts):
            found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def leaks(searched: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """Return the places that have a secret in some form."""
    wanted = set().union(*map(forms, secrets))
    return [name for name, content in searched.items() if any(form in content for form in wanted)]
