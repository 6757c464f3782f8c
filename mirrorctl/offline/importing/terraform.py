"""Terraform's goharbor/harbor resources: harbor_registry, harbor_project and harbor_replication."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import hcl2
from hcl2.rules.base import BlockRule
from hcl2.utils import SerializationOptions
from lark.exceptions import UnexpectedInput, VisitError

from harbor_mirror.plan.registry_types import REGISTRY_TYPES
from mirrorctl.offline.importing.draft import Draft

#: Blocks that mirror nothing by themselves; what refers to them is recorded where it does.
_WITHOUT_IMAGES = frozenset({"terraform", "provider", "variable", "locals", "output"})
_META = ("__is_block__", "depends_on", "lifecycle", "provider")
_REGISTRY = (
    "provider_name",
    "name",
    "endpoint_url",
    "description",
    "access_id",
    "access_secret",
    "insecure",
    "ca_certificate",
)
_PROJECT = ("name", "public", "vulnerability_scanning", "storage_quota", "force_destroy")
_REPLICATION = (
    *("name", "action", "registry_id", "schedule", "dest_namespace", "dest_namespace_replace", "override", "enabled"),
    *("deletion", "speed", "copy_by_chunk", "description", "filters", "execute_on_changed"),
)
_FILTER = ("name", "tag", "labels", "resource", "decoration")
_KINDS = {kind.provider_name: kind.type for kind in REGISTRY_TYPES.values() if kind.provider_name}
_REFERENCE = re.compile(r"\$\{(harbor_\w+)\.(\w+)\.\w+\}")
#: The provider's schedule names; all other schedules are Harbor's cron.
_WORDS = {"Hourly": "hourly", "Daily": "daily", "Weekly": "weekly", "manual": "", "event_based": None}


@dataclass(frozen=True)
class _Block:
    """A top-level block: `resource "harbor_registry" "hub" { ... }` has the labels harbor_registry and hub."""

    kind: str
    labels: tuple[str, ...]
    line: int
    body: Mapping[str, Any]

    @property
    def resource(self) -> str:
        """The type of a resource; empty for other blocks."""
        return self.labels[0] if self.kind == "resource" and self.labels else ""

    @property
    def entry(self) -> str:
        """How the block is called in Terraform."""
        return ".".join(self.labels if self.kind == "resource" else (self.kind, *self.labels))


def import_terraform(text: str, draft: Draft) -> None:
    """Add the resources of a Terraform file to the draft."""
    try:
        blocks = list(_blocks(text))
    except (UnexpectedInput, VisitError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        draft.decide(max(1, int(getattr(error, "line", 1) or 1)), "the file", f"can't be read: {first}")
        return
    keys: dict[str, str] = {}
    for block in blocks:
        if block.resource == "harbor_registry":
            keys[block.entry] = _add_registry(block, draft)
        elif block.resource == "harbor_project":
            keys[block.entry] = _add_project(block, draft)
        elif block.resource != "harbor_replication" and block.kind not in _WITHOUT_IMAGES:
            draft.decide(block.line, block.entry, "has no counterpart")
    for block in blocks:
        if block.resource == "harbor_replication":
            _add_replication(block, keys, draft)


def _blocks(text: str) -> Iterator[_Block]:
    options = SerializationOptions(with_comments=False, strip_string_quotes=True, explicit_blocks=False)
    for child in hcl2.parses(text if text.endswith("\n") else f"{text}\n").body.children:
        if isinstance(child, BlockRule):
            kind, *labels = [str(label.serialize(options=options)) for label in child.labels]
            yield _Block(kind, tuple(labels), child.to_lark().meta.line, child.body.serialize(options=options))


def _open(block: _Block, body: Mapping[str, Any], known: tuple[str, ...], draft: Draft) -> dict[str, Any]:
    """Return a block's arguments; record those without counterpart and those that are not written out."""
    draft.leave(block.line, block.entry, body, (*known, *_META))
    values = {}
    for key in known:
        value = body.get(key)
        if isinstance(value, str) and "${" in value and not _REFERENCE.fullmatch(value):
            if key != "access_secret":
                draft.decide(block.line, block.entry, f"{key} = {value} is not written out; write its value")
        elif value is not None:
            values[key] = value
    return values


def _add_registry(block: _Block, draft: Draft) -> str:
    values = _open(block, block.body, _REGISTRY, draft)
    kind = _KINDS.get(str(values.get("provider_name")))
    if kind is None:
        draft.decide(
            block.line, block.entry, f"provider_name {values.get('provider_name')} is not a supported registry type"
        )
        return ""
    key = re.sub(r"[^A-Za-z0-9]+", "-", str(values.get("name", block.labels[1]))).strip("-")
    settings: dict[str, Any] = {"type": kind, "name": values.get("name")}
    if kind not in ("docker-hub", "github-ghcr"):
        settings["url"] = values.get("endpoint_url")
    settings |= {"username": values.get("access_id"), "description": values.get("description")}
    settings["insecure"] = values.get("insecure") in (True, "true")
    if values.get("ca_certificate"):
        settings |= draft.authority(block.line, block.entry, "ca_certificate", str(values["ca_certificate"]))
    draft.add_endpoint(key, {key: value for key, value in settings.items() if value}, block.line)
    if block.body.get("access_secret"):
        draft.secret(key, block.line)
    return key


