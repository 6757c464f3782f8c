"""Checks what a mirror depends on: DNS, TLS, health, clock, queues, disk, sources. Each finding says what to do."""

from __future__ import annotations

import importlib.metadata
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from harbor_mirror.config.refusal import Refused
from harbor_mirror.harbor.client import API, Harbor, HarborError, Json, WrongCredentials, check_credentials
from harbor_mirror.host.status import STATUS_PATH, server_findings
from harbor_mirror.http import describe_error, new_client
from harbor_mirror.plan.harbor_versions import lacking
from harbor_mirror.plan.schedule import Schedule
from mirrorctl.live import engine, mirror
from mirrorctl.live.connection import Connection
from mirrorctl.output.reports import DoctorLine, DoctorReport, DoctorState
from mirrorctl.output.units import duration, size

#: Let's Encrypt certificates are renewed 30 days before they expire; below this, renewal has failed twice.
CERTIFICATE_WARNING_DAYS, CERTIFICATE_BAD_DAYS = 21, 3
#: Harbor rejects tokens and robot accounts with times in the future.
CLOCK_WARNING_SECONDS, CLOCK_BAD_SECONDS = 30, 300
#: Garbage collection and uploads need free space.
DISK_WARNING, DISK_BAD = 0.80, 0.93
QUOTA_WARNING = 0.90
#: A job that waits longer than this does not just wait for a busy worker.
QUEUE_SECONDS = 15 * 60
TLS_SECONDS = 10
#: The Harbor version on which this project's facts were measured.
MEASURED_VERSION = (2, 15)
PACKAGES = ("pulumi", "pulumi-linode", "pulumiverse-harbor")


def diagnose(connection: Connection, harbor: Callable[[], Harbor]) -> DoctorReport:
    """Return the result of every check; `harbor` opens the connection after the checks that need no credentials."""
    lines = list(_check_from_outside(connection.url))
    if not any(line.state == "bad" for line in lines):
        try:
            lines += _check_as_administrator(harbor(), connection)
        except WrongCredentials as error:
            lines.append(_line("credentials", "bad", str(error)))
    lines += _versions(connection)
    return DoctorReport(ok=not any(line.state == "bad" for line in lines), harbor=connection.url, lines=tuple(lines))


def _line(subject: str, state: DoctorState, text: str, advice: str = "") -> DoctorLine:
    return DoctorLine(subject=subject, state=state, text=text, advice=advice)


