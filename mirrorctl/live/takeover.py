"""Reads an existing Harbor for `adopt`: the configuration of a stack, what to import, and what is left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harbor_mirror.config.faults import HIDDEN, ConfigurationError, Fault
from harbor_mirror.config.models import KEY
from harbor_mirror.config.paths import join_path, split_path
from harbor_mirror.harbor import endpoint as endpoint_mapping
from harbor_mirror.harbor import immutable_tags as immutable_tags_mapping
from harbor_mirror.harbor import maintenance
from harbor_mirror.harbor import member as member_mapping
from harbor_mirror.harbor import project as project_mapping
from harbor_mirror.harbor import retention as retention_mapping
from harbor_mirror.harbor import rule as rule_mapping
from harbor_mirror.harbor import webhook as webhook_mapping
from harbor_mirror.harbor.client import Harbor, Json
from harbor_mirror.plan.mirror import PlannedMirror
from harbor_mirror.plan.project import PlannedProject
from harbor_mirror.plan.schedule import MANUAL
from harbor_mirror.plan.validation import validate
from mirrorctl.failure import unknown
from mirrorctl.live import import_ids, mirror
from mirrorctl.live.import_ids import (
    GARBAGE_COLLECTION,
    HARBOR_PROJECT,
    IMMUTABLE_TAGS,
    MEMBERS,
    RANDOM_ID,
    REGISTRY,
    REPLICATION,
    RETENTION,
    WEBHOOK,
)
from mirrorctl.output.reports import Announced
from mirrorctl.stack_file import PLACEHOLDERS

PROVIDER = "harbor"
COMPONENT = "harbor-mirror:mirror:"
CREATED_AGAIN = (
    f"{import_ids.NO_IMPORT_OF_WEBHOOKS}: "
    "`mirrorctl recover` deletes it in Harbor, and the next `pulumi up` creates it again"
)
Setting = dict[str, Any]


@dataclass
class Adopted:
    """What a stack can adopt: settings by section and key, resources to import, secrets that are needed."""

    configuration: dict[str, Setting] = field(default_factory=lambda: {"endpoints": {}, "projects": {}, "rules": {}})
    imports: list[Json] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    """Paths in Harbor's API by path in the configuration, of what belongs to a project."""


def take_over(harbor: Harbor, names: Sequence[str] = ()) -> Adopted:
    """Adopt pull rules with their endpoints and projects; without names all rules, proxy caches and maintenance.

    Reads only. Raise Failure for an unknown name.
    """
    adopted = Adopted()
    settings = adopted.configuration
    projects = mirror.by_name(harbor.projects())
    policies = _chosen(harbor, names)
    registries = {registry["id"]: registry for registry in harbor.registries()}
    keys = _keys([registry["name"] for registry in registries.values()])
    rules: dict[str, Json] = {}
    sources: dict[str, Json] = {}
    for name, policy in policies.items():
        source: Json = registries.get(policy["src_registry"]["id"]) or policy["src_registry"]
        if reason := _obstacle(policy, projects.get((policy.get("dest_namespace") or "").partition("/")[0])):
            adopted.left_out.append(f"rule {policy['name']}: {reason}")
            continue
        endpoint = keys[source["name"]]
        rules[name], sources[endpoint] = policy, source
        settings["rules"][name] = rule_mapping.to_configuration(policy, endpoint)
    caches = {} if names else _proxy_caches(adopted, projects, registries)
    sources |= {keys[registry["name"]]: registry for registry in caches.values()}
    settings["endpoints"] = {key: _endpoint(adopted, key, source) for key, source in sources.items()}
    _add_projects(harbor, adopted, projects, {name: keys[registry["name"]] for name, registry in caches.items()})
    _list_robots(harbor, adopted, projects)
    if not names:
        _add_maintenance(harbor, adopted)
    adopted.left_out += _drop_refused(settings, {key: policy["name"] for key, policy in rules.items()})
    # Before their secrets are taken out.
    planned = _plan(settings).projects if settings["projects"] else {}
    for key in settings["endpoints"]:
        _import_endpoint(adopted, key, sources[key])
    for name in settings["projects"]:
        _import_project(adopted, planned[name], projects[name])
    for key in settings["rules"]:
        _import_rule(adopted, key, rules[key])
    _announce_maintenance(adopted)
    return adopted


