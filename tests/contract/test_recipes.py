"""Recipes and benchmarks are not run by the tests: what they take from accelsim is there at least."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from accelsim import library

ROOT = library.root()
FILES = sorted([*ROOT.glob("workloads/*/*.py"), *ROOT.glob("tests/benchmarks/*.py")])


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_a_recipe_imports_is_there(file: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("accelsim"):
            continue
        try:
            module = importlib.import_module(str(node.module))
        except ModuleNotFoundError:
            missing.append(f"{node.lineno}: {node.module}")
            continue
        for name in node.names:
            if not hasattr(module, name.name):
                missing.append(f"{node.lineno}: {node.module}.{name.name}")
    assert not missing


def test_there_are_recipes() -> None:
    assert len(FILES) > 20
