"""The Harbor client of a configured provider: credentials, CSRF retry, error messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from localcloud.providers.resource import Failed
from localcloud.providers.values import Values

#: The real plugin waits without a limit; this one only ends a hanging test.
TIMEOUT_SECONDS = 600


class Harbor:
    """A client of one Harbor. Paths are relative to /api/v2.0."""

    def __init__(self, config: Values, environment: Mapping[str, str]) -> None:
        def setting(name: str, variable: str) -> str:
            return str(config.get(name) or environment.get(variable, ""))

        url = setting("url", "HARBOR_URL")
        if not url:
            raise Failed(
                "url is required and must be provided in the provider config or the HARBOR_URL environment variable"
            )
        self._base = url.strip("/") + ("/api" if config.get("apiVersion", 2) == 1 else "/api/v2.0")
        self._headers = {"Content-Type": "application/json"}
        self._auth: tuple[str, str] | None = None
        if session := setting("sessionId", "HARBOR_SESSION_ID"):
            self._headers["Cookie"] = f"sid={session}"
        elif token := setting("bearerToken", "HARBOR_BEARER_TOKEN"):
            self._headers["Authorization"] = f"Bearer {token}"
        else:
            self._auth = (setting("username", "HARBOR_USERNAME"), setting("password", "HARBOR_PASSWORD"))
        self.robot_prefix = str(config.get("robotPrefix", ""))
        insecure = config.get("insecure", True) is not False
        # Ignore cookies: with a session cookie, the next write would need a CSRF token.
        refused = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        # Open a connection for each request, so that a replaced Harbor answers the next one.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(
            verify=not insecure,
            timeout=TIMEOUT_SECONDS,
            cookies=refused,
            limits=limits,
            follow_redirects=True,  # as Go's client does
        )

    def close(self) -> None:
        self._client.close()

    def send(self, method: str, path: str, body: Any = None, expect: int = 200) -> httpx.Response:
        """Send a request; raise Refused, with the real plugin's message, unless the status is `expect`."""
        response = self._send(method, path, body, {})
        if response.status_code == 403:
            response = self._send(method, path, body, _csrf(response))
        if response.status_code != expect:
            raise Refused(
                response.status_code,
                f"[ERROR] unexpected status code got: {response.status_code} expected: {expect} \n {response.text}",
            )
        return response

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        # Add headers instead of merging: with a session there are two Cookie headers.
        added = [*self._headers.items(), *headers.items()]
        content = None if body is None else json.dumps(body)
        try:
            return self._client.request(method, self._base + path, content=content, headers=added, auth=self._auth)
        except httpx.HTTPError as error:
            raise Refused(502, f'{method.title()} "{self._base + path}": {error}') from None


class Refused(Failed):
    """A response with an unexpected status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def content(response: httpx.Response) -> Any:
    """Return the JSON in a response; raise Failed, with the message of Go's decoder, if it has none."""
    try:
        return response.json()
    except ValueError:
        text = response.text.strip()
        unexpected = text[:1] not in ("{", "[", '"', "")
        reason = f"invalid character '{text[0]}' looking for beginning of value" if unexpected else "unexpected end"
        raise Failed(reason if unexpected else f"{reason} of JSON input") from None


def _csrf(response: httpx.Response) -> dict[str, str]:
    """Return the CSRF token of a 403, for the second try."""
    token = response.headers.get("X-Harbor-Csrf-Token")
    if token is None:
        raise Refused(403, "[ERROR] no X-Harbor-Csrf-Token present to retry")
    for cookie in response.headers.get_list("set-cookie"):
        # The real plugin cuts the value at its first `=`.
        name, value, *_ = [*cookie.split(";", 1)[0].split("="), ""]
        if name == "_gorilla_csrf" and value:
            return {"Cookie": f"_gorilla_csrf={value}", "X-Harbor-Csrf-Token": token}
    raise Refused(403, "[ERROR] no valid _gorilla_csrf token present to retry")


def location(response: httpx.Response) -> str:
    return str(response.headers["Location"]).replace("/api", "").replace("/v2.0", "")
