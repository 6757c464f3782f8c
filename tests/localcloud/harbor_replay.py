"""Sends recorded requests to the Harbor simulator, and compares its answers with the recorded ones.

A recording (tests/data/harbor/cases.jsonl.gz) is a line for each request to a real Harbor 2.15.2: `given` steps that
prepare it (each is taken once in an area), the request, and its status, body and headers. `$kind.name` stands for an
id that an earlier answer gave; `<time>`, `<id>` and the like stand for values that differ each time. What was deleted
between two recorded requests was not recorded: what a create would meet, and what a name stood for before, is removed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from localcloud.harbor import HarborData, HarborSimulator
from localcloud.http import Server, free_port, serve
from localcloud.oci.store import OCI_MANIFEST, ImageStore
from localcloud.registry import RegistrySimulator
from tests.programs import program
from tests.waiting import until

RECORDINGS = Path(__file__).parents[1] / "data" / "harbor" / "cases.jsonl.gz"
API = "/api/v2.0"
PASSWORD = "Harbor12345"
ADMIN = ("admin", PASSWORD)
CREDENTIALS = {"admin": ADMIN, "wrong": ("admin", "wrong-password"), "nouser": ("nobody", PASSWORD)}
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
_VARIABLE = re.compile(r"\$(?:reg|pol|exec|task|prj|rob|ret)\.\w+")
#: Any repository that holds the blob will do.
_MOUNTED = re.compile(r"mounted from the repository \S+")
#: Ids for which the recordings have no placeholder.
_IDS = ("registry_id", "retention_id", "ref")
_COLLECTIONS = ("/registries", "/replication/policies", "/projects", "/robots")
CONFIG_BYTES = 292
LAYER_BYTES = 38

Row = dict[str, Any]


def recorded() -> dict[str, list[Row]]:
    """Return the recordings by area, in the order in which they were made."""
    areas: dict[str, list[Row]] = {}
    for line in gzip.decompress(RECORDINGS.read_bytes()).splitlines():
        row = json.loads(line)
        areas.setdefault(row["area"], []).append(row)
    return areas


class Unresolved(Exception):
    """A request names an id that no earlier answer gave."""


class Pause:
    """In front of a source: delays every request whose path contains one of `paths`, until `paths` is empty."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.paths: tuple[str, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while any(part in scope.get("path", "") for part in self.paths):
            await asyncio.sleep(0.01)
        await self._app(scope, receive, send)


