"""Fault trials of mirrorctl: each command, with each kind of answer at each of its calls."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from unittest.mock import patch

import yaml
from jsonschema import Draft202012Validator

from localcloud.faults import FAULTS, Exchange, Fault
from localcloud.http import free_port, serve
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from localcloud.tls import trust
from mirrorctl.app import main
from mirrorctl.offline.schemas import report_schema
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import ADMIN, PASSWORD, HarborFixture
from tests.faults.table import Row, Say

#: `NEW` is another word in each run.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "sync": ("sync", "nginx", "--wait"),
    "verify": ("verify",),
    "status": ("status",),
    "logs": ("logs", "nginx"),
    "report": ("report", "--html", "page.html"),
    "drift": ("drift",),
    "drift --fix": ("drift", "--fix"),
    "doctor": ("doctor",),
    "session": ("session",),
    "adopt": ("adopt", "--name", "NEW"),
    "coverage": ("coverage", "--live", "deployments", "--stack", "dev"),
    "resolve": ("resolve", "--stack", "dev"),
    "rotate-admin-password": ("rotate-admin-password", "--generate"),
}
#: More options in a trial: nobody waits for two minutes whether Harbor comes back.
IN_TRIALS: Mapping[str, tuple[str, ...]] = {"sync": ("--timeout", "1")}
#: Commands of a stack; the others use the Harbor that the environment names.
OF_A_STACK = frozenset({"drift", "drift --fix", "doctor", "coverage", "rotate-admin-password"})
CERTIFICATE = "wrong certificate"
#: Commands that ask only the source.
WITHOUT_HARBOR = frozenset({"resolve"})
#: JSON of another shape than the API's.
MALFORMED = {text: Fault(status=200, body=text) for text in ("null", '"text"', '{"a": 1}', "[1]", "[{}]")}
KINDS: Mapping[str, Fault] = {**FAULTS, **MALFORMED}
#: Commands whose result is another each time.
OTHER_EACH_TIME = frozenset({"session", "drift --fix", "rotate-admin-password", "adopt"})
#: What a result says if a part of it could not be found out.
INCOMPLETE = re.compile("warning|unknown|unchecked|not looked at|can't be")
#: The limit of a request, shortened for a silent server.
PATIENCE_SECONDS = 0.3
Call = tuple[str, str]


@dataclass(frozen=True)
class Result:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str


class Commands:
    """A mirror that has run once, and mirrorctl in this process. Retries do not pause."""

    def __init__(self, directory: Path) -> None:
        self._open, self._directory, self._names = ExitStack(), directory, 0
        self._results: dict[str, Result] = {}
        self.harbor, self.source = self._serve_harbor(), RegistrySimulator(token_flow=True)
        for tag in ("1.25", "1.26", "2.0"):
            push_image(self.source.store, "library/nginx", tag, f"nginx-{tag}")
        self._source_url = self._open.enter_context(serve(self.source.app)).url
        certificate = self._open.enter_context(trust("localhost")).certificate
        tls = self._open.enter_context(serve(self.harbor.app, certificate=certificate))
        self._untrusted_url = f"https://localhost:{tls.port}"
        self.harbor.add_registry("hub", self._source_url)
        self.harbor.add_project("mirror")
        self.harbor.add_policy("nginx", 1, repositories="library/nginx", tags="1.*")
        self._stack = FakeStack(directory, self.harbor.url, self._source_url)
        self._write_files()
        self._open.enter_context(patch("harbor_mirror.http.Retry.pause", lambda *_: 0.0))
        for command in ("resolve", "sync"):
            if (result := self.run(command)).code != 0:
                raise RuntimeError(f"{command}: {result}")

    def _serve_harbor(self) -> HarborFixture:
        port = free_port()
        harbor = HarborFixture(f"http://127.0.0.1:{port}")
        self._open.callback(harbor.close)
        self._open.enter_context(serve(harbor.app, port=port))
        return harbor

    def _write_files(self) -> None:
        # For `resolve`; the other commands read the file that it writes.
        self._stack.config["rules"]["nginx"]["tags"] = {"semver": "^1.25"}
        config: dict[str, Any] = {f"harbor-mirror:{key}": value for key, value in self._stack.config.items()}
        config["harbor-mirror:harborPassword"] = {"secure": "v1:abc"}
        (self._directory / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))
        (self._directory / "deployments").mkdir()
        image = f"{self._source_url.removeprefix('http://')}/library/nginx:1.25"
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "nginx", "image": image}]}}
        (self._directory / "deployments" / "pod.yaml").write_text(yaml.safe_dump(pod))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def calls(self, command: str) -> list[Call]:
        """Return the calls that a command makes while nothing fails; remember its result."""
        self._forget()
        self._results[command] = self.run(command, "--json")
        return list(dict.fromkeys(_call(exchange) for exchange in (*self._requests(), *self.source.requests)))

    def _requests(self) -> list[Exchange]:
        return self.harbor.faults.requests

    def _forget(self) -> None:
        for injector in (self.harbor.faults, self.source.faults):
            injector.clear()
            injector.requests.clear()
        self.harbor.set_password(PASSWORD)

    def run(self, command: str, *options: str, url: str | None = None) -> Result:
        """Run a command as a user does."""
        self._names += 1
        words = [word.replace("NEW", f"new{self._names}") for word in COMMANDS[command]]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._directory)}
        if command in OF_A_STACK:
            self._stack.outputs["harborUrl"] = url or self.harbor.url
            environment |= {name: value for name, value in self._stack.environment.items() if value}
        else:
            environment |= {"HARBOR_URL": url or self.harbor.url, "HARBOR_USERNAME": ADMIN, "HARBOR_PASSWORD": PASSWORD}
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, environment, clear=True),
            contextlib.chdir(self._directory),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([*words, *options])
        return Result(code, out.getvalue(), err.getvalue())

    def trial(self, command: str, call: Call, kind: str) -> list[str]:
        """Run a command while a call is answered wrongly; return what is wrong with the result."""
        self._forget()
        fault = replace(KINDS[kind], method=call[0], path=f"^{_pattern(call[1])}$", times=None)
        for injector in (self.harbor.faults, self.source.faults):
            injector.add(replace(fault))
        is_silent = kind == "silence"
        patience = patch("harbor_mirror.http.REQUEST_SECONDS", PATIENCE_SECONDS) if is_silent else nullcontext()
        with patience:
            # The message is printed as text, too.
            result = self.run(command, "--json", *IN_TRIALS.get(command, ()))
        self._forget()
        return [*_wrong(command.split()[0], result, is_possible=kind in FAULTS), *self._concealed(command, result)]

    def _concealed(self, command: str, result: Result) -> list[str]:
        """Return what is wrong with a success: it is silent about what could not be found out."""
        usual = self._results[command]
        is_same = re.findall("[a-z]+", result.out) == re.findall("[a-z]+", usual.out)
        if result.code != 0 or is_same or command in OTHER_EACH_TIME or INCOMPLETE.search(result.out + result.err):
            return []
        return [f"another result without a word about it: {result} instead of {usual}"]

    def trial_of_certificate(self, command: str) -> list[str]:
        """Run a command with a Harbor whose certificate nobody trusts; return what is wrong with the result."""
        if command in WITHOUT_HARBOR:
            return []
        self._forget()
        result = self.run(command, "--json", url=self._untrusted_url)
        found = _wrong(command.split()[0], result, is_possible=True)
        if "certificate" not in result.out + result.err:
            found.append(f"the certificate is not named: {result}")
        return found


def _wrong(command: str, result: Result, *, is_possible: bool) -> list[str]:
    """Return what is wrong with a result. `is_possible`: a Harbor or a proxy does give such an answer."""
    found = [] if result.code in (0, 1, 2) else [f"exit code {result.code}"]
    if "Traceback" in result.err or (is_possible and "unexpected " in result.err):
        found.append(result.err)
    if PASSWORD in result.out + result.err:
        found.append("the password is shown")
    report = json.loads(result.out)
    if result.code == 1 and "error" not in report and not WHERE.search(result.out):
        found.append(f"unclear: {result.out}")
    if result.code == 1 and "error" in report and is_possible:
        messages = [line for line in result.err.splitlines() if line.startswith("mirrorctl: ")]
        if len(messages) != 1:
            found.append(f"not one message: {result.err}")
        elif not (WHERE.search(messages[0]) and ADVICE.search(messages[0])):
            found.append(f"unclear: {messages[0]}")
    schema = report_schema("error" if "error" in report else command)
    return found + [error.message for error in Draft202012Validator(schema).iter_errors(report)]


WHERE = re.compile(r"/api/|/v2/|https?://|/c/login|[a-z0-9.]+:\d+")
ADVICE = re.compile(r"mirrorctl [a-z-]+|pulumi [a-z]+|\brun .* again|\bset\b|\bcheck\b|\buse\b", re.IGNORECASE)


def _call(exchange: Exchange) -> Call:
    return exchange.method, re.sub(r"/\d+(?=/|$)", "/{id}", exchange.path)


def _pattern(path: str) -> str:
    return re.escape(path).replace(r"\{id\}", r"\d+")


def trials(commands: Commands, command: str) -> Iterator[tuple[Call, str]]:
    """Yield every call of a command with every kind of answer."""
    for call in commands.calls(command):
        for kind in KINDS:
            yield call, kind


def part(say: Say, share: float) -> Row:
    """Run a share of the trials of each command."""
    row = Row("answers to mirrorctl")
    step = max(1, round(1 / share))
    with TemporaryDirectory() as directory, Commands(Path(directory)) as commands:
        for command in COMMANDS:
            chosen = list(trials(commands, command))[::step]
            failures = [
                f"{command}, {kind} to {' '.join(call)}: {text}"
                for call, kind in chosen
                for text in commands.trial(command, call, kind)
            ]
            failures += [f"{command}, {CERTIFICATE}: {text}" for text in commands.trial_of_certificate(command)]
            say(f"{command}: {len(chosen) + 1} faults, {len(failures)} failures")
            row.faults += len(chosen) + 1
            row.failures += failures
    return row
