"""Keeps secrets out of texts."""

from __future__ import annotations

from urllib.parse import quote

from harbor_mirror.config.faults import HIDDEN


class Secrets:
    """The secrets that a client knows; removes them from any text."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, *secrets: str | None) -> None:
        """Hide these from now on, also URL-encoded, as in an address with credentials; empty ones are ignored."""
        self._secrets.update(form for secret in secrets if secret for form in (secret, quote(secret, safe="")))

    def hide(self, text: str) -> str:
        """Return `text` with every secret replaced."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text