class Replay:
    """A new Harbor with the sources of the recordings, on the ports of this run."""

    def __init__(
        self,
        harbor: httpx.Client,
        ports: dict[int, int],
        sources: dict[int, RegistrySimulator],
        slow: Pause,
        doomed: Server,
    ) -> None:
        self.sources, self.slow, self.doomed = sources, slow, doomed
        self._harbor, self._ports = harbor, ports
        self._ids: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._robots: dict[str, tuple[str, str]] = {}
        self._taken: set[str] = set()

    def replay(self, row: Row) -> list[str]:
        """Prepare what the row needs, send its request, and return the differences to the recorded answer."""
        request = row["request"]
        try:
            for step in row["given"]:
                self._give(row, step)
            if "skopeo" in request:
                return list(self._skopeo(row))
            response = self._send(request, row["status"])
        except Unresolved as missing:
            return [f"{missing} was never given"]
        self._remember(row.get("save_id_as"), request, response, row["status"])
        if response.status_code == 201 and (number := _location(response)) is not None:
            self._made[row["id"]] = number
        return list(differences(row, response.status_code, self._seen(response), response.headers))

    def call(self, method: str, path: str, body: Any = None, save_id_as: str | None = None) -> httpx.Response:
        """Send a request that is not in the recording, as the administrator. Raise unless it succeeds."""
        request = {"method": method, "path": path, "body": body}
        response = self._send(request, None).raise_for_status()
        self._remember(save_id_as, request, response, response.status_code)
        return response

    def until(self, execution: str, reached: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until `reached` accepts what Harbor shows of this execution."""
        until(lambda: reached(self.call("GET", f"/replication/executions/{execution}").json()), every=0.02)

    def pull(self, name: str, repository: str, tag: str, project: str) -> None:
        """Replicate images of the open source into a project of Harbor."""
        registry = {"name": name, "type": "docker-registry", "url": "http://127.0.0.1:25000", "insecure": True}
        self.call("POST", "/registries", registry, f"$reg.{name}")
        policy = {
            **{"name": name, "src_registry": {"id": f"$reg.{name}"}, "dest_namespace": project, "enabled": True},
            "filters": [{"type": "name", "value": repository}, {"type": "tag", "value": tag}],
        }
        self.call("POST", "/replication/policies", policy, f"$pol.{name}")
        self.call("POST", "/replication/executions", {"policy_id": f"$pol.{name}"}, f"$exec.{name}")
        self.until(f"$exec.{name}", lambda shown: shown["status"] == "Succeed")

    def clear(self, collection: str, *kept: str) -> None:
        """Delete everything in a collection that can be deleted, except what is named."""
        self._remove(collection, lambda name: name not in kept)

    def _give(self, row: Row, step: Any) -> None:
        if isinstance(step, str):
            if step.startswith("wait until"):
                names = [given["save_id_as"] for given in row["given"] if isinstance(given, dict)]
                execution = next(name for name in reversed(names) if name.startswith("$exec."))
                self.until(execution, lambda shown: shown["status"] != "InProgress")
            elif step in self._made:
                for name in _VARIABLE.findall(row["request"]["path"]):
                    self._ids[name] = self._made[step]
            return
        key = json.dumps([step["method"], step["path"], step.get("body")], sort_keys=True)
        if key not in self._taken and step["save_id_as"] not in self._ids:
            self._taken.add(key)
            self._remember(step["save_id_as"], step, self._send(step, step["status"]), step["status"])

    def _send(self, request: Row, recorded_status: int | None) -> httpx.Response:
        path = request["path"]
        if "/tasks/$task.l/" in path:
            tasks = self.call("GET", f"{path.partition('/tasks/')[0]}/tasks").json()
            if tasks:
                self._ids["$task.l"] = tasks[0]["id"]
        path, body = self._text(path), self._body(request.get("body"))
        if (
            request["method"] == "POST"
            and path in _COLLECTIONS
            and isinstance(body, dict)
            and recorded_status in (201, 500)
        ):
            name = body.get("name") or body.get("project_name")
            self._remove(path, lambda there: there in (name, f"robot${name}"))
        auth = request.get("auth") or "admin"
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        self._harbor.cookies.clear()  # with a session Harbor asks for a CSRF token; what was recorded had none
        return self._harbor.request(
            request["method"],
            path if path.startswith(("/v2/", "/service/")) else API + path,
            headers=({"Content-Type": "application/json"} if text is not None else {}) | request.get("headers", {}),
            auth=self._robots.get(auth) or CREDENTIALS.get(auth),
            content=text,
        )

    def _remove(self, collection: str, unwanted: Callable[[str], bool]) -> None:
        for entry in self.call("GET", f"{collection}?page_size=100").json():
            if unwanted(entry["name"]):
                number = entry["project_id" if collection == "/projects" else "id"]
                self._send({"method": "DELETE", "path": f"{collection}/{number}"}, None)

    def _remember(self, name: str | None, request: Row, response: httpx.Response, recorded_status: int | None) -> None:
        if name is None or response.status_code != 201 or recorded_status != 201:
            return
        if name in self._ids and request["path"] in _COLLECTIONS:
            self._send({"method": "DELETE", "path": f"{request['path']}/{self._ids[name]}"}, None)
        number = _location(response)
        if number is not None:
            self._ids[name] = number
        if request["path"] == "/robots":
            answer = response.json()
            self._robots.setdefault("probot" if "+" in answer["name"] else "robot", (answer["name"], answer["secret"]))

    def _skopeo(self, row: Row) -> Iterator[str]:
        """Run the recorded skopeo command of a robot; the recorded status is its exit code."""
        command, image = row["request"]["skopeo"].split()
        where = f"docker://127.0.0.1:{self._ports[8080]}/{image}"
        secret = ":".join(self._robots[row["request"]["auth"]])
        arguments = ["inspect", "--tls-verify=false", "--creds", secret, where]
        if command == "copy":
            source = f"docker://127.0.0.1:{self._ports[25000]}/library/nginx:1.0.0"
            arguments = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--dest-creds", secret]
            arguments += [source, where]
        with tempfile.TemporaryDirectory() as home:
            environment = {"HOME": home, "TMPDIR": home, "PATH": os.environ["PATH"]}
            ran = subprocess.run(
                [program("skopeo"), *arguments], env=environment, capture_output=True, text=True, check=False
            )
        if ran.returncode != row["status"]:
            yield f"exit {ran.returncode}, recorded {row['status']}: {ran.stderr}"
        elif ran.returncode:
            yield from _unlike(row["response"], self._recorded_ports(ran.stderr).strip(), "")

    def _seen(self, response: httpx.Response) -> Any:
        """Return the body with the recorded ports, as text if it isn't JSON."""
        text = self._recorded_ports(response.text)
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    def _recorded_ports(self, text: str) -> str:
        for recorded_port, port in self._ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1|localhost):{port}\b", rf"\1:{recorded_port}", text)
        return text

    def _text(self, text: str) -> str:
        for name in _VARIABLE.findall(text):
            if name not in self._ids:
                raise Unresolved(name)
            text = text.replace(name, str(self._ids[name]), 1)
        for recorded_port, port in self._ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1|localhost):{recorded_port}\b", rf"\1:{port}", text)
        return text

    def _body(self, body: Any) -> Any:
        if isinstance(body, str):
            if _VARIABLE.fullmatch(body):
                return self._ids.get(body, body)  # what was never given was sent as it stands
            return self._text(body)
        if isinstance(body, dict):
            return {key: self._body(value) for key, value in body.items()}
        if isinstance(body, list):
            return [self._body(value) for value in body]
        return body


