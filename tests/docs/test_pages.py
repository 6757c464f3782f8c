"""The pages are correct: shell blocks run on a local cloud, YAML is valid, links have a target.

A shell block has a mark after its language: `run`, or `no-run:` with the reason. NOT_RUN_HERE lists pages that other
tests check, or whose commands run on another machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import scale
from localcloud.cloud import PARTNER_PASSWORD, PARTNER_USERNAME, LocalCloud
from localcloud.demo import stack_config
from localcloud.engine import PROGRAM, PROJECT, Workspace
from localcloud.http import free_port
from mirrorctl import stack_file
from tests.programs import program

DOCS = PROJECT / "docs"
#: In this order, because each page uses the results of the pages before it.
RUN = ("docs/guide.md", "docs/outputs.md", "docs/pipelines.md", "docs/migration.md")
NOT_RUN_HERE = {
    "README.md": "make and a Linode account; the guide has the same commands",
    "docs/mirrorctl.md": "shows output; tests/cli tests every command and option",
    "docs/operations.md": "runs on the server; tests/host runs the scripts",
    "docs/host-failures.md": "runs on the server; tests/host checks the table",
    "docs/cluster-operations.md": "runs against a cluster; tests/cluster runs one",
    "docs/registries/": "needs an account at each registry; tests/docs/test_registries.py checks the pages",
}
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELLS = {"sh", "bash", "console", "shell"}
#: Settings that a configuration needs and the examples omit.
BASE: dict[str, Any] = {
    "harbor-mirror:host": {"region": "sg-sin-2", "hostname": "harbor.example.com"},
    "harbor-mirror:endpoints": {"docker-hub": {"type": "docker-hub"}},
    "harbor-mirror:projects": {"mirror": {}},
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language, the text after the language, and its content."""

    page: str
    language: str
    said: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0][:60]}"


def pages() -> list[Path]:
    return [PROJECT / "README.md", PROJECT / "policy/README.md", *sorted(DOCS.rglob("*.md"))]


def blocks() -> list[Block]:
    found = []
    for page in pages():
        name = str(page.relative_to(PROJECT))
        found += [Block(name, language, said.strip(), text) for language, said, text in FENCE.findall(page.read_text())]
    return found


# --- shell ------------------------------------------------------------------------------------------------------------


@dataclass
class Newcomer:
    """Follows the pages in a separate checkout, with a local cloud for Linode and Docker Hub."""

    directory: Path
    env: dict[str, str]
    names: dict[str, str]
    """Name in the pages -> name in this test."""
    secrets: list[str]
    workspace: Workspace
    shown: list[str] = field(default_factory=list)

    def type(self, text: str) -> None:
        for name, here in self.names.items():
            text = text.replace(name, here)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.directory, env=self.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.shown.append(done.stdout + done.stderr)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    for name in ("jq", "skopeo"):
        program(name)
    with LocalCloud() as cloud:
        directory = tmp_path / "harbor-mirror"
        directory.mkdir()
        for name in (*PROGRAM, "ci", "policy"):
            (directory / name).symlink_to(PROJECT / name)
        shutil.copytree(PROJECT / "examples", directory / "examples")
        (directory / "state").mkdir()
        config = stack_config(cloud, free_port())
        hub = {"type": "docker-registry", "url": cloud.partner_url, "username": PARTNER_USERNAME}
        config["harbor-mirror:endpoints"] = {"docker-hub": hub}
        config["harbor-mirror:projects"] = {"mirror": {"quotaGb": 10, "forceDestroy": True}}
        rule = {"endpoint": "docker-hub", "repositories": "library/nginx", "tags": "1.2*", "project": "mirror"}
        config["harbor-mirror:rules"] = {"nginx": {**rule, "schedule": "daily"}}
        write(directory / "Pulumi.dev.yaml", config)
        production = yaml.safe_load((PROJECT / "Pulumi.prod.yaml").read_text())["config"]
        # No zone is managed here.
        del production["harbor-mirror:host"]["dnsZone"]
        write(directory / "Pulumi.prod.yaml", production)
        workspace = Workspace(directory, "dev", cloud.env)
        given = {
            "LINODE_TOKEN": cloud.env["LINODE_TOKEN"],
            "DOCKER_HUB_TOKEN": PARTNER_PASSWORD,
            "BASE": "HEAD",
            "TLS_VERIFY": "false",
        }
        for command in (["init", "--quiet"], ["add", "Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"]):
            subprocess.run(["git", *command], cwd=directory, check=True)
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, "commit", "--quiet", "--message", "first"], cwd=directory, check=True)
        names = {"docker.io/": f"{cloud.partner_url.removeprefix('http://')}/"}
        yield Newcomer(
            directory, {**workspace.environment(), **given}, names, [PARTNER_PASSWORD, given["LINODE_TOKEN"]], workspace
        )
        workspace.destroy()


