"""Looks at everything a mirror stands on, each line with what to do: name, TLS, health, queues, disk, sources."""

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
from harbor_mirror.http import describe_error, new_client
from harbor_mirror.plan.harbor_versions import lacking
from harbor_mirror.plan.schedule import Schedule
from mirrorctl.failure import AS_WANTED, BAD_FINDING
from mirrorctl.live import mirror, stack
from mirrorctl.live.connection import Connection
from mirrorctl.output.render import Output, duration, size
from mirrorctl.output.reports import DoctorLine, DoctorReport, DoctorState
from mirrorctl.tool import Tool

#: Let's Encrypt renews 30 days before the end; less than this and renewal has failed twice.
CERTIFICATE_WARNING_DAYS, CERTIFICATE_BAD_DAYS = 21, 3
#: Tokens and robots carry times: Harbor refuses those from the future.
CLOCK_WARNING_SECONDS, CLOCK_BAD_SECONDS = 30, 300
#: Garbage collection and uploads need room to work.
DISK_WARNING, DISK_BAD = 0.80, 0.93
QUOTA_WARNING = 0.90
#: A job that waits longer than this is not waiting for a worker that is merely busy.
QUEUE_SECONDS = 15 * 60
TLS_SECONDS = 10
#: The version that this project's measurements are of.
MEASURED_VERSION = (2, 15)
PACKAGES = ("pulumi", "pulumi-linode", "pulumiverse-harbor")


def command(tool: Tool) -> int:
    """See `mirrorctl doctor --help`."""
    connection = tool.connection
    lines = list(_outside(connection.url))
    if not any(line.state == "bad" for line in lines):
        try:
            lines += _inside(tool.harbor, connection)
        except WrongCredentials as error:
            lines.append(_line("credentials", "bad", str(error)))
    lines += _versions(connection)
    report = DoctorReport(ok=not any(line.state == "bad" for line in lines), harbor=connection.url, lines=tuple(lines))
    tool.output.report(report)
    show(tool.output, report)
    return AS_WANTED if report.ok else BAD_FINDING


def _line(subject: str, state: DoctorState, text: str, advice: str = "") -> DoctorLine:
    return DoctorLine(subject=subject, state=state, text=text, advice=advice)


