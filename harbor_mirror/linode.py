"""A client of Linode's API v4, limited to what a recovery needs: to find resources by name, and to delete one."""

from __future__ import annotations

import json
from typing import Any

import httpx

from harbor_mirror.http import TIMEOUT, Retry, describe_error, new_client, send
from harbor_mirror.secret_texts import Secrets

Json = dict[str, Any]

URL = "https://api.linode.com"
VERSION = "v4"
PAGE_SIZE = 100
#: A limit for a server that announces a list without end.
MAX_PAGES = 100
SHOWN_CHARACTERS = 200


class LinodeError(Exception):
    """An error response of Linode, or none: `status` is then None."""

    def __init__(self, status: int | None, message: str, method: str, path: str) -> None:
        self.status = status
        answer = "can't be reached" if status is None else f"answered {status}"
        super().__init__(f"Linode {answer} ({method} {path}): {message}")


class Linode:
    """A client of Linode's API. Methods raise LinodeError."""

    def __init__(self, url: str, token: str, retry: Retry | None = None, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._base = f"{url.rstrip('/')}/{VERSION}"
        self._secrets = Secrets()
        self._secrets.add(token)
        self._retry = retry or Retry()
        self._client = new_client(timeout=timeout)
        self._client.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Linode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, path: str, **fields: Any) -> list[Json]:
        """Return the items of a list whose fields have these values."""
        found: list[Json] = []
        for number in range(1, MAX_PAGES + 1):
            page = self._request("GET", path, {"page": number, "page_size": PAGE_SIZE}, fields)
            items = page.get("data")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise LinodeError(200, "not a page of a list", "GET", path)
            # Some lists do not support filters on every field.
            found += [item for item in items if all(item.get(name) == value for name, value in fields.items())]
            if number >= int(page.get("pages") or 1):
                return found
        raise LinodeError(200, f"the list has more than {MAX_PAGES * PAGE_SIZE} items", "GET", path)

    def delete(self, path: str) -> None:
        """Delete a resource; do nothing if it does not exist."""
        try:
            self._request("DELETE", path, {}, {})
        except LinodeError as error:
            if error.status != 404:
                raise

    def _request(self, method: str, path: str, params: Json, fields: Json) -> Json:
        # Linode refuses a filter on some fields; those lists are short.
        headers = {"X-Filter": json.dumps({"label": fields["label"]})} if "label" in fields else {}
        try:
            response = send(
                self._client,
                lambda: self._client.build_request(method, f"{self._base}{path}", params=params, headers=headers),
                self._retry,
            )
        except httpx.HTTPError as error:
            reason = describe_error(error) if isinstance(error, httpx.TransportError) else str(error)
            raise LinodeError(None, self._secrets.hide(reason), method, path) from None
        if not response.is_success:
            raise LinodeError(response.status_code, self._secrets.hide(_reason(response)), method, path)
        try:
            content = response.json() if response.content else {}
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise LinodeError(response.status_code, "the response is not a JSON object", method, path)
        return content


def _reason(response: httpx.Response) -> str:
    try:
        errors = response.json()["errors"]
        return "; ".join(str(error["reason"]) for error in errors)
    except (ValueError, KeyError, TypeError):
        return response.text[:SHOWN_CHARACTERS] or "no message"