def _chosen(harbor: Harbor, names: Sequence[str]) -> dict[str, Json]:
    """Return the policies of these pull rules, of all without names, by their new keys. Raise Failure."""
    policies = {policy["name"]: policy for policy in harbor.policies() if mirror.is_pull(policy)}
    for name in names:
        if name not in policies:
            raise unknown("pull rule", name, policies)
    keys = _keys([*dict.fromkeys(names or policies)], keep_case=True)
    return {key: policies[name] for name, key in keys.items()}


def _keys(names: Sequence[str], *, keep_case: bool = False) -> dict[str, str]:
    """Return a configuration key for each name in Harbor, where names may contain almost any character."""
    keys: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "unnamed"
        if not keep_case:
            plain = plain.lower()
        elif KEY.fullmatch(name):
            plain = name
        candidates = itertools.chain([plain], (f"{plain}-{number}" for number in itertools.count(2)))
        keys[name] = next(key for key in candidates if key not in keys.values())
    return keys


def _obstacle(policy: Json, project: Json | None) -> str:
    """Return why a rule cannot be adopted as it is; empty if it can."""
    if text := rule_mapping.obstacle(policy):
        return text
    if project is None:
        return f"its project {policy['dest_namespace'].partition('/')[0]} does not exist yet; run it once, or create it"
    if mirror.is_proxy_cache(project):
        return f"its project {project['name']} is a proxy cache, into which Harbor copies nothing"
    return ""


def _endpoint(adopted: Adopted, key: str, registry: Json) -> Setting:
    setting = endpoint_mapping.to_configuration(key, registry)
    if "secret" in setting and registry["type"] in PLACEHOLDERS:
        setting["secret"] = PLACEHOLDERS[registry["type"]]
    if registry.get("ca_certificate") and endpoint_mapping.CA not in setting:
        adopted.left_out.append(
            f"CA of endpoint {registry['name']}: it is not a certificate in PEM; it stays in Harbor"
        )
    return setting


def _proxy_caches(adopted: Adopted, projects: Mapping[str, Json], registries: Mapping[int, Json]) -> dict[str, Json]:
    """Return the endpoints of proxy caches by the project's name."""
    caches = {}
    for name, project in projects.items():
        if mirror.is_proxy_cache(project):
            registry = registries.get(project["registry_id"])
            if registry is None:
                adopted.left_out.append(f"project {name}: the endpoint of this proxy cache can't be read")
            else:
                caches[name] = registry
    return caches


def _add_projects(harbor: Harbor, adopted: Adopted, projects: Mapping[str, Json], caches: Mapping[str, str]) -> None:
    """Add the projects that the rules copy into, and proxy caches with their endpoints."""
    quotas = {(quota.get("ref") or {}).get("name"): quota for quota in harbor.quotas()}
    groups: dict[int, Json] = {}
    for name in sorted({rule["project"] for rule in adopted.configuration["rules"].values()} | caches.keys()):
        project = projects[name]
        if reason := project_mapping.obstacle(project):
            adopted.left_out.append(f"project {name}: {reason}")
            continue
        adopted.left_out += (f"project {name}: {text}" for text in project_mapping.left_out(project))
        setting = project_mapping.to_configuration(project, quotas.get(name))
        if name in caches:
            setting["proxyCache"] = caches[name]
        adopted.configuration["projects"][name] = setting
        _add_retention(harbor, adopted, name, project)
        rules, webhooks = (import_ids.list_of_part(project, kind) for kind in (IMMUTABLE_TAGS, WEBHOOK))
        _add_immutable_tags(adopted, name, harbor.get_all(rules), rules)
        _add_webhooks(adopted, name, harbor.get_all(webhooks))
        members = harbor.get_all(import_ids.list_of_part(project, MEMBERS["user"]))
        if not groups and any(member["entity_type"] == member_mapping.GROUP for member in members):
            groups = {group["id"]: group for group in harbor.get_all("/usergroups")}
        _add_members(adopted, project, members, groups, administrator=harbor.username)


