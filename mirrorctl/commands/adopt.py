"""From a Harbor that was made by hand to a stack: its configuration, an import file, and the exact commands.

Nothing in Harbor is changed. What the configuration can't express is left out and said; a rule is never taken by half.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.harbor.client import Json
from harbor_mirror.plan.outputs import pull_robot
from mirrorctl.failure import AS_WANTED, Failure
from mirrorctl.live.takeover import PROVIDER, take_over
from mirrorctl.output.render import Output
from mirrorctl.output.reports import AdoptReport, Announced
from mirrorctl.tool import Tool

PROJECT = "harbor-mirror"
ROBOT = "harbor:index/robotAccount:RobotAccount"


def command(tool: Tool, *, into: Path, stack: str, names: Sequence[str]) -> int:
    """See `mirrorctl adopt --help`."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", stack):
        raise Failure(f"--name {stack}: a stack's name has letters, digits, '-', '_' and '.'")
    file = into / f"Pulumi.{stack}.yaml"
    if file.exists():
        raise Failure(f"{file} is there already; give another --name or --into")
    found = take_over(tool.harbor, names)
    connection = tool.connection
    config = {"harbor": {"url": connection.url, "username": connection.username}, **found.configuration}
    secrets_needed = ("harborPassword", *found.secrets)
    imports = into / f"import.{stack}.json"
    script = into / f"adopt.{stack}.sh"
    commands = tuple(_commands(stack, secrets_needed, imports.name))
    report = AdoptReport(
        harbor=connection.url,
        files=(str(file), str(imports), str(script)),
        endpoints=tuple(found.configuration["endpoints"]),
        projects=tuple(found.configuration["projects"]),
        rules=tuple(found.configuration["rules"]),
        secrets_needed=secrets_needed,
        left_out=tuple(found.left_out),
        announced=(*found.announced, _robot(stack)),
        commands=commands,
    )
    try:
        file.write_text(_stack_file(config, connection.url))
        imports.write_text(json.dumps(_imports(stack, found.imports), indent=2) + "\n")
        script.write_text("\n".join(["#!/bin/sh", "set -eu", *commands, ""]))
        script.chmod(0o755)
    except OSError as error:
        raise Failure(f"--into {into}: {error.strerror}") from None
    tool.output.report(report)
    show(tool.output, report)
    return AS_WANTED


def _imports(stack: str, resources: Sequence[Json]) -> Json:
    return {"nameTable": {PROVIDER: _provider(stack)}, "resources": list(resources)}


def _provider(stack: str) -> str:
    return f"urn:pulumi:{stack}::{PROJECT}::pulumi:providers:{PROVIDER}::{PROVIDER}"


def _robot(stack: str) -> Announced:
    reason = f"robot${pull_robot(stack)}, with which deployments pull"
    return Announced(op="create", type=ROBOT, name="pull", reason=reason)


def _commands(stack: str, secrets_needed: Sequence[str], imports: str) -> Iterator[str]:
    of = f"--stack {shlex.quote(stack)}"
    yield f"pulumi stack select --create {shlex.quote(stack)}"
    for path in secrets_needed:
        yield f"pulumi config set {of} --path --secret {shlex.quote(path)}"
    yield f"pulumi up {of} --yes --skip-preview --target {shlex.quote(_provider(stack))}"
    yield f"pulumi import {of} --file {shlex.quote(imports)} --protect=false --generate-code=false --yes --skip-preview"
    yield f"pulumi preview {of} --diff"


def _stack_file(config: Mapping[str, Any], url: str) -> str:
    settings = {f"{PROJECT}:{key}": value for key, value in config.items()}
    head = f"# Taken over from {url} by `mirrorctl adopt`; secrets are set by the script beside this file.\n"
    return head + yaml.safe_dump({"config": settings}, sort_keys=False, allow_unicode=True, width=100)


def show(output: Output, report: AdoptReport) -> None:
    """What was taken over, what not, and what to do next."""
    counts = f"{len(report.rules)} rules, {len(report.endpoints)} endpoints, {len(report.projects)} projects"
    output.line(f"ok {counts} from {report.harbor}: {', '.join(report.files)}")
    for text in report.left_out:
        output.line(f"warning: left out: {text}")
    output.line("The first pulumi up will change:")
    for change in report.announced:
        output.line(f"  {change.op} {change.type.rpartition(':')[2]} {change.name}: {change.reason}")
    output.line("Next, in this order (the script does the same):")
    for line in report.commands:
        output.line(f"  {line}")
