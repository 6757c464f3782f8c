"""Writes docs/configuration.md from the configuration's models, so that it can't be wrong.

python ci/reference.py            writes it
python ci/reference.py --check    exit code 1 if it is not what the models say
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The project itself, wherever this is run from.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from harbor_mirror.config import cluster, host, services
from harbor_mirror.config import models as config
from harbor_mirror.config.faults import in_yaml

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "configuration.md"
PREFIX = "harbor-mirror:"
#: How each section is reached, in the order of the page.
SECTIONS: dict[str, type[BaseModel]] = {
    "host": host.Host,
    "host.service": services.Service,
    "host.objectStorage": host.ObjectStorage,
    "host.backup": host.Backup,
    "host.backup.bucket": host.BackupBucket,
    "host.maintenanceWindow": host.MaintenanceWindow,
    "host.database": host.HostDatabase,
    "host.redis": host.HostRedis,
    "cluster": cluster.Cluster,
    "cluster.pool": cluster.Pool,
    "cluster.pool.autoscaler": cluster.Autoscaler,
    "cluster.replicas": cluster.Replicas,
    "cluster.managedDatabase": cluster.ManagedDatabase,
    "cluster.managedDatabase.maintenance": cluster.Maintenance,
    "cluster.database": services.Database,
    "cluster.redis": services.Redis,
    "cluster.objectStorage": cluster.ClusterStorage,
    "cluster.existing": cluster.ExistingCluster,
    "cluster.chart": cluster.Chart,
    "harbor": config.ExistingHarbor,
    "endpoints.NAME": config.Endpoint,
    "projects.NAME": config.Project,
    "projects.NAME.retention": config.Retention,
    "projects.NAME.retention.keep[]": config.RetentionRule,
    "rules.NAME": config.Rule,
    "rules.NAME.tags": config.TagFilter,
    "maintenance": config.Maintenance,
    "maintenance.garbageCollection": config.GarbageCollection,
    "maintenance.auditPurge": config.AuditPurge,
}
WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "map", "null": ""}
HEAD = f"""<!-- Written by ci/reference.py from harbor_mirror/config/models.py. -->
# Configuration

Everything that `Pulumi.<stack>.yaml` can say. Keys stand under `config`, with `{PREFIX}` in front of the first
level; the engine's own keys, such as `linode:token`, stand beside them. Unknown keys are errors. Every fault is
reported at once, with a correct example, before anything is registered; `python -m mirrorctl check` does the same with
no engine and no secrets, and `python -m mirrorctl schema` prints a JSON Schema for editors.

Secrets are set with `pulumi config set --path --secret`, never written into the file by hand. What schedules can say
stands in [schedules.md](schedules.md), what each kind of registry wants in [registries/](registries/README.md).

"""


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join([*_top(), *(line for path in SECTIONS for line in _section(path))])


def _top() -> Iterator[str]:
    yield "## The first level\n"
    yield from _table(config.Configuration, PREFIX)


def _section(path: str) -> Iterator[str]:
    model = SECTIONS[path]
    yield f"\n## {path}\n"
    yield f"{' '.join((model.__doc__ or '').split())}\n"
    yield from _table(model)


def _table(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    schema = model.model_json_schema(by_alias=True)
    yield "| Key | Value | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        key = field.alias or name
        description = " ".join((field.description or "").split())
        cells = [f"`{prefix}{key}`", _type(schema, schema["properties"][key], field), _default(field)]
        yield f"| {' | '.join(map(_cell, cells))} | {_cell(description)}{_cell(_example(field))} |"


def _type(schema: dict[str, Any], value: dict[str, Any], field: FieldInfo) -> str:
    if any(isinstance(part, BeforeValidator) for part in field.metadata):
        return "text, a list, or a map" if "$ref" in str(value) else "text or a list"
    return _words(schema, value)


def _words(schema: dict[str, Any], value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(filter(None, (_words(schema, part) for part in value["anyOf"])))
    if "$ref" in value:
        section = value["$ref"].rsplit("/", 1)[-1]
        path = next((path for path, model in SECTIONS.items() if model.__name__ == section), None)
        return f"[map](#{_anchor(path)})" if path else "map"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if value.get("format") == "password":
        return "secret"
    if value.get("type") == "array":
        return f"list of {_words(schema, value['items'])}"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"{_words(schema, value['additionalProperties'])} by name"
    word = WORDS[value["type"]]
    limits = _limits(value)
    return f"{word}, {limits}" if limits else word


def _limits(value: dict[str, Any]) -> str:
    least, most = value.get("minimum"), value.get("maximum")
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"at least {least}" if least is not None else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**must be set**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value in (None, "", (), {}) or isinstance(value, BaseModel):
        return ""
    return f"`{in_yaml(value)}`"


def _example(field: FieldInfo) -> str:
    shown = f"`{in_yaml(field.examples[0])}`" if field.examples else ""
    return f" Example: {shown}" if shown and shown != _default(field) else ""


def _anchor(path: str) -> str:
    """As GitHub makes it from a heading."""
    return "".join(char for char in path.lower() if char.isalnum() or char in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Writes or checks the page."""
    text = page() + "\n"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.is_file() and PAGE.read_text() == text:
        return 0
    print(f"{PAGE.relative_to(PROJECT)} is not what the models say; write it with python ci/reference.py")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
