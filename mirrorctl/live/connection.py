"""Which Harbor a command talks to: that of a stack, or the one that the environment names."""

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

#: The provider's own names.
URL, USERNAME, PASSWORD = "HARBOR_URL", "HARBOR_USERNAME", "HARBOR_PASSWORD"


@dataclass(frozen=True)
class Connection:
    """A Harbor and how to enter it; `outputs` are the stack's, None if the environment names the Harbor."""

    url: str
    username: str
    password: str = field(repr=False)
    stack: str | None = None
    cwd: Path = Path()
    outputs: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything that must never be shown."""
        pull = (self.outputs or {}).get("pullPassword")
        return (self.password, pull) if pull else (self.password,)

    @property
    def registry_host(self) -> str:
        """The name that image references start with."""
        return str((self.outputs or {}).get("registryHost") or self.url.partition("://")[2].partition("/")[0])

    def harbor(self) -> Harbor:
        """A client with an administrator's rights."""
        return Harbor(self.url, self.username, self.password)

    def registry(self) -> Registry:
        """Harbor's images as deployments see them: with their credentials, if the stack makes some."""
        outputs = self.outputs or {}
        username, password = outputs.get("pullUsername"), outputs.get("pullPassword")
        if not (username and password):
            username, password = self.username, self.password
        return Registry(self.url, Credentials(username, password))

    def rules(self, harbor: Harbor) -> dict[str, Rule]:
        """The rules by name: the stack's, or every pull rule in Harbor."""
        return mirror.live(harbor) if self.outputs is None else mirror.declared(self.outputs)


def connect(stack_name: str | None, cwd: Path | None, environ: Mapping[str, str] = os.environ) -> Connection:
    """`--stack` and `--cwd` outrank HARBOR_URL, which outranks the selected stack of this folder. Raises Failure."""
    url = environ.get(URL)
    if url and stack_name is None and cwd is None:
        missing = [name for name in (USERNAME, PASSWORD) if not environ.get(name)]
        if missing:
            raise Failure(f"{URL} is set, {' and '.join(missing)} not; set all three")
        return Connection(url, environ[USERNAME], environ[PASSWORD])
    folder = cwd or Path()
    outputs = engine.outputs(stack_name, folder)
    lacking = [name for name in ("harborUrl", "adminUsername", "adminPassword") if not outputs.get(name)]
    if lacking:
        shown = f"stack {stack_name}" if stack_name else "the selected stack"
        raise Failure(f"{shown} has no output {', '.join(lacking)}; run `pulumi up` first")
    return Connection(
        outputs["harborUrl"], outputs["adminUsername"], outputs["adminPassword"], stack_name, folder, outputs
    )