def _outside(url: str) -> Iterator[DoctorLine]:
    """What can be seen without credentials."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError as error:
        yield _line(
            "dns", "bad", f"{host} does not resolve ({error.strerror})", "make the A record; see output host.ip"
        )
        return
    yield _line("dns", "ok", f"{host} is {', '.join(addresses)}")
    if parts.scheme == "https":
        yield _certificate(host, port)
    else:
        yield _line("tls", "warning", "none: passwords travel in plain", "set host.tls, unless the network is private")
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
            "tls", "bad", f"the certificate is not accepted: {error.reason}", "renew it, or trust its authority"
        )
    except OSError as error:
        return _line("tls", "bad", f"no connection to port {port}: {error.strerror or error}", "check the firewall")
    days = int((ssl.cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) // 86400)
    state = _level(-days, -CERTIFICATE_WARNING_DAYS, -CERTIFICATE_BAD_DAYS)
    return _line("tls", state, f"the certificate ends in {days} days", "" if state == "ok" else "renew it now")


def _level(value: float, warning: float, bad: float) -> DoctorState:
    return "bad" if value >= bad else "warning" if value >= warning else "ok"


def _health(url: str) -> Iterator[DoctorLine]:
    with new_client() as client:
        try:
            answer = client.get(f"{url}{API}/health")
            body = answer.json()
            components: list[Json] = body["components"]
        except httpx.TransportError as error:
            yield _line("health", "bad", describe_error(error), "is the instance up? see its console at Linode")
            return
        except (ValueError, KeyError, TypeError):
            text = f"HTTP {answer.status_code} without the health of a Harbor"
            yield _line("health", "bad", text, "is this the right address? on the host: docker compose ps")
            return
    sick = [part for part in components if part.get("status") != "healthy"]
    for part in sick:
        text = f"{part.get('name')} is {part.get('status')}: {part.get('error') or 'no reason given'}"
        yield _line("health", "bad", text, f"on the host: docker logs {_container(str(part.get('name')))}")
    if not sick:
        yield _line("health", "ok", f"{len(components)} components are healthy")
    yield from _clock(answer)


def _container(component: str) -> str:
    return {"core": "harbor-core", "jobservice": "harbor-jobservice", "database": "harbor-db"}.get(component, component)


def _clock(answer: httpx.Response) -> Iterator[DoctorLine]:
    try:
        there = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError):
        return
    off = abs((there - datetime.now(UTC)).total_seconds())
    state = _level(off, CLOCK_WARNING_SECONDS, CLOCK_BAD_SECONDS)
    advice = "" if state == "ok" else "set both clocks by NTP: tokens and schedules go by Harbor's"
    yield _line("clock", state, f"differs by {duration(off)}", advice)


def _inside(harbor: Harbor, connection: Connection) -> Iterator[DoctorLine]:
    """What an administrator sees."""
    yield _line("credentials", "ok", f"{connection.username} may enter")
    yield _version(harbor)
    looks: Mapping[str, Callable[[], Iterator[DoctorLine]]] = {
        "queues": lambda: _queues(harbor),
        "schedules": lambda: _schedules(harbor),
        "disk": lambda: _disk(harbor),
        "quotas": lambda: _quotas(harbor),
        "endpoints": lambda: _registries(harbor),
        "destinations": lambda: _destinations(harbor, connection),
    }
    for subject, look in looks.items():
        try:
            yield from look()
        except HarborError as error:
            state: DoctorState = "unknown" if error.status == 403 else "bad"
            advice = "needs an administrator" if error.status == 403 else ""
            yield _line(subject, state, error.message, advice)
    outputs = connection.outputs or {}
    if outputs.get("pullUsername"):
        yield _pull_access(connection, outputs["pullUsername"], outputs.get("pullPassword") or "")


def _version(harbor: Harbor) -> DoctorLine:
    version = str(harbor.system_info().get("harbor_version") or "")
    try:
        major, minor = (int(part) for part in version.lstrip("v").split(".")[:2])
    except ValueError:
        return _line("version", "unknown", version or "not told")
    if (major, minor) == MEASURED_VERSION:
        return _line("version", "ok", version)
    if missing := lacking(version):
        return _line("version", "warning", "; ".join(missing), "upgrade this Harbor")
    text = f"{version}; this project is measured on {'.'.join(map(str, MEASURED_VERSION))}"
    return _line("version", "warning", text, "try it on a rehearsal stack first")


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
            yield _line("queues", "warning", text, "too few workers, or a source that hangs: look at the running jobs")
    if not bad:
        yield _line("queues", "ok", "no queue is paused or stuck")


def _schedules(harbor: Harbor) -> Iterator[DoctorLine]:
    if harbor.schedules_paused():
        yield _line("schedules", "bad", "the scheduler is paused: no rule fires", "resume it: Job Service Dashboard")
    count = 0
    for entry in harbor.schedules():
        count += 1
        cron = entry.get("cron") or ""
        try:
            Schedule.parse(cron, name="", allow_frequent=True)
        except Refused as refused:
            # A cron that never fires keeps the job service busy for ever (measured).
            text = f"{entry.get('vendor_type')} {entry.get('vendor_id')}: {cron} {refused.reason}"
            yield _line("schedules", "bad", text, f"such as {refused.example}")
    yield _line("schedules", "ok", f"{count} are set")


def _disk(harbor: Harbor) -> Iterator[DoctorLine]:
    known = [volume for volume in harbor.volumes() if volume.get("total")]
    if not known:
        yield _line("disk", "unknown", "not told; images may lie in an object store")
    for volume in known:
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
            yield _line("quotas", state, text, "raise quotaGb, or delete images; replication fails when it is full")
    if not full:
        yield _line("quotas", "ok", "no project is near its limit")


def _registries(harbor: Harbor) -> Iterator[DoctorLine]:
    def ping(registry: Json) -> DoctorLine:
        subject = f"endpoint {registry['name']}"
        try:
            harbor.ping_registry(registry["id"])
        except HarborError as error:
            return _line(subject, "bad", f"{registry['url']}: {error.message}", "check the source, its url, its secret")
        return _line(subject, "ok", f"{registry['type']} at {registry['url']} answers")

    yield from harbor.parallel(ping, harbor.registries())


def _destinations(harbor: Harbor, connection: Connection) -> Iterator[DoctorLine]:
    projects = mirror.by_name(harbor.projects())
    bad = 0
    for rule in connection.rules(harbor).values():
        if mirror.is_proxy_cache(projects.get(rule.project)):
            bad += 1
            text = f"rule {rule.name} leads into project {rule.project}, a proxy cache: nothing arrives, runs succeed"
            yield _line("destinations", "bad", text, "give the rule another project")
    if not bad:
        yield _line("destinations", "ok", "no rule leads into a proxy cache")


def _pull_access(connection: Connection, username: str, password: str) -> DoctorLine:
    try:
        check_credentials(connection.url, username, password)
    except HarborError as error:
        advice = "its secret or its expiry changed in Harbor: see `drift`"
        text = f"{username} is refused" if isinstance(error, WrongCredentials) else error.message
        return _line("pull access", "bad", text, advice)
    return _line("pull access", "ok", f"{username} may enter")


def _versions(connection: Connection) -> Iterator[DoctorLine]:
    engine = stack.version(connection.cwd)
    yield _line("engine", "ok" if engine.startswith("v") else "unknown", engine)
    for package in PACKAGES:
        try:
            yield _line(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield _line(package, "unknown", "not installed beside this tool")


def show(output: Output, report: DoctorReport) -> None:
    """A line for each thing looked at, then what to do."""
    for line in report.lines:
        output.line(f"{line.state}: {line.subject}: {line.text}{f'. {line.advice}' if line.advice else ''}")
