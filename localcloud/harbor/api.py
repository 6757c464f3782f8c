"""Shared by all API handlers: the call, the router, lists with paging, and times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.harbor.auth import Principal
from localcloud.harbor.body import Malformed, Struct, decode
from localcloud.harbor.data import HarborData, Project
from localcloud.harbor.errors import ApiError, bad_request, forbidden, not_found, unauthorized, unprocessable

if TYPE_CHECKING:
    from localcloud.harbor.core import Core

BASE = "/api/v2.0"
MAX_PAGE_SIZE = 100
Row = TypeVar("Row")


@dataclass
class Call:
    """A request with its caller; `params` are the variable parts of the path."""

    core: Core
    request: Request
    principal: Principal
    params: dict[str, str]
    body: bytes

    @property
    def data(self) -> HarborData:
        return self.core.data

    def now(self) -> datetime:
        return self.core.clock()

    def id(self, name: str = "id") -> int:
        """Return a number in the path. Raise 422 as Harbor does for anything else."""
        return _int64(self.params[name], name, "path")

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)

    def query_int(self, name: str, default: int) -> int:
        text = self.request.query_params.get(name)
        return default if text in (None, "") else _int64(str(text), name, "query")

    def query_flag(self, name: str, default: bool) -> bool:
        text = self.request.query_params.get(name)
        return default if text in (None, "") else str(text).lower() in ("true", "1", "yes", "ok", "y", "on", "t")

    def json(self, kind: Struct, parameter: str) -> dict[str, Any]:
        """Return the body as this Go struct; `parameter` is its name in Harbor's API description. Raise 422."""
        content_type = self.request.headers.get("content-type", "application/json").partition(";")[0].strip()
        if content_type != "application/json":
            raise unprocessable(f'unsupported media type "{content_type}", only [application/json] are allowed')
        if not self.body.strip():
            raise unprocessable(f"{parameter} in body is required")
        try:
            return decode(self.body, kind)
        except Malformed as error:
            raise unprocessable(f'parsing {parameter} body from "" failed, because {error}') from None

    def require_login(self) -> None:
        if not self.principal.authenticated:
            raise unauthorized()

    def require_system(self, resource: str, action: str) -> None:
        """Require the administrator, or a robot with this system permission."""
        self.require_login()
        if not self.principal.can_system(resource, action):
            raise forbidden(self.principal.name)

    def require(self, project: Project | None, resource: str, action: str) -> Project:
        """Return the project if the caller has this permission in it. None means that it does not exist."""
        if project is not None and self.principal.can(project, resource, action):
            return project
        self.require_login()
        if project is None:
            raise not_found(f"project {self.params.get('project', '')} not found")
        raise forbidden()

    def project(self, name: str = "project") -> Project | None:
        """Return the project whose name or id is in the path, by the rules of `X-Is-Resource-Name`."""
        text = self.params[name]
        is_name = self.request.headers.get("x-is-resource-name", "").lower() == "true"
        if not is_name and re.fullmatch(r"\d+", text):
            return self.data.projects.get(int(text))
        return self.data.projects.find(name=text)


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Endpoint:
    """`path` follows /api/v2.0; `{name}` matches one part of it."""

    method: str
    path: str
    handler: Handler


