"""Replays recorded requests against the local Harbor and says where its answers differ from the recorded ones.

A recording (tests/data/harbor/cases.jsonl.gz) is a line for each request to a real Harbor 2.15.2: `given` steps that
set the stage (each is taken once in an area), the request, and its status, body and headers. `$kind.name` stands for an
id that an earlier answer gave; `<time>`, `<id>` and the like stand for values that differ each time. What was deleted
between two recorded requests was not recorded: an object in the way of a create is removed first.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from localcloud.harbor import Harbor, HarborData
from localcloud.http import serve
from localcloud.oci.images import seed_recorded
from localcloud.source import SourceRegistry

RECORDINGS = Path(__file__).parents[1] / "data" / "harbor" / "cases.jsonl.gz"
API = "/api/v2.0"
PASSWORD = "Harbor12345"
CREDENTIALS = {"admin": ("admin", PASSWORD), "wrong": ("admin", "wrong-password"), "nouser": ("nobody", PASSWORD)}
#: What each placeholder may stand for.
PLACEHOLDERS = {
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    "<id>": r"-?\d+|[0-9a-f-]{20,}",
    "<digest>": r"sha256:[0-9a-f]{64}",
    "<secret>": r"\S+",
    "<epoch>": r"-?\d+",
    "<token>": r"\S+",
}
_PLACEHOLDER = re.compile("|".join(PLACEHOLDERS))
_VARIABLE = re.compile(r"\$[a-z]+\.\w+")
_COLLECTIONS = ("/registries", "/replication/policies", "/projects", "/robots")
_PATIENCE_SECONDS = 20.0

Row = dict[str, Any]


def recorded() -> dict[str, list[Row]]:
    """The recordings by area, in the order in which they were made."""
    areas: dict[str, list[Row]] = {}
    for line in gzip.decompress(RECORDINGS.read_bytes()).splitlines():
        row = json.loads(line)
        areas.setdefault(row["area"], []).append(row)
    return areas


class Unresolved(Exception):
    """A request names an id that no earlier answer gave."""


class Valve:
    """Stands before a source and holds every request whose path contains one of `held`, until that is emptied."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.held: tuple[str, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while any(part in scope.get("path", "") for part in self.held):
            await asyncio.sleep(0.01)
        await self._app(scope, receive, send)


