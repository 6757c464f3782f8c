"""For tests of the stand-in providers: a server of recorded answers, and a small engine.

`Replay` serves a recorded phase: each request gets the answer that the same request got then. `Engine` drives the
providers over gRPC as the real engine does, one resource after the other, without its seconds.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localcloud.http import serve
from localcloud.providers.values import Values, decode, encode

DATA = Path(__file__).parents[1] / "data" / "providers"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
#: Answers of the replay for what was not recorded: no real status, so that it can't be mistaken for one.
UNEXPECTED = 599


@dataclass(frozen=True)
class Call:
    """What is compared of a request: the query too, but no headers that vary."""

    method: str
    path: str
    body: str = ""
    filters: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body} {self.filters}".strip()


def recordings(package: str) -> dict[str, Values]:
    """Return the recorded phases of a package by name: what was typed, how it ended, and its `calls`.

    Our own measurements of the real plugins (pulumi-harbor 3.10.21 on a Harbor 2.15.2; pulumi-linode 6.0.0 on a stub).
    """
    lines = (DATA / f"{package}.jsonl").read_text().splitlines()
    return {row["phase"]: row for row in map(json.loads, lines)}


def call_of(row: Values) -> Call:
    """Return a recorded row as a `Call`."""
    path = row["path"] + (f"?{row['query']}" if row.get("query") else "")
    return Call(row["method"], path, _canonical(row["body"]), row.get("x_filter") or "")


def _canonical(body: Any) -> str:
    return "" if body is None else json.dumps(body, sort_keys=True)


@dataclass
class Replay:
    """Answers from recorded rows. `calls` lists the requests; set `rows` for another phase."""

    rows: list[Values] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    _used: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, rows: list[Values]) -> None:
        self.rows, self.calls, self._used = rows, [], set()

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        call = Call(
            request.method,
            path,
            _canonical(json.loads(body)) if body else "",
            request.headers.get("x-filter", ""),
        )
        with self._lock:
            self.calls.append(call)
            row = self._row(call)
        if row is None:
            return Response(f"not recorded: {call}", status_code=UNEXPECTED)
        answer = row["response"]
        headers = {"Location": row["location"]} if row.get("location") else {}
        content = b"" if answer is None else json.dumps(answer).encode()
        return Response(content, row["status"], headers, media_type="application/json")

    def _row(self, call: Call) -> Values | None:
        """Return the first unused row with the same method and path, or the last one if all are used."""
        same = [
            (index, call_of(row))
            for index, row in enumerate(self.rows)
            if (row["method"], call_of(row).path, row.get("x_filter") or "") == (call.method, call.path, call.filters)
        ]
        unused = [entry for entry in same if entry[0] not in self._used]
        exact = [entry for entry in unused if entry[1] == call]
        chosen = (exact or unused or same[-1:])[:1]
        self._used.update(index for index, _ in chosen)
        return self.rows[chosen[0][0]] if chosen else None


@contextmanager
def replaying() -> Iterator[Replay]:
    replay = Replay()
    app = Starlette(routes=[Route("/{path:path}", replay.answer, methods=METHODS)])
    with serve(app) as server:
        replay.url = server.url
        yield replay


@dataclass
class Known:
    """A resource in the engine's state."""

    token: str
    id: str
    inputs: Values
    outputs: Values
    errors: list[str] = field(default_factory=list)


class StepFailed(Exception):
    """A step of the engine failed, with the provider's text. `half` is the state that it left."""

    half: provider_pb2.ErrorResourceInitFailed | None = None


