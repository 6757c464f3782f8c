"""From a Harbor that was made by hand to a stack: its configuration, an import file, and the exact commands.

Nothing in Harbor is changed. What the configuration can't express is left out and said; a rule is never taken by half.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harbor_mirror.clients.harbor import Harbor, Json
from harbor_mirror.model.faults import ConfigurationError
from harbor_mirror.model.parse import HIDDEN, parse
from mirrorctl import desired, mirror
from mirrorctl.failure import AS_WANTED, Failure, unknown
from mirrorctl.mirror import EVERYTHING
from mirrorctl.render import Output
from mirrorctl.reports import AdoptReport, Announced
from mirrorctl.stackfile import PLACEHOLDERS
from mirrorctl.tool import Tool

PROJECT = "harbor-mirror"
PROVIDER = "harbor"
COMPONENT = "harbor-mirror:mirror:"
REGISTRY, HARBOR_PROJECT, REPLICATION = (
    "harbor:index/registry:Registry",
    "harbor:index/project:Project",
    "harbor:index/replication:Replication",
)
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


@dataclass
class Adopted:
    """What can be taken over: settings by key, resources to import, secrets to ask for."""

    configuration: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"endpoints": {}, "projects": {}, "rules": {}}
    )
    imports: list[Json] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)


def take_over(harbor: Harbor, names: Sequence[str] = ()) -> Adopted:
    """The pull rules with these names (all without), and the endpoints and projects that they need."""
    policies = {policy["name"]: policy for policy in harbor.policies() if mirror.is_pull(policy)}
    for name in names:
        if name not in policies:
            raise unknown("pull rule", name, policies)
    registries = {registry["id"]: registry for registry in harbor.registries()}
    projects = mirror.by_name(harbor.projects())
    quotas = {(quota.get("ref") or {}).get("name"): quota for quota in harbor.quotas()}
    chosen = [policies[name] for name in names] if names else list(policies.values())

    adopted = Adopted()
    keys = _keys([registry["name"] for registry in registries.values()])
    rule_keys = _keys([policy["name"] for policy in chosen], keep_case=True)
    candidates: dict[str, tuple[Json, Json, dict[str, Any]]] = {}
    for policy in chosen:
        name = policy["name"]
        source: Json = registries.get(policy["src_registry"]["id"]) or policy["src_registry"]
        project = projects.get((policy.get("dest_namespace") or "").partition("/")[0])
        reason = _inexpressible(policy, project)
        if reason or project is None:
            adopted.left_out.append(f"rule {name}: {reason}")
            continue
        candidates[rule_keys[name]] = (policy, source, _rule(policy, keys[source["name"]]))
    endpoints = {keys[found[1]["name"]]: found[1] for found in candidates.values()}
    wanted = {found[2]["project"] for found in candidates.values()}
    settings = {
        "endpoints": {key: _endpoint(key, source) for key, source in endpoints.items()},
        "projects": {name: _project(projects[name], quotas.get(name)) for name in sorted(wanted)},
        "rules": {key: found[2] for key, found in candidates.items()},
    }
    adopted.left_out += _drop_refused(settings, {key: found[0]["name"] for key, found in candidates.items()})
    adopted.configuration = settings
    for key in settings["endpoints"]:
        _import_endpoint(adopted, key, endpoints[key])
    for name in settings["projects"]:
        _import_project(adopted, name, projects[name])
    for key in settings["rules"]:
        _import_rule(adopted, key, candidates[key][0])
    return adopted


def _keys(names: Sequence[str], *, keep_case: bool = False) -> dict[str, str]:
    """A key of the configuration for each name in Harbor, where nearly every text is a name."""
    keys: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "unnamed"
        if keep_case and re.fullmatch(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", name):
            plain = name
        key = plain if keep_case else plain.lower()
        number = 2
        while key in keys.values():
            key, number = f"{plain}-{number}", number + 1
        keys[name] = key
    return keys


def _inexpressible(policy: Json, project: Json | None) -> str:
    """Why a rule can't be taken over as it is."""
    kinds = [(item.get("type"), item.get("decoration") or "matches") for item in policy.get("filters") or []]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice:
        return f"it has several {twice[0]} filters, which Harbor joins by AND; make it one"
    strange = [kind for kind in kinds if kind not in _FILTERS]
    if strange:
        return f"its filter {' '.join(map(str, strange[0]))} has no counterpart"
    if not policy.get("dest_namespace"):
        return "it has no destination; set one in Harbor first"
    if project is None:
        return f"its project {policy['dest_namespace'].partition('/')[0]} does not exist yet; run it once, or create it"
    if project.get("registry_id"):
        return f"its project {project['name']} is a proxy cache, into which Harbor copies nothing"
    kind = (policy.get("trigger") or {}).get("type") or "manual"
    return "" if kind in {"manual", "scheduled"} else f"its trigger is {kind}; there are manual and scheduled"


_FILTERS = {
    ("name", "matches"),
    ("tag", "matches"),
    ("tag", "excludes"),
    ("label", "matches"),
    ("resource", "matches"),
}


def _endpoint(key: str, registry: Json) -> dict[str, Any]:
    kind = registry["type"]
    setting: dict[str, Any] = {"type": kind, "url": registry["url"].rstrip("/")}
    if registry["name"] != f"{key}-{kind}":
        setting["name"] = registry["name"]
    if username := (registry.get("credential") or {}).get("access_key"):
        setting["username"] = username
        setting["secret"] = PLACEHOLDERS.get(kind, HIDDEN)
    if registry.get("description"):
        setting["description"] = registry["description"]
    if registry.get("insecure"):
        setting["insecure"] = True
    return setting


