"""Routing: JSON requests to handlers, JSON responses, errors in Linode's format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.linode import lists
from localcloud.linode.errors import ApiError, invalid

if TYPE_CHECKING:
    from localcloud.linode.state import Cloud

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """The arguments of a handler: the cloud, path parameters, query, X-Filter and the JSON body."""

    cloud: Cloud
    params: Mapping[str, Any]
    query: Mapping[str, str]
    filter: str | None
    body: Json

    @property
    def id(self) -> int:
        """The number in the path."""
        return int(self.params["id"])

    def page(self, items: Sequence[Mapping[str, Any]], *, newest_first: bool = False) -> Json:
        """Return `items` as the response of a list call."""
        return lists.page(items, self.query, self.filter, newest_first=newest_first)


Handler = Callable[[Call], Json]


@dataclass(frozen=True)
class Operation:
    """An operation of the API. `public`: answered without a token, as Linode does for its catalogue."""

    method: str
    path: str
    handler: Handler
    public: bool = False


def routes(cloud: Cloud, operations: Sequence[Operation], token: str) -> list[Route]:
    """Return the routes of `operations`, each checking the token and holding the cloud's lock while it runs."""
    return [
        Route(operation.path, _endpoint(cloud, operation, token), methods=[operation.method])
        for operation in operations
    ]


def error_response(status: int, errors: list[dict[str, str]], headers: Mapping[str, str] | None = None) -> Response:
    """Return an error in Linode's format."""
    return JSONResponse({"errors": errors}, status_code=status, headers=headers)


def error_body(_status: int, reason: str) -> str:
    """Return an error as the API writes it."""
    return json.dumps({"errors": [{"reason": reason}]})


async def http_exception(_: Request, error: Exception) -> Response:
    """Return the router's own errors (unknown path, wrong method) in Linode's format."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    reason = {404: "Not found", 405: "Method Not Allowed"}.get(status, "An error occurred")
    return error_response(status, [{"reason": reason}])


def _endpoint(cloud: Cloud, operation: Operation, token: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        given = request.headers.get("authorization")
        # A wrong token is refused everywhere, a missing one only where an account is needed.
        if given != f"Bearer {token}" and not (given is None and operation.public):
            return error_response(401, [{"reason": "Invalid Token"}])
        try:
            call = Call(
                cloud,
                request.path_params,
                request.query_params,
                request.headers.get("x-filter"),
                _body(await request.body()),
            )
            with cloud.lock:
                return JSONResponse(operation.handler(call))
        except ApiError as error:
            return error_response(error.status, error.errors)

    return endpoint


def _body(raw: bytes) -> Json:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        raise invalid("Invalid JSON") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object")
    return body
