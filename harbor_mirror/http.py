"""HTTP for all clients: bounded requests, retries where they are safe, and secrets kept out of texts.

A server may be slow, broken or hostile: every request has a limit for its whole time, and every response a limit for
its size, also after decompression. gzip is the only accepted content encoding.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx
import tenacity

log = logging.getLogger("harbor_mirror")

#: Harbor answers most requests within 100 ms; creating a registry waits for the source's own answer, and a wrong
#: password takes 1.6 s (measured on Harbor 2.15.2). The rest is for busy hosts.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
#: The limit of one request and its whole response. The time limits above apply to each read from the network only,
#: so that a server that sends one byte a second would never reach them.
REQUEST_SECONDS = 120.0
#: The largest response. A page of Harbor has about 1 MB, a manifest at most 4 MB (OCI distribution specification); job
#: logs and tag lists of registries that don't page are the largest.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
#: Concurrent requests; Harbor's core and its database serve these well on a small host.
CONCURRENCY = 8
#: Status codes of temporary failures: rate limit, proxy without a backend, overload.
TEMPORARY = frozenset({429, 500, 502, 503, 504})
READS = frozenset({"GET", "HEAD"})


class LimitExceeded(httpx.TransportError):
    """A response is too large, or a request takes too long."""


@dataclass(frozen=True)
class Retry:
    """How often and how long to retry: at most `attempts` requests, with pauses from `base_seconds` that double.

    If a server asks for a longer pause (Retry-After) than `max_retry_after_seconds`, the request is not repeated.
    """

    attempts: int = 4
    base_seconds: float = 0.5
    max_seconds: float = 8.0
    max_retry_after_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds to wait: what the server asks for, else exponential with jitter."""
        outcome = state.outcome
        asked = None if outcome is None or outcome.failed else retry_after(outcome.result())
        if asked is not None:
            return asked
        backoff = tenacity.wait_exponential_jitter(
            multiplier=self.base_seconds, max=self.max_seconds, jitter=self.base_seconds
        )
        return backoff(state)

    def repeats_response(self, response: httpx.Response) -> bool:
        """Return whether to repeat a request after this response."""
        temporary = TEMPORARY if response.request.method in READS else {429}
        return response.status_code in temporary and (retry_after(response) or 0) <= self.max_retry_after_seconds


def new_client(*, verify: bool = True, timeout: httpx.Timeout = TIMEOUT, authorities: str = "") -> httpx.Client:
    """Return a client that limits requests and responses, follows no redirects and keeps no cookies.

    It trusts `authorities`, certificates in PEM, besides the public ones.

    Harbor answers 403 to basic authentication with cookies on the second write.
    """
    return _LimitedClient(
        verify=_trusted(authorities) if verify else False,
        timeout=timeout,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=CONCURRENCY * 2, max_keepalive_connections=CONCURRENCY * 2),
        headers={"User-Agent": "harbor-mirror", "Accept-Encoding": "gzip"},
    )


def send(client: httpx.Client, request: Callable[[], httpx.Request], retry: Retry) -> httpx.Response:
    """Send what `request` builds; repeat it after temporary failures if that is safe.

    A read is repeated after any temporary failure. A write is repeated only if it had no effect: no connection was
    made, or the server rejected it for its rate limit. Raise httpx.TransportError.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(retry.attempts),
        wait=retry.pause,
        retry=tenacity.retry_if_exception(_repeats_error) | tenacity.retry_if_result(retry.repeats_response),
        sleep=retry.sleep,
        retry_error_callback=_last_outcome,
    )
    response: httpx.Response = retrying(lambda: client.send(request()))
    return response


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL: what credentials belong to."""
    return url.scheme, url.host, url.port


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks to wait: Retry-After as a number or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def describe_error(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    """Return what failed between us and a server, for users."""
    if is_certificate_error(error):
        return f"its TLS certificate is not accepted ({_text(error)})"
    if isinstance(error, LimitExceeded):
        return str(error)
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within the time limit (firewall or wrong address?)"
    if isinstance(error, httpx.ConnectError):
        text = str(error).lower()
        if "name or service not known" in text or "name resolution" in text or "nodename" in text:
            return "its name does not resolve (DNS)"
        if "refused" in text:
            return "connection refused"
        return f"no connection ({_text(error)})"
    if isinstance(error, httpx.TimeoutException):
        return "no response within the time limit"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke off in the middle of a response"
    return _text(error)


# Limits

#: When the present request must be complete (time.monotonic).
_deadline: ContextVar[float] = ContextVar("deadline")


class _LimitedClient(httpx.Client):
    """Reads responses whole, within REQUEST_SECONDS and MAX_RESPONSE_BYTES."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                # httpx has no public option for httpcore's network backend.
                transport._pool._network_backend = _DeadlineBackend()

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        started = time.monotonic()
        shown = f"{request.method} {request.url.copy_with(query=None, userinfo=b'')}"
        token = _deadline.set(started + REQUEST_SECONDS)
        try:
            response = super().send(request, **{**options, "stream": True})
            try:
                body = _read(response)
            finally:
                response.close()
        except httpx.TransportError as error:
            log.debug("%s: %s", shown, type(error).__name__)
            if time.monotonic() - started < REQUEST_SECONDS:
                raise
            raise LimitExceeded(f"the response is not complete after {REQUEST_SECONDS:.0f} s") from None
        finally:
            _deadline.reset(token)
        log.debug("%s: %d, %.0f ms", shown, response.status_code, (time.monotonic() - started) * 1000)
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        return httpx.Response(
            response.status_code, headers=headers, content=body, request=request, extensions=response.extensions
        )


def _read(response: httpx.Response) -> bytes:
    """Return the decompressed body. httpx decompresses at most 64 KB of input at a time: 64 MB of output with gzip."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise LimitExceeded(f"the response has the content encoding {encoding[:20]!r}; only gzip was requested")
    body = bytearray()
    for part in response.iter_bytes():
        if len(body) + len(part) > MAX_RESPONSE_BYTES:
            raise LimitExceeded(f"the response is larger than {MAX_RESPONSE_BYTES // 2**20} MB")
        body += part
    return bytes(body)


def _seconds_left(timeout: float | None) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(timeout, left)


class _DeadlineBackend(httpcore.SyncBackend):
    """Connects with streams that end at the deadline."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, _seconds_left(timeout), local_address, socket_options)
        return _DeadlineStream(stream)


class _DeadlineStream(httpcore.NetworkStream):
    """A network stream that ends at the deadline, however often the server sends something."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _seconds_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, _seconds_left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _trusted(authorities: str) -> ssl.SSLContext:
    # Reading the certificate authorities takes some 50 ms: do it once for all clients.
    context = httpx.create_ssl_context()
    if authorities:
        context.load_verify_locations(cadata=authorities)
    return context


def _repeats_error(error: BaseException) -> bool:
    if not isinstance(error, httpx.TransportError) or isinstance(error, LimitExceeded) or is_certificate_error(error):
        return False
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or error.request.method in READS


def _last_outcome(state: tenacity.RetryCallState) -> Any:
    """Return or raise what the last attempt did, instead of tenacity's own error."""
    return state.outcome and state.outcome.result()


def is_certificate_error(error: BaseException | None) -> bool:
    """Return whether we reject a server's certificate: the cause of httpx's error says so."""
    return error is not None and (
        isinstance(error, ssl.SSLCertVerificationError) or is_certificate_error(error.__cause__ or error.__context__)
    )


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
