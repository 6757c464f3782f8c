"""A Harbor that does as it is told: for states that an honest one does not get into on request.

Answers as recorded on Harbor 2.15.2 where it is not told otherwise. Replications take no time unless `hold` is set.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from harbor_mirror.plan import globs
from harbor_mirror.plan.destinations import destination
from localcloud.oci.auth import BasicAuth, basic_credentials
from localcloud.oci.server import distribution_app
from localcloud.oci.store import ImageStore, references

ADMIN, PASSWORD = "admin", "Harbor-Secret-12345"
EPOCH = "2026-11-25T08:00:00.000Z"
NEVER = "0001-01-01T00:00:00.000Z"
Json = dict[str, Any]


@dataclass
class Fault:
    """What comes instead of an answer: a status and body, or a cut connection (0); None only delays the answer."""

    path: str
    status: int | None = 500
    body: str = '{"errors":[{"code":"UNKNOWN","message":"internal server error"}]}'
    times: int = 1
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    after: int = 0
    """Requests that are still answered before."""


class FakeHarbor:
    """An ASGI application to be served at `url`. State is public; tests set it and read it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = ImageStore()
        self.sessions: dict[str, str] = {}  # session id -> "" or the user
        self.sessions_allowed = True
        self.password = PASSWORD
        self.robots = {"robot$puller": "Robot-Secret-1"}
        self.robot_accounts: dict[int, Json] = {}
        self.maintenance: dict[str, Json] = {}
        self.labels: dict[tuple[str, str], list[str]] = {}  # by repository and digest
        self.retentions: dict[int, Json] = {}
        self.right_secret = "Source-Secret-1"
        self.projects: dict[str, Json] = {}
        self.registries: dict[int, Json] = {}
        self.sources: dict[int, ImageStore] = {}
        self.policies: dict[int, Json] = {}
        self.executions: dict[int, Json] = {}
        self.tasks: dict[int, list[Json]] = {}
        self.logs: dict[int, str] = {}
        self.scripts: dict[int, Json] = {}  # policy id -> fields of its next executions instead of a real copy
        self.hold = 0  # looks at an execution before it ends
        self.queues: list[Json] = [{"job_type": "REPLICATION", "count": 0, "latency": 0, "paused": False}]
        self.scheduler_paused = False
        self.schedules: list[Json] = []
        self.quotas: list[Json] = []
        self.health = "healthy"
        self.unhealthy: list[str] = []
        self.version = "v2.15.2-bda1b3a6"
        self.volumes: list[Json] = [{"total": 100_000_000_000, "free": 60_000_000_000}]
        self.settings: Json = {
            "project_creation_restriction": {"value": "adminonly", "editable": True},
            "robot_name_prefix": {"value": "robot$", "editable": True},
        }
        self.bad_pings: dict[int, tuple[int, str]] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.basic_requests = 0
        self._holds: dict[int, int] = {}
        distribution = distribution_app(self.store, BasicAuth(lambda user, word: bool(self._principal(user, word))))
        self._v2 = distribution

    # Setting the stage

    def project(self, name: str, **fields: Any) -> None:
        number = len(self.projects) + 1
        self.projects[name] = {
            "project_id": number, "name": name, "metadata": {"public": "false"}, "owner_name": "admin",
            "repo_count": 0, "registry_id": 0, **fields,
        }  # fmt: skip
        self.quotas.append(
            {"id": number, "ref": {"id": number, "name": name}, "hard": {"storage": -1}, "used": {"storage": 0}}
        )

    def registry(self, name: str, url: str, store: ImageStore | None = None, kind: str = "docker-registry") -> int:
        number = len(self.registries) + 1
        self.registries[number] = {
            "id": number, "name": name, "type": kind, "url": url, "insecure": False, "status": "healthy",
            "description": "", "credential": {},
        }  # fmt: skip
        self.sources[number] = store or ImageStore()
        return number

    def policy(
        self,
        name: str,
        registry: int,
        *,
        repositories: str = "**",
        tags: str = "",
        namespace: str = "mirror",
        cron: str = "",
        **fields: Any,
    ) -> int:
        number = len(self.policies) + 1
        filters = [{"type": "name", "value": repositories}]
        if tags:
            filters.append({"type": "tag", "value": tags, "decoration": "matches"})
        trigger: Json = {"type": "scheduled", "trigger_settings": {"cron": cron}} if cron else {"type": "manual"}
        trigger.setdefault("trigger_settings", {})
        policy = {
            "id": number, "name": name, "description": "", "src_registry": self.registries[registry],
            "dest_registry": {"id": 0}, "dest_namespace": namespace, "dest_namespace_replace_count": 0,
            "filters": filters, "trigger": trigger, "enabled": True, "override": True, "speed": 0,
            "creation_time": EPOCH, "update_time": EPOCH, **fields,
        }  # fmt: skip
        # As Harbor does: what is false is left out.
        self.policies[number] = {key: value for key, value in policy.items() if value is not False}
        return number

    def execution(self, policy: int, **fields: Any) -> int:
        number = len(self.executions) + 1
        self.executions[number] = {
            "id": number, "policy_id": policy, "status": "Succeed", "status_text": "", "trigger": "manual",
            "start_time": EPOCH, "end_time": EPOCH, "total": 1, "succeed": 1, "failed": 0, "in_progress": 0,
            "stopped": 0, **fields,
        }  # fmt: skip
        self.tasks.setdefault(number, [])
        return number

    def task(self, execution: int, repository: str, status: str, log: str = "", **fields: Any) -> int:
        number = sum(map(len, self.tasks.values())) + 1
        self.tasks[execution].append(
            {
                "id": number, "execution_id": execution, "status": status, "operation": "copy",
                "resource_type": "image", "src_resource": f"{repository} [1 item(s) in total]",
                "dst_resource": f"mirror/{repository} [1 item(s) in total]", "start_time": EPOCH, "end_time": EPOCH,
                "job_id": "j", **fields,
            }
        )  # fmt: skip
        self.logs[number] = log
        return number

    def replicate(self, policy_id: int) -> Json:
        """Copies what matches, as Harbor would; the fields of its execution."""
        policy = self.policies[policy_id]
        source = self.sources[policy["src_registry"]["id"]]
        wanted = {item["type"]: item["value"] for item in policy["filters"]}
        copied = 0
        for repository in source.repositories():
            tags = [tag for tag in source.tags(repository) if globs.matches(wanted.get("tag", ""), tag)]
            if not tags or not globs.matches(wanted["name"], repository):
                continue
            copied += 1
            place = destination(repository, policy["dest_namespace"], policy["dest_namespace_replace_count"])
            for tag in tags:
                if tag in self.store.tags(place) and not policy.get("override"):
                    continue
                self.copy(source, repository, place, tag)
        text = "" if copied else "no resources need to be replicated"
        return {"status": "Succeed", "status_text": text, "total": copied, "succeed": copied}

    def copy(self, source: ImageStore, repository: str, place: str, reference: str) -> None:
        """One manifest with everything below it."""
        manifest = source.manifest(repository, reference)
        assert manifest is not None
        for child in references(manifest.body):
            if child.is_manifest:
                self.copy(source, repository, place, child.digest)
            else:
                blob = source.blob(child.digest, repository)
                assert blob is not None
                self.store.put_blob(blob, place)
        self.store.put_manifest(place, reference, manifest.body, manifest.media_type)

    # Serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = request.url.path
        self.requests.append((request.method, path))
        fault = self._fault(request.method, path)
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.status == 0:
                await self._die(send)
                return
            if fault.status is not None:
                kind = "application/json" if fault.body.startswith(("{", "[")) else "text/html"
                headers = {"Content-Type": kind, **fault.headers}
                await Response(fault.body, fault.status, headers)(scope, receive, send)
                return
        if path.startswith("/v2/"):
            await self._v2(scope, receive, send)
            return
        body = await request.body()
        response = await run_in_threadpool(self._answer, request, body)
        await response(scope, receive, send)

    async def _die(self, send: Send) -> None:
        """Promises a long answer, sends its beginning, and is gone."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last: Message = {"type": "http.response.body", "body": b'[{"id": 1', "more_body": True}
        await send(last)
        raise ConnectionResetError("as a test asked for")

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.path in path and fault.method in ("", method) and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _principal(self, username: str, password: str) -> str | None:
        known = {ADMIN: self.password, **self.robots}
        return username if known.get(username) == password else None

    def _answer(self, request: Request, body: bytes) -> Response:
        path, method = request.url.path, request.method
        credentials = basic_credentials(request)
        user = self._principal(*credentials) if credentials else None
        self.basic_requests += bool(credentials)
        sid = request.cookies.get("sid")
        headers: dict[str, str] = {}
        if sid is not None:
            # As gorilla/csrf does, for every request with a session.
            headers["X-Harbor-CSRF-Token"] = f"token-{sid}"
            if method not in ("GET", "HEAD") and request.headers.get("X-Harbor-CSRF-Token") != f"token-{sid}":
                return _error(403, "FORBIDDEN", "CSRF token not found in request")
            user = user or self.sessions.get(sid)
        elif self.sessions_allowed:
            sid = secrets.token_hex(8)
            self.sessions[sid] = ""
            headers["Set-Cookie"] = f"sid={sid}; Path=/; HttpOnly"
        if path == "/c/login":
            return self._login(body, sid, headers)
        response = self._api(method, path.removeprefix("/api/v2.0"), request, body, user or "")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def _login(self, body: bytes, sid: str | None, headers: dict[str, str]) -> Response:
        from urllib.parse import parse_qs

        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        if form.get("principal") != ADMIN or form.get("password") != self.password or sid is None:
            return PlainTextResponse("", 401)
        self.sessions[sid] = ADMIN
        return PlainTextResponse("", 200, headers={**headers, "Set-Cookie": f"sid={sid}; Path=/; HttpOnly"})

    def _api(self, method: str, path: str, request: Request, body: bytes, user: str) -> Response:
        if path == "/health":
            names = ("core", "database", "jobservice", "registry")
            sick = [{"name": name, "status": "unhealthy" if name in self.unhealthy else "healthy"} for name in names]
            return JSONResponse({"status": self.health, "components": sick})
        if path == "/systeminfo":
            return JSONResponse({"auth_mode": "db_auth", **({"harbor_version": self.version} if user else {})})
        if not user:
            return _error(401, "UNAUTHORIZED", "unauthorized")
        if path == "/users/current":
            if user.startswith("robot$"):
                message = "get current user not available for security context: robot"
                return _error(412, "PRECONDITION", message)
            return JSONResponse({"user_id": 1, "username": user, "sysadmin_flag": True})
        parts = path.strip("/").split("/")
        data = json.loads(body) if body else None
        return self._routed(method, parts, request, data) or _error(404, "NOT_FOUND", "page not found")

    def _routed(self, method: str, parts: list[str], request: Request, data: Any) -> Response | None:
        match method, parts:
            case "GET", ["projects"]:
                return _page(request, list(self.projects.values()))
            case "GET", ["registries"]:
                return _page(request, list(self.registries.values()))
            case "POST", ["registries", "ping"]:
                bad = self.bad_pings.get(data["id"])
                return _error(bad[0], "BAD_REQUEST", bad[1]) if bad else JSONResponse({})
            case "GET", ["quotas"]:
                return _page(request, self.quotas)
            case "GET", ["registries", number]:
                return JSONResponse(self.registries[int(number)])
            case "GET", ["projects", number] if number.isdigit():
                return JSONResponse(next(p for p in self.projects.values() if p["project_id"] == int(number)))
            case "POST", ["robots"]:
                robot = {**data, "id": len(self.robot_accounts) + 1, "name": f"robot${data['name']}", "disable": False}
                self.robot_accounts[robot["id"]] = robot
                self.robots[robot["name"]] = "Robot-Secret-2"
                return JSONResponse(
                    {**robot, "secret": "Robot-Secret-2"}, 201, {"Location": f"/api/v2.0/robots/{robot['id']}"}
                )
            case "GET", ["robots", number]:
                return JSONResponse(self.robot_accounts[int(number)])
            case "GET", ["robots"]:
                return _page(request, list(self.robot_accounts.values()))
            case "PUT", ["robots", number]:
                self.robot_accounts[int(number)].update(data)
                return JSONResponse(None)
            case "GET", ["configurations"]:
                return JSONResponse(self.settings)
            case "PUT", ["configurations"]:
                for name, value in data.items():
                    self.settings[name]["value"] = value
                return JSONResponse(None)
            case "PUT", ["registries", number]:
                return self._update_registry(int(number), data)
            case "PUT", ["projects", number]:
                found = next(entry for entry in self.projects.values() if entry["project_id"] == int(number))
                found["metadata"].update(data["metadata"])
                return JSONResponse(None)
            case "PUT", ["quotas", number]:
                next(entry for entry in self.quotas if entry["id"] == int(number))["hard"] = data["hard"]
                return JSONResponse(None)
            case "GET", ["systeminfo", "volumes"]:
                return JSONResponse({"storage": self.volumes})
            case "GET", ["jobservice", "queues"]:
                return JSONResponse(self.queues)
            case "GET", ["schedules"]:
                return _page(request, self.schedules)
            case "GET", ["schedules", "all", "paused"]:
                return JSONResponse({"paused": self.scheduler_paused})
            case "GET", ["system", name, "schedule"]:
                kept = self.maintenance.get(name)
                return JSONResponse(kept) if kept else Response(status_code=200)
            case "PUT", ["system", name, "schedule"]:
                parameters = json.dumps(data["parameters"])
                self.maintenance[name] = {"schedule": data["schedule"], "job_parameters": parameters}
                return JSONResponse(None)
            case "GET", ["retentions", number]:
                return JSONResponse(self.retentions[int(number)])
            case "PUT", ["retentions", number]:
                self.retentions[int(number)] = data
                return JSONResponse(None)
            case "PUT", ["users", "1", "password"]:
                return self._change_password(data)
            case _, ["replication", "policies", *rest]:
                return self._policies(method, rest, request, data)
            case _, ["replication", "executions", *rest]:
                return self._executions(method, rest, request, data)
            case "GET", ["projects", project, "repositories"]:
                names = [name for name in self.store.repositories() if name.startswith(f"{project}/")]
                return _page(request, [{"name": name} for name in names])
            case "GET", ["projects", project, "repositories", *rest] if "artifacts" in rest:
                return self._artifacts(project, request)
        return None

    def _update_registry(self, number: int, data: Json) -> Response:
        if number in self.bad_pings and data.get("access_secret") != self.right_secret:
            return _error(400, "BAD_REQUEST", "the registry is unhealthy")
        self.bad_pings.pop(number, None)
        registry = self.registries[number]
        registry.update({name: data[name] for name in ("name", "url", "description", "insecure")})
        registry["credential"] = {"type": "basic", "access_key": data["access_key"], "access_secret": "*****"}
        return JSONResponse(None)

    def _change_password(self, data: Json) -> Response:
        if data["old_password"] != self.password:
            return _error(403, "FORBIDDEN", "incorrect old_password")
        if len(data["new_password"]) < 8:
            return _error(400, "BAD_REQUEST", "password does not meet the requirement")
        self.password = data["new_password"]
        return JSONResponse(None)

    def _policies(self, method: str, rest: list[str], request: Request, data: Any) -> Response | None:
        match method, rest:
            case "GET", []:
                return _page(request, list(self.policies.values()))
            case "GET", [number]:
                policy = self.policies.get(int(number))
                return JSONResponse(policy) if policy else _error(404, "NOT_FOUND", f"policy {number} not found")
            case "PUT", [number]:
                kept = {"id": int(number), "creation_time": EPOCH}
                whole = {**data, **kept}
                self.policies[int(number)] = {key: value for key, value in whole.items() if value is not False}
                return JSONResponse(None)
        return None

    def _executions(self, method: str, rest: list[str], request: Request, data: Any) -> Response | None:
        match method, rest:
            case "GET", []:
                asked = {name: request.query_params.get(name) for name in ("policy_id", "status")}
                found = [
                    execution
                    for execution in list(self.executions.values())
                    if all(value in (None, str(execution[name])) for name, value in asked.items())
                ]
                return _page(request, sorted(found, key=lambda e: (e["start_time"], e["id"]), reverse=True))
            case "POST", []:
                return self._start(int(data["policy_id"]))
            case "GET", [number]:
                return self._look(int(number))
            case "PUT", [number]:
                self.executions[int(number)]["status"] = "Stopped"
                return JSONResponse(None)
            case "GET", [number, "tasks"]:
                return _page(request, self.tasks.get(int(number), []))
            case "GET", [_, "tasks", task, "log"]:
                log = self.logs.get(int(task))
                return PlainTextResponse(log) if log is not None else _error(404, "NOT_FOUND", "no log")
        return None

    def _start(self, policy_id: int) -> Response:
        policy = self.policies.get(policy_id)
        if policy is None:
            return _error(404, "NOT_FOUND", f"policy {policy_id} not found")
        if not policy.get("enabled"):
            return _error(412, "PRECONDITION", f"the policy {policy_id} is disabled")
        fields = self.scripts.get(policy_id) or self.replicate(policy_id)
        fields = {"total": 0, "succeed": 0, **fields}
        tasks = fields.pop("tasks", [])
        number = self.execution(policy_id, **fields)
        for repository, status, log in tasks:
            self.task(number, repository, status, log)
        self._holds[number] = self.hold
        location = f"/api/v2.0/replication/executions/{number}"
        return Response(status_code=201, headers={"Location": location})

    def _look(self, number: int) -> Response:
        execution = self.executions.get(number)
        if execution is None:
            return _error(404, "NOT_FOUND", f"execution {number} not found")
        if self._holds.get(number, 0) > 0:
            self._holds[number] -= 1
            return JSONResponse({**execution, "status": "InProgress", "succeed": 0, "end_time": NEVER})
        return JSONResponse(execution)

    def _artifacts(self, project: str, request: Request) -> Response:
        from urllib.parse import unquote

        # Starlette has decoded the path once; a slash that was encoded twice is encoded once now.
        raw = request.scope["raw_path"].decode().split("?")[0].split("/repositories/")[1]
        encoded, _, reference = raw.partition("/artifacts")
        repository = f"{project}/{unquote(unquote(encoded))}"
        if repository not in self.store.repositories():
            return _error(404, "NOT_FOUND", f"repository {repository} not found")
        by_digest: dict[str, list[str]] = {digest: [] for digest in self.store.digests(repository)}
        for tag, digest in self.store.tags(repository).items():
            by_digest.setdefault(digest, []).append(tag)
        children = {child for digest in by_digest for child in self._children(repository, digest)}
        reference = unquote(reference.strip("/"))
        found = [
            self._artifact(repository, digest, tags)
            for digest, tags in by_digest.items()
            if (digest == reference if reference else tags or digest not in children)
        ]
        if reference:
            return JSONResponse(found[0]) if found else _error(404, "NOT_FOUND", "artifact not found")
        return _page(request, found)

    def _children(self, repository: str, digest: str) -> list[str]:
        manifest = self.store.manifest(repository, digest)
        return [child.digest for child in references(manifest.body) if child.is_manifest] if manifest else []

    def _artifact(self, repository: str, digest: str, tags: list[str]) -> Json:
        children = self._children(repository, digest)
        return {
            "digest": digest, "size": self.store.size(repository, digest), "repository_name": repository,
            "tags": [{"name": tag} for tag in tags] or None,
            "labels": [{"name": label} for label in self.labels.get((repository, digest), ())] or None,
            "references": [{"child_digest": child} for child in children] or None,
        }  # fmt: skip


def _page(request: Request, items: list[Json]) -> Response:
    number, size = int(request.query_params.get("page", 1)), int(request.query_params.get("page_size", 10))
    if size > 100:
        return _error(422, "UNPROCESSABLE_ENTITY", "page_size in query should be less than or equal to 100")
    chosen = items[(number - 1) * size : number * size]
    return JSONResponse(chosen, headers={"X-Total-Count": str(len(items))})


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status)
