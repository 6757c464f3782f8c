"""`mirrorctl check` and the program report the same, except for faults that depend on the value of a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import SecretStr

from harbor_mirror.config.fields import Section
from harbor_mirror.config.models import Configuration
from mirrorctl import stack_file
from tests.data.model import configurations, resolved, stack

#: Seen in the secret's value only, which a check without secrets can't know.
BY_VALUE = {
    "a webhook that trusts everybody",
    "a webhook to an address with a query",
    "form: a password with its line break",
    "form: a secret with its line break",
    "a database's password as a number",
    "a secret that is too long",
    "a database's password that gets lost on the way",
    "ecr with docker login's user",
    "gcr with a token for the key",
    "gcr with half a key",
    "gitlab with a job token",
    "quay with a password alone",
    "quay with JSON of another form",
}


def encrypted(where: tuple[str, ...], value: Any) -> Any:
    """Return a value as in the stack's file."""
    if stack_file._pattern(where) in stack_file.SECRETS and isinstance(value, str | int) and value:
        return {"secure": "v1:abc"}
    if isinstance(value, Mapping):
        return {key: encrypted((*where, key), inner) for key, inner in value.items()}
    return value


def said_by_the_tool(raw: Mapping[str, Any], folder: Path) -> tuple[list[str], list[str]]:
    file = folder / "Pulumi.test.yaml"
    config = {f"harbor-mirror:{key}": encrypted((key,), value) for key, value in raw.items()}
    file.write_text(yaml.safe_dump({"config": config}, width=10_000, sort_keys=False))
    found = stack_file.read(file)
    return [str(fault) for fault in found.faults], [str(caution) for caution in found.cautions]


@pytest.mark.parametrize("kind", ["bad", "good"])
def test_check_and_program_report_the_same(kind: str, tmp_path: Path) -> None:
    differ = {}
    for case in configurations(kind):
        raw = stack(case, source="http://registry.example.com")
        program = resolved(raw)
        expected = [str(fault) for fault in program.faults], [str(caution) for caution in program.cautions]
        if (said := said_by_the_tool(raw, tmp_path)) != expected:
            differ[case["case"]] = said, expected
    print(f"{kind} configurations: {len(configurations(kind)) - len(differ)} in the same words")
    assert differ.keys() == BY_VALUE & {case["case"] for case in configurations(kind)}


def secrets(model: type[Section], where: str = "") -> Iterator[str]:
    """Yield the paths of the model's secrets, with * for names."""
    for name, field in model.model_fields.items():
        path = f"{where}{field.alias or name}"
        kinds = [field.annotation, *get_args(field.annotation)]
        if SecretStr in kinds:
            yield path
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from secrets(kind, f"{path}.{'*.' if str in kinds else ''}")


def test_the_cli_knows_every_secret() -> None:
    assert set(secrets(Configuration)) == set(stack_file.SECRETS)
