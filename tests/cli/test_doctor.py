"""Tests of `doctor`: every check, and the advice for each problem."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from localcloud.faults import Fault
from tests.cli.conftest import Run
from tests.cli.fake_stack import FakeStack
from tests.cli.harbor_fixture import HarborFixture, change


def lines(report: Any) -> dict[str, str]:
    return {line["subject"]: line["state"] for line in report["lines"]}


def test_a_healthy_mirror(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    result = run("doctor", "--json", **stack.environment)
    assert result.code == 0
    found = lines(result.json)
    assert found.pop("tls") == "warning"
    sound = {"dns", "health", "clock", "credentials", "version", "queues", "schedules", "disk", "quotas"}
    sound |= {"destinations", "endpoint hub", "pull access", "engine"}
    assert {found[name] for name in sound} == {"ok"}
    assert mirrored.basic_requests() <= 5


@pytest.mark.parametrize(
    ("break_it", "subject", "state", "text"),
    [
        (lambda h: h.conditions.unhealthy.add("jobservice"), "health", "bad", "docker logs harbor-jobservice"),
        (lambda h: setattr(h.core, "version", "v2.9.0"), "version", "warning", "v2.9.0"),
        (lambda h: h.conditions.queues.update(REPLICATION={"paused": True}), "queues", "bad", "REPLICATION is paused"),
        (
            lambda h: h.conditions.queues.update(REPLICATION={"latency": 7200, "count": 5}),
            "queues", "warning", "the oldest 2 h 00 min",
        ),
        (lambda h: setattr(h.conditions, "scheduler_paused", True), "schedules", "bad", "no schedule fires"),
        (
            lambda h: h.conditions.schedules.append({"vendor_type": "GC", "vendor_id": 1, "cron": "0 0 0 31 2 *"}),
            "schedules", "bad", "GC 1: 0 0 0 31 2 *",
        ),
        (lambda h: setattr(h.conditions, "volumes", [{"total": 100, "free": 5}]), "disk", "bad", "95% of 100 bytes"),
        (lambda h: setattr(h.conditions, "volumes", [{}]), "disk", "unknown", "Harbor does not show it"),
        (
            lambda h: change(h.quota("mirror"), storage=100, reported_use=100),
            "quotas", "bad", "project mirror uses 100 bytes of 100 bytes",
        ),
        (
            lambda h: h.faults.add(Fault("/registries/ping", 400, reason="the registry is unhealthy")),
            "endpoint hub", "bad", "unhealthy",
        ),
        (
            lambda h: change(h.project("mirror"), registry_id=1),
            "destinations", "bad", "rule nginx copies into project mirror, a proxy cache",
        ),
        (
            lambda h: h.faults.add(Fault("/jobservice/queues", 403)),
            "queues", "unknown", "log in as an administrator",
        ),
        (lambda h: h.faults.add(Fault("/api/v2.0/health", 502, "<html>")), "health", "bad", "HTTP 502"),
    ],
)  # fmt: skip
def test_each_problem_is_reported_with_advice(
    mirrored: HarborFixture, run: Run, break_it: Any, subject: str, state: str, text: str
) -> None:
    break_it(mirrored)
    result = run("doctor")
    found = [line for line in result.out.splitlines() if line.startswith(f"{state}: {subject}:")]
    assert any(text in line for line in found), result.out
    assert result.code == (2 if state == "bad" else 0)


def _serve_status(harbor: HarborFixture, **changes: Any) -> None:
    """Let the server of the stack serve a status document, as Caddy does."""
    now = datetime.now(UTC)
    document = {
        "schema": 1,
        "writtenAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "runs": {},
        "backup": {"lastComplete": now.strftime("%Y%m%dT%H%M%SZ"), "encrypted": True},
        "packages": {"pending": 0, "pendingSince": None},
        **changes,
    }
    headers = {"Content-Type": "application/json"}
    harbor.faults.add(Fault("/harbor-mirror/status", 200, json.dumps(document), times=None, headers=headers))


FAILED_BACKUP = {"backup": {"result": "failed", "at": "2026-01-01T03:16:00Z", "reason": "blobs: \x1b[31mfull"}}


@pytest.mark.parametrize("command", ["doctor", "drift"])
def test_a_failed_backup_of_the_server_is_reported(
    mirrored: HarborFixture, run: Run, stack: FakeStack, command: str
) -> None:
    stack.outputs["host"] = {"ip": "192.0.2.1", "instanceId": "1", "volumeId": "2"}
    _serve_status(mirrored, runs=FAILED_BACKUP, backup={"lastComplete": "20260101T031500Z", "encrypted": True})
    result = run(command, **stack.environment)
    assert result.code == 2
    assert "failed at 2026-01-01T03:16:00Z: blobs:" in result.out
    assert "the last complete backup is" in result.out
    assert "\x1b" not in result.out


def test_a_server_without_problems_or_without_a_status(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    stack.outputs["host"] = {"ip": "192.0.2.1", "instanceId": "1", "volumeId": "2"}
    result = run("doctor", "--json", **stack.environment)
    assert (result.code, lines(result.json)["server"]) == (0, "unknown")
    _serve_status(mirrored)
    result = run("doctor", "--json", **stack.environment)
    assert result.code == 0
    assert {lines(result.json)[name] for name in ("server", "backup", "updates")} == {"ok"}


def test_an_existing_harbor_has_no_server_to_ask(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    result = run("doctor", "--json", **stack.environment)
    assert "server" not in lines(result.json)
    assert not [path for _, path in mirrored.calls() if "harbor-mirror" in path]


def test_a_wrong_password(mirrored: HarborFixture, run: Run) -> None:
    mirrored.set_password("Another-Secret-1")
    result = run("doctor")
    assert result.code == 2
    assert "bad: credentials: Harbor at" in result.out


def test_a_wrong_pull_password(mirrored: HarborFixture, run: Run, stack: FakeStack) -> None:
    mirrored.data.robots.clear()
    result = run("doctor", **stack.environment)
    assert result.code == 2
    assert "bad: pull access: Harbor rejects robot$puller" in result.out


def test_a_hostname_that_does_not_resolve(run: Run) -> None:
    result = run("doctor", HARBOR_URL="https://no-such-host.invalid")
    assert result.code == 2
    assert "bad: dns: no-such-host.invalid does not resolve" in result.out


def test_an_unreachable_harbor(run: Run) -> None:
    result = run("doctor", HARBOR_URL="http://127.0.0.1:1")
    assert result.code == 2
    assert "bad: health: connection refused" in result.out


class Unwell(BaseHTTPRequestHandler):
    """A server with an unhealthy Harbor, and with a certificate and a clock of the test's choice."""

    ahead = timedelta()

    def do_GET(self) -> None:
        body = b'{"status": "unhealthy", "components": [{"name": "core", "status": "unhealthy", "error": "boom"}]}'
        self.send_response_only(200)
        self.send_header("Date", (datetime.now(UTC) + self.ahead).strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("days", "state"), [(2, "bad"), (10, "warning"), (90, "ok")])
def test_certificate_expiry(run: Run, tmp_path: Path, days: int, state: str) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", str(days)),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), Unwell) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"https://localhost:{server.server_port}"
        trusted = run("doctor", HARBOR_URL=url, SSL_CERT_FILE=str(certificate))
        strange = run("doctor", HARBOR_URL=url)
        server.shutdown()
    assert f"{state}: tls: the certificate expires in" in trusted.out
    assert "bad: tls: the certificate is not trusted" in strange.out


@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (2, "warning"), (30, "bad")])
def test_clock_difference(run: Run, monkeypatch: pytest.MonkeyPatch, minutes: int, state: str) -> None:
    monkeypatch.setattr(Unwell, "ahead", timedelta(minutes=minutes))
    with HTTPServer(("127.0.0.1", 0), Unwell) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = run("doctor", HARBOR_URL=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert f"{state}: clock: differs by" in result.out
    assert "core is unhealthy: boom" in result.out
