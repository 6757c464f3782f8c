"""What both clients share: timeouts, retries of what is safe to retry, and secrets kept out of every text."""

from __future__ import annotations

import logging
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

log = logging.getLogger("harbor_mirror")

#: Harbor answers most calls within 100 ms; creating a registry waits for the source's own answer, and a wrong
#: password is answered after 1.6 s (measured on Harbor 2.15.2). The rest is room for a busy host.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
#: Connections at once; Harbor's core and its database serve a small host well with these.
CONCURRENCY = 8
#: Answers that say "not now": rate limit, proxy without a backend, overload.
TEMPORARY = frozenset({429, 500, 502, 503, 504})
READS = frozenset({"GET", "HEAD"})
HIDDEN = "[secret]"


@dataclass(frozen=True)
class Retry:
    """How often and how long: `attempts` in all, pauses doubling from `base_seconds` up to `longest_seconds`.

    A server that asks for a longer pause (Retry-After) than `longest_wait_seconds` is taken at its word: no retry.
    """

    attempts: int = 4
    base_seconds: float = 0.5
    longest_seconds: float = 8.0
    longest_wait_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int, answer: httpx.Response | None) -> float | None:
        """Seconds to wait after the failed `attempt` (1 = the first), or None to give up."""
        if attempt >= self.attempts:
            return None
        asked = None if answer is None else retry_after(answer)
        if asked is not None:
            return asked if asked <= self.longest_wait_seconds else None
        backoff = min(self.base_seconds * 2.0 ** (attempt - 1), self.longest_seconds)
        # Half fixed, half random: many clients that failed together must not come back together.
        return backoff * (0.5 + random.random() / 2)  # noqa: S311


class Secrets:
    """The secrets a client knows, and their removal from any text."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, *secrets: str | None) -> None:
        """From now on these are hidden; blank ones are ignored."""
        self._known.update(secret for secret in secrets if secret)

    def hide(self, text: str) -> str:
        """`text` with every known secret replaced."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


@cache
def _trusted() -> ssl.SSLContext:
    # Reading the certificate authorities takes some 50 ms: once for all clients.
    return httpx.create_ssl_context()


def new_client(
    *, verify: bool = True, timeout: httpx.Timeout = TIMEOUT, follow_redirects: bool = False
) -> httpx.Client:
    """A client that keeps no cookies: Harbor answers 403 to basic auth with cookies on the second write.

    Where it follows redirects, credentials don't travel to another host.
    """
    return httpx.Client(
        verify=_trusted() if verify else False,
        timeout=timeout,
        follow_redirects=follow_redirects,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=CONCURRENCY * 2, max_keepalive_connections=CONCURRENCY * 2),
        headers={"User-Agent": "harbor-mirror"},
    )


def send(client: httpx.Client, request: Callable[[], httpx.Request], retry: Retry) -> httpx.Response:
    """Sends what `request` builds, again as long as that is safe.

    A read is repeated after any temporary failure. A write is repeated only if it certainly did nothing: no
    connection was made, or the server refused it for its rate limit. Raises httpx.TransportError.
    """
    attempt = 0
    while True:
        attempt += 1
        built = request()
        read = built.method in READS
        answer: httpx.Response | None = None
        started = time.monotonic()
        try:
            answer = client.send(built)
        except httpx.TransportError as error:
            again = read or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            pause = retry.pause(attempt, None) if again and not _certificate(error) else None
            log.debug("%s %s: %s", built.method, built.url.copy_with(query=None), type(error).__name__)
            if pause is None:
                raise
        else:
            spent = (time.monotonic() - started) * 1000
            log.debug("%s %s: %d, %.0f ms", built.method, built.url.copy_with(query=None), answer.status_code, spent)
            again = answer.status_code == 429 or (read and answer.status_code in TEMPORARY)
            pause = retry.pause(attempt, answer) if again else None
            if pause is None:
                return answer
        retry.sleep(pause)


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, from Retry-After as a number or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def in_words(error: httpx.TransportError) -> str:
    """What went wrong on the way to a server, for a person."""
    if _certificate(error):
        return f"its TLS certificate is not accepted ({_reason(error)})"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within the time limit (firewall or wrong address?)"
    if isinstance(error, httpx.ConnectError):
        text = str(error).lower()
        if "name or service not known" in text or "name resolution" in text or "nodename" in text:
            return "its name does not resolve (DNS)"
        if "refused" in text:
            return "connection refused"
        return f"no connection ({_reason(error)})"
    if isinstance(error, httpx.TimeoutException):
        return "no answer within the time limit"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke off in the middle of an answer"
    return _reason(error)


def _certificate(error: httpx.TransportError) -> bool:
    return "certificate" in str(error).lower()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