class Stage:
    """A fresh Harbor with the four sources that the recordings speak of, behind ports of this run."""

    def __init__(
        self, harbor: httpx.Client, ports: dict[int, int], sources: dict[int, SourceRegistry], slow: Valve
    ) -> None:
        self.harbor, self.sources, self.slow = harbor, sources, slow
        self._ports = ports
        self._ids: dict[str, Any] = {}
        self._robots: dict[str, tuple[str, str]] = {}
        self._taken: set[str] = set()

    def replay(self, row: Row) -> list[str]:
        """Takes the row's given steps and its request; returns the differences, none if the answer agrees."""
        try:
            for step in row["given"]:
                self._give(row, step)
            if "skopeo" in row["request"]:
                return list(self._skopeo(row))
            response = self._send(row["request"], row["status"])
        except Unresolved as missing:
            return [f"{missing} was never given"]
        self._remember(row.get("save_id_as"), row["request"], response)
        return list(differences(row, response.status_code, self.seen(response), response.headers))

    def seen(self, response: httpx.Response) -> Any:
        """The body with the recorded ports in it; text if it isn't JSON."""
        text = self._recorded_ports(response.text)
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    def _recorded_ports(self, text: str) -> str:
        for recorded_port, port in self._ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{recorded_port}")
        return text

    def _give(self, row: Row, step: Any) -> None:
        if isinstance(step, str):
            if step.startswith("wait until"):
                self.wait(row)
            return
        key = json.dumps([step["method"], step["path"], step.get("body")], sort_keys=True)
        if key in self._taken or step.get("save_id_as") in self._ids:
            return
        self._taken.add(key)
        self._remember(step.get("save_id_as"), step, self._send(step, step["status"]))

    def wait(self, row: Row) -> None:
        """Until the execution that this row was given has its final status."""
        names = [step["save_id_as"] for step in row["given"] if isinstance(step, dict) and "save_id_as" in step]
        execution = next(name for name in reversed(names) if name.startswith("$exec."))
        self.until(execution, lambda shown: shown["status"] != "InProgress")

    def until(self, execution: str, reached: Callable[[dict[str, Any]], bool]) -> None:
        """Until this execution, as Harbor shows it, is `reached`."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if reached(self.call("GET", f"/replication/executions/{execution}").json()):
                return
            time.sleep(0.02)
        raise AssertionError(f"{execution} stays as it is")

    def call(self, method: str, path: str, body: Any = None, save_id_as: str | None = None) -> httpx.Response:
        """A request of the stage's own, as the administrator; raises unless it succeeds."""
        request = {"method": method, "path": path, "body": body}
        response = self._send(request, None).raise_for_status()
        self._remember(save_id_as, request, response)
        return response

    def pull(self, name: str, url: str, repository: str, tag: str, project: str) -> None:
        """Replicates an image into a project of Harbor."""
        registry = {"name": name, "type": "docker-registry", "url": url, "insecure": True}
        self.call("POST", "/registries", registry, f"$reg.{name}")
        policy = {
            **{"name": name, "src_registry": {"id": f"$reg.{name}"}, "dest_namespace": project, "enabled": True},
            "filters": [{"type": "name", "value": repository}, {"type": "tag", "value": tag}],
        }
        self.call("POST", "/replication/policies", policy, f"$pol.{name}")
        self.call("POST", "/replication/executions", {"policy_id": f"$pol.{name}"}, f"$exec.{name}")
        self.until(f"$exec.{name}", lambda shown: shown["status"] == "Succeed")

    def _send(self, request: Row, recorded_status: int | None) -> httpx.Response:
        if "/tasks/$task.l/" in request["path"]:
            self._first_task(request["path"].partition("/tasks/")[0])
        path, body = self._text(request["path"]), self._body(request.get("body"))
        if request["method"] == "POST" and path in _COLLECTIONS and isinstance(body, dict) and recorded_status != 409:
            self._make_room(path, body.get("name") or body.get("project_name"))
        auth = request.get("auth") or "admin"
        base = "" if path.startswith(("/v2/", "/service/")) else API
        self.harbor.cookies.clear()  # with a session Harbor asks for a CSRF token; what was recorded had none
        content = body if isinstance(body, str) else None
        headers = {"Content-Type": "application/json"} if content is not None else {}
        return self.harbor.request(
            request["method"],
            base + path,
            headers=headers | request.get("headers", {}),
            auth=self._robots.get(auth) or CREDENTIALS.get(auth),
            content=content,
            json=None if body is None or content is not None else body,
        )

    def _make_room(self, collection: str, name: object) -> None:
        if not isinstance(name, str):
            return
        listed = self.harbor.get(API + collection, params={"page_size": 100}, auth=CREDENTIALS["admin"]).json()
        for entry in listed:
            if entry["name"] in (name, f"robot${name}"):
                key = "project_id" if collection == "/projects" else "id"
                self.harbor.cookies.clear()
                self.harbor.delete(f"{API}{collection}/{entry[key]}", auth=CREDENTIALS["admin"])

    def _skopeo(self, row: Row) -> Iterator[str]:
        """Runs what a robot did with skopeo, whose exit code is recorded as the status."""
        command, image = row["request"]["skopeo"].split()
        where = f"docker://127.0.0.1:{self._ports[8080]}/{image}"
        secret = ":".join(self._robots[row["request"]["auth"]])
        with tempfile.TemporaryDirectory() as folder:
            if command == "inspect":
                options = ["--tls-verify=false", "--creds", secret, where]
            else:
                image_of_open = f"docker://127.0.0.1:{self._ports[25000]}/library/nginx:1.0.0"
                options = ["--src-tls-verify=false", "--dest-tls-verify=false", "--dest-creds", secret]
                options += [image_of_open, where]
            environment = {"HOME": folder, "PATH": os.environ["PATH"], "TMPDIR": folder}
            ran = subprocess.run(
                ["skopeo", "--tmpdir", folder, command, *options],
                env=environment, capture_output=True, text=True, check=False,
            )
        if ran.returncode != row["status"]:
            yield f"exit {ran.returncode}, recorded {row['status']}: {ran.stderr}"
        elif ran.returncode:
            yield from _unlike(row["response"], self._recorded_ports(ran.stderr).strip(), "")

    def _first_task(self, execution: str) -> None:
        answer = self.harbor.get(API + self._text(f"{execution}/tasks"), auth=CREDENTIALS["admin"])
        tasks = answer.json()
        if tasks:
            self._ids["$task.l"] = tasks[0]["id"]

    def _remember(self, name: str | None, request: Row, response: httpx.Response) -> None:
        if name is None or response.status_code != 201:
            return
        location = response.headers.get("Location", "")
        self._ids[name] = int(location.rpartition("/")[2])
        if request["path"] == "/robots":
            answer = response.json()
            key = "probot" if "+" in answer["name"] else "robot"
            self._robots[key] = (answer["name"], answer["secret"])

    def _text(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            if match[0] not in self._ids:
                raise Unresolved(match[0])
            return str(self._ids[match[0]])

        text = _VARIABLE.sub(value, text)
        for recorded_port, port in self._ports.items():
            text = text.replace(f"127.0.0.1:{recorded_port}", f"127.0.0.1:{port}")
        return text

    def _body(self, body: Any) -> Any:
        if isinstance(body, str):
            if _VARIABLE.fullmatch(body):
                self._text(body)
                return self._ids[body]
            return self._text(body)
        if isinstance(body, dict):
            return {key: self._body(value) for key, value in body.items()}
        if isinstance(body, list):
            return [self._body(value) for value in body]
        return body


@contextmanager
def stage() -> Iterator[Stage]:
    """A fresh stage: sources open (25000), with credentials (25011), slow (25012) and down (25013), and Harbor (8080)."""
    with ExitStack() as stack:
        sources = {25000: SourceRegistry(), 25011: SourceRegistry("alice", "alicepw"), 25012: SourceRegistry()}
        slow = Valve(sources[25012].app)
        ports = {25013: _closed_port()}
        for recorded_port, source in sources.items():
            seed_recorded(source.store)
            app = slow if recorded_port == 25012 else source.app
            ports[recorded_port] = stack.enter_context(serve(app)).port
        ports[8080] = _closed_port()
        url = f"http://127.0.0.1:{ports[8080]}"
        harbor = Harbor(
            HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, version="2.15.2-local"
        )
        stack.enter_context(harbor)
        stack.enter_context(serve(harbor.app, port=ports[8080]))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60.0))
        yield Stage(client, ports, sources, slow)


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def differences(row: Row, status: int, body: Any, headers: httpx.Headers) -> Iterator[str]:
    """Where an answer differs from the recorded one; nothing if it agrees."""
    if status != row["status"]:
        yield f"status {status}, recorded {row['status']}: {json.dumps(body)[:300]}"
        return
    for name, value in (row.get("headers") or {}).items():
        if not agrees(value, headers.get(name, "")):
            yield f"header {name} is {headers.get(name)!r}, recorded {value!r}"
    yield from _unlike(row["response"], body, "")