class Router:
    """Finds the handler of a request, and the allowed methods for a 405."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        paths: dict[str, dict[str, Handler]] = {}
        for endpoint in endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint.handler
        # Paths without parameters win over those with, as in Harbor's own router.
        ordered = sorted(paths.items(), key=lambda item: item[0].count("{"))
        self._exact = {path: handlers for path, handlers in ordered if "{" not in path}
        self._patterns = [(_pattern(path), handlers) for path, handlers in ordered if "{" in path]

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """`path` is still percent-encoded. Raise 404 and 405."""
        found = self._exact.get(path)
        params: dict[str, str] = {}
        for pattern, handlers in self._patterns if found is None else ():
            match = pattern.fullmatch(path)
            if match is not None:
                found, params = handlers, {name: unquote_plus(text) for name, text in match.groupdict().items()}
                break
        if found is None:
            raise not_found(f"path {BASE}{path} was not found")
        if method not in found:
            allowed = ",".join(sorted(found, key=["HEAD", "POST", "GET", "PUT", "PATCH", "DELETE"].index))
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"method {method} is not allowed, but [{allowed}] are")
        return found[method], params


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def _int64(text: str, name: str, place: str) -> int:
    if re.fullmatch(r"[+-]?\d+", text) and -(1 << 63) <= int(text) < 1 << 63:
        return int(text)
    raise unprocessable(f'{name} in {place} must be of type int64: "{text}"')


# Answers


def ok(body: Any = None, headers: dict[str, str] | None = None) -> Response:
    return Response(None, 200, headers) if body is None else JSONResponse(body, 200, headers)


def created(location: str, body: Any = None) -> Response:
    headers = {"Location": BASE + location}
    return Response(None, 201, headers) if body is None else JSONResponse(body, 201, headers)


def timestamp(moment: datetime) -> str:
    """Return a time as Harbor writes it: UTC with milliseconds."""
    return f"{moment.strftime('%Y').zfill(4)}{moment.strftime('-%m-%dT%H:%M:%S')}.{moment.microsecond // 1000:03}Z"


# Lists

Getter = Callable[[Row], Any]


def listing(
    call: Call,
    rows: Sequence[Row],
    fields: dict[str, Getter[Row]],
    default_sort: str,
    shape: Callable[[Row], Any],
    extra_query: str = "",
) -> Response:
    """Return the page that `q`, `sort`, `page` and `page_size` ask for. Unknown fields in them are ignored.

    `default_sort` is a field of `fields`, descending after a `-`.
    """
    page, size = paging(call)
    query = ",".join(part for part in (call.query("q"), extra_query) if part)
    selected = [row for row in rows if all(test(row) for test in _tests(query, fields))]
    sorts = [key for key in call.query("sort").split(",") if key.lstrip("-") in fields] or [default_sort]
    for key in reversed(sorts):
        selected.sort(key=fields[key.lstrip("-")], reverse=key.startswith("-"))
    total = len(selected)
    if size > 0 and page > 0:
        selected = selected[(page - 1) * size : page * size]
    elif size > 0:
        selected = selected[:size]
    return ok([shape(row) for row in selected], page_headers(call, total, page, size))


def paging(call: Call) -> tuple[int, int]:
    """Return page and page size. Raise 422 above Harbor's maximum."""
    size = call.query_int("page_size", 10)
    if size > MAX_PAGE_SIZE:
        raise unprocessable(f"page_size in query should be less than or equal to {MAX_PAGE_SIZE}")
    return call.query_int("page", 1), size


def page_headers(call: Call, total: int, page: int, size: int) -> dict[str, str]:
    headers = {"X-Total-Count": str(total)}
    links = []
    if page > 1 and (page - 1) * size <= total:
        links.append(f'<{_page_url(call, page - 1, size)}>; rel="prev"')
    if size != 0 and page * size < total:
        links.append(f'<{_page_url(call, page + 1, size)}>; rel="next"')
    return headers | ({"Link": " , ".join(links)} if links else {})


def _page_url(call: Call, page: int, size: int) -> str:
    query = dict(parse_qsl(call.request.url.query, keep_blank_values=True))
    query |= {"page": str(page), "page_size": str(size)}
    return f"{call.request.url.path}?" + "&".join(f"{name}={value}" for name, value in sorted(query.items()))


def _tests(query: str, fields: dict[str, Getter[Row]]) -> list[Callable[[Row], bool]]:
    """`name=x` exact, `name=~x` contains, `name=[a~b]` range, `name={a b}` any of."""
    tests: list[Callable[[Row], bool]] = []
    for part in query.split(",") if query else []:
        key, equals, value = part.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise bad_request('the query string must contain "=" and the key/value cannot be empty')
        getter = {name.lower(): get for name, get in fields.items()}.get(key.strip().lower())
        if getter is not None:
            tests.append(_test(getter, value.strip()))
    return tests


def _test(getter: Getter[Row], value: str) -> Callable[[Row], bool]:
    if value.startswith("~"):
        return lambda row: value[1:] in str(getter(row))
    if value.startswith("{") and value.endswith("}"):
        wanted = value[1:-1].split()
        return lambda row: _text(getter(row)) in wanted
    if value.startswith("[") and value.endswith("]") and "~" in value:
        low, _, high = value[1:-1].partition("~")
        return lambda row: (not low or _text(getter(row)) >= low) and (not high or _text(getter(row)) <= high)
    return lambda row: _text(getter(row)) == value.strip("\"'")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