def _project(project: Json, quota: Json | None) -> dict[str, Any]:
    metadata = project.get("metadata") or {}
    limit = ((quota or {}).get("hard") or {}).get("storage", desired.UNLIMITED)
    setting: dict[str, Any] = {}
    if metadata.get("public") == "true":
        setting["public"] = True
    if metadata.get("auto_scan") != "true":
        setting["vulnerabilityScanning"] = False
    if limit > 0:
        # The configuration knows whole GB; rounded up, nothing that fits now is refused later.
        setting["quotaGb"] = -(-limit // desired.GB)
    return setting


def _rule(policy: Json, endpoint: str) -> dict[str, Any]:
    facts = desired.policy_facts(policy)
    project, _, path = facts["destination"].partition("/")
    labels = next((item["value"] for item in policy.get("filters") or [] if item["type"] == "label"), None)
    tags = {name: facts[f"tags.{name}"] for name in ("matches", "excludes") if facts[f"tags.{name}"]}
    optional: dict[str, Any] = {
        "tags": facts["tags.matches"] if set(tags) == {"matches"} else tags,
        "labels": labels,
        "resource": facts["resource"],
        "path": path,
        "flatten": int(facts["flatten"]),
        "schedule": "" if facts["schedule"] == mirror.MANUAL else facts["schedule"],
        "copyByChunk": facts["copyByChunk"] == "true",
        "deletion": facts["deletion"] == "true",
        "description": facts["description"],
    }
    setting: dict[str, Any] = {"endpoint": endpoint, "repositories": facts["repositories"] or EVERYTHING}
    setting["project"] = project
    setting |= {name: value for name, value in optional.items() if value}
    setting |= {name: False for name in ("override", "enabled") if facts[name] == "false"}
    if facts["speedKbps"] != "-1":
        setting["speedKbps"] = int(facts["speedKbps"])
    return setting


def _drop_refused(settings: dict[str, dict[str, Any]], names: Mapping[str, str]) -> Iterator[str]:
    """Takes out what the configuration's own checks refuse, and says why; what is left is right as a whole."""
    host = {"harbor": {"url": "https://harbor.example.com"}, "harborPassword": HIDDEN}
    while settings["rules"]:
        try:
            parse({**host, **settings})
        except ConfigurationError as error:
            dropped = False
            for fault in error.faults:
                section, _, rest = fault.path.partition(".")
                key = next((name for name in settings.get(section, {}) if f"{rest}.".startswith(f"{name}.")), None)
                if key is None:
                    continue
                dropped = True
                settings[section].pop(key)
                label = f"rule {names.get(key, key)}" if section == "rules" else f"{section.removesuffix('s')} {key}"
                example = f"; for example {fault.example}" if fault.example else ""
                yield f"{label}: {rest.removeprefix(f'{key}.')} {fault.value or ''} {fault.reason}{example}"
            if not dropped:
                raise Failure(str(error)) from None
            continue
        break
    used = {
        key: {rule[key.removesuffix("s")] for rule in settings["rules"].values()} for key in ("endpoints", "projects")
    }
    for section, keys in used.items():
        settings[section] = {key: value for key, value in settings[section].items() if key in keys}


def _import_endpoint(adopted: Adopted, key: str, registry: Json) -> None:
    setting = adopted.configuration["endpoints"][key]
    name = registry["name"]
    adopted.imports += [
        _component("endpoint", key, "RegistryEndpoint"),
        _resource("endpoint", key, REGISTRY, name, f"/registries/{registry['id']}"),
    ]
    if setting.pop("secret", None):
        adopted.secrets.append(f"endpoints.{key}.secret")
        adopted.announced.append(
            Announced(op="update", type=REGISTRY, name=name, reason="its secret can't be read back")
        )


def _import_project(adopted: Adopted, name: str, project: Json) -> None:
    adopted.imports += [
        _component("project", name, "MirrorProject"),
        _resource("project", name, HARBOR_PROJECT, name, f"/projects/{project['project_id']}"),
    ]
    adopted.announced.append(
        Announced(op="update", type=HARBOR_PROJECT, name=name, reason="an import reads no quota and no defaults")
    )


def _import_rule(adopted: Adopted, key: str, policy: Json) -> None:
    adopted.imports += [
        _component("rule", key, "PullReplication"),
        _resource("rule", key, REPLICATION, key, f"/replication/policies/{policy['id']}"),
    ]
    reasons = ["an import reads no filters, no description and no speed"]
    if policy["name"] != key:
        reasons.append(f"it is renamed from {policy['name']!r}")
    if policy.get("single_active_replication"):
        reasons.append("single active replication is reset, which the provider does not know")
    adopted.announced.append(Announced(op="update", type=REPLICATION, name=key, reason="; ".join(reasons)))


def _component(area: str, key: str, kind: str) -> Json:
    return {"type": f"{COMPONENT}{kind}", "name": f"{area} {key}", "logicalName": key, "component": True}


def _resource(area: str, key: str, kind: str, logical_name: str, number: str) -> Json:
    return {
        "type": kind,
        "name": f"{area} {key} in Harbor",
        "logicalName": logical_name,
        "id": number,
        "parent": f"{area} {key}",
        "provider": PROVIDER,
    }


def _imports(stack: str, resources: Sequence[Json]) -> Json:
    return {"nameTable": {PROVIDER: _provider(stack)}, "resources": list(resources)}


def _provider(stack: str) -> str:
    return f"urn:pulumi:{stack}::{PROJECT}::pulumi:providers:{PROVIDER}::{PROVIDER}"


def _robot(stack: str) -> Announced:
    return Announced(op="create", type=ROBOT, name="pull", reason=f"robot$mirror-{stack}, with which deployments pull")


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
