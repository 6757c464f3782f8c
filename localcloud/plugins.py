"""The real provider plugins, where they can be installed."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import os
import subprocess
from pathlib import Path

import httpx

from localcloud.engine import PROJECT

PACKAGES = ("pulumi_linode", "pulumiverse_harbor", "pulumi_random")
#: Where the engine looks for a plugin if its package names no other server.
DOWNLOADS = "https://get.pulumi.com"
CONNECT_SECONDS = 10
#: Enough for a download.
INSTALL_SECONDS = 180


def home() -> Path:
    """Return a Pulumi home in the user's cache: plugins are downloaded once for each user, not for each clone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harbor-mirror" / "pulumi-home"


def install() -> str | None:
    """Install the real plugins of the Python packages. Return None, or the reason why that is impossible."""
    for package in PACKAGES:
        wanted = json.loads(importlib.resources.files(package).joinpath("pulumi-plugin.json").read_text())
        server = ["--server", wanted["server"]] if wanted.get("server") else []
        version = wanted.get("version") or importlib.metadata.version(package)
        if not (home() / "plugins" / f"resource-{wanted['name']}-v{version}").is_dir() and (reason := _unreachable()):
            return reason
        command = ["pulumi", "plugin", "install", "resource", wanted["name"], version, *server, "--color", "never"]
        try:
            done = subprocess.run(  # noqa: S603 - the arguments are the packages' own
                command,
                env={
                    **os.environ,
                    "PULUMI_HOME": str(home()),
                    "PATH": f"{PROJECT / '.tools/bin'}:{os.environ['PATH']}",
                },
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{wanted['name']} {version}: no answer within {INSTALL_SECONDS} s"
        if done.returncode != 0:
            return f"{wanted['name']} {version}: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    return None


def _unreachable() -> str | None:
    """Return why plugins cannot be downloaded: without a network, the engine tries five times before it says so."""
    try:
        httpx.head(DOWNLOADS, timeout=CONNECT_SECONDS)
    except httpx.HTTPError as error:
        return f"{DOWNLOADS}: {error}"
    return None
