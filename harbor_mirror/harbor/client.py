"""Harbor's REST API v2.0, as far as the mirror needs it.

Logs in once and uses the session: a request with basic auth costs Harbor about 90 ms of CPU for the password hash, one
with a session 1.4 ms (measured on Harbor 2.15.2). Where a session can't be had (robots, OIDC), it uses basic auth.
Objects are Harbor's own JSON; shapes are given by Harbor's API description.

    HarborError           any refusal or failure; carries Harbor's own message
    ├── Unreachable       no complete HTTP answer
    ├── WrongCredentials  user name or password refused
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

from harbor_mirror.http import CONCURRENCY, HIDDEN, TIMEOUT, Retry, Secrets, describe_error, new_client, send

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
#: An answer that is not Harbor's JSON is shown at most this long in an error.
SHOWN_CHARACTERS = 200
#: A proxy in front of a Harbor that starts may hold a request; the next poll asks again.
HEALTH_TIMEOUT = httpx.Timeout(10.0)


class HarborError(Exception):
    """Harbor refused or failed: `status` is HTTP's, `message` Harbor's own words."""

    def __init__(self, status: int | None, message: str, method: str, path: str) -> None:
        self.status = status
        self.message = message
        self.method = method
        self.path = path
        super().__init__(self._text())

    def _text(self) -> str:
        return f"Harbor answered {self.status} to {self.method} {self.path}: {self.message}"


class Unreachable(HarborError):
    """No complete answer: connection, TLS, time limit."""

    def _text(self) -> str:
        return f"Harbor can't be reached ({self.method} {self.path}): {self.message}"


class WrongCredentials(HarborError):
    """The user name or the password is not accepted."""

    def _text(self) -> str:
        return self.message


class NotHealthy(HarborError):
    """Harbor was not ready within the time limit; the message has the last state seen."""

    def _text(self) -> str:
        return self.message


class Harbor:
    """A client of one Harbor at `url` (scheme and host, without /api).

    Thread-safe. Methods raise HarborError.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        verify: bool = True,
        timeout: httpx.Timeout = TIMEOUT,
        retry: Retry | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            shown = re.sub(r"//.*@", f"//{HIDDEN}@", url)
            message = f"{shown} is no address of a Harbor; it looks like https://harbor.example.com, without user"
            raise HarborError(None, message, "GET", API)
        self.url = url.rstrip("/").removesuffix(API)
        self.username = username
        self._password = password
        self._secrets = Secrets()
        self._secrets.add(password)
        self._retry = retry or Retry()
        self._client = new_client(verify=verify, timeout=timeout)
        self._concurrency = concurrency
        self._cookies: dict[str, str] = {}
        self._token: str | None = None
        self._basic = False
        self._ready = False
        self._login_lock = threading.Lock()

    def close(self) -> None:
        """Closes the connections; the session in Harbor ends by itself."""
        self._client.close()

    def __enter__(self) -> Harbor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Logging in

    def login(self) -> None:
        """Makes sure the credentials are right; once per client. Raises WrongCredentials.

        Elsewhere Harbor answers a wrong password as if nobody had logged in: lists look empty instead of refused.
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
        """The session's id after login(); None with basic auth."""
        return None if self._basic else self._cookies.get(SESSION_COOKIE)

    def _open_session(self) -> bool:
        # The first answer brings a session cookie; only a request with one is given a CSRF token.
        for _ in range(2):
            self._exchange("GET", f"{API}/systeminfo", anonymous=True)
            if self._token:
                break
        if not self._token:
            return False
        form = {"principal": self.username, "password": self._password}
        answer = self._exchange("POST", "/c/login", form=form, anonymous=True)
        return answer.status_code == 200 and SESSION_COOKIE in self._cookies

    def _check_identity(self) -> None:
        path = f"{API}/users/current"
        answer = self._exchange("GET", path)
        # A robot has no user record: Harbor recognises it and answers 412 (measured).
        if answer.status_code == 412 and "robot" in answer.text:
            return
        if answer.status_code == 200:
            user = _content(answer)
            if not isinstance(user, dict) or "username" not in user:
                raise HarborError(200, f"no user but {_cut(answer.text)}", "GET", path)
            return
        if answer.status_code in {401, 403}:
            raise WrongCredentials(answer.status_code, _refused(self.url, self.username), "GET", path)
        raise self._error(answer, "GET", path)

    # Requests

    def request(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None) -> Any:
        """The answer's JSON (text if it has none) to a request under /api/v2.0; logs in before the first."""
        return _content(self._checked(method, path, params=params, body=body))

    def get(self, path: str, **params: Any) -> Any:
        """GET with query parameters."""
        return self.request("GET", path, params=params)

    def one(self, path: str) -> Json:
        """The object at a path."""
        found = self.get(path)
        if not isinstance(found, dict):
            raise HarborError(200, f"no object but {_cut(str(found))}", "GET", f"{API}{path}")
        return found

    def every(self, path: str, **params: Any) -> list[Json]:
        """Every item of a paged list, the pages after the first fetched side by side."""
        page = {**params, "page_size": PAGE_SIZE}
        first = self._checked("GET", path, params={**page, "page": 1})
        items = self._items(first, path)
        total = first.headers.get("X-Total-Count", "")
        pages = -(-int(total) // PAGE_SIZE) if re.fullmatch(r"[0-9]{1,12}", total) else 1
        if pages > MAX_PAGES:
            message = f"the list has {total} items; at most {MAX_PAGES * PAGE_SIZE} can be read"
            raise HarborError(first.status_code, message, "GET", f"{API}{path}")
        for more in self.parallel(
            lambda number: self._items(self._checked("GET", path, params={**page, "page": number}), path),
            range(2, pages + 1),
        ):
            items += more
        return items

    def parallel(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of each item, in order, at most `concurrency` at a time."""
        work = list(items)
        if len(work) < 2:
            yield from map(function, work)
            return
        with ThreadPoolExecutor(min(self._concurrency, len(work))) as pool:
            yield from pool.map(function, work)

    def _items(self, answer: httpx.Response, path: str) -> list[Json]:
        items = _content(answer)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise HarborError(answer.status_code, f"no list of objects but {_cut(answer.text)}", "GET", path)
        return items

    def _checked(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> httpx.Response:
        if not self._ready:
            self.login()
        answer = self._exchange(method, f"{API}{path}", params=params, body=body)
        if answer.status_code in {401, 403} and not self._basic and self._stale(answer):
            # The session ended or its token was renewed; the refused request did nothing.
            with self._login_lock:
                self._cookies, self._token, self._ready = {}, None, False
            self.login()
            answer = self._exchange(method, f"{API}{path}", params=params, body=body)
        if answer.status_code >= 300:
            raise self._error(answer, method, f"{API}{path}")
        return answer

    @staticmethod
    def _stale(answer: httpx.Response) -> bool:
        return answer.status_code == 401 or "CSRF" in answer.text

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
            answer = send(self._client, build, self._retry)
        except httpx.TransportError as error:
            raise Unreachable(None, self._secrets.hide(f"{self.url}: {describe_error(error)}"), method, path) from None
        except httpx.HTTPError as error:
            raise Unreachable(None, self._secrets.hide(f"{self.url}: {error}"), method, path) from None
        if not self._basic:
            self._keep(answer)
        return answer

    def _keep(self, answer: httpx.Response) -> None:
        cookies: SimpleCookie = SimpleCookie()
        for header in answer.headers.get_list("Set-Cookie"):
            try:
                cookies.load(header)
            except CookieError:
                continue
        for name, morsel in cookies.items():
            # A new map each time: other threads may be reading the old one.
            self._cookies = {**self._cookies, name: morsel.value}
            self._secrets.add(morsel.value)
        if token := answer.headers.get(TOKEN_HEADER):
            self._token = token
            self._secrets.add(token)

    def _error(self, answer: httpx.Response, method: str, path: str) -> HarborError:
        if answer.has_redirect_location:
            target = self._secrets.hide(_cut(answer.headers["Location"]))
            message = f"a redirect to {target!r}, which could take the credentials elsewhere; use Harbor's own address"
            return HarborError(answer.status_code, message, method, path)
        return HarborError(answer.status_code, self._secrets.hide(message_of(answer)), method, path)

    # The system

    def health(self) -> Json:
        """{"status": "healthy" | "unhealthy", "components": [{"name", "status"}]}."""
        return self.one("/health")

    def system_info(self) -> Json:
        """Version and settings; `harbor_version` only for those logged in."""
        return self.one("/systeminfo")

    def volumes(self) -> list[Json]:
        """[{"total", "free"}] in bytes, of the disks that hold the images; administrators only."""
        storage: list[Json] = self.one("/systeminfo/volumes").get("storage") or []
        return storage

    def configurations(self) -> Json:
        """{name: {"value", "editable"}}."""
        return self.one("/configurations")

    def queues(self) -> list[Json]:
        """Job queues: [{"job_type", "count", "latency" (s), "paused"}]."""
        return self._items(self._checked("GET", "/jobservice/queues"), "/jobservice/queues")

    def schedules(self) -> list[Json]:
        """What Harbor's scheduler knows: [{"vendor_type", "vendor_id", "cron", "update_time"}]."""
        return self.every("/schedules")

    def schedules_paused(self) -> bool:
        """Whether the scheduler, and so every cron trigger, is paused."""
        return bool(self.one("/schedules/all/paused").get("paused"))

    def current_user(self) -> Json:
        """The user that is logged in; 412 for a robot."""
        return self.one("/users/current")

    def change_password(self, user_id: int, old: str, new: str) -> None:
        """Harbor wants 8 to 128 characters with an upper case letter, a lower case letter and a digit."""
        self._secrets.add(old, new)
        self.request("PUT", f"/users/{user_id}/password", body={"old_password": old, "new_password": new})

    # Endpoints

    def registries(self) -> list[Json]:
        """Every endpoint; secrets read as `*****`."""
        return self.every("/registries")

    def ping_registry(self, registry_id: int) -> None:
        """Harbor tries an endpoint with the credentials it keeps; raises HarborError if that fails."""
        self.request("POST", "/registries/ping", body={"id": registry_id})

    # Rules, executions, tasks

    def policies(self) -> list[Json]:
        """Every replication policy, whole."""
        return self.every("/replication/policies")

    def policy(self, policy_id: int) -> Json:
        """One replication policy; `false` fields are absent."""
        return self.one(f"/replication/policies/{policy_id}")

    def update_policy(self, policy_id: int, policy: Json) -> None:
        """Replaces a policy: what `policy` leaves out is reset."""
        self.request("PUT", f"/replication/policies/{policy_id}", body=policy)

    def start(self, policy_id: int) -> int:
        """Starts an execution and returns its id; 412 if the policy is disabled."""
        answer = self._checked("POST", "/replication/executions", body={"policy_id": policy_id})
        location = answer.headers.get("Location", "")
        number = location.rsplit("/", 1)[-1]
        if not number.isdigit():
            message = f"no execution in Location {_cut(location)!r}"
            raise HarborError(answer.status_code, message, "POST", f"{API}/replication/executions")
        return int(number)

    def stop(self, execution_id: int) -> None:
        """Stops an execution; a finished one stays as it is."""
        self.request("PUT", f"/replication/executions/{execution_id}")

    def execution(self, execution_id: int) -> Json:
        """One execution. Its `status` trails its counters by up to 30 s (measured)."""
        return self.one(f"/replication/executions/{execution_id}")

    def executions(self, policy_id: int | None = None, *, newest: int | None = None, **params: Any) -> list[Json]:
        """Executions, newest first; all of them or the `newest` (at most 100)."""
        query = {"sort": "-start_time", **params}
        if policy_id is not None:
            query["policy_id"] = policy_id
        if newest is None:
            return self.every("/replication/executions", **query)
        answer = self._checked("GET", "/replication/executions", params={**query, "page": 1, "page_size": newest})
        return self._items(answer, f"{API}/replication/executions")

    def executions_page(self, number: int) -> list[Json]:
        """A page (1, 2 ...) of the newest executions of all policies."""
        query = {"sort": "-start_time", "page": number, "page_size": PAGE_SIZE}
        return self._items(self._checked("GET", "/replication/executions", params=query), "/replication/executions")

    def tasks(self, execution_id: int) -> list[Json]:
        """An execution's tasks: one for each repository."""
        return self.every(f"/replication/executions/{execution_id}/tasks")

    def task_log(self, execution_id: int, task_id: int) -> str:
        """A task's log; 404 before its job starts."""
        return self._checked("GET", f"/replication/executions/{execution_id}/tasks/{task_id}/log").text

    # Projects and what is in them

    def projects(self) -> list[Json]:
        """Every project that the user may see."""
        return self.every("/projects")

    def project(self, name: str) -> Json:
        """One project by name, also when the name is a number."""
        for project in self.every("/projects", name=name):
            if project.get("name") == name:
                return project
        raise HarborError(404, f"project {name} not found", "GET", f"{API}/projects")

    def quotas(self) -> list[Json]:
        """Storage of projects: [{"ref": {"name"}, "hard": {"storage"}, "used": {"storage"}}] in bytes, -1 unlimited."""
        return self.every("/quotas")

    def robots(self) -> list[Json]:
        """Robot accounts of system level."""
        return self.every("/robots")

    def repositories(self, project: str) -> list[Json]:
        """Repositories of a project; names start with the project."""
        return self.every(f"/projects/{quote(project, safe='')}/repositories")

    def artifacts(self, repository: str, **params: Any) -> list[Json]:
        """Artifacts of `PROJECT/PATH` with digest, size, tags and, of an index, references to its children."""
        return self.every(_artifacts_path(repository), with_tag="true", **params)

    def artifact(self, repository: str, reference: str) -> Json:
        """One artifact by tag or digest."""
        return self.one(f"{_artifacts_path(repository)}/{quote(reference, safe='')}")


def _artifacts_path(repository: str) -> str:
    project, _, path = repository.partition("/")
    # A slash in the name is encoded twice: Harbor's router decodes once before it looks for slashes.
    return f"/projects/{quote(project, safe='')}/repositories/{quote(quote(path, safe=''), safe='')}/artifacts"


def check_credentials(url: str, username: str, password: str) -> None:
    """Raises WrongCredentials with one sentence that says what to do, or HarborError."""
    with Harbor(url, username, password) as harbor:
        harbor.login()


def wait_until_healthy(
    url: str,
    *,
    timeout_seconds: float,
    interval_seconds: float,
    report: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Polls Harbor's health until every component is healthy; `report` hears of each change of state.

    Reads the body: Harbor answers 200 also when it is unhealthy. Raises NotHealthy with the last state seen.
    """
    path = f"{API}/health"
    started = clock()
    reported = ""
    with new_client(timeout=HEALTH_TIMEOUT) as client:
        while True:
            state = _health(client, f"{url.rstrip('/')}{path}")
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
    """None if healthy, else the state in words."""
    try:
        answer = client.get(address)
    except httpx.TransportError as error:
        return describe_error(error)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error)
    if answer.status_code != 200:
        meaning = {404: "something else answers there", 502: "Harbor's proxy is up, its core is not"}
        return f"HTTP {answer.status_code}, {meaning.get(answer.status_code, 'not the health of a Harbor')}"
    try:
        body = answer.json()
        if body["status"] == "healthy":
            return None
        sick = [part["name"] for part in body.get("components") or [] if part.get("status") != "healthy"]
    except (ValueError, KeyError, TypeError):
        return "HTTP 200 without the health of a Harbor; something else answers there"
    return f"unhealthy: {', '.join(sick) or body['status']}"


def message_of(answer: httpx.Response) -> str:
    """Harbor's own words: the messages of its JSON errors, or the beginning of whatever came instead."""
    try:
        errors = answer.json()["errors"]
        words = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        words = []
    if words:
        return "; ".join(words)
    kind = answer.headers.get("Content-Type", "")
    if "html" in kind:
        return f"a web page ({answer.reason_phrase}); a proxy answers in Harbor's place"
    return _cut(answer.text.strip()) or answer.reason_phrase


def _content(answer: httpx.Response) -> Any:
    if "json" not in answer.headers.get("Content-Type", "") or not answer.content:
        if answer.request.method == "GET" and answer.content:
            path = answer.request.url.path
            raise HarborError(answer.status_code, f"no JSON but {_cut(answer.text)!r}", "GET", path)
        return answer.text
    try:
        return answer.json()
    except ValueError:
        message = f"broken JSON {_cut(answer.text)!r}"
        raise HarborError(answer.status_code, message, answer.request.method, answer.request.url.path) from None


def _refused(url: str, username: str) -> str:
    refusal = f"Harbor at {url} refuses the password of {username}."
    if username.startswith(ROBOT_PREFIX):
        return f"{refusal} The robot's secret was changed in Harbor, or it is disabled, expired or deleted."
    return (
        f"{refusal} A password in the configuration sets Harbor's only on its first start; give the one that Harbor "
        "has now, or change it in Harbor with `python -m mirrorctl rotate-admin-password`."
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