class Engine:
    """Creates, updates, replaces, refreshes, imports and deletes resources. `state` is by resource name."""

    def __init__(self, port: int, package: str, config: Values) -> None:
        self.state: dict[str, Known] = {}
        self.steps: list[str] = []
        #: The program's customTimeouts, in seconds; 0 leaves the provider its own.
        self.timeout = 0.0
        #: Per resource that was changed: what a user would see in front of each property, ~ + or -.
        self.shown: dict[str, dict[str, str]] = {}
        # A connection of its own, as the real engine opens one per provider.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._package = package
        self.configure(config)

    def configure(self, config: Values) -> None:
        urn = f"urn:pulumi:test::test::pulumi:providers:{self._package}::provider"
        request = provider_pb2.ConfigureRequest(urn=urn, args=encode(config), acceptSecrets=True)
        self._call(self._stub.Configure, request)

    def close(self) -> None:
        self._channel.close()

    def check(self, name: str, token: str, inputs: Values) -> Values:
        """Return the checked inputs. Raise StepFailed if they are refused."""
        known = self.state.get(name)
        request = provider_pb2.CheckRequest(
            urn=self._urn(name, token),
            olds=encode(known.inputs) if known else None,
            news=encode(inputs),
            randomSeed=b"seed",
        )
        response = self._stub.Check(request)
        if response.failures:
            raise StepFailed("; ".join(failure.reason for failure in response.failures))
        return decode(response.inputs)

    def diff(self, name: str, token: str, inputs: Values) -> provider_pb2.DiffResponse:
        known = self.state[name]
        request = provider_pb2.DiffRequest(
            id=known.id,
            urn=self._urn(name, token),
            olds=encode(known.outputs),
            news=encode(self.check(name, token, inputs)),
            old_inputs=encode(known.inputs),
        )
        response: provider_pb2.DiffResponse = self._stub.Diff(request)
        return response

    def up(self, name: str, token: str, inputs: Values) -> str:
        """Apply `inputs` to one resource, and return what that was: create, same, update or replace."""
        known = self.state.get(name)
        if known is None:
            self._create(name, token, inputs)
            return self._did("create", name)
        diff = self.diff(name, token, inputs)
        self.shown[name] = signs(diff)
        if diff.changes == provider_pb2.DiffResponse.DIFF_NONE and not known.errors:
            known.inputs = self.check(name, token, inputs)
            return self._did("same", name)
        if diff.replaces:
            if diff.deleteBeforeReplace:
                self.delete(name)
                self._create(name, token, inputs)
            else:
                self._create(name, token, inputs)
                self._delete(name, known)
            return self._did("replace", name)
        checked = self.check(name, token, inputs)
        request = provider_pb2.UpdateRequest(
            id=known.id, urn=self._urn(name, token), olds=encode(known.outputs), news=encode(checked)
        )
        try:
            response = self._call(self._stub.Update, request)
        except StepFailed as error:
            self._keep_half(name, token, known.id, checked, error)
            raise
        self.state[name] = Known(token, known.id, checked, decode(response.properties))
        return self._did("update", name)

    def refresh(self, name: str) -> dict[str, str]:
        """Read one resource, and return the sign that a user sees before each property. A missing one leaves the state.

        As the real engine does, the diff is that of an `up` with the old inputs, turned round.
        """
        known = self.state[name]
        request = provider_pb2.ReadRequest(
            id=known.id,
            urn=self._urn(name, known.token),
            properties=encode(known.outputs),
            inputs=encode(known.inputs),
        )
        response = self._call(self._stub.Read, request)
        if not response.id:
            del self.state[name]
            return {"id": "-"}
        diff = self._stub.Diff(
            provider_pb2.DiffRequest(
                id=response.id,
                urn=self._urn(name, known.token),
                olds=response.properties,
                news=encode(known.inputs),
                old_inputs=response.inputs,
            )
        )
        self.state[name] = Known(known.token, response.id, decode(response.inputs), decode(response.properties))
        turned = {"+": "-", "-": "+", "~": "~"}
        return {path: turned[sign] for path, sign in signs(diff).items()}

    def adopt(self, name: str, token: str, id: str) -> Known:
        """Import a resource. Raise StepFailed if there is none."""
        response = self._call(self._stub.Read, provider_pb2.ReadRequest(id=id, urn=self._urn(name, token)))
        if not response.id:
            raise StepFailed(f"resource '{id}' does not exist")
        self.state[name] = Known(token, response.id, decode(response.inputs), decode(response.properties))
        return self.state[name]

    def delete(self, name: str) -> None:
        self._delete(name, self.state[name])
        del self.state[name]

    def secrets_of(self, name: str, token: str, inputs: Values) -> str:
        """Return a preview's answer as sent to the engine, with its secrets marked."""
        request = provider_pb2.CreateRequest(
            urn=self._urn(name, token), properties=encode(self.check(name, token, inputs)), preview=True
        )
        return str(self._stub.Create(request).properties)

    def _create(self, name: str, token: str, inputs: Values) -> None:
        checked = self.check(name, token, inputs)
        request = provider_pb2.CreateRequest(
            urn=self._urn(name, token), properties=encode(checked), timeout=self.timeout
        )
        try:
            response = self._call(self._stub.Create, request)
        except StepFailed as error:
            self._keep_half(name, token, "", checked, error)
            raise
        self.state[name] = Known(token, response.id, checked, decode(response.properties))

    def _keep_half(self, name: str, token: str, id: str, inputs: Values, error: StepFailed) -> None:
        if (half := error.half) is not None:
            self.state[name] = Known(token, half.id or id, inputs, decode(half.properties), list(half.reasons))

    def _delete(self, name: str, known: Known) -> None:
        request = provider_pb2.DeleteRequest(
            id=known.id,
            urn=self._urn(name, known.token),
            properties=encode(known.outputs),
            old_inputs=encode(known.inputs),
        )
        self._call(self._stub.Delete, request)

    def _did(self, step: str, name: str) -> str:
        self.steps.append(f"{step} {name}")
        return step

    def _urn(self, name: str, token: str) -> str:
        return f"urn:pulumi:test::test::{token}::{name}"

    @staticmethod
    def _call(method: Any, request: Any) -> Any:
        try:
            return method(request)
        except grpc.RpcError as error:
            failed = StepFailed(error.details())
            metadata: Any = error.trailing_metadata()
            for key, value in metadata or ():
                if key == "grpc-status-details-bin":
                    failed.half = provider_pb2.ErrorResourceInitFailed()
                    status_pb2.Status.FromString(value).details[0].Unpack(failed.half)
            raise failed from None


