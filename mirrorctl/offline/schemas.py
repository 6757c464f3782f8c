"""JSON Schemas of stacks' files, for editors, and of what `--json` prints, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator

from harbor_mirror.config.fields import Section
from harbor_mirror.config.models import Configuration
from mirrorctl.failure import unknown
from mirrorctl.output import reports

CONFIG, RULES, DEFAULTS = "config", "rules", "defaults"
PREFIX = "harbor-mirror:"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: The report of each command; `error` is what every command prints when it fails.
REPORTS: Mapping[str, type[BaseModel]] = {
    "sync": reports.SyncReport,
    "verify": reports.VerifyReport,
    "status": reports.StatusReport,
    "check": reports.CheckReport,
    "explain": reports.ExplainReport,
    "logs": reports.LogReport,
    "drift": reports.DriftReport,
    "doctor": reports.DoctorReport,
    "adopt": reports.AdoptReport,
    "recover": reports.RecoverReport,
    "report": reports.StatusReport,
    "images": reports.Images,
    "coverage": reports.CoverageReport,
    "import": reports.ImportReport,
    "resolve": reports.ResolveReport,
    "session": reports.SessionReport,
    "fast": reports.FastReport,
    "rotate-admin-password": reports.RotationReport,
    "error": reports.Failed,
}


def find_schema(subject: str) -> dict[str, Any]:
    """Return the schema of a file or of a command's report. Raise Failure."""
    file_schemas = {CONFIG: stack_file_schema, RULES: rule_file_schema}
    if subject in file_schemas:
        return file_schemas[subject]()
    if subject not in REPORTS:
        raise unknown("schema", subject, [*file_schemas, *REPORTS])
    return report_schema(subject)


def report_schema(name: str) -> dict[str, Any]:
    """Return the schema of a command's report."""
    schema = REPORTS[name].model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": DRAFT, **schema}


def stack_file_schema() -> dict[str, Any]:
    """Return the schema of `Pulumi.<stack>.yaml`: it checks our keys and allows those of other providers."""
    properties, definitions = _configuration()
    return {
        "$schema": DRAFT,
        "title": "harbor-mirror: Pulumi.<stack>.yaml",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PREFIX}{name}": value for name, value in properties.items()},
                "patternProperties": {f"^(?!{PREFIX})": True},
                "additionalProperties": False,
            }
        },
        "$defs": definitions,
    }


def rule_file_schema() -> dict[str, Any]:
    """Return the schema of a file under `rulesDir`."""
    properties, definitions = _configuration()
    return {
        "$schema": DRAFT,
        "title": "harbor-mirror: a file of rules",
        "type": "object",
        "properties": {RULES: properties[RULES], DEFAULTS: properties[DEFAULTS]},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _configuration() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of our keys, and the definitions that they refer to."""
    schema = Configuration.model_json_schema(by_alias=True)
    definitions = {name: _with_secrets(_with_short_forms(name, value)) for name, value in schema.pop("$defs").items()}
    # Endpoint and project may come from defaults, in this file or in the stack's.
    definitions["Rule"]["required"] = ["repositories"]
    return {name: _with_secrets(value) for name, value in schema["properties"].items()}, definitions


def _with_short_forms(section: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Allow a string or a list of strings wherever the model accepts them as a short form."""
    model = next((model for model in _subclasses(Section) if model.__name__ == section), None)
    if model is None:
        return schema
    for name, field in model.model_fields.items():
        if any(isinstance(part, BeforeValidator) for part in field.metadata):
            key = field.alias or name
            text = {"type": "string", "minLength": 1}
            full = dict(schema["properties"][key])
            description = full.pop("description", "")
            short = [text, {"type": "array", "items": text}]
            schema["properties"][key] = {"anyOf": [*short, full], "description": description}
    return schema


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _with_secrets(schema: Any) -> Any:
    """Replace secrets by the engine's encrypted form, which is what the file contains."""
    if isinstance(schema, list):
        return [_with_secrets(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "password" or schema.get("writeOnly"):
        secure = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
        return {**secure, "additionalProperties": False, "description": "set with pulumi config set --path --secret"}
    return {key: _with_secrets(value) for key, value in schema.items()}