def _add_immutable_tags(adopted: Adopted, name: str, rules: Sequence[Json], path: str) -> None:
    for rule in rules:
        if reason := immutable_tags_mapping.obstacle(rule):
            selected = immutable_tags_mapping.identity(rule)
            adopted.left_out.append(f"immutable tags of project {name} ({selected}): {reason}; they stay as they are")
            continue
        listed = adopted.configuration["projects"][name].setdefault("immutableTags", [])
        adopted.ids[join_path("projects", name, "immutableTags", len(listed))] = f"{path}/{rule['id']}"
        listed.append(immutable_tags_mapping.to_configuration(rule))


def _add_webhooks(adopted: Adopted, name: str, webhooks: Sequence[Json]) -> None:
    for webhook in webhooks:
        if reason := webhook_mapping.obstacle(webhook):
            adopted.left_out.append(f"webhook {webhook['name']} of project {name}: {reason}; it stays as it is")
            continue
        listed = adopted.configuration["projects"][name].setdefault("webhooks", {})
        listed[webhook["name"]] = webhook_mapping.to_configuration(webhook)


def _add_members(
    adopted: Adopted, project: Json, members: Sequence[Json], groups: Mapping[int, Json], *, administrator: str
) -> None:
    name = project["name"]
    for member in members:
        is_group = member["entity_type"] == member_mapping.GROUP
        if not is_group and member["entity_name"] in {project.get("owner_name"), administrator}:
            continue
        group = groups.get(member["entity_id"]) if is_group else None
        if reason := member_mapping.obstacle(member, group):
            adopted.left_out.append(f"member {member['entity_name']} of project {name}: {reason}; it stays as it is")
            continue
        kind = "groups" if is_group else "users"
        listed = adopted.configuration["projects"][name].setdefault("members", {}).setdefault(kind, {})
        listed[member["entity_name"]] = member_mapping.to_configuration(member, group)
        path = join_path("projects", name, "members", kind, member["entity_name"])
        adopted.ids[path] = f"/projects/{project['project_id']}/members/{member['id']}"


def _list_robots(harbor: Harbor, adopted: Adopted, projects: Mapping[str, Json]) -> None:
    """List the robot accounts with rights in the adopted projects: their passwords can't be read back."""
    names = adopted.configuration["projects"]
    robots = list(harbor.robots())
    for name in names:
        robots += harbor.get_all("/robots", q=f"Level=project,ProjectID={projects[name]['project_id']}")
    for robot in robots:
        spaces = {permission.get("namespace") for permission in robot.get("permissions") or []}
        if spaces & names.keys():
            reason = "its password can't be read back; it stays as it is, and robots declares new ones"
            adopted.left_out.append(f"robot account {robot['name']}: {reason}")


def _add_retention(harbor: Harbor, adopted: Adopted, name: str, project: Json) -> None:
    path = import_ids.of_retention(project)
    retention: Json = harbor.get(path) if path else {}
    if not retention.get("rules"):
        return
    if reason := retention_mapping.obstacle(retention):
        adopted.left_out.append(f"retention of project {name}: {reason}; it stays in Harbor as it is")
    else:
        adopted.configuration["projects"][name]["retention"] = retention_mapping.to_configuration(retention)


def _add_maintenance(harbor: Harbor, adopted: Adopted) -> None:
    kinds: dict[str, tuple[str, Callable[[Json], Setting]]] = {
        "garbageCollection": (maintenance.GC_SCHEDULE, maintenance.garbage_collection_to_configuration),
        "auditPurge": (maintenance.PURGE_SCHEDULE, maintenance.audit_purge_to_configuration),
    }
    for key, (path, setting) in kinds.items():
        schedule: Json = harbor.get(path) or {}
        if maintenance.cron(schedule) != MANUAL:
            adopted.configuration.setdefault("maintenance", {})[key] = setting(schedule)


@dataclass(frozen=True)
class _Part:
    """A part of the settings that can be left out: `section[key]`, at `path` in the configuration."""

    path: str
    label: str
    section: Setting
    key: str

    def holds(self, path: str) -> bool:
        parts = split_path(self.path)
        return split_path(path)[: len(parts)] == parts