class RecordedStack:
    """A stack that goes through the recorded phases."""

    def __init__(
        self,
        replay: Replay,
        engine: Engine,
        phases: dict[str, Values],
        tokens: dict[str, str],
        wanted: dict[str, Values],
    ) -> None:
        self.replay, self.engine, self.phases, self.tokens, self.wanted = replay, engine, phases, tokens, wanted

    def play(self, phase: str) -> None:
        self.replay.play(self.phases[phase]["calls"])

    def up(self, phase: str, change: Callable[[dict[str, Values]], object] | None = None) -> list[str]:
        """Run one recorded `up`, compare its requests, and return the steps that changed something."""
        self.play(phase)
        if change is not None:
            change(self.wanted)
        before = len(self.engine.steps)
        self.engine.shown.clear()
        try:
            for name, inputs in self.wanted.items():
                self.engine.up(name, self.tokens[name], inputs)
        finally:
            self.agree()
        if recorded := self.phases[phase].get("diff"):
            sent = {f"{sign} {name}" for shown in self.engine.shown.values() for name, sign in shown.items()}
            assert sent == {re.sub(r" *:.*", "", line) for line in recorded}
        return [step for step in self.engine.steps[before:] if not step.startswith("same")]

    def refresh(self, phase: str) -> dict[str, dict[str, str]]:
        """Run one recorded refresh, and return what it shows, by resource."""
        self.play(phase)
        seen = {name: self.engine.refresh(name) for name in list(self.engine.state)}
        self.agree()
        return {name: changed for name, changed in seen.items() if changed}

    def agree(self) -> None:
        """Assert that the recorded requests were sent, in the recorded order per path."""
        sent, recorded = by_path(self.replay.calls), by_path([call_of(row) for row in self.replay.rows])
        differences = {
            path: {"sent": sent.get(path), "recorded": recorded.get(path)}
            for path in sorted({*sent, *recorded})
            if sent.get(path) != recorded.get(path)
        }
        assert not differences, json.dumps(differences, indent=1)


def signs(diff: provider_pb2.DiffResponse) -> dict[str, str]:
    """Return the sign that the CLI shows before each property of a diff."""
    kinds = provider_pb2.PropertyDiff.Kind
    shown: dict[str, str] = {}
    for path, change in diff.detailedDiff.items():
        name = re.split(r"[.\[]", path, maxsplit=1)[0]
        kind = kinds.Name(change.kind).split("_")[0]
        shown[name] = {"ADD": "+", "DELETE": "-"}.get(kind, "~") if name == path else "~"
    return shown or dict.fromkeys(diff.diffs, "~")


def by_path(calls: list[Call]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for call in calls:
        key = re.sub(r"\?.*", "", call.path)
        grouped.setdefault(key, []).append(str(call))
    return {key: sorted(group) if "robots" in key else group for key, group in sorted(grouped.items())}
