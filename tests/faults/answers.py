"""Fault trials: Linode and Harbor answer wrongly to each call of a stack's creation, update and destruction, once.

A command is run until it succeeds. Each call that has had no fault in an earlier run meets one: some runs survive some
of them, each other run fails at the first that it does not survive, and the last run shows that all of them converge.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from localcloud.engine import Result
from localcloud.faults import FAULTS, Exchange, FaultInjector
from localcloud.http import free_port, serve
from localcloud.tls import trust
from tests.faults.secrets import leaks, places
from tests.faults.stack import TrialCloud, TrialStack
from tests.faults.table import Row, Say

#: Seconds of the silence in the short form.
SHORT_SILENCE = 2.0
#: Chains of the long form: in each of them, a call meets another kind of answer.
CHAINS = len(FAULTS)
#: Chains that run side by side.
AT_ONCE = 3
#: Runs of one command, for trials that do not end.
MAX_RUNS = 80
#: One step after the other: without CONTINUE, a run that fails has made no call after the one that met the fault.
OPTIONS = ("--parallel", "1")
#: What does not depend on the resource that failed is tried in the same run, and meets faults of its own. With a host,
#: this is for `destroy` only: in an `up`, the engine (3.274) panics if a default provider cannot be configured, and an
#: `up` hung after a wrong answer about events, perhaps because of a replacement whose deletion failed.
CONTINUE = "--continue-on-error"
#: Harbor's calls that only a stack with a host sends; the others meet their faults in the chains without one.
OF_HOSTS = re.compile(r"^/(v4/|api/v2\.0/system/)")
#: Texts that say what to do next.
ADVICE = re.compile(
    r"`pulumi [a-z]|run pulumi [a-z]|`mirrorctl [a-z]|docs/[a-z-]+\.md|\bset [a-z.]+ to\b|run it again|again:", re.I
)
CONNECTING = "Error connecting to the Linode API"
RECOVER = "mirrorctl recover"
REFRESH = re.compile(r"`pulumi (refresh[^`]*)`")


@dataclass
class Answer:
    """A fault that a call has met, and the run's reaction."""

    call: str
    kind: str
    failures: list[str] = field(default_factory=list)
    result: str = "survived"

    def __str__(self) -> str:
        return f"{self.kind} to {self.call}: {'; '.join(self.failures) or self.result}"


class Kinds:
    """Gives a call each kind of answer once, before any for the second time."""

    def __init__(self) -> None:
        self._order, self._met, self._choice = cycle(FAULTS), defaultdict[str, set[str]](set), threading.Lock()

    def choose(self, call: str) -> str:
        """Return a kind that this call has not met."""
        with self._choice:
            met = self._met[call]
            if len(met) == len(FAULTS):
                met.clear()
            kind = next(kind for kind in self._order if kind not in met)
            met.add(kind)
            return kind


class FaultyCloud(TrialCloud):
    """A trial cloud that answers each call wrongly when it gets it for the first time.

    `calls` selects calls by their paths; `silence` shortens a silence (seconds).
    """

    def __init__(self, kinds: Kinds, calls: re.Pattern[str] | None = None, silence: float | None = None) -> None:
        self._kinds, self._calls, self._silence = kinds, calls, silence
        self._tried, self._choice = set[str](), threading.Lock()
        #: The faults of the present run.
        self.answers: list[Answer] = []
        self.is_faulty = False
        super().__init__()

    def watch(self, injector: FaultInjector) -> None:
        """Let a simulator misbehave."""
        injector.before = partial(self._misbehave, injector)

    def _misbehave(self, injector: FaultInjector, exchange: Exchange) -> None:
        if self._calls and not self._calls.search(exchange.path):
            return
        call = f"{exchange.method} {template(exchange.path)}"
        with self._choice:
            if not self.is_faulty or call in self._tried:
                return
            self._tried.add(call)
            kind = self._kinds.choose(call)
            self.answers.append(Answer(call, kind))
        fault = replace(FAULTS[kind], path=f"^{re.escape(exchange.path)}$", method=exchange.method)
        if fault.delay and self._silence is not None:
            fault.delay = self._silence
        injector.add(fault)


