"""A client of Harbor's REST API v2.0, limited to what the mirror needs.

It logs in once and uses the session: basic authentication costs Harbor about 90 ms of CPU per request for the password
hash, a session 1.4 ms (measured on Harbor 2.15.2). Without a session (robots, OIDC) it uses basic authentication.
Objects are Harbor's JSON, as in its API description.

    HarborError           any error response or failure; has Harbor's message
    ├── Unreachable       no complete HTTP response
    ├── WrongCredentials  user name or password rejected
    └── NotHealthy        not ready within the time limit
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from harbor_mirror.config.faults import HIDDEN
from harbor_mirror.http import CONCURRENCY, TIMEOUT, Retry, describe_error, is_certificate_error, new_client, send
from harbor_mirror.secret_texts import Secrets

Json = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

API = "/api/v2.0"
#: The largest page that Harbor returns (measured: 101 is answered 422).
PAGE_SIZE = 100
#: The most pages of one list: a limit for a server that announces a list without end.
MAX_PAGES = 1000
TOKEN_HEADER = "X-Harbor-CSRF-Token"  # noqa: S105
SESSION_COOKIE = "sid"
#: Harbor's own setting `robot_name_prefix`, as it comes.
ROBOT_PREFIX = "robot$"
#: An response that is not Harbor's JSON is shown at most this long in an error.
SHOWN_CHARACTERS = 200
#: A proxy in front of a Harbor that starts may hold a request; the next poll asks again.
HEALTH_TIMEOUT = httpx.Timeout(10.0)
TRUST = (
    "Give Harbor a certificate of an authority that this machine trusts, or set SSL_CERT_FILE to a file with the "
    "certificates of all trusted authorities"
)


class HarborError(Exception):
    """An error response or a failure: `status` is the HTTP status, `message` Harbor's message."""

    def __init__(self, status: int | None, message: str, method: str, path: str) -> None:
        self.status = status
        self.message = message
        self.method = method
        self.path = path
        super().__init__(self._text())

    def _text(self) -> str:
        return f"Harbor answered {self.status} to {self.method} {self.path}: {self.message}"


class Unreachable(HarborError):
    """No complete response: a failure of the connection, TLS or a time limit."""

    def _text(self) -> str:
        return f"Harbor can't be reached ({self.method} {self.path}): {self.message}"


class WrongCredentials(HarborError):
    """Harbor rejects the user name or the password."""

    def _text(self) -> str:
        return self.message


class NotHealthy(HarborError):
    """Harbor was not ready within the time limit; the message has the last state seen."""

    def _text(self) -> str:
        return self.message


