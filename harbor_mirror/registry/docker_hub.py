"""Docker Hub's own API, as far as a registry's API falls short there: it has no catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from harbor_mirror.http import Retry, Secrets, in_words, new_client, retry_after, send
from harbor_mirror.registry.credentials import Credentials
from harbor_mirror.registry.distribution import MOST_PAGES, NoSuchName, RateLimited, RegistryError

HUB = "https://hub.docker.com"
#: The largest page that Docker Hub gives.
PAGE_SIZE = 100


class DockerHub:
    """The catalogue of a namespace. With credentials, private repositories are in it. Raises RegistryError."""

    def __init__(self, credentials: Credentials | None = None, *, url: str = HUB, retry: Retry | None = None) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._retry = retry or Retry()
        self._client = new_client()
        self._secrets = Secrets()
        self._token: str | None = None

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def repositories(self, namespace: str) -> list[str]:
        """Every repository of a namespace, as `namespace/name`."""
        if self._credentials and self._token is None:
            self._log_in(self._credentials)
        names: list[str] = []
        address = f"{self._url}/v2/namespaces/{namespace}/repositories?page_size={PAGE_SIZE}"
        for _ in range(MOST_PAGES):
            body = self._get(address, namespace)
            names += [f"{namespace}/{entry['name']}" for entry in body.get("results") or ()]
            following = body.get("next")
            if not following:
                return names
            # Its links name the public address, whatever address was asked.
            address = f"{self._url}{httpx.URL(following).raw_path.decode()}"
        raise RegistryError(HUB, None, f"{namespace} does not end after {MOST_PAGES} pages")

    def _log_in(self, credentials: Credentials) -> None:
        body = {"username": credentials.username, "password": credentials.password}
        self._secrets.add(credentials.password)
        answer = self._send(lambda: self._client.build_request("POST", f"{self._url}/v2/users/login", json=body))
        if answer.status_code != 200:
            raise RegistryError(
                HUB, answer.status_code, f"Docker Hub refuses the credentials of {credentials.username}"
            )
        self._token = str(answer.json().get("token") or "")
        self._secrets.add(self._token)

    def _get(self, address: str, namespace: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = self._send(lambda: self._client.build_request("GET", address, headers=headers))
        if answer.status_code == 404:
            raise NoSuchName(HUB, 404, f"no namespace {namespace}")
        if answer.status_code == 429:
            raise RateLimited(HUB, f"too many requests for {namespace}", retry_after(answer))
        try:
            body: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            message = f"HTTP {answer.status_code} for the repositories of {namespace}"
            raise RegistryError(HUB, answer.status_code, message) from None
        return body

    def _send(self, build: Callable[[], httpx.Request]) -> httpx.Response:
        try:
            return send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise RegistryError(HUB, None, self._secrets.hide(in_words(error))) from None
