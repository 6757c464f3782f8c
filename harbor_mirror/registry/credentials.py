"""Reads the credentials that docker, podman and skopeo store: config.json, auth.json and credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The limit for a credential helper, which may ask a keyring or a cloud.
HELPER_SECONDS = 15
#: The key of Docker Hub's entry.
DOCKER_HUB = "https://index.docker.io/v1/"
DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"})
#: The user name in a helper's output if the secret is an identity token.
TOKEN_USER = "<token>"  # noqa: S105


@dataclass(frozen=True)
class Credentials:
    """User name and password, or the identity token that some logins store instead."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)

    @property
    def basic(self) -> str:
        """Return the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def stored_credentials(host: str, environ: Mapping[str, str] | None = None) -> Credentials | None:
    """Return what `docker login` or `skopeo login` stored for the registry at `host` (name and port), if anything."""
    for path in _files(os.environ if environ is None else environ):
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and (credentials := _find(content, host)):
            return credentials
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    if explicit := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(explicit)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    if folder := environ.get("DOCKER_CONFIG"):
        yield Path(folder, "config.json")
    elif home := environ.get("HOME"):
        yield Path(home, ".docker", "config.json")


def _find(content: dict[str, Any], host: str) -> Credentials | None:
    names = _names(host)
    helpers = content.get("credHelpers") or {}
    for name in names:
        if name in helpers and (credentials := _ask_helper(str(helpers[name]), name)):
            return credentials
    for name in names:
        if credentials := _decode((content.get("auths") or {}).get(name)):
            return credentials
    store = content.get("credsStore")
    for name in names if store else ():
        if credentials := _ask_helper(str(store), name):
            return credentials
    return None


def _names(host: str) -> tuple[str, ...]:
    if host in DOCKER_HUB_HOSTS:
        return (DOCKER_HUB, "docker.io", "index.docker.io", "registry-1.docker.io")
    return (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/")


def _decode(entry: Any) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    try:
        decoded = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    if ":" in decoded:
        username, _, password = decoded.rstrip("\0").partition(":")
    token = entry.get("identitytoken")
    if not username and not token:
        return None
    return Credentials(username, password, str(token) if token else None)


def _ask_helper(name: str, host: str) -> Credentials | None:
    program = shutil.which(f"docker-credential-{name}") if re.fullmatch(r"[\w.-]+", name) else None
    if program is None:
        return None
    try:
        result = subprocess.run(  # noqa: S603 - named by the user's docker configuration
            [program, "get"], input=host, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
        output = json.loads(result.stdout) if result.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    username, secret = str(output.get("Username") or ""), str(output.get("Secret") or "")
    if not secret:
        return None
    if username == TOKEN_USER:
        return Credentials("", "", secret)
    return Credentials(username, secret)