def write(file: Path, config: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({"config": config}, sort_keys=False))


@pytest.mark.slow
def test_the_shell_blocks_run_with_the_documented_result(newcomer: Newcomer) -> None:
    for page in RUN:
        mine = [block for block in blocks() if block.page == page and block.said == "run"]
        assert mine, "a page without blocks to run does not belong in RUN"
        if page == "docs/migration.md":
            # A user with an existing Harbor and nothing else.
            outputs = newcomer.workspace.outputs(secrets=True)
            for name, output in (("URL", "harborUrl"), ("USERNAME", "adminUsername"), ("PASSWORD", "adminPassword")):
                newcomer.env[f"HARBOR_{name}"] = outputs[output]
            newcomer.secrets.append(outputs["adminPassword"])
        for block in mine:
            newcomer.type(block.text)
    for secret in newcomer.secrets:
        assert secret not in "".join(newcomer.shown)
    made = newcomer.directory
    assert (made / "nginx.tar").stat().st_size > 0
    assert '"kind": "Secret"' in (made / "pull-secret.json").read_text()
    assert "harbor-mirror:rules" in (made / "Pulumi.taken-over.yaml").read_text()


def test_each_shell_block_runs_or_has_a_reason_not_to() -> None:
    unsaid = []
    for block in blocks():
        elsewhere = any(block.page.startswith(page) for page in NOT_RUN_HERE)
        if block.language not in SHELLS or elsewhere:
            continue
        if not (block.said == "run" and block.page in RUN) and not re.match(r"no-run: \w", block.said):
            unsaid.append(str(block))
    assert unsaid == []


# --- YAML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "yaml"], ids=str)
def test_the_yaml_examples_are_valid(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    config: dict[str, Any] = dict(BASE)
    (tmp_path / "mirrors/dev").mkdir(parents=True)
    if content is None:
        assert block.text.startswith("#"), "a comment for editors"
        return
    if "rules" in content:
        config["harbor-mirror:rulesDir"] = "mirrors/dev"
        (tmp_path / "mirrors/dev/web.yaml").write_text(block.text)
    else:
        assert set(content) == {"config"}
        if {"harbor-mirror:harbor", "harbor-mirror:cluster"} & content["config"].keys():
            del config["harbor-mirror:host"]
        config |= content["config"]
        (tmp_path / "mirrors/dev/none.yaml").write_text("rules: {}\n")
    write(tmp_path / "Pulumi.docs.yaml", config)
    faults = map(str, stack_file.read(tmp_path / "Pulumi.docs.yaml").faults)
    # Expressions are right by themselves; their lock files are written by `mirrorctl resolve`.
    assert [fault for fault in faults if "is not resolved yet" not in fault] == []


# --- the rest ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_have_a_target(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def test_the_page_about_scale_has_the_tables_of_its_model() -> None:
    page = (DOCS / "scale.md").read_text().splitlines()
    assert [line for line in scale.tables() if line not in page] == []


def test_the_configuration_reference_matches_the_models() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "ci/reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("row", re.findall(r"^\|(.+)\|$", (DOCS / "security.md").read_text(), re.MULTILINE))
def test_statements_about_security_name_tests_that_exist(row: str) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
        assert re.search(rf"^def {name}\(", (PROJECT / file).read_text(), re.MULTILINE), name
