"""The Harbor simulator: one ASGI application with API, login, token service and registry."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from localcloud.faults import Exchange, FaultInjector
from localcloud.harbor import (
    artifacts,
    executions,
    immutability,
    maintenance,
    members,
    policies,
    projects,
    registries,
    robots,
    system,
    webhooks,
)
from localcloud.harbor.api import BASE, Call, Endpoint, Router
from localcloud.harbor.auth import (
    ADMIN,
    CSRF_COOKIE,
    CSRF_HEADER,
    SESSION_COOKIE,
    Accounts,
    cookies_of,
    csrf_fault,
    csrf_token,
    good_csrf_cookie,
    new_csrf_cookie,
)
from localcloud.harbor.core import Clock, Conditions, Core
from localcloud.harbor.data import HarborData
from localcloud.harbor.distribution import Gate, registry_app, token_endpoint
from localcloud.harbor.errors import ApiError, forbidden, not_found
from localcloud.harbor.executions import WORKERS, Runner

VERSION = "2.15.2"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
ENDPOINTS: list[Endpoint] = [
    endpoint
    for family in (
        *(system, projects, members, immutability, webhooks, registries, policies, executions, robots, artifacts),
        maintenance,
    )
    for endpoint in family.ENDPOINTS
]


def _utcnow() -> datetime:
    return datetime.now(UTC)


class HarborSimulator:
    """A simulated Harbor on `data`. `admin_password` counts on the first start only, as in Harbor.

    Serve `app`; `start()` begins to fire schedules, `close()` stops them and running jobs. `faults` makes it
    misbehave, `conditions` sets states that it does not reach by itself. `status_lag_seconds` is how long an execution
    stays InProgress after its last task (real Harbor: up to 30 s), `workers` how many jobs run at a time.
    """

    def __init__(
        self,
        data: HarborData,
        *,
        hostname: str,
        external_url: str,
        admin_password: str,
        version: str = VERSION,
        status_lag_seconds: float = 0.0,
        workers: int = WORKERS,
        clock: Clock = _utcnow,
    ) -> None:
        self.data = data
        accounts = Accounts(data)
        self.core = Core(data, hostname, external_url.rstrip("/"), "v" + version.lstrip("v"), clock, accounts)
        self.core.runner = Runner(self.core, status_lag_seconds, workers)
        with data.lock:
            accounts.first_boot(admin_password, clock())
            projects.first_boot(self.core)
        self._router = Router(ENDPOINTS)
        gate = Gate(self.core)
        app = Starlette(
            routes=[
                Route("/c/{action}", self._account, methods=["GET", "POST"]),
                Route("/service/token", token_endpoint(gate), methods=["GET", "POST"]),
                Mount("/v2", registry_app(self.core, gate)),
                Route("/{path:path}", self._api, methods=_METHODS),
            ]
        )
        self.app = self.faults = FaultInjector(app, _error_body)

    @property
    def conditions(self) -> Conditions:
        """States that tests set."""
        return self.core.conditions

    @property
    def requests(self) -> list[Exchange]:
        """Every request so far."""
        return self.faults.requests

    def restart_job_service(self) -> None:
        """Lose all running jobs: their executions stay InProgress for ever (measured on Harbor 2.15.2)."""
        with self.data.lock:
            self.core.runner.abandon()

    def start(self) -> None:
        """Begin to fire schedules."""
        self.core.runner.start()

    def close(self) -> None:
        """Stop running jobs and schedules."""
        self.core.runner.close()

    def __enter__(self) -> HarborSimulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _api(self, request: Request) -> Response:
        path = request.scope.get("raw_path", request.url.path.encode()).decode().partition("?")[0]
        if not path.startswith(f"{BASE}/"):
            return PlainTextResponse("Not Found", 404) if path != "/" else PlainTextResponse("Harbor")
        carries_session = SESSION_COOKIE in cookies_of(request)
        fault = _csrf(request) if carries_session else None
        if fault is not None:
            return self._with_cookies(request, fault.response(), carries_session)
        body = await request.body()
        response = await run_in_threadpool(self._answer, request, path.removeprefix(BASE).rstrip("/"), body)
        return self._with_cookies(request, response, carries_session)

    def _answer(self, request: Request, path: str, body: bytes) -> Response:
        try:
            handler, params = self._router.find(request.method, path)
            principal = self.core.accounts.of_request(request, self.core.clock())
            return handler(Call(self.core, request, principal, params, body))
        except ApiError as error:
            return error.response()

    async def _account(self, request: Request) -> Response:
        """Answer the portal's login and logout, a form with the CSRF token."""
        action = request.path_params["action"]
        accounts = self.core.accounts
        fault = _csrf(request)
        if fault is not None:
            return self._with_cookies(request, fault.response(), True)
        if action == "log_out":
            accounts.close_session(cookies_of(request).get(SESSION_COOKIE))
            return self._with_cookies(request, Response(None, 200), True)
        if action != "login" or request.method != "POST":
            return self._with_cookies(request, not_found("not found").response(), True)
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        if form.get("principal") != ADMIN or not accounts.check_admin(form.get("password", "")):
            message = {"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized: Invalid credentials"}]}
            return self._with_cookies(request, JSONResponse(message, 401), True)
        accounts.close_session(cookies_of(request).get(SESSION_COOKIE))
        response = Response(None, 200)
        response.set_cookie(SESSION_COOKIE, accounts.open_session(logged_in=True), httponly=True)
        return response

    def _with_cookies(self, request: Request, response: Response, csrf: bool) -> Response:
        """Add a session cookie if the request has none, and the CSRF cookie and token if it has one."""
        accounts = self.core.accounts
        if not accounts.knows_session(cookies_of(request).get(SESSION_COOKIE)):
            response.set_cookie(SESSION_COOKIE, accounts.open_session(), httponly=True)
        if csrf:
            cookie = cookies_of(request).get(CSRF_COOKIE)
            if cookie is None or not good_csrf_cookie(cookie):
                cookie = new_csrf_cookie()
                response.set_cookie(CSRF_COOKIE, cookie, httponly=True, samesite="strict")
            response.headers[CSRF_HEADER] = csrf_token(cookie)
        return response


def _error_body(_status: int, reason: str) -> str:
    return json.dumps({"errors": [{"code": "UNKNOWN", "message": reason}]})


def _csrf(request: Request) -> ApiError | None:
    """Return the error for a write without the token that belongs to the cookie, None otherwise."""
    if request.method in _SAFE:
        return None
    fault = csrf_fault(cookies_of(request).get(CSRF_COOKIE), request.headers.get(CSRF_HEADER))
    return None if fault is None else forbidden(fault)
