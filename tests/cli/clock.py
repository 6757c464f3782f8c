"""A clock for tests of long waits: time passes only while somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Seconds since the start; `on_sleep` is called after each sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[float], None] = lambda _: None

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep(self.now)
