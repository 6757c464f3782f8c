"""Writes what `adopt` found: the stack's file, the import file, and a script of the exact commands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.plan.outputs import pull_robot
from mirrorctl.failure import Failure
from mirrorctl.live.connection import Connection
from mirrorctl.live.import_ids import ROBOT
from mirrorctl.live.takeover import PROVIDER, Adopted
from mirrorctl.output.reports import AdoptReport, Announced

PROJECT = "harbor-mirror"


class AdoptionFiles:
    """The three files of a new stack in a folder. Raise Failure if the name is invalid or a file exists."""

    def __init__(self, folder: Path, stack: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", stack):
            raise Failure(f"--name {stack}: a stack name consists of letters, digits, '-', '_' and '.'")
        self._folder = folder
        self._stack = stack
        self._configuration = folder / f"Pulumi.{stack}.yaml"
        self._imports = folder / f"import.{stack}.json"
        self._script = folder / f"adopt.{stack}.sh"
        for path in self.paths:
            if path.exists():
                raise Failure(f"{path} already exists; choose another --name or --into")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files' paths."""
        return self._configuration, self._imports, self._script

    def write(self, adopted: Adopted, connection: Connection) -> AdoptReport:
        """Write the files and return what is in them. Raise Failure."""
        harbor = {"url": connection.url, "username": connection.username}
        configuration = {"harbor": harbor, **adopted.configuration}
        secrets_needed = ("harborPassword", *adopted.secrets)
        commands = tuple(self._commands(secrets_needed))
        imports = {"nameTable": {PROVIDER: self._provider()}, "resources": list(adopted.imports)}
        try:
            self._configuration.write_text(_stack_file(configuration, connection.url))
            self._imports.write_text(json.dumps(imports, indent=2) + "\n")
            self._script.write_text("\n".join(["#!/bin/sh", "set -eu", *commands, ""]))
            self._script.chmod(0o755)
        except OSError as error:
            raise Failure(f"--into {self._folder}: {error.strerror}") from None
        return AdoptReport(
            harbor=connection.url,
            files=tuple(map(str, self.paths)),
            endpoints=tuple(adopted.configuration["endpoints"]),
            projects=tuple(adopted.configuration["projects"]),
            rules=tuple(adopted.configuration["rules"]),
            secrets_needed=secrets_needed,
            left_out=tuple(adopted.left_out),
            announced=(*adopted.announced, self._robot()),
            commands=commands,
        )

    def _provider(self) -> str:
        return f"urn:pulumi:{self._stack}::{PROJECT}::pulumi:providers:{PROVIDER}::{PROVIDER}"

    def _robot(self) -> Announced:
        reason = f"robot${pull_robot(self._stack)}, the account with which deployments pull"
        return Announced(op="create", type=ROBOT, name="pull", reason=reason)

    def _commands(self, secrets_needed: Sequence[str]) -> Iterator[str]:
        option = f"--stack {shlex.quote(self._stack)}"
        imports = shlex.quote(self._imports.name)
        yield f"pulumi stack select --create {shlex.quote(self._stack)}"
        for path in secrets_needed:
            yield f"pulumi config set {option} --path --secret {shlex.quote(path)}"
        yield f"pulumi up {option} --yes --skip-preview --target {shlex.quote(self._provider())}"
        yield f"pulumi import {option} --file {imports} --protect=false --generate-code=false --yes --skip-preview"
        yield f"pulumi preview {option} --diff"


def _stack_file(configuration: Mapping[str, Any], url: str) -> str:
    settings = {f"{PROJECT}:{key}": value for key, value in configuration.items()}
    head = f"# Adopted from {url} by `mirrorctl adopt`; the script next to this file sets the secrets.\n"
    return head + yaml.safe_dump({"config": settings}, sort_keys=False, allow_unicode=True, width=100)
