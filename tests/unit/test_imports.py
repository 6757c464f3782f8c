"""Imports run one way. import-linter checks the packages (`make lint`); the program itself it cannot see."""

from __future__ import annotations

import ast
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
