"""Decides which Harbor a command uses: that of a stack, or the one in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harbor_mirror.harbor.client import Harbor
from harbor_mirror.registry.credentials import Credentials
from harbor_mirror.registry.distribution import Registry
from mirrorctl.failure import Failure
from mirrorctl.live import engine, mirror
from mirrorctl.live.mirror import Rule

#: The same environment variables as the Harbor provider's.
URL, USERNAME, PASSWORD = "HARBOR_URL", "HARBOR_USERNAME", "HARBOR_PASSWORD"


@dataclass(frozen=True)
class Connection:
    """A Harbor and its credentials; `outputs` are the stack's, None if the environment names the Harbor."""

    url: str
    username: str
    password: str = field(repr=False)
    stack: str | None = None
    cwd: Path = Path()
    outputs: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown."""
        outputs = self.outputs or {}
        robots = (robot.get("password") for robot in (outputs.get("robots") or {}).values())
        return tuple(filter(None, (self.password, outputs.get("pullPassword"), *robots)))

    @property
    def registry_host(self) -> str:
        """Return the host that image references start with."""
        return str((self.outputs or {}).get("registryHost") or self.url.partition("://")[2].partition("/")[0])

    def harbor(self) -> Harbor:
        """Return a client with the connection's credentials."""
        return Harbor(self.url, self.username, self.password)

    def registry(self) -> Registry:
        """Return Harbor's registry, with the credentials of deployments if the stack has some."""
        outputs = self.outputs or {}
        username, password = outputs.get("pullUsername"), outputs.get("pullPassword")
        if not (username and password):
            username, password = self.username, self.password
        return Registry(self.url, Credentials(username, password))

    def rules(self, harbor: Harbor) -> dict[str, Rule]:
        """Return the rules by name: the stack's, or every pull rule in Harbor."""
        return mirror.live(harbor) if self.outputs is None else mirror.declared(self.outputs)


def connect(stack_name: str | None, cwd: Path | None, environ: Mapping[str, str] = os.environ) -> Connection:
    """Use `--stack` or `--cwd`, else HARBOR_URL, else the selected stack of the current folder. Raise Failure."""
    url = environ.get(URL)
    if url and stack_name is None and cwd is None:
        missing = [name for name in (USERNAME, PASSWORD) if not environ.get(name)]
        if missing:
            raise Failure(f"{URL} is set, but {' and '.join(missing)} not; set all three")
        return Connection(url, environ[USERNAME], environ[PASSWORD])
    folder = cwd or Path()
    outputs = engine.outputs(stack_name, folder)
    missing = [name for name in ("harborUrl", "adminUsername", "adminPassword") if not outputs.get(name)]
    if missing:
        subject = f"stack {stack_name}" if stack_name else "the selected stack"
        raise Failure(f"{subject} has no output {', '.join(missing)}; run `pulumi up` first")
    return Connection(
        outputs["harborUrl"], outputs["adminUsername"], outputs["adminPassword"], stack_name, folder, outputs
    )
