"""What the status document of a server says about backups, updates and failures; `files/harbor-status.py` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

#: Where Caddy serves the document to Harbor's administrators.
STATUS_PATH = "/harbor-mirror/status"
#: Written every hour and after each step.
SILENT_AFTER = timedelta(hours=3)
#: Backups are made daily; a second one that is missing is a failure.
BACKUP_WARNING, BACKUP_BAD = timedelta(hours=26), timedelta(hours=50)
UPDATES_WARNING, UPDATES_BAD = timedelta(days=14), timedelta(days=60)

State = Literal["ok", "warning", "bad", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One statement about the server; `advice` says what to do unless the state is ok."""

    subject: str
    state: State
    text: str
    advice: str = ""


def server_findings(document: Mapping[str, Any] | None, now: datetime) -> Iterator[Finding]:
    """Yield what a status document says; None if the server did not serve one. `now` is timezone-aware."""
    written = _time((document or {}).get("writtenAt"))
    if document is None or document.get("schema") != 1 or written is None:
        yield Finding(
            "server",
            "unknown",
            "serves no status document",
            "servers without TLS or of an earlier release have none; on the server: /var/lib/harbor-mirror/*.failed",
        )
        return
    if now - written > SILENT_AFTER:
        text = f"wrote its status {_age(now - written)} ago; what follows is from then"
        yield Finding("server", "bad", text, "on the server: systemctl status harbor-status.timer")
    else:
        yield Finding("server", "ok", f"wrote its status {_age(now - written)} ago")
    yield from _runs(document)
    yield from _backup(document, now)
    yield from _updates(document, now)
    if document.get("clockSynchronized") is False:
        yield Finding("server clock", "warning", "is not synchronized", "on the server: timedatectl; is UDP 123 open?")


def _runs(document: Mapping[str, Any]) -> Iterator[Finding]:
    for name, run in _map(document.get("runs")).items():
        if _map(run).get("result") == "failed":
            text = f"failed at {run.get('at')}: {run.get('reason')}"
            yield Finding(f"server {name}", "bad", text, "see docs/host-failures.md, On the server")


def _backup(document: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    if document.get("backup") is None:
        yield Finding("backup", "warning", "no backup is configured", "set host.backup")
        return
    backup = _map(document["backup"])
    last = _time(backup.get("lastComplete"))
    if last is None:
        yield Finding(
            "backup", "warning", "there is no complete backup yet", "on the server: systemctl start harbor-backup"
        )
    else:
        state = _state(now - last, BACKUP_WARNING, BACKUP_BAD)
        advice = "" if state == "ok" else "on the server: systemctl start harbor-backup"
        yield Finding("backup", state, f"the last complete backup is {_age(now - last)} old", advice)
    if not backup.get("encrypted"):
        yield Finding("backup", "warning", "is not encrypted", "set host.backup.recipient")


def _updates(document: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    packages = _map(document.get("packages"))
    since = _time(packages.get("pendingSince"))
    advice = "set host.maintenanceWindow, or on the server: apt-get update && apt-get dist-upgrade && reboot"
    if not packages:
        yield Finding("updates", "unknown", "have not been counted yet")
    elif since is None:
        yield Finding("updates", "ok", "no package waits for an update")
    else:
        state = _state(now - since, UPDATES_WARNING, UPDATES_BAD)
        text = f"{packages.get('pending')} packages wait for an update, the first since {_age(now - since)}"
        yield Finding("updates", state, text, "" if state == "ok" else advice)
    if document.get("rebootRequired"):
        yield Finding("updates", "warning", "a new kernel waits for a reboot", advice)


def _state(age: timedelta, warning: timedelta, bad: timedelta) -> State:
    return "bad" if age > bad else "warning" if age > warning else "ok"


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} h" if hours else f"{int(age.total_seconds() // 60)} min"


def _time(value: object) -> datetime | None:
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ"):
        try:
            return datetime.strptime(str(value), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