def template(path: str) -> str:
    """Return the path of a call without its ids."""
    path = re.sub(r"(/buckets/[^/]+/)[^/]+", r"\1{label}", path)
    return re.sub(r"/\d[\d.]*(?=/|$)", "/{id}", path)


def part(say: Say, share: float) -> Row:
    """Run chains of a stack with a host."""
    return _run_chains(Row("answers to pulumi"), say, share, has_host=True)


def part_without_host(say: Say, share: float) -> Row:
    """Run chains of a stack on an existing Harbor, and one with wrong certificates."""
    row = _run_chains(Row("answers to pulumi without a host"), say, share, has_host=False)
    with TemporaryDirectory() as directory:
        answers, failures = certificate_trial(Path(directory))
    for answer in answers:
        say(f"{row.part}: {answer}")
    row.faults += len(answers)
    row.failures += failures + [str(answer) for answer in answers if answer.failures]
    return row


def certificate_trial(directory: Path) -> tuple[list[Answer], list[str]]:
    """Create, change and destroy a stack whose Harbor first presents a certificate that nobody trusts, each time."""
    port = free_port()
    with (
        trust("localhost") as right,
        trust("localhost") as wrong,
        patch.dict(os.environ, right.env),
        TrialCloud() as cloud,
    ):
        stack = TrialStack(cloud, directory, f"tls-{uuid.uuid4().hex[:6]}", has_host=False)
        stack.use_harbor(f"https://localhost:{port}")

        def run(command: str, certificate: Path) -> Result:
            with serve(cloud.harbors[-1].app, port=port, certificate=certificate):
                return _run(stack, command)

        answers: list[Answer] = []
        for phase, command in (("creation", "up"), ("update", "up"), ("destruction", "destroy")):
            if phase == "update":
                stack.change()
            refused, repeated = run(command, wrong.certificate), run(command, right.certificate)
            answer = Answer(phase, "wrong certificate", unclear(refused, advises=command == "up"), "failed")
            if "certificate" not in refused.output.lower() or f"localhost:{port}" not in refused.output:
                answer.failures.append(f"the certificate or the URL is not named: {refused.output[-2000:]}")
            if repeated.code != 0:
                answer.failures.append(f"the next {command} fails: {repeated.output[-2000:]}")
            answers.append(answer)
        left = stack.left_over()
    return answers, [f"left: {left}"] if left else []


def _run_chains(row: Row, say: Say, share: float, *, has_host: bool) -> Row:
    """Run up to as many chains as there are kinds of answers: every call then meets every kind."""
    count, kinds = max(1, round(CHAINS * share)), Kinds()

    def run(number: int) -> tuple[list[Answer], list[str], int]:
        try:
            with TemporaryDirectory() as directory:
                chain = run_chain(Path(directory), kinds, has_host=has_host)
        except Exception as error:
            return [], [f"stack {number}: {error!r}"], 0
        for answer in chain[0]:
            say(f"{row.part} {number}/{count}: {answer}")
        return chain

    # A chain waits most of the time: for silent servers and between the attempts of the plugins.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answers, failures, searched in pool.map(run, range(1, count + 1)):
            row.faults += len(answers)
            row.failures += failures
            row.places += searched
    return row


def run_chain(directory: Path, kinds: Kinds, *, has_host: bool = True) -> tuple[list[Answer], list[str], int]:
    """Create, change and destroy a stack among faults.

    Return these, what is wrong, and how many files and outputs were searched for secrets.
    """
    with FaultyCloud(kinds, OF_HOSTS if has_host else None) as cloud:
        stack = TrialStack(cloud, directory, f"answers-{uuid.uuid4().hex[:6]}", has_host=has_host)
        answers, failures = converge(stack, "up")
        stack.change()
        changed = converge(stack, "up")
        failures += changed[1]
        # Without convergence, the stack has no outputs to search for.
        secrets = stack.secrets() if not failures else set[str]()
        answers_to_destroy, left = converge(stack, "destroy")
        answers += changed[0] + answers_to_destroy
        failures += left
        searched = places(stack.workspace.directory, stack.outputs)
        failures += [f"a secret is in {place}" for place in leaks(searched, secrets)]
    return answers, failures + [str(answer) for answer in answers if answer.failures], len(searched)