def _check_from_outside(url: str) -> Iterator[DoctorLine]:
    """Check what is visible without credentials."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError as error:
        yield _line(
            "dns", "bad", f"{host} does not resolve ({error.strerror})", "create the A record; see the output host.ip"
        )
        return
    yield _line("dns", "ok", f"{host} is {', '.join(addresses)}")
    if parts.scheme == "https":
        yield _certificate(host, port)
    else:
        yield _line(
            "tls", "warning", "no TLS: passwords are sent in plain text", "set host.tls, unless the network is private"
        )
    yield from _health(url)


def _certificate(host: str, port: int) -> DoctorLine:
    try:
        with (
            socket.create_connection((host, port), TLS_SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            ends = str((secured.getpeercert() or {}).get("notAfter"))
    except ssl.SSLError as error:
        return _line(
            "tls", "bad", f"the certificate is not trusted: {error.reason}", "renew it, or trust its authority"
        )
    except OSError as error:
        return _line("tls", "bad", f"no connection to port {port}: {error.strerror or error}", "check the firewall")
    days = int((ssl.cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) // 86400)
    state = _level(-days, -CERTIFICATE_WARNING_DAYS, -CERTIFICATE_BAD_DAYS)
    return _line("tls", state, f"the certificate expires in {days} days", "" if state == "ok" else "renew it now")


def _level(value: float, warning: float, bad: float) -> DoctorState:
    return "bad" if value >= bad else "warning" if value >= warning else "ok"


def _health(url: str) -> Iterator[DoctorLine]:
    with new_client() as client:
        try:
            answer = client.get(f"{url}{API}/health")
            body = answer.json()
            components: list[Json] = body["components"]
        except httpx.TransportError as error:
            yield _line("health", "bad", describe_error(error), "check that the instance runs")
            return
        except (ValueError, KeyError, TypeError):
            text = f"HTTP {answer.status_code} without Harbor's health"
            yield _line("health", "bad", text, "check the address; on the host: docker compose ps")
            return
    unhealthy = [part for part in components if part.get("status") != "healthy"]
    for part in unhealthy:
        text = f"{part.get('name')} is {part.get('status')}: {part.get('error') or 'no reason given'}"
        yield _line("health", "bad", text, f"on the host: docker logs {_container(str(part.get('name')))}")
    if not unhealthy:
        yield _line("health", "ok", f"{len(components)} components are healthy")
    yield from _clock(answer)


def _container(component: str) -> str:
    return {"core": "harbor-core", "jobservice": "harbor-jobservice", "database": "harbor-db"}.get(component, component)


def _clock(answer: httpx.Response) -> Iterator[DoctorLine]:
    try:
        remote = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        return
    difference = abs((remote - datetime.now(UTC)).total_seconds())
    state = _level(difference, CLOCK_WARNING_SECONDS, CLOCK_BAD_SECONDS)
    advice = "" if state == "ok" else "synchronise both clocks by NTP: tokens and schedules use Harbor's clock"
    yield _line("clock", state, f"differs by {duration(difference)}", advice)


def _check_as_administrator(harbor: Harbor, connection: Connection) -> Iterator[DoctorLine]:
    """Check what needs an administrator."""
    yield _line("credentials", "ok", f"Harbor accepts {connection.username}")
    yield _version(harbor)
    checks: Mapping[str, Callable[[], Iterator[DoctorLine]]] = {
        "queues": lambda: _queues(harbor),
        "schedules": lambda: _schedules(harbor),
        "disk": lambda: _disk(harbor),
        "quotas": lambda: _quotas(harbor),
        "endpoints": lambda: _registries(harbor),
        "destinations": lambda: _destinations(harbor, connection),
        "server": lambda: _server(harbor, connection),
    }
    for subject, check in checks.items():
        try:
            yield from check()
        except HarborError as error:
            state: DoctorState = "unknown" if error.status == 403 else "bad"
            advice = "log in as an administrator to see it" if error.status == 403 else ""
            yield _line(subject, state, error.message, advice)
    outputs = connection.outputs or {}
    if outputs.get("pullUsername"):
        yield _pull_access(connection, outputs["pullUsername"], outputs.get("pullPassword") or "")


def _server(harbor: Harbor, connection: Connection) -> Iterator[DoctorLine]:
    """Check the server of a stack with a host: backups, updates, failed steps."""
    if (connection.outputs or {}).get("host"):
        for finding in server_findings(harbor.beside(STATUS_PATH), datetime.now(UTC)):
            yield _line(finding.subject, finding.state, finding.text, finding.advice)


def _version(harbor: Harbor) -> DoctorLine:
    version = str(harbor.system_info().get("harbor_version") or "")
    try:
        major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    except ValueError:
        return _line("version", "unknown", version or "Harbor does not show its version")
    if (major, minor) == MEASURED_VERSION:
        return _line("version", "ok", version)
    if missing := lacking(version):
        return _line("version", "warning", "; ".join(missing), "upgrade this Harbor")
    text = f"{version}; this project was measured on {'.'.join(map(str, MEASURED_VERSION))}"
    return _line("version", "warning", text, "try changes on a test stack first")


def _queues(harbor: Harbor) -> Iterator[DoctorLine]:
    bad = 0
    for queue in harbor.queues():
        name, waiting, latency = queue["job_type"], queue.get("count") or 0, queue.get("latency") or 0
        if queue.get("paused"):
            bad += 1
            yield _line("queues", "bad", f"{name} is paused", "resume it: Job Service Dashboard, Job Queues")
        elif latency > QUEUE_SECONDS:
            bad += 1
            text = f"{name}: {waiting} jobs wait, the oldest {duration(latency)}"
            yield _line("queues", "warning", text, "add workers, or find the source that hangs among the running jobs")
    if not bad:
        yield _line("queues", "ok", "no queue is paused or stuck")


def _schedules(harbor: Harbor) -> Iterator[DoctorLine]:
    if harbor.schedules_paused():
        yield _line(
            "schedules", "bad", "the scheduler is paused: no schedule fires", "resume it: Job Service Dashboard"
        )
    count = 0
    for entry in harbor.schedules():
        count += 1
        cron = entry.get("cron") or ""
        try:
            Schedule.parse(cron, name="", allow_frequent=True)
        except Refused as refused:
            # A cron that never fires keeps the job service busy without end (measured).
            text = f"{entry.get('vendor_type')} {entry.get('vendor_id')}: {cron} {refused.reason}"
            yield _line("schedules", "bad", text, f"use a schedule such as {refused.example}")
    yield _line("schedules", "ok", f"{count} schedules are set")


def _disk(harbor: Harbor) -> Iterator[DoctorLine]:
    volumes = [volume for volume in harbor.volumes() if volume.get("total")]
    if not volumes:
        yield _line("disk", "unknown", "Harbor does not show it; images may be in an object store")
    for volume in volumes:
        total, free = volume["total"], volume.get("free") or 0
        used = 1 - free / total
        state = _level(used, DISK_WARNING, DISK_BAD)
        advice = "" if state == "ok" else "collect garbage, set retention, or raise host.volumeGb"
        yield _line("disk", state, f"{used:.0%} of {size(total)} used", advice)


def _quotas(harbor: Harbor) -> Iterator[DoctorLine]:
    full = 0
    for quota in harbor.quotas():
        limit, used = quota["hard"].get("storage", -1), quota["used"].get("storage", 0)
        if limit > 0 and used / limit >= QUOTA_WARNING:
            full += 1
            name = (quota.get("ref") or {}).get("name")
            state: DoctorState = "bad" if used >= limit else "warning"
            text = f"project {name} uses {size(used)} of {size(limit)}"
            yield _line(
                "quotas", state, text, "raise quotaGb, or delete images: replication fails when the quota is full"
            )
    if not full:
        yield _line("quotas", "ok", "no project is near its limit")


def _registries(harbor: Harbor) -> Iterator[DoctorLine]:
    def ping(registry: Json) -> DoctorLine:
        subject = f"endpoint {registry['name']}"
        try:
            harbor.ping_registry(registry["id"])
        except HarborError as error:
            return _line(
                subject,
                "bad",
                f"{registry['url']}: {error.message}",
                "check the source, the endpoint's url and its secret",
            )
        return _line(subject, "ok", f"{registry['type']} at {registry['url']} answers")

    yield from harbor.parallel(ping, harbor.registries())


def _destinations(harbor: Harbor, connection: Connection) -> Iterator[DoctorLine]:
    projects = mirror.by_name(harbor.projects())
    bad = 0
    for rule in connection.rules(harbor).values():
        if mirror.is_proxy_cache(projects.get(rule.project)):
            bad += 1
            text = f"rule {rule.name} copies into project {rule.project}, a proxy cache: nothing arrives"
            yield _line("destinations", "bad", text, "give the rule another project")
    if not bad:
        yield _line("destinations", "ok", "no rule copies into a proxy cache")


def _pull_access(connection: Connection, username: str, password: str) -> DoctorLine:
    try:
        check_credentials(connection.url, username, password)
    except HarborError as error:
        advice = "its secret or expiry was changed in Harbor: run mirrorctl drift"
        text = f"Harbor rejects {username}" if isinstance(error, WrongCredentials) else error.message
        return _line("pull access", "bad", text, advice)
    return _line("pull access", "ok", f"Harbor accepts {username}")


def _versions(connection: Connection) -> Iterator[DoctorLine]:
    version = engine.version(connection.cwd)
    yield _line("engine", "ok" if version.startswith("v") else "unknown", version)
    for package in PACKAGES:
        try:
            yield _line(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield _line(package, "unknown", "not installed with this tool")