class Harbor:
    """A client of one Harbor at `url` (scheme and host, without /api).

    It trusts `authorities`, certificates in PEM, besides the public ones. Thread-safe. Methods raise HarborError.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        verify: bool = True,
        authorities: str = "",
        timeout: httpx.Timeout = TIMEOUT,
        retry: Retry | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            shown = re.sub(r"//.*@", f"//{HIDDEN}@", url)
            message = f"{shown} is not an address of a Harbor; it looks like https://harbor.example.com, without user"
            raise HarborError(None, message, "GET", API)
        self.url = url.rstrip("/").removesuffix(API)
        self.username = username
        self._password = password
        self._secrets = Secrets()
        self._secrets.add(password)
        self._retry = retry or Retry()
        self._client = new_client(verify=verify, timeout=timeout, authorities=authorities)
        self._concurrency = concurrency
        self._cookies: dict[str, str] = {}
        self._token: str | None = None
        self._basic = False
        self._ready = False
        self._login_lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; the session in Harbor expires."""
        self._client.close()

    def __enter__(self) -> Harbor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Logging in

    def login(self) -> None:
        """Check the credentials, once per client. Raise WrongCredentials.

        In other requests, Harbor treats a wrong password as an anonymous user: lists are empty instead of rejected.
        """
        with self._login_lock:
            if self._ready:
                return
            if not self._open_session():
                self._cookies, self._token, self._basic = {}, None, True
            self._check_identity()
            self._ready = True

    @property
    def session(self) -> str | None:
        """Return the session ID after login(); None with basic authentication."""
        return None if self._basic else self._cookies.get(SESSION_COOKIE)

    def _open_session(self) -> bool:
        # The first response brings a session cookie; only a request with one is given a CSRF token.
        for _ in range(2):
            self._exchange("GET", f"{API}/systeminfo", anonymous=True)
            if self._token:
                break
        if not self._token:
            return False
        form = {"principal": self.username, "password": self._password}
        response = self._exchange("POST", "/c/login", form=form, anonymous=True)
        return response.status_code == 200 and SESSION_COOKIE in self._cookies

    def _check_identity(self) -> None:
        path = f"{API}/users/current"
        response = self._exchange("GET", path)
        # A robot has no user record: Harbor recognises it and answers 412 (measured).
        if response.status_code == 412 and "robot" in response.text:
            return
        if response.status_code == 200:
            user = _content(response)
            if not isinstance(user, dict) or "username" not in user:
                raise HarborError(200, f"not a user but {_cut(response.text)}", "GET", path)
            return
        if response.status_code in {401, 403}:
            raise WrongCredentials(response.status_code, _refused(self.url, self.username), "GET", path)
        raise self._error(response, "GET", path)

    # Requests

    def request(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None) -> Any:
        """Send a request under /api/v2.0, after logging in; return the JSON of the response, or its text."""
        return _content(self._send(method, path, params=params, body=body))

    def get(self, path: str, **params: Any) -> Any:
        """Send GET with query parameters; return the JSON."""
        return self.request("GET", path, params=params)

    def get_object(self, path: str) -> Json:
        """Return the object at a path."""
        found = self.get(path)
        if not isinstance(found, dict):
            raise HarborError(200, f"not an object but {_cut(str(found))}", "GET", f"{API}{path}")
        return found

    def get_all(self, path: str, **params: Any) -> list[Json]:
        """Return every item of a paged list; pages after the first are fetched in parallel."""
        page = {**params, "page_size": PAGE_SIZE}
        first = self._send("GET", path, params={**page, "page": 1})
        items = _items(first)
        total = first.headers.get("X-Total-Count", "")
        pages = -(-int(total) // PAGE_SIZE) if re.fullmatch(r"[0-9]{1,12}", total) else 1
        if pages > MAX_PAGES:
            message = f"the list has {total} items; at most {MAX_PAGES * PAGE_SIZE} can be read"
            raise HarborError(first.status_code, message, "GET", f"{API}{path}")
        for more in self.parallel(
            lambda number: _items(self._send("GET", path, params={**page, "page": number})),
            range(2, pages + 1),
        ):
            items += more
        return items

    def parallel(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function(item)` for each item in order; at most `concurrency` run at a time."""
        work = list(items)
        if len(work) < 2:
            yield from map(function, work)
            return
        with ThreadPoolExecutor(min(self._concurrency, len(work))) as pool:
            yield from pool.map(function, work)

    def _send(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> httpx.Response:
        if not self._ready:
            self.login()
        response = self._exchange(method, f"{API}{path}", params=params, body=body)
        if response.status_code in {401, 403} and not self._basic and self._stale(response):
            # The session ended or its token was renewed; the refused request did nothing.
            with self._login_lock:
                self._cookies, self._token, self._ready = {}, None, False
            self.login()
            response = self._exchange(method, f"{API}{path}", params=params, body=body)
        if response.status_code >= 300:
            raise self._error(response, method, f"{API}{path}")
        return response

    @staticmethod
    def _stale(response: httpx.Response) -> bool:
        return response.status_code == 401 or "CSRF" in response.text

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> httpx.Response:
        def build() -> httpx.Request:
            headers = {"Accept": "application/json"}
            if self._cookies:
                headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
                headers["Referer"] = f"{self.url}/"
            if self._token and method not in {"GET", "HEAD"}:
                headers[TOKEN_HEADER] = self._token
            request = self._client.build_request(
                method, f"{self.url}{path}", params=params or None, json=body, data=form, headers=headers
            )
            if self._basic and not anonymous:
                # As a header of its own: httpx would encode the name differently from other clients.
                auth = httpx.BasicAuth(self.username, self._password)
                request = next(auth.auth_flow(request))
            return request

        try:
            response = send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise Unreachable(None, self._secrets.hide(f"{self.url}: {describe_error(error)}"), method, path) from None
        except httpx.HTTPError as error:
            raise Unreachable(None, self._secrets.hide(f"{self.url}: {error}"), method, path) from None
        if not self._basic:
            self._keep(response)
        return response

    def _keep(self, response: httpx.Response) -> None:
        cookies: SimpleCookie = SimpleCookie()
        for header in response.headers.get_list("Set-Cookie"):
            try:
                cookies.load(header)
            except CookieError:
                continue
        for name, morsel in cookies.items():
            # A new map each time: other threads may be reading the old one.
            self._cookies = {**self._cookies, name: morsel.value}
            self._secrets.add(morsel.value)
        if token := response.headers.get(TOKEN_HEADER):
            self._token = token
            self._secrets.add(token)

    def _error(self, response: httpx.Response, method: str, path: str) -> HarborError:
        if response.has_redirect_location:
            target = self._secrets.hide(_cut(response.headers["Location"]))
            message = f"a redirect to {target!r}, which could take the credentials elsewhere; use Harbor's own address"
            return HarborError(response.status_code, message, method, path)
        return HarborError(response.status_code, self._secrets.hide(message_of(response)), method, path)

    # The system

    def beside(self, path: str) -> Json | None:
        """Return the JSON object at a path outside of Harbor's API, with its session; None if there is no object."""
        if not self._ready:
            self.login()
        try:
            found = _content(self._exchange("GET", path))
        except HarborError:
            return None
        return found if isinstance(found, dict) else None

    def health(self) -> Json:
        """Return {"status": "healthy" | "unhealthy", "components": [{"name", "status"}]}."""
        return self.get_object("/health")

    def system_info(self) -> Json:
        """Return version and settings; `harbor_version` only after login."""
        return self.get_object("/systeminfo")

    def volumes(self) -> list[Json]:
        """Return [{"total", "free"}] in bytes, of the disks with images; administrators only."""
        storage: list[Json] = self.get_object("/systeminfo/volumes").get("storage") or []
        return storage

    def configurations(self) -> Json:
        """Return {name: {"value", "editable"}}."""
        return self.get_object("/configurations")

    def queues(self) -> list[Json]:
        """Return the job queues: [{"job_type", "count", "latency" (s), "paused"}]."""
        return _items(self._send("GET", "/jobservice/queues"))

    def schedules(self) -> list[Json]:
        """Return the schedules of Harbor's scheduler: [{"vendor_type", "vendor_id", "cron", "update_time"}]."""
        return self.get_all("/schedules")

    def schedules_paused(self) -> bool:
        """Return whether the scheduler, and with it every cron trigger, is paused."""
        return bool(self.get_object("/schedules/all/paused").get("paused"))

    def current_user(self) -> Json:
        """Return the user that is logged in; 412 for a robot."""
        return self.get_object("/users/current")

    def change_password(self, user_id: int, old: str, new: str) -> None:
        """Change a password: 8 to 128 characters with an upper case letter, a lower case letter and a digit."""
        self._secrets.add(old, new)
        self.request("PUT", f"/users/{user_id}/password", body={"old_password": old, "new_password": new})

    # Endpoints

    def registries(self) -> list[Json]:
        """Return every endpoint; Harbor returns `*****` for secrets."""
        return self.get_all("/registries")

    def ping_registry(self, registry_id: int) -> None:
        """Let Harbor test an endpoint with its stored credentials; raise HarborError if that fails."""
        self.request("POST", "/registries/ping", body={"id": registry_id})

    # Rules, executions, tasks

    def policies(self) -> list[Json]:
        """Return every replication policy with all fields."""
        return self.get_all("/replication/policies")

    def policy(self, policy_id: int) -> Json:
        """Return a replication policy; fields that are false are absent."""
        return self.get_object(f"/replication/policies/{policy_id}")

    def update_policy(self, policy_id: int, policy: Json) -> None:
        """Replace a policy; fields that `policy` lacks are reset."""
        self.request("PUT", f"/replication/policies/{policy_id}", body=policy)

    def start(self, policy_id: int) -> int:
        """Start an execution and return its ID; 412 if the policy is disabled."""
        response = self._send("POST", "/replication/executions", body={"policy_id": policy_id})
        location = response.headers.get("Location", "")
        number = location.rsplit("/", 1)[-1]
        if not number.isdigit():
            message = f"no execution ID in Location {_cut(location)!r}"
            raise HarborError(response.status_code, message, "POST", f"{API}/replication/executions")
        return int(number)

    def stop(self, execution_id: int) -> None:
        """Stop an execution; one that has ended is not changed."""
        self.request("PUT", f"/replication/executions/{execution_id}")

    def execution(self, execution_id: int) -> Json:
        """Return an execution. Its `status` is up to 30 s older than its counters (measured)."""
        return self.get_object(f"/replication/executions/{execution_id}")

    def executions(self, policy_id: int | None = None, *, newest: int | None = None, **params: Any) -> list[Json]:
        """Return all executions, or the `newest` (at most 100); newest first."""
        query = {"sort": "-start_time", **params}
        if policy_id is not None:
            query["policy_id"] = policy_id
        if newest is None:
            return self.get_all("/replication/executions", **query)
        response = self._send("GET", "/replication/executions", params={**query, "page": 1, "page_size": newest})
        return _items(response)

    def executions_page(self, number: int) -> list[Json]:
        """Return a page (1, 2 ...) of the executions of all policies, newest first."""
        query = {"sort": "-start_time", "page": number, "page_size": PAGE_SIZE}
        return _items(self._send("GET", "/replication/executions", params=query))

    def tasks(self, execution_id: int) -> list[Json]:
        """Return the tasks of an execution, one for each repository."""
        return self.get_all(f"/replication/executions/{execution_id}/tasks")

    def task_log(self, execution_id: int, task_id: int) -> str:
        """Return the log of a task; 404 before its job starts."""
        return self._send("GET", f"/replication/executions/{execution_id}/tasks/{task_id}/log").text

    # Projects and what is in them

    def projects(self) -> list[Json]:
        """Return every project that the user may see."""
        return self.get_all("/projects")

    def project(self, name: str) -> Json:
        """Return a project by name, which may look like a number."""
        for project in self.get_all("/projects", name=name):
            if project.get("name") == name:
                return project
        raise HarborError(404, f"project {name} not found", "GET", f"{API}/projects")

    def quotas(self) -> list[Json]:
        """Return the quotas of projects: [{"ref": {"name"}, "hard": {"storage"}, "used": {"storage"}}].

        Storage is in bytes, -1 for unlimited.
        """
        return self.get_all("/quotas")

    def robots(self) -> list[Json]:
        """Return the robot accounts of the system level."""
        return self.get_all("/robots")

    def repositories(self, project: str) -> list[Json]:
        """Return the repositories of a project; names start with the project."""
        return self.get_all(f"/projects/{quote(project, safe='')}/repositories")

    def artifacts(self, repository: str, **params: Any) -> list[Json]:
        """Return the artifacts of `PROJECT/PATH` with digest, size, tags and references to children of an index."""
        return self.get_all(_artifacts_path(repository), with_tag="true", **params)

    def artifact(self, repository: str, reference: str) -> Json:
        """Return an artifact by tag or digest."""
        return self.get_object(f"{_artifacts_path(repository)}/{quote(reference, safe='')}")


def _artifacts_path(repository: str) -> str:
    project, _, path = repository.partition("/")
    # A slash in the name is encoded twice: Harbor's router decodes once before it looks for slashes.
    return f"/projects/{quote(project, safe='')}/repositories/{quote(quote(path, safe=''), safe='')}/artifacts"


def check_credentials(url: str, username: str, password: str) -> None:
    """Raise WrongCredentials with a sentence that says what to do, or HarborError."""
    with Harbor(url, username, password) as harbor:
        harbor.login()


def wait_until_healthy(
    url: str,
    *,
    timeout_seconds: float,
    interval_seconds: float,
    report: Callable[[str], None],
    is_new: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Poll Harbor's health until every component is healthy; `report` is called for each change of state.

    Reads the body: Harbor answers 200 also when it is unhealthy. Raise NotHealthy with the last state seen, and at once
    if the certificate of a Harbor that is not new is rejected: that does not change while we wait.
    """
    path = f"{API}/health"
    started = clock()
    reported = ""
    with new_client(timeout=HEALTH_TIMEOUT) as client:
        while True:
            try:
                state = _health(client, f"{url.rstrip('/')}{path}")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                state = describe_error(error)
                if not is_new and is_certificate_error(error):
                    raise NotHealthy(None, f"Harbor at {url}: {state}. {TRUST}", "GET", path) from None
            waited = clock() - started
            if state is None:
                report(f"Harbor at {url} is healthy after {waited:.0f} s.")
                return
            if waited + interval_seconds > timeout_seconds:
                message = f"Harbor at {url} is not ready after {waited:.0f} s. Last state seen: {state}."
                raise NotHealthy(None, message, "GET", path)
            if state != reported:
                report(f"Waiting for Harbor at {url} ({waited:.0f} s): {state}.")
                reported = state
            sleep(interval_seconds)


def _health(client: httpx.Client, address: str) -> str | None:
    """Return None if Harbor is healthy, else a description of its state. Raise httpx.HTTPError or httpx.InvalidURL."""
    response = client.get(address)
    if response.status_code != 200:
        meaning = {404: "another server answers there", 502: "Harbor's proxy is up, its core is not"}
        return f"HTTP {response.status_code}, {meaning.get(response.status_code, 'not the health of a Harbor')}"
    try:
        body = response.json()
        if body["status"] == "healthy":
            return None
        unhealthy = [part["name"] for part in body.get("components") or [] if part.get("status") != "healthy"]
    except (ValueError, KeyError, TypeError):
        return "HTTP 200, but not the health of a Harbor; another server answers there"
    return f"unhealthy: {', '.join(unhealthy) or body['status']}"


def message_of(response: httpx.Response) -> str:
    """Return the messages of Harbor's JSON errors, or the start of any other response."""
    try:
        errors = response.json()["errors"]
        words = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        words = []
    if words:
        return "; ".join(words)
    kind = response.headers.get("Content-Type", "")
    if "html" in kind:
        return f"a web page ({response.reason_phrase}); a proxy answers in place of Harbor"
    return _cut(response.text.strip()) or response.reason_phrase


def _items(response: httpx.Response) -> list[Json]:
    items = _content(response)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        path = response.request.url.path
        raise HarborError(response.status_code, f"not a list of objects but {_cut(response.text)}", "GET", path)
    return items


def _content(response: httpx.Response) -> Any:
    if "json" not in response.headers.get("Content-Type", "") or not response.content:
        if response.request.method == "GET" and response.content:
            path = response.request.url.path
            raise HarborError(response.status_code, f"not JSON but {_cut(response.text)!r}", "GET", path)
        return response.text
    try:
        return response.json()
    except ValueError:
        message = f"invalid JSON {_cut(response.text)!r}"
        raise HarborError(response.status_code, message, response.request.method, response.request.url.path) from None


def _refused(url: str, username: str) -> str:
    refusal = f"Harbor at {url} rejects the password of {username}."
    if username.startswith(ROBOT_PREFIX):
        return f"{refusal} The robot's secret was changed in Harbor, or it is disabled, expired or deleted."
    return (
        f"{refusal} The password in the configuration is set on Harbor's first start only; use the one that Harbor "
        "has now, or change it in Harbor with `mirrorctl rotate-admin-password`."
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
