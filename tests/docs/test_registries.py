"""The pages on registries and on schedules: their examples are valid, and their facts match the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harbor_mirror.config.models import AuditPurge, GarbageCollection
from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.registry_types import REGISTRY_TYPES, RegistryType
from harbor_mirror.plan.schedule import WORDS, Schedule, parse_maintenance
from mirrorctl import stack_file

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "registries"
#: Number of warnings of an example: every rule at Huawei gets one, because Harbor applies no filters there.
WARNED = {"huawei-SWR": 1}
BY_NAME = pytest.mark.parametrize("kind", REGISTRY_TYPES.values(), ids=lambda kind: kind.type)


def page(kind: RegistryType) -> str:
    return (PAGES / f"{kind.type}.md").read_text()


def words(text: str) -> str:
    return " ".join(text.split())


@BY_NAME
def test_the_example_is_a_valid_stack(kind: RegistryType, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page(kind), re.DOTALL)
    content = yaml.safe_load(example)
    host = {"region": "sg-sin-2", "hostname": "harbor.example.com", "maintenanceWindow": {}}
    content["config"]["harbor-mirror:host"] = host
    file = tmp_path / "Pulumi.docs.yaml"
    file.write_text(yaml.safe_dump(content))
    read = stack_file.read(file)
    assert [str(fault) for fault in read.faults] == []
    assert len(read.cautions) == WARNED.get(kind.type, 0), read.cautions
    (endpoint,) = content["config"]["harbor-mirror:endpoints"].values()
    assert endpoint["type"] == (kind.type if kind.provider_name else "docker-registry")


@BY_NAME
def test_the_page_states_the_facts_of_the_catalogue(kind: RegistryType) -> None:
    text = words(page(kind))
    assert text.startswith(f"# {kind.title} ")
    assert f"`{kind.type}`" in text
    assert (kind.url or kind.url_example) in text
    assert kind.anonymous in text
    assert f"<{kind.docs}>" in text
    assert f"such as `{kind.path_example}`" in text
    for trap in kind.limitations:
        assert f"- {trap[0].upper()}{trap[1:]}." in text


@BY_NAME
def test_the_list_of_pages_has_the_type(kind: RegistryType) -> None:
    assert f"[{kind.title}]({kind.type}.md) | `{kind.type}`" in (PAGES / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of the page on schedules."""
    text = (DOCS / "schedules.md").read_text().split(heading, 1)[1]
    table = text[text.index("| --- ") :].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_every_rejected_schedule_is_rejected_with_the_documented_example() -> None:
    table = rows("## Rejected schedules")
    assert len(table) >= 10
    for written, _, offered in table:
        with pytest.raises(Refused) as refused:
            Schedule.parse(written.strip("`"), name="nginx")
        assert f"`{refused.value.example}`" == offered, written


def test_every_recommended_schedule_is_accepted() -> None:
    for written, _ in rows("# Schedules"):
        for text in re.findall(r"`([^`]+)`", written):
            assert Schedule.parse(text, name="nginx").cron or text == "manual"
    text = (DOCS / "schedules.md").read_text()
    for word, cron in WORDS.items():
        assert f"`{word}`" in text
        assert f"`{cron}`" in text


def test_the_defaults_of_maintenance_are_documented() -> None:
    text = words((DOCS / "schedules.md").read_text())
    collection, purge = GarbageCollection.read({}), AuditPurge.read({})
    assert parse_maintenance(collection.schedule, name="").describe() == "every Saturday at 03:30, UTC"
    assert parse_maintenance(purge.schedule, name="").describe() == "every day at 02:30, UTC"
    assert "on Saturdays at 03:30 UTC and the audit log is purged every night at 02:30 UTC" in text
