"""Delayed actions: one thread runs due actions, others run work that may block."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

# How long close() waits for work that is still going on, seconds.
CLOSE_SECONDS = 10.0


class Timers:
    """Runs actions after a delay, one at a time, each under `lock`."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._workers: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._run, name="linode-timers", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` under the lock once `seconds` have passed; it must not block."""
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))
            self._wake.notify()

    def spawn(self, work: Callable[[], None]) -> None:
        """Run `work` at once in a thread of its own, without the lock."""
        worker = threading.Thread(target=self._work, args=(work,), name="linode-job", daemon=True)
        with self._wake:
            self._workers.add(worker)
        worker.start()

    def close(self) -> None:
        """Cancel pending actions and wait for running work."""
        with self._wake:
            self._closed = True
            self._due.clear()
            self._wake.notify()
            workers = list(self._workers)
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in [self._thread, *workers]:
            if thread is not threading.current_thread():
                thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            _log.exception("a job of the Linode simulator failed")
        finally:
            with self._wake:
                self._workers.discard(threading.current_thread())

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                action = heapq.heappop(self._due)[2]
            try:
                with self._lock:
                    action()
            except Exception:
                _log.exception("a timed action of the Linode simulator failed")
