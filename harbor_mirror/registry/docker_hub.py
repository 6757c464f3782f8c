"""Docker Hub's own API, which lists the repositories of a namespace; its registry API has no catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from harbor_mirror.http import Retry, describe_error, new_client, retry_after, send
from harbor_mirror.registry.credentials import Credentials
from harbor_mirror.registry.distribution import MAX_PAGES, NoSuchName, RateLimited, RegistryError
from harbor_mirror.secret_texts import Secrets

HUB = "https://hub.docker.com"
#: The largest page that Docker Hub returns.
PAGE_SIZE = 100


class DockerHub:
    """The repositories of a namespace; with credentials, private ones too. Methods raise RegistryError."""

    def __init__(self, credentials: Credentials | None = None, *, url: str = HUB, retry: Retry | None = None) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._retry = retry or Retry()
        self._client = new_client()
        self._secrets = Secrets()
        self._token: str | None = None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def repositories(self, namespace: str) -> list[str]:
        """Return every repository of a namespace, as `namespace/name`."""
        if self._credentials and self._token is None:
            self._log_in(self._credentials)
        names: list[str] = []
        path = f"/v2/namespaces/{namespace}/repositories?page_size={PAGE_SIZE}"
        for _ in range(MAX_PAGES):
            page, following = self._page(path, namespace)
            names += page
            if not following:
                return names
            path = following
        raise RegistryError(HUB, None, f"{namespace} does not end after {MAX_PAGES} pages")

    def _log_in(self, credentials: Credentials) -> None:
        body = {"username": credentials.username, "password": credentials.password}
        self._secrets.add(credentials.password)
        response = self._send(lambda: self._client.build_request("POST", f"{self._url}/v2/users/login", json=body))
        token = _object(response).get("token") if response.status_code == 200 else None
        if not token:
            message = f"Docker Hub rejects the credentials of {credentials.username}"
            raise RegistryError(HUB, response.status_code, message)
        self._token = str(token)
        self._secrets.add(self._token)

    def _page(self, path: str, namespace: str) -> tuple[list[str], str | None]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        response = self._send(lambda: self._client.build_request("GET", f"{self._url}{path}", headers=headers))
        if response.status_code == 404:
            raise NoSuchName(HUB, 404, f"no namespace {namespace}")
        if response.status_code == 429:
            raise RateLimited(HUB, f"too many requests for {namespace}", retry_after(response))
        body = _object(response)
        try:
            names = [f"{namespace}/{entry['name']}" for entry in body["results"] or ()]
            following = body.get("next")
            # The link names the public address, also if another one was asked: only its path is used.
            return names, httpx.URL(self._url).join(following).raw_path.decode() if following else None
        except (KeyError, TypeError, httpx.InvalidURL):
            message = f"HTTP {response.status_code} for the repositories of {namespace}"
            raise RegistryError(HUB, response.status_code, message) from None

    def _send(self, build: Callable[[], httpx.Request]) -> httpx.Response:
        try:
            return send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise RegistryError(HUB, None, self._secrets.hide(describe_error(error))) from None


def _object(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response, else an empty one."""
    try:
        body = response.json() if response.is_success else None
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}