def converge(stack: TrialStack, command: str) -> tuple[list[Answer], list[str]]:
    """Run a command until it succeeds, with a fault in each run; return the faults and what is wrong at the end."""
    cloud = stack.cloud
    assert isinstance(cloud, FaultyCloud)
    answers: list[Answer] = []
    failures: list[str] = []
    has_failed_without_fault = False
    for _ in range(MAX_RUNS):
        cloud.answers, cloud.is_faulty = [], True
        result = _run(stack, command)
        cloud.is_faulty = False
        answers += cloud.answers
        if result.code == 0:
            if cloud.answers:
                continue
            return answers, failures + (stack.faults() if command == "up" else _left_over(stack))
        if cloud.answers:
            cloud.answers[-1].result = "failed"
            cloud.answers[-1].failures += unclear(result, advises=command == "up")
        elif has_failed_without_fault:
            break
        has_failed_without_fault = not cloud.answers
        failures += _follow(stack, result, even_without_advice=has_failed_without_fault and command == "destroy")
    return answers, [*failures, f"{command} does not converge: {result.output[-2000:]}"]


def _left_over(stack: TrialStack) -> list[str]:
    """Return what is left after a destruction and the documented recovery.

    Linode's and Harbor's plugins take a 404 for a success, and Harbor's any 200: such an object is left.
    """
    failures: list[str] = []
    if stack.left_over():
        failures += _recover(stack)
        if (again := _run(stack, "destroy")).code != 0:
            failures.append(f"destroy after recover: {again.output[-2000:]}")
    return [*failures, f"left: {left}"] if (left := stack.left_over()) else failures


def _run(stack: TrialStack, command: str) -> Result:
    more = () if stack.has_host and command == "up" else (CONTINUE,)
    result = stack.workspace.pulumi(command, "--yes", "--skip-preview", *OPTIONS, *more, events=True)
    stack.outputs[f"{command} {len(stack.outputs)}"] = result.output
    return result


def _follow(stack: TrialStack, result: Result, *, even_without_advice: bool = False) -> list[str]:
    """Do what the messages of a failed run advise, besides running it again; return what is wrong with that."""
    if advised := REFRESH.search(result.output):
        refreshed = stack.workspace.pulumi(*shlex.split(advised[1]), "--yes", "--skip-preview")
        if refreshed.code == 0:
            return []
    if RECOVER in result.output or even_without_advice:
        return _recover(stack)
    return [f"refresh: {refreshed.output[-2000:]}"] if advised else []


def _recover(stack: TrialStack) -> list[str]:
    # A person confirms, because Linode keeps no name for an address.
    done = stack.recover()
    return [f"recover: {done.stdout}{done.stderr}"] if done.returncode != 0 else []


def unclear(result: Result, *, advises: bool) -> list[str]:
    """Return what the messages of a failed run lack.

    No program runs in a `destroy`, nor before the provider accepts its settings, so nothing advises there.
    """
    errors: dict[str, str] = {}
    for severity, name, message in result.diagnostics:
        if severity == "error":
            errors[name] = f"{errors.get(name, '')}\n{message}".strip()
    if not errors:
        return ["no error message"]
    found = ["a traceback"] if "Traceback" in result.output else []
    texts = {name: text for name, text in errors.items() if text != "update failed"}
    if advises and CONNECTING not in result.output and not any(ADVICE.search(text) for text in texts.values()):
        found.append(f"no advice in {texts}")
    return found
