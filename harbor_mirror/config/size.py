"""The size of a stack's settings as the engine counts it: it passes them in one environment variable."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from harbor_mirror.config.faults import Caution, Fault

VARIABLE = "PULUMI_CONFIG="
#: Linux's limit for one environment variable with name and closing zero byte (MAX_ARG_STRLEN, 32 pages of 4 KiB).
LIMIT = 131_072
#: Share of the limit from which on a preview warns: beyond the limit, the engine fails before the program can.
WARNED_SHARE = 0.75
#: Bytes by which the engine's AES-GCM makes a secret longer.
TAG_BYTES = 16
WAY_OUT = "move rules into files below a directory that rulesDir names"
#: Go writes these characters in JSON as escapes.
_GO_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def count_bytes(settings: Mapping[str, Any]) -> int:
    """Return the bytes of the environment variable. Maps and lists may be given as JSON, which is how they are passed.

    An encrypted value counts as the text that it decrypts to, without what JSON adds for its line breaks and quotes.
    """
    decrypted = {key: _decrypted(value) for key, value in settings.items()}
    passed = {key: value if isinstance(value, str) else _to_json(value) for key, value in decrypted.items()}
    return len(f"{VARIABLE}{_to_json(passed)}\0".encode(errors="replace"))


def too_large(settings: Mapping[str, Any], prefix: str) -> Fault | None:
    """Return a fault if the engine cannot start the program with these settings. `prefix` is the project's own."""
    size = count_bytes(settings)
    if size <= LIMIT:
        return None
    sizes = {key: count_bytes({key: value}) for key, value in settings.items()}
    largest = max(sizes, key=lambda key: sizes[key])
    reason = (
        f"takes most of the {size:,} bytes of all settings; the engine passes them to the program in one environment "
        f"variable, which Linux limits to {LIMIT:,} bytes. To stay below, {WAY_OUT}"
    )
    return Fault(largest.removeprefix(prefix), None, reason, "rulesDir: mirrors/prod")


def nearly_too_large(settings: Mapping[str, Any]) -> Caution | None:
    """Return a warning if a few more rules would make the settings too large."""
    size = count_bytes(settings)
    if not WARNED_SHARE * LIMIT <= size <= LIMIT:
        return None
    text = (
        f"the settings take {size:,} of the {LIMIT:,} bytes that the engine can pass to the program; beyond them no "
        f"preview starts: {WAY_OUT}"
    )
    return Caution("rulesDir", "", text)


def _decrypted(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"secure"}:
            return "x" * _decrypted_length(str(value["secure"]))
        return {key: _decrypted(inner) for key, inner in value.items()}
    return [_decrypted(inner) for inner in value] if isinstance(value, list) else value


def _decrypted_length(ciphertext: str) -> int:
    """Return how long the text of a secret is: `v1:NONCE:CIPHERTEXT` of the engine, or a key service's own form."""
    try:
        return max(0, len(base64.b64decode(ciphertext.rpartition(":")[2])) - TAG_BYTES)
    except ValueError:
        return len(ciphertext)


def _to_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str, skipkeys=True)
    return text.translate(_GO_ESCAPES)
