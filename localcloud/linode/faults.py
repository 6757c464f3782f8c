"""Faults on demand: what a test wants the API to do wrong, and what was asked of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What the real API says with these statuses, where it was seen; anything else gets a plain sentence.
_REASONS = {401: "Invalid OAuth Token", 404: "Not found", 429: "Too many requests", 500: "An error occurred"}


@dataclass
class Seen:
    """One request as it arrived. `status` stays None if no answer was sent."""

    method: str
    path: str
    query: str
    filter: str | None
    body: Any
    status: int | None = None


@dataclass
class Fault:
    """One thing to do wrong; `fired` counts how often it was."""

    method: str
    path: re.Pattern[str]
    status: int | None
    times: int | None
    headers: dict[str, str]
    reason: str
    drop: bool
    but_do_it: bool
    hang: float
    fired: int = 0


@dataclass
class Faults:
    """The faults in force. `never_running`: instances made from now on stay in `provisioning`."""

    never_running: bool = False
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
        drop: bool = False,
        but_do_it: bool = False,
        hang: float = 0.0,
    ) -> Fault:
        """Arms a fault for requests of `method` whose path matches the regular expression `path`.

        `status`: answered instead of the real answer (default 500 with `but_do_it`), with `headers` and `reason`.
        `drop`: the connection is cut without an answer. `but_do_it`: the request takes effect all the same.
        `hang`: seconds of silence first; alone, the real answer follows. `times`: None for always.
        """
        if status is None and but_do_it and not drop:
            status = 500
        text = reason or _REASONS.get(status or 0, "Injected fault")
        fault = Fault(method, re.compile(path), status, times, dict(headers or {}), text, drop, but_do_it, hang)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Disarms everything."""
        with self._lock:
            self._faults.clear()
            self.never_running = False

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault armed for this request, counted as fired."""
        with self._lock:
            for fault in self._faults:
                spent = fault.times is not None and fault.fired >= fault.times
                if not spent and fault.method == method and fault.path.search(path):
                    fault.fired += 1
                    return fault
        return None