def _unlike(recorded_value: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(recorded_value, dict) and isinstance(value, dict):
        for key in sorted({*recorded_value, *value}):
            if key not in value:
                yield f"{path}.{key} is missing, recorded {json.dumps(recorded_value[key])[:200]}"
            elif key not in recorded_value:
                yield f"{path}.{key} is extra: {json.dumps(value[key])[:200]}"
            else:
                yield from _unlike(recorded_value[key], value[key], f"{path}.{key}")
    elif isinstance(recorded_value, list) and isinstance(value, list):
        if len(recorded_value) != len(value):
            yield f"{path} has {len(value)} entries, recorded {len(recorded_value)}"
        for number, (one, other) in enumerate(zip(recorded_value, value, strict=False)):
            yield from _unlike(one, other, f"{path}[{number}]")
    elif recorded_value in ("", None) and value in ("", None):
        return
    elif not agrees(recorded_value, value):
        yield f"{path} is {json.dumps(value)[:1500]}, recorded {json.dumps(recorded_value)[:1500]}"


def agrees(recorded_value: Any, value: Any) -> bool:
    """Whether a value is the recorded one, up to what its placeholders stand for."""
    if not isinstance(recorded_value, str) or not _PLACEHOLDER.search(recorded_value):
        return type(recorded_value) is type(value) and bool(recorded_value == value)
    pattern = "".join(
        f"({PLACEHOLDERS[part]})" if part in PLACEHOLDERS else re.escape(part)
        for part in re.split(f"({_PLACEHOLDER.pattern})", recorded_value)
    )
    return re.fullmatch(pattern, str(value)) is not None
