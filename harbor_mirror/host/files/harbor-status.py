#!/usr/bin/python3
# Writes the status document of this server, which Caddy serves to Harbor's administrators, from what the scripts left.
# --packages: also load the rules of the metadata service again, and count the pending updates.

import json
import os
import subprocess
import sys
import time
from pathlib import Path

CONFIG = Path("/etc/harbor-mirror")
STATE = Path("/var/lib/harbor-mirror")
VOLUME = Path("/mnt/harbor")
PACKAGES = STATE / "packages.json"
DOCUMENT = Path("/var/lib/harbor-status/status.json")


def read(path):
    return path.read_text(errors="replace").strip() if path.exists() else None


def load(path):
    try:
        return json.loads(read(path) or "{}")
    except ValueError:
        return {}


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, sort_keys=True) + "\n")
    part.replace(path)


def stamp(seconds=None):
    return time.strftime("%FT%TZ", time.gmtime(seconds))


def run(name):
    for result in ("failed", "done"):
        path = STATE / f"{name}.{result}"
        if path.exists():
            return {"result": result, "at": stamp(path.stat().st_mtime), "reason": read(path)}
    return None


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None


os.umask(0o022)
if sys.argv[1:]:
    # Another service may have flushed the rules.
    subprocess.run(["/usr/sbin/nft", "-f", CONFIG / "metadata.nft"], check=True)  # noqa: S603
    planned = output("apt-get", "-qs", "-o", "Debug::NoLocking=1", "dist-upgrade")
    if planned is not None:
        pending = planned.count("\nInst ") + planned.startswith("Inst ")
        since = load(PACKAGES).get("pendingSince") or stamp()
        write(PACKAGES, {"pending": pending, "pendingSince": since if pending else None, "checkedAt": stamp()})
settings = load((STATE if (CONFIG / "settings-source.env").exists() else CONFIG) / "settings.json")
backup = settings.get("backup")
clock = output("timedatectl", "show", "--property=NTPSynchronized", "--value")
status = {
    "schema": 1,
    "writtenAt": stamp(),
    "version": read(VOLUME / "harbor-version"),
    "runs": {name: run(name) for name in ("harbor", "settings", "backup", "restore", "maintenance")},
    "backup": backup
    and {"lastComplete": read(VOLUME / "backup-last"), "encrypted": bool(backup.get("recipient")), "at": backup["at"]},
    "maintenanceWindow": settings.get("maintenanceWindow"),
    "packages": load(PACKAGES) or None,
    "rebootRequired": Path("/run/reboot-required").exists(),
    "clockSynchronized": None if clock is None else clock.strip() == "yes",
}
write(DOCUMENT, status)
