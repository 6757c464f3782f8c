"""The Linode client of a configured provider: retries, lists, polling."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import certifi
import httpx

from localcloud.providers.resource import Failed
from localcloud.providers.values import Values

#: The real plugin has no limit; this one only ends a hanging test.
TIMEOUT_SECONDS = 600
#: The real plugin's polling interval, unless `event_poll_ms` is set (measured: 4.1 s).
POLL_MS = 4000
#: The shortest wait before a second try (measured: 3.0 s, also for a smaller Retry-After), and its growth.
RETRY_MS, RETRY_GROWTH = 3000, 1.4
MAX_RETRY_MS = 30_000
USER_AGENT = (
    "HashiCorp Terraform/0.11+compatible (+https://www.terraform.io) Terraform-Plugin-SDK/2.38.1 "
    "terraform-provider-linode/dev"
)


class Refused(Failed):
    """An error response, with linodego's message: `[400] [label] Label must be unique`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"[{status:03d}] {message}")
        self.status = status


class Linode:
    """One account's API. Paths are relative to the version (`/v4`)."""

    def __init__(self, config: Values, environment: Mapping[str, str]) -> None:
        def setting(name: str, variable: str) -> str:
            return str(config.get(name) or environment.get(variable, ""))

        url = setting("url", "LINODE_URL").rstrip("/")
        if not url:
            # The real plugin would use Linode's own API; a stand-in must not, whatever token the environment has.
            raise Failed("the stand-in for linode needs the URL of a local cloud: set linode:url or LINODE_URL")
        self._base = f"{url}/{setting('apiVersion', 'LINODE_API_VERSION') or 'v4'}"
        prefix = setting("uaPrefix", "LINODE_UA_PREFIX")
        self._headers = {"User-Agent": f"{prefix} {USER_AGENT}".strip(), "Content-Type": "application/json"}
        if token := setting("token", "LINODE_TOKEN"):
            self._headers["Authorization"] = f"Bearer {token}"
        self.poll_seconds = int(setting("eventPollMs", "LINODE_EVENT_POLL_MS") or POLL_MS) / 1000
        self._retry_ms = int(config.get("minRetryDelayMs") or RETRY_MS)
        self._max_retry_ms = int(config.get("maxRetryDelayMs") or MAX_RETRY_MS)
        self.skip_ready_poll = bool(config.get("skipInstanceReadyPoll"))
        self.skip_delete_poll = bool(config.get("skipInstanceDeletePoll"))
        self.skip_reboots = bool(config.get("skipImplicitReboots"))
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True)  # as Go's client does
        self._authorities = environment.get("SSL_CERT_FILE") or certifi.where()
        self._closed = threading.Event()
        self._types: dict[str, Values] = {}
        try:
            self.get("/linode/types?page=100")
        except Refused as error:
            raise Failed(f"Error connecting to the Linode API: {error}") from None

    def close(self) -> None:
        """Stop all waiting and close the client."""
        self._closed.set()
        self._client.close()

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """The trusted certificate authorities, from the variable that Go programs use."""
        return ssl.create_default_context(cafile=self._authorities)

    def pause(self, seconds: float) -> None:
        """Sleep. Raise Failed when the stand-in is shut down meanwhile."""
        if self._closed.wait(seconds):
            raise Failed("the provider was shut down")

    # --- requests

    def get(self, path: str, filters: Values | None = None) -> Any:
        return self.send("GET", path, filters=filters)

    def post(self, path: str, body: Any) -> Any:
        return self.send("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self.send("PUT", path, body)

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def find(self, path: str) -> Any:
        """Return the object at `path`, or None for a 404."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def listing(self, path: str, filters: Values | None = None) -> list[Any]:
        """Return all pages of a list."""
        first = self.get(f"{path}?page=1", filters)
        items: list[Any] = list(first["data"])
        for page in range(2, int(first.get("pages", 1)) + 1):
            items += self.get(f"{path}?page={page}", filters)["data"]
        return items

    def linode_type(self, name: str) -> Values:
        """Return a type's description; asked for once per configured provider."""
        if name not in self._types:
            self._types[name] = self.get(f"/linode/types/{name}")
        return self._types[name]

    def send(self, method: str, path: str, body: Any = None, filters: Values | None = None) -> Any:
        """Send a request, and repeat it while the API is busy. Raise Refused."""
        headers = dict(self._headers)
        if filters is not None:
            headers["X-Filter"] = json.dumps(filters, separators=(",", ":"))
        delay = float(self._retry_ms)
        while True:
            try:
                response = self._client.request(
                    method, self._base + path, content=None if body is None else json.dumps(body), headers=headers
                )
            except httpx.HTTPError as error:
                # 002 is linodego's code for "no answer at all".
                raise Refused(2, f'{method.title()} "{self._base}{path}": {error}') from None
            if not _busy(response, method, path):
                break
            asked = float(response.headers.get("Retry-After", 0)) * 1000
            self.pause(min(max(asked, delay), self._max_retry_ms) / 1000)
            delay *= RETRY_GROWTH
        if response.status_code >= 400:
            raise Refused(response.status_code, _reasons(response))
        try:
            return response.json() if response.content else {}
        except ValueError:
            raise Refused(2, "unexpected end of JSON input") from None

    # --- waiting

    def wait(self, path: str, ready: Callable[[Values], bool], seconds: float) -> Values:
        """Poll `path` until `ready`, first after one interval. Raise Failed after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            self.pause(self.poll_seconds)
            if time.monotonic() > deadline:
                raise Failed("context deadline exceeded")
            found: Values = self.get(path)
            if ready(found):
                return found

    def after(self, instance: str, action: str, do: Callable[[], Any], seconds: float, wait: bool = True) -> None:
        """Start a job of the instance by calling `do`, and wait until its `action` event has finished."""
        filters = {
            "+order": "desc",
            "+order_by": "created",
            "action": action,
            "entity.id": int(instance),
            "entity.type": "linode",
        }
        earlier = {event["id"] for event in self.listing("/account/events", filters)}
        do()
        if not wait:
            return
        deadline = time.monotonic() + seconds
        event: int | None = None
        while event is None:
            self.pause(self.poll_seconds)
            if time.monotonic() > deadline:
                raise Failed("failed to wait for event: context deadline exceeded")
            fresh = [found["id"] for found in self.listing("/account/events", filters) if found["id"] not in earlier]
            event = fresh[0] if fresh else None
        while (status := self.get(f"/account/events/{event}")["status"]) not in ("finished", "failed"):
            self.pause(self.poll_seconds)
            if time.monotonic() > deadline:
                raise Failed("failed to wait for event finished: context deadline exceeded")
        if status == "failed":
            raise Failed(f"event {event} has failed")


def _busy(response: httpx.Response, method: str, path: str) -> bool:
    """Return whether linodego, as the provider configures it, repeats the request."""
    if response.status_code in (408, 429, 503):
        return True
    if response.status_code == 400:
        return "Linode busy." in response.text
    # A new instance's addresses may be missing at first.
    return response.status_code == 500 and method == "GET" and path.endswith("/ips")


def _reasons(response: httpx.Response) -> str:
    try:
        errors = response.json()["errors"]
    except (ValueError, KeyError, TypeError):
        return response.text or response.reason_phrase
    texts = [f"[{error['field']}] {error['reason']}" if error.get("field") else error["reason"] for error in errors]
    return "; ".join(texts)