def _location(response: httpx.Response) -> int | None:
    last = response.headers.get("Location", "").rpartition("/")[2]
    return int(last) if last.isdecimal() else None


@contextmanager
def fresh_harbor() -> Iterator[Replay]:
    """Serve Harbor (8080) and its sources: open (25000), with credentials (25011), slow (25012), failing (25013)."""
    with ExitStack() as stack:
        sources = {port: RegistrySimulator() for port in (25000, 25012, 25013)}
        sources[25011] = RegistrySimulator("alice", "alicepw")
        slow = Pause(sources[25012].app)
        servers = {}
        for recorded_port, source in sources.items():
            _seed(source.store)
            servers[recorded_port] = stack.enter_context(serve(slow if recorded_port == 25012 else source.app))
        ports = {recorded_port: server.port for recorded_port, server in servers.items()} | {8080: free_port()}
        url = f"http://127.0.0.1:{ports[8080]}"
        harbor = HarborSimulator(
            HarborData(), hostname="127.0.0.1", external_url=url, admin_password=PASSWORD, version="2.15.2-local"
        )
        stack.enter_context(harbor)
        stack.enter_context(serve(harbor.app, port=ports[8080]))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60.0))
        try:
            yield Replay(client, ports, sources, slow, servers[25013])
        finally:
            slow.paths = ()


def _seed(store: ImageStore) -> None:
    """Fill a source with the images that the recorded ones had."""
    for repository in ("library/nginx", "team/app/web", "team/app/api"):
        for tag in ("1.0.0", "1.1.0", "2.0.0-rc1", "latest"):
            push(store, repository, tag, f"{repository}:{tag}")


def push(store: ImageStore, repository: str, tag: str, content: str) -> None:
    """Add an image of 730 bytes, as in the recordings: a manifest, a config of 292 bytes and one layer."""
    config: dict[str, Any] = {
        **{"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": {}, "comment": ""},
        **{"rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"]}},
    }
    config["comment"] = "-" * (CONFIG_BYTES - len(json.dumps(config)))
    described = []
    for kind, data in (
        ("config.v1+json", json.dumps(config).encode()),
        ("layer.v1.tar+gzip", hashlib.shake_256(content.encode()).digest(LAYER_BYTES)),
    ):
        media_type = f"application/vnd.oci.image.{kind}"
        described.append({"mediaType": media_type, "digest": store.put_blob(data, repository), "size": len(data)})
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
    store.put_manifest(repository, tag, json.dumps(manifest, separators=(",", ":")).encode(), OCI_MANIFEST)


def differences(row: Row, status: int, body: Any, headers: httpx.Headers) -> Iterator[str]:
    """Yield the differences between an answer and the recorded one."""
    if status != row["status"]:
        yield f"status {status}, recorded {row['status']}: {json.dumps(body)[:300]}"
        return
    for name, value in (row.get("headers") or {}).items():
        if not agrees(value, headers.get(name, "")):
            yield f"header {name} is {headers.get(name)!r}, recorded {value!r}"
    yield from _unlike(row["response"], body, "")


def _unlike(wanted: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(value, dict):
        for key in sorted({*wanted, *value}):
            if key not in value:
                yield f"{path}.{key} is missing, recorded {json.dumps(wanted[key])[:200]}"
            elif key not in wanted:
                yield f"{path}.{key} is extra: {json.dumps(value[key])[:200]}"
            elif key not in _IDS:
                yield from _unlike(wanted[key], value[key], f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(value, list):
        if len(wanted) != len(value):
            yield f"{path} has {len(value)} entries, recorded {len(wanted)}"
        for number, (first, other) in enumerate(zip(wanted, value, strict=False)):
            yield from _unlike(first, other, f"{path}[{number}]")
    elif isinstance(wanted, str) and isinstance(value, str) and "\n" in wanted + value:
        yield from _unlike(wanted.splitlines(), value.splitlines(), path)
    elif not (wanted in ("", None) and value in ("", None)) and not agrees(wanted, value):
        yield f"{path} is {json.dumps(value)[:400]}, recorded {json.dumps(wanted)[:400]}"


def agrees(wanted: Any, value: Any) -> bool:
    """Return whether a value agrees with the recorded one, which may contain placeholders."""
    if not isinstance(wanted, str):
        return type(wanted) is type(value) and bool(wanted == value)
    wanted, value = _MOUNTED.sub("mounted", wanted), _MOUNTED.sub("mounted", str(value))
    pattern = "".join(
        f"({PLACEHOLDERS[part]})" if part in PLACEHOLDERS else re.escape(part)
        for part in re.split(f"({_PLACEHOLDER.pattern})", wanted)
    )
    return re.fullmatch(pattern, value) is not None
