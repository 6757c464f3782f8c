"""Rule files: merged into the stack, with file and line in faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harbor_mirror.config import located_yaml
from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.config.located_yaml import Unreadable
from harbor_mirror.config.models import Configuration
from mirrorctl import stack_file
from tests.data.model import resolved, rows, stack

RAW: dict[str, Any] = {**stack({}), "rulesDir": "mirrors/dev"}
WEB = """\
# The web team's images.
rules:
  web-base:
    endpoint: hub
    repositories: library/httpd
    project: mirror
"""


@pytest.fixture
def teams(tmp_path: Path) -> Path:
    folder = tmp_path / "mirrors" / "dev"
    folder.mkdir(parents=True)
    (folder / "web.yaml").write_text(WEB)
    return folder


def configuration(raw: dict[str, Any], base: Path) -> Configuration:
    return resolved(raw, base).require().configuration


def faults(raw: dict[str, Any], base: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        configuration(raw, base)
    return [str(fault) for fault in caught.value.faults]


def test_rules_of_all_files_are_merged_with_the_stack(teams: Path, tmp_path: Path) -> None:
    (teams / "data").mkdir()
    (teams / "data" / "etl.yml").write_text(WEB.replace("web-base", "etl").replace("httpd", "redis"))
    (teams / "README.md").write_text("no rules")
    (teams / "empty.yaml").write_text("# nothing yet\n")
    assert list(configuration(RAW, tmp_path).rules) == ["nginx", "etl", "web-base"]


def test_no_file_is_read_without_rules_dir(teams: Path, tmp_path: Path) -> None:
    (teams / "web.yaml").write_text("{")
    assert list(configuration({**RAW, "rulesDir": ""}, tmp_path).rules) == ["nginx"]


def test_faults_name_file_and_line(teams: Path, tmp_path: Path) -> None:
    (teams / "web.yaml").write_text(WEB.replace("library/httpd", "library/{a,b") + "    overide: true\n")
    assert faults(RAW, tmp_path) == [
        "mirrors/dev/web.yaml:7: rules.web-base.overide: is not a known key; did you mean override?"
    ]
    (teams / "web.yaml").write_text(WEB.replace("library/httpd", "library/{a,b"))
    (found,) = faults(RAW, tmp_path)
    assert found.startswith("mirrors/dev/web.yaml:5: rules.web-base.repositories: 'library/{a,b' has a brace")


def test_a_missing_key_has_the_line_of_its_rule(teams: Path, tmp_path: Path) -> None:
    (teams / "web.yaml").write_text(WEB.replace("    endpoint: hub\n", ""))
    assert faults(RAW, tmp_path) == ["mirrors/dev/web.yaml:3: rules.web-base.endpoint: is missing. Example: docker-hub"]


def test_a_rule_that_is_defined_twice_is_a_fault(teams: Path, tmp_path: Path) -> None:
    (teams / "zoo.yaml").write_text(WEB)
    (teams / "own.yaml").write_text(WEB.replace("web-base", "nginx"))
    assert faults(RAW, tmp_path) == [
        "mirrors/dev/own.yaml:3: rules.nginx: is already defined in the stack's own configuration; rename one of them.",
        "mirrors/dev/zoo.yaml:3: rules.web-base: is already defined in mirrors/dev/web.yaml:3; rename one of them.",
    ]


def test_rules_of_two_files_that_collide(teams: Path, tmp_path: Path) -> None:
    other = WEB.replace("web-base", "copy").replace("library/httpd", "other/httpd") + "    flatten: 1\n"
    (teams / "web.yaml").write_text(WEB + "    flatten: 1\n")
    (teams / "zoo.yaml").write_text(other)
    (found,) = faults(RAW, tmp_path)
    assert found.startswith("mirrors/dev/zoo.yaml:5: rules.copy.repositories: [other/httpd] collides: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- web", "mirrors/dev/web.yaml:1: rules: is missing: a rule file needs this key"),
        ("rules: [web]", "mirrors/dev/web.yaml:1: rules: [web] must be a map keyed by name"),
        ("endpoints: {}\nrules: {}", "mirrors/dev/web.yaml:1: endpoints: is not a known key; known keys: rules"),
        ("rules: {", "rulesDir: 'mirrors/dev/web.yaml' is not valid YAML (expected the node content"),
        ("&a [*a]", "rulesDir: 'mirrors/dev/web.yaml' is nested too deeply"),
        (
            "rules:\n  a: {}\n  a: {}",
            "mirrors/dev/web.yaml:3: rules.a: is a duplicate key (lines 2 and 3); keep one of the two.",
        ),
    ],
)
def test_invalid_rule_files(teams: Path, tmp_path: Path, text: str, says: str) -> None:
    (teams / "web.yaml").write_text(text)
    assert faults(RAW, tmp_path)[0].startswith(says)


def test_a_directory_without_rule_files_is_a_fault(tmp_path: Path) -> None:
    assert faults(RAW, tmp_path) == [
        "rulesDir: 'mirrors/dev' is not a directory beside Pulumi.yaml. Example: mirrors/prod"
    ]
    (tmp_path / "mirrors" / "dev").mkdir(parents=True)
    assert faults(RAW, tmp_path) == ["rulesDir: 'mirrors/dev' has no YAML files. Example: mirrors/prod"]


def test_every_value_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(WEB + "    tags:\n      - 1.2*\n      - latest\n")
    found = located_yaml.read(file)
    assert [found.line(f"rules.web-base{path}") for path in ("", ".project", ".tags", ".tags[1]", ".nothing")] == [
        3,
        6,
        7,
        9,
        3,
    ]
    assert found.line("projects") == 2, "the content's own"


def test_scalars_agree_with_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    recorded = rows("yaml-scalars")
    file.write_text("".join(f"- {row['text']}\n" for row in recorded))
    read = located_yaml.read(file).content
    assert [(row["text"], repr(row["value"])) for row in recorded] == [
        (row["text"], repr(value)) for row, value in zip(recorded, read, strict=True)
    ]
    print(f"scalars of YAML: all {len(recorded)} as the engine has them")


def test_keys_agree_with_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("{true: 1, False: 2, ~: 3, 0x11: 4, 1.50: 5, yes: 6, 2026-11-25: 7, 'a b': 8}")
    known = ["true", "false", "<nil>", "17", "1.5", "yes", "2026-11-25 00:00:00 +0000 UTC", "a b"]
    assert list(located_yaml.read(file).content) == known


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("base: &base {project: mirror, schedule: daily}\nown: {<<: *base, schedule: hourly}\n")
    read = located_yaml.read(file)
    assert read.content["own"] == {"project": "mirror", "schedule": "hourly"}
    assert read.faults == ()


@pytest.mark.parametrize(
    "text",
    [
        "!!int x",
        "a: {b",
        "a:\n\t- b",
        "a: 1\n---\nb: 2",
        "[" * 1000,
        "&a [*a]",
        "*a",
        "\0",
        "? [a]\n: &a {b: *a}",
    ],
)
def test_random_text_gives_no_traceback(tmp_path: Path, text: str) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(Unreadable):
        located_yaml.read(file)


def test_nested_aliases_are_limited(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file.write_text("\n".join(lines))
    with pytest.raises(Unreadable, match="more than 100,000 values"):
        located_yaml.read(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(Unreadable):
            located_yaml.read(path)


def test_check_shows_each_file_with_its_own_faults_and_warnings(teams: Path, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    config = {f"harbor-mirror:{key}": value for key, value in RAW.items() if key != "harborPassword"}
    file.write_text(yaml.safe_dump({"config": {**config, "harbor-mirror:harborPassword": {"secure": "v1:abc"}}}))
    (teams / "web.yaml").write_text(WEB + "    deletion: true\n")
    own, web = stack_file.read(file).parts()
    assert (own.faults, own.cautions, web.faults) == ((), (), ())
    assert [caution.name for caution in web.cautions] == ["web-base"]
    (teams / "web.yaml").write_text(WEB.replace("httpd", "nginx}"))
    own, web = stack_file.read(file).parts()
    assert (own.faults, str(web.path)) == ((), "mirrors/dev/web.yaml")
    assert [(fault.path, web.line(fault.path)) for fault in web.faults] == [("rules.web-base.repositories", 5)]
