"""Imports run one way, and only what is needed. import-linter checks the packages; the program itself it cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "__main__.py": {"components", "harbor_mirror", "pulumi"},
}


@pytest.mark.parametrize("module", ALLOWED)
def test_the_program_imports_only_lower_layers(module: str) -> None:
    imported = set()
    for node in ast.walk(ast.parse((PROJECT / module).read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) <= ALLOWED[module]


#: Runs a program, then prints which of the modules it has loaded.
LOADED = "\nimport sys; print('loaded:', *(name for name in {modules} if name in sys.modules))"
MIRROR = """
import pulumi

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return args.name, args.inputs

    def call(self, args):
        return {}

pulumi.runtime.set_mocks(Mocks())
from components import Mirror
from harbor_mirror.plan.validation import validate

Mirror(validate({
    "harbor": {"url": "https://harbor.example.com"},
    "harborPassword": "Harbor-Password-1",
    "endpoints": {"hub": {"type": "docker-hub", "plan": "anonymous"}},
    "projects": {"mirror": {}},
    "rules": {"nginx": {"endpoint": "hub", "repositories": "library/nginx", "tags": "1.*", "project": "mirror"}},
}), stack="dev")
"""
CHECK = """
from mirrorctl.app import main

main(["check"])
"""


@pytest.mark.parametrize(
    ("program", "modules"),
    [
        # Half a second of CPU, and a plugin that a stack on an existing Harbor does not need.
        pytest.param(MIRROR, ("pulumi_linode", "pulumi_kubernetes"), id="existing Harbor"),
        # As long as a check of several hundred rules takes.
        pytest.param(CHECK, ("httpx", "tenacity", "rich.progress", "pulumi"), id="check"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(program: str, modules: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program + LOADED.format(modules=modules)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