def _parts(settings: Mapping[str, Setting], names: Mapping[str, str]) -> list[_Part]:
    """Return every part, innermost first."""
    parts = [
        _Part(join_path("projects", name, key), f"{label} of project {name}", project, key)
        for name, project in settings["projects"].items()
        for key, label in (("retention", "retention"), ("immutableTags", "immutable tags"), ("members", "members"))
        if key in project
    ]
    parts += [
        _Part(
            join_path("endpoints", key, endpoint_mapping.CA),
            f"CA of endpoint {key}, which stays in Harbor",
            endpoint,
            endpoint_mapping.CA,
        )
        for key, endpoint in settings["endpoints"].items()
        if endpoint_mapping.CA in endpoint
    ]
    parts += [
        _Part(
            join_path("projects", name, "webhooks", key), f"webhook {key} of project {name}", project["webhooks"], key
        )
        for name, project in settings["projects"].items()
        for key in project.get("webhooks", ())
    ]
    for section, entries in settings.items():
        kind = section.removesuffix("s")
        parts += [_Part(join_path(section, key), f"{kind} {names.get(key, key)}", entries, key) for key in entries]
    return sorted(parts, key=lambda part: -len(part.path))


def _drop_refused(settings: dict[str, Setting], names: Mapping[str, str]) -> Iterator[str]:
    """Remove parts with faults until the configuration is valid; return the reasons.

    `names` are the rules' names in Harbor by key.
    """
    while faults := _faults(settings):
        parts = _parts(settings, names)
        refused = [(part, fault) for fault in faults if (part := _first(parts, fault))]
        if not refused:
            raise ConfigurationError(faults)
        for part, fault in refused:
            part.section.pop(part.key, None)
            field_path = fault.path.removeprefix(part.path).removeprefix(".")
            example = f"; for example {fault.example}" if fault.example else ""
            text = " ".join(str(word) for word in (field_path, fault.value, fault.reason) if word not in (None, ""))
            yield f"{part.label}: {text}{example}"
    rules, projects = settings["rules"].values(), settings["projects"]
    used = {rule["project"] for rule in rules}
    settings["projects"] = {
        key: value for key, value in projects.items() if key in used or project_mapping.PROXY_CACHE in value
    }
    used = {rule["endpoint"] for rule in rules}
    used |= {project.get(project_mapping.PROXY_CACHE) for project in settings["projects"].values()}
    settings["endpoints"] = {key: value for key, value in settings["endpoints"].items() if key in used}
    if not settings.get("maintenance"):
        settings.pop("maintenance", None)


def _faults(settings: Mapping[str, Any]) -> Sequence[Fault]:
    try:
        _plan(settings)
    except ConfigurationError as error:
        return error.faults
    return ()


def _plan(settings: Mapping[str, Any]) -> PlannedMirror:
    return validate({"harbor": {"url": "https://harbor.invalid"}, "harborPassword": HIDDEN, **settings})


def _first(parts: Iterable[_Part], fault: Fault) -> _Part | None:
    return next((part for part in parts if part.holds(fault.path)), None)


def _import_endpoint(adopted: Adopted, key: str, registry: Json) -> None:
    setting = adopted.configuration["endpoints"][key]
    name = registry["name"]
    adopted.imports += [
        _component("endpoint", key, "RegistryEndpoint"),
        _resource("endpoint", key, REGISTRY, name, import_ids.of_registry(registry)),
    ]
    reasons = []
    if setting.pop("secret", None):
        adopted.secrets.append(join_path("endpoints", key, "secret"))
        reasons.append("its secret can't be read back")
    if endpoint_mapping.CA in setting:
        reason = "the provider lacks the CA; what Harbor has is saved again, unchanged"
        adopted.announced.append(Announced(op="create", type=RANDOM_ID, name=f"{name}-ca", reason=reason))
        if registry.get("insecure"):
            reasons.append("insecure, which Harbor ignores beside a CA, is switched off")
    if reasons:
        adopted.announced.append(Announced(op="update", type=REGISTRY, name=name, reason="; ".join(reasons)))


