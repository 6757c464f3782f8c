"""Authorization of registry requests: Basic and Bearer (token flow).

An authorizer is any `(request, repository, action)` that answers None to allow or the response that refuses. Actions
are `base` (GET /v2/), `catalog`, `pull`, `push` (which includes pull) and `delete`; the first two have no repository.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Action = Literal["base", "catalog", "pull", "push", "delete"]
Authorizer = Callable[[Request, str | None, Action], Response | None]
Principal = TypeVar("Principal")

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
TOKEN_SECONDS = 300  # distribution's and Docker Hub's usual lifetime
_NO_DETAIL: Any = object()


def registry_error(
    status: int, code: str, message: str, detail: Any = _NO_DETAIL, headers: dict[str, str] | None = None
) -> Response:
    """Return an error response of the distribution API, with the line end that distribution sends."""
    error = {"code": code, "message": message} | ({} if detail is _NO_DETAIL else {"detail": detail})
    return registry_errors(status, [error], headers)


def registry_errors(status: int, errors: list[dict[str, Any]], headers: dict[str, str] | None = None) -> Response:
    return json_response({"errors": errors}, status, headers)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return compact JSON with a final line end, byte for byte as distribution 2.8 writes it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"
    return Response(text, status, {**API_VERSION, **(headers or {})}, "application/json; charset=utf-8")


def absolute_url(request: Request, path: str, query: str = "") -> str:
    """Return a URL on the host of the request, with the scheme in X-Forwarded-Proto."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    return str(request.url.replace(scheme=scheme, path=path, query=query))


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return user name and password of a Basic Authorization header; None if there is none or it is garbled."""
    return decode_basic(request.headers.get("authorization", ""))


def decode_basic(header: str) -> tuple[str, str] | None:
    """Return user name and password of the value of an Authorization header; None if it has none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return username, password


def bearer_token(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value if scheme.lower() == "bearer" else None


def accesses(repository: str | None, action: Action) -> list[tuple[str, str, str]]:
    """Return the scopes of an action as (type, name, action)."""
    if action == "base":
        return []
    if repository is None:
        return [("registry", "catalog", "*")]
    return [("repository", repository, a) for a in (("pull", "push") if action == "push" else (action,))]


def unauthorized(challenge: str, repository: str | None, action: Action) -> Response:
    """Return 401 with the challenge, and the requested access in `detail`, as distribution does."""
    detail = [{"Type": kind, "Class": "", "Name": name, "Action": a} for kind, name, a in accesses(repository, action)]
    return registry_error(
        401, "UNAUTHORIZED", "authentication required", detail or None, {"WWW-Authenticate": challenge}
    )


def allow_all(_request: Request, _repository: str | None, _action: Action) -> None:
    """The authorizer of an open registry."""


class BasicAuth:
    """Allows everything with valid credentials, as distribution's htpasswd does."""

    def __init__(self, check: Callable[[str, str], bool], realm: str = "basic-realm") -> None:
        self._check = check
        self._challenge = f'Basic realm="{realm}"'

    def __call__(self, request: Request, repository: str | None, action: Action) -> Response | None:
        credentials = basic_credentials(request)
        if credentials is not None and self._check(*credentials):
            return None
        return unauthorized(self._challenge, repository, action)


class TokenService(Generic[Principal]):
    """Issues tokens and, as an authorizer, requires them: https://distribution.github.io/distribution/spec/auth/token/.

    `authenticate(username, password)` gives a principal, for (None, None) the anonymous one, or None to refuse the
    token with 401. `grant(principal, type, name, actions)` gives those of the asked actions that the principal has.
    `names` are the fields of the answer that carry the token; Harbor leaves `access_token` empty.
    `realm` is the token endpoint's address; None means `/token` on the host that the client talks to.
    """

    def __init__(
        self,
        service: str,
        authenticate: Callable[[str | None, str | None], Principal | None],
        grant: Callable[[Principal, str, str, Collection[str]], Collection[str]],
        realm: str | None = None,
        clock: Callable[[], float] = time.time,
        names: Collection[str] = ("token", "access_token"),
    ) -> None:
        self._service = service
        self._authenticate = authenticate
        self._grant = grant
        self._realm = realm
        self._clock = clock
        self._names = names
        self._key = secrets.token_bytes(32)

    def endpoint(self, request: Request) -> Response:
        """Answer GET with `service` and any number of `scope=type:name:actions`; optional Basic credentials."""
        principal = self._authenticate(*(basic_credentials(request) or (None, None)))
        if principal is None:
            return JSONResponse({"details": "incorrect username or password"}, 401)
        granted = []
        for scope in " ".join(request.query_params.getlist("scope")).split():
            kind, _, rest = scope.partition(":")
            name, _, wanted = rest.rpartition(":")
            actions = self._grant(principal, kind, name, wanted.split(","))
            granted.append([kind, name, sorted(actions)])
        now = self._clock()
        token = self._sign({"exp": now + TOKEN_SECONDS, "access": granted})
        issued_at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        named = {name: token if name in self._names else "" for name in ("token", "access_token")}
        return JSONResponse({**named, "expires_in": TOKEN_SECONDS, "issued_at": issued_at})

    def __call__(self, request: Request, repository: str | None, action: Action) -> Response | None:
        wanted = accesses(repository, action)
        token = bearer_token(request)
        access = None if token is None else self._verify(token)
        if access is not None and all(
            any((kind, name) == (k, n) and {a, "*"} & set(actions) for k, n, actions in access)
            for kind, name, a in wanted
        ):
            return None
        realm = self._realm or absolute_url(request, "/token")
        challenge = f'Bearer realm="{realm}",service="{self._service}"'
        if wanted:
            kind, name, _ = wanted[0]
            challenge += f',scope="{kind}:{name}:{",".join(a for _, _, a in wanted)}"'
        if token is not None:
            challenge += f',error="{"invalid_token" if access is None else "insufficient_scope"}"'
        return unauthorized(challenge, repository, action)

    def _sign(self, claims: dict[str, Any]) -> str:
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{payload}.{self._mac(payload)}"

    def _verify(self, token: str) -> list[tuple[str, str, list[str]]] | None:
        payload, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(payload).encode()):
            return None
        claims = json.loads(base64.urlsafe_b64decode(payload))
        return [(k, n, a) for k, n, a in claims["access"]] if claims["exp"] > self._clock() else None

    def _mac(self, payload: str) -> str:
        return hmac.new(self._key, payload.encode(), hashlib.sha256).hexdigest()
