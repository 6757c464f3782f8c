"""resolve: expressions against the tags of a real registry server, and the lock file that follows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from localcloud.faults import Fault
from localcloud.oci.images import push_image
from localcloud.registry import RegistrySimulator
from mirrorctl.offline.schemas import report_schema
from tests.cli.conftest import ROOT, Run

STACK = """\
config:
  harbor-mirror:harbor: {{url: "https://harbor.example.com"}}
  harbor-mirror:harborPassword: {{secure: v1:abc}}
  harbor-mirror:endpoints:
    hub: {{type: docker-registry, url: "{url}"}}
  harbor-mirror:projects:
    mirror: {{}}
  harbor-mirror:rules:
    nginx: {{endpoint: hub, repositories: library/nginx, project: mirror, tags: {{semver: "{range}"}}}}
    redis: {{endpoint: hub, repositories: library/redis, project: mirror}}
"""
LOCK = "mirror.lock.dev.yaml"


@pytest.fixture
def stack(tmp_path: Path, source: RegistrySimulator, source_url: str) -> Path:
    assert source.store.tags("library/nginx").keys() == {"1.25", "1.26", "2.0"}
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK.format(url=source_url, range="^1.25"))
    return tmp_path


def test_resolve_writes_a_lock_that_check_accepts(stack: Path, run: Run) -> None:
    before = run("check", "--stack", "dev")
    assert before.code == 2
    assert "has an expression that is not resolved yet. Example: mirrorctl resolve --stack dev" in before.out
    result = run("resolve", "--stack", "dev")
    assert (result.code, result.out.splitlines()) == (
        0,
        [
            "rule   state  tags  selected  policies  globs  ",
            "nginx  new    3     2         1         1.2[56]",
            f"ok {LOCK}: written; review it, commit it, and run pulumi up",
        ],
    )
    assert yaml.safe_load((stack / LOCK).read_text())["rules"]["nginx"]["tags"] == {"library/nginx": ["1.25", "1.26"]}
    assert run("check", "--stack", "dev").code == 0
    assert "1.2[56]" in run("explain", "nginx", "--stack", "dev").out


@pytest.mark.usefixtures("stack")
def test_only_lists_are_requested(source: RegistrySimulator, run: Run) -> None:
    assert run("resolve").code == 0
    paths = {(entry.method, entry.path) for entry in source.requests}
    assert paths <= {("GET", "/token"), ("GET", "/v2/library/nginx/tags/list")}


def test_an_unchanged_source_gives_the_same_bytes(stack: Path, run: Run) -> None:
    run("resolve")
    before = (stack / LOCK).read_bytes()
    result = run("resolve")
    assert (result.code, result.out.splitlines()[-1]) == (0, f"ok {LOCK}: unchanged")
    assert (stack / LOCK).read_bytes() == before
    assert run("resolve", "--check").code == 0


def test_a_new_release_is_one_line_and_a_glob(stack: Path, source: RegistrySimulator, run: Run) -> None:
    run("resolve")
    before = (stack / LOCK).read_text().splitlines()
    push_image(source.store, "library/nginx", "1.31", "nginx-1.31")
    result = run("resolve", "--check")
    assert result.code == 2
    assert "  + nginx: library/nginx:1.31" in result.out
    assert result.out.splitlines()[-1] == f"bad {LOCK}: changes; run mirrorctl resolve --stack dev"
    assert (stack / LOCK).read_text().splitlines() == before
    assert run("resolve").code == 0
    after = (stack / LOCK).read_text().splitlines()
    assert len(set(after) - set(before)) == 2
    assert len(set(before) - set(after)) == 1


def test_a_range_that_selects_nothing_keeps_the_lock(stack: Path, source_url: str, run: Run) -> None:
    run("resolve")
    before = (stack / LOCK).read_bytes()
    (stack / "Pulumi.dev.yaml").write_text(STACK.format(url=source_url, range=">=7"))
    result = run("resolve")
    assert result.code == 2
    assert "refused: nginx: selects none of 3 tags in library/nginx" in result.out
    assert (stack / LOCK).read_bytes() == before
    assert "the expression" in run("check").out


def test_repositories_that_harbor_cannot_match_are_refused(stack: Path, source_url: str, run: Run) -> None:
    text = STACK.format(url=source_url, range="^1.25").replace("library/nginx", '"library/{nginx"')
    (stack / "Pulumi.dev.yaml").write_text(text)
    done = run("resolve")
    assert done.code == 2
    assert "refused: nginx: 'library/{nginx' has a brace that is not closed" in done.out


def test_a_source_that_fails_keeps_the_lock(stack: Path, source: RegistrySimulator, run: Run) -> None:
    run("resolve")
    before = (stack / LOCK).read_bytes()
    source.faults.add(Fault("/tags/list", status=500, times=None))
    result = run("resolve")
    assert result.code == 1
    assert "unreachable: nginx: " in result.out
    assert (stack / LOCK).read_bytes() == before


def test_a_rule_without_its_expression_is_removed_from_the_lock(stack: Path, source_url: str, run: Run) -> None:
    run("resolve")
    text = STACK.format(url=source_url, range="^1.25").replace('{semver: "^1.25"}', '"1.25"')
    (stack / "Pulumi.dev.yaml").write_text(text)
    assert "rules.nginx: is locked, and has no expression" in run("check").out
    result = run("resolve")
    assert (result.code, result.out.splitlines()) == (
        0,
        ["  - nginx: has no expression any more", f"ok {LOCK}: written; review it, commit it, and run pulumi up"],
    )
    assert run("check").code == 0


def test_a_broken_lock_is_rewritten(stack: Path, run: Run) -> None:
    (stack / LOCK).write_text("rules: [")
    found = run("check").out
    assert f"{LOCK}: can't be read" in found
    assert run("resolve").code == 0
    assert run("check").code == 0


def test_a_stack_without_expressions_gets_no_lock(stack: Path, source_url: str, run: Run) -> None:
    text = STACK.format(url=source_url, range="^1.25").replace('{semver: "^1.25"}', '"1.25"')
    (stack / "Pulumi.dev.yaml").write_text(text)
    result = run("resolve")
    assert (result.code, result.out) == (0, "ok dev: no rule has an expression\n")
    assert not (stack / LOCK).exists()


@pytest.mark.usefixtures("stack")
def test_an_unknown_rule(run: Run) -> None:
    result = run("resolve", "redis")
    assert (result.code, result.err) == (1, "mirrorctl: unknown rule with an expression redis; available: nginx\n")


@pytest.mark.usefixtures("stack")
def test_the_report_has_its_schema(run: Run) -> None:
    report = run("resolve", "--json").json
    Draft202012Validator(report_schema("resolve")).validate(report)
    assert report["stacks"][0]["rules"][0]["added"] == ["library/nginx:1.25", "library/nginx:1.26"]


#: Runs a command line and prints the most memory that it used, in kB.
MEASURED = """
import sys
from mirrorctl.app import main
code = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def test_10_000_tags_of_a_source_resolve_in_a_minute_and_150_mb(
    stack: Path, source: RegistrySimulator, source_url: str, environment: dict[str, str]
) -> None:
    image = push_image(source.store, "library/nginx", "1.25", "nginx-1.25")
    manifest = source.store.manifest("library/nginx", "1.25")
    assert manifest is not None
    for number in range(10_000):
        tag = f"1.{number // 400}.{number % 400 // 4}{('', '-alpine', '-perl', '-rc1')[number % 4]}"
        source.store.put_manifest("library/nginx", tag, manifest.body, image.media_type)
    (stack / "Pulumi.dev.yaml").write_text(STACK.format(url=source_url, range=">=1.5 <1.20"))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "resolve", "--json"],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=stack,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    rule = json.loads(done.stdout)["stacks"][0]["rules"][0]
    assert rule["listed"] == 10_003
    assert rule["selected"] == 15 * 100
    megabytes = int(done.stderr.split()[-1]) / 1024
    print(f"10,003 tags resolved in {seconds:.1f} s and {megabytes:.0f} MB")
    assert seconds < 60
    assert megabytes < 150