def _import_project(adopted: Adopted, planned: PlannedProject, project: Json) -> None:
    name = planned.name
    adopted.imports += [
        _component("project", name, "MirrorProject"),
        _resource("project", name, HARBOR_PROJECT, name, import_ids.of_project(project)),
    ]
    adopted.announced.append(
        Announced(op="update", type=HARBOR_PROJECT, name=name, reason="an import reads no quota and no defaults")
    )
    if "retention" in adopted.configuration["projects"][name]:
        kept = f"{name}-retention"
        adopted.imports.append(_resource("project", name, RETENTION, kept, import_ids.of_retention(project)))
        adopted.announced.append(
            Announced(op="update", type=RETENTION, name=kept, reason="an import reads no defaults of its rules")
        )
    if project_mapping.to_api(planned):
        reason = "the provider lacks a part of the allowlist; what Harbor has is saved again, unchanged"
        adopted.announced.append(Announced(op="create", type=RANDOM_ID, name=f"{name}-settings", reason=reason))
    _import_protection(adopted, planned)


def _import_protection(adopted: Adopted, planned: PlannedProject) -> None:
    name = planned.name

    def take(kind: str, logical_name: str, *where: str | int, reason: str = "") -> None:
        number = adopted.ids[join_path("projects", name, *where)]
        adopted.imports.append(_resource("project", name, kind, logical_name, number))
        if reason:
            adopted.announced.append(Announced(op="update", type=kind, name=logical_name, reason=reason))

    for index, rule in enumerate(planned.immutable_tags):
        reason = "an import reads no excluded repositories" if rule.repositories.excludes else ""
        take(IMMUTABLE_TAGS, f"{name}-immutable-{rule.slug}", "immutableTags", index, reason=reason)
    for webhook in planned.webhooks:
        announced = Announced(op="create", type=WEBHOOK, name=f"{name}-webhook-{webhook.name}", reason=CREATED_AGAIN)
        adopted.announced.append(announced)
        setting = adopted.configuration["projects"][name]["webhooks"][webhook.name]
        for key in ("url", "authHeader"):
            if setting.pop(key, None):
                adopted.secrets.append(join_path("projects", name, "webhooks", webhook.name, key))
    for member in planned.members:
        reason = "an import reads no type" if member.group_type else ""
        logical_name = f"{name}-{member.kind}-{member.name}"
        take(MEMBERS[member.kind], logical_name, "members", f"{member.kind}s", member.name, reason=reason)


def _announce_maintenance(adopted: Adopted) -> None:
    reason = "it can't be imported; what Harbor has is set again, the same"
    for key, kind, name in (
        ("garbageCollection", GARBAGE_COLLECTION, "harbor-garbage-collection"),
        ("auditPurge", RANDOM_ID, "harbor-audit-purge"),
    ):
        if key in adopted.configuration.get("maintenance", {}):
            adopted.announced.append(Announced(op="create", type=kind, name=name, reason=reason))


def _import_rule(adopted: Adopted, key: str, policy: Json) -> None:
    adopted.imports += [
        _component("rule", key, "PullReplication"),
        _resource("rule", key, REPLICATION, key, import_ids.of_policy(policy)),
    ]
    reasons = ["an import reads no filters, no description and no speed"]
    if policy["name"] != key:
        reasons.append(f"it is renamed from {policy['name']!r}")
    adopted.announced.append(Announced(op="update", type=REPLICATION, name=key, reason="; ".join(reasons)))
    if rule_mapping.API_KEYS & adopted.configuration["rules"][key].keys():
        reason = "the provider lacks some settings; what Harbor has is saved again, unchanged"
        adopted.announced.append(Announced(op="create", type=RANDOM_ID, name=f"{key}-settings", reason=reason))


def _component(area: str, key: str, kind: str) -> Json:
    return {"type": f"{COMPONENT}{kind}", "name": f"{area} {key}", "logicalName": key, "component": True}


def _resource(area: str, key: str, kind: str, logical_name: str, number: str) -> Json:
    return {
        "type": kind,
        "name": f"{area} {key} in Harbor" if kind in (REGISTRY, HARBOR_PROJECT, REPLICATION) else logical_name,
        "logicalName": logical_name,
        "id": number,
        "parent": f"{area} {key}",
        "provider": PROVIDER,
    }