def _add_project(block: _Block, draft: Draft) -> str:
    values = _open(block, block.body, _PROJECT, draft)
    key = str(values.get("name", block.labels[1]))
    settings = {
        "public": str(values.get("public", "false")).lower() == "true",
        "quotaGb": _number(values.get("storage_quota")),
        "forceDestroy": values.get("force_destroy") in (True, "true"),
    }
    project = {key: value for key, value in settings.items() if value and value != -1}
    if str(values.get("vulnerability_scanning", "true")).lower() == "false":
        project["vulnerabilityScanning"] = False
    draft.add_project(key, project, block.line)
    return key


def _add_replication(block: _Block, keys: Mapping[str, str], draft: Draft) -> None:
    body, entry, line = block.body, block.entry, block.line
    if body.get("action") != "pull":
        draft.decide(line, entry, f"action {body.get('action')}: only pull rules are imported")
        return
    if "count" in body or "for_each" in body:
        draft.decide(line, entry, "is repeated; write each rule out")
        return
    values = _open(block, body, _REPLICATION, draft)
    endpoint = _resolve_reference(str(values.get("registry_id", "")), keys)
    if not endpoint:
        draft.decide(line, entry, f"registry_id {body.get('registry_id')} is not a harbor_registry of this file")
        return
    namespace = str(values.get("dest_namespace", ""))
    namespace = _resolve_reference(namespace, keys) if "${" in namespace else namespace
    if not namespace:
        draft.decide(line, entry, "dest_namespace is not set: images would keep the source's projects; set project")
        return
    project, _, path = namespace.partition("/")
    settings: dict[str, Any] = {
        "endpoint": endpoint,
        **_filters(block, values.get("filters", []), draft),
        "project": project,
        "path": path,
        # The provider's default is 0, as ours.
        "flatten": _number(values.get("dest_namespace_replace")) or 0,
        "schedule": _schedule(values.get("schedule"), entry, line, draft),
        "speedKbps": speed if (speed := _number(values.get("speed"))) and speed > 0 else None,
        "copyByChunk": values.get("copy_by_chunk") in (True, "true"),
        "deletion": values.get("deletion") in (True, "true"),
        "description": values.get("description"),
    }
    settings = {key: value for key, value in settings.items() if value}
    settings |= {key: False for key in ("override", "enabled") if values.get(key) in (False, "false")}
    if values.get("execute_on_changed") in (True, "true"):
        draft.note(line, entry, "execute_on_changed: run `mirrorctl sync` after `pulumi up`")
    draft.add_rule(re.sub(r"[^A-Za-z0-9]+", "-", str(values.get("name", block.labels[1]))).strip("-"), settings, line)


def _resolve_reference(text: str, keys: Mapping[str, str]) -> str:
    """Return the key of what an expression such as ${harbor_registry.hub.registry_id} refers to; empty without one."""
    reference = _REFERENCE.fullmatch(text)
    return keys.get(f"{reference[1]}.{reference[2]}", "") if reference else ""


def _filters(rule: _Block, filters: object, draft: Draft) -> dict[str, Any]:
    """Return the rule's filters. Add a note if a block has several, because the provider sends only the last."""
    rule_filters: dict[str, Any] = {"repositories": "**"}
    for block in filters if isinstance(filters, list) else [filters]:
        if not isinstance(block, Mapping):
            continue
        values = _open(rule, block, _FILTER, draft)
        kinds = [kind for kind in ("name", "tag", "labels", "resource") if values.get(kind)]
        if len(kinds) > 1:
            text = f"a filters block has {' and '.join(kinds)}, of which the provider sent one only; all are kept here"
            draft.note(rule.line, rule.entry, text)
        if "name" in kinds:
            rule_filters["repositories"] = values["name"]
        if "tag" in kinds:
            decoration = "excludes" if values.get("decoration") == "excludes" else "matches"
            tags = rule_filters.setdefault("tags", {})
            tags.setdefault(decoration, []).append(values["tag"])
        if "labels" in kinds:
            rule_filters["labels"] = list(values["labels"])
        if values.get("resource") in ("image", "artifact"):
            rule_filters["resource"] = values["resource"]
    return rule_filters


def _schedule(value: object, entry: str, line: int, draft: Draft) -> str:
    text = str(value or "")
    word = _WORDS.get(text, text)
    if word is None:
        draft.decide(line, entry, f"schedule {text} does not exist for pull rules; set one")
        return ""
    return word


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None
