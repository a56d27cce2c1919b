"""licences.csv and pyproject.toml name the same packages, none under a licence that users could not accept."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import licences
import pytest
from packaging.utils import canonicalize_name

import accelsim

ROWS = {row["package"]: row for row in licences.rows()}
DIRECT = {name: row for name, row in ROWS.items() if row["versions"]}
DECLARED = licences.declared()


def extras_of(row: dict[str, str]) -> set[str]:
    return {"" if extra == "accelsim" else extra for extra in row["extras"].split()}


def test_every_declared_package_is_listed_and_every_listed_one_declared() -> None:
    listed = {name: (row["versions"], extras_of(row)) for name, row in DIRECT.items()}
    assert listed == DECLARED, "python tests/licences.py writes licences.csv anew"
    assert all(extras for _, extras in DECLARED.values())
    assert all(versions for versions, _ in DECLARED.values()), "a package without a lower bound"


@pytest.mark.parametrize("name", ROWS)
def test_a_licence_is_permitted(name: str) -> None:
    row = ROWS[name]
    assert licences.permitted(row["licence"], extras_of(row)) and row["used_for"]
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    assert licences.permitted(licences.licence(found), extras_of(row))


@pytest.mark.parametrize(
    "text",
    [
        "", "UNKNOWN", "GPL-3.0-only", "GPL-2.0-or-later", "AGPL-3.0", "LGPL-3.0", "CC-BY-NC-4.0", "Proprietary",
        "MIT AND GPL-2.0-only", "GPL-3.0-or-later WITH Autoconf-exception-3.0", "GPL-3.0 OR CC-BY-NC-4.0",
    ],
)  # fmt: skip
def test_a_licence_is_not_permitted(text: str) -> None:
    assert not licences.permitted(text, {""})
    assert not licences.permitted(text, {"test", "explore"})
    assert licences.permitted(text, {"test"}) == (text == "LGPL-3.0")


@pytest.mark.parametrize(
    "text", ["MIT", "MIT OR GPL-2.0-only", "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1"]
)
def test_a_choice_and_an_exception_are_permitted(text: str) -> None:
    assert licences.permitted(text, {""})


@cache
def brought_by() -> dict[str, list[str]]:
    """Return the distributions that bring a module, {module: names}, slow to find out."""
    # pydantic asks for one version of pydantic-core, which its documentation imports from: declared with it.
    return {**packages_distributions(), "pydantic_core": ["pydantic"]}


@cache
def imported() -> dict[str, tuple[bool, Path]]:
    """Return the modules of others that accelsim imports: whether with accelsim itself, and a file that does."""
    found: dict[str, tuple[bool, Path]] = {}
    for path in sorted(Path(accelsim.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in (
                {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"accelsim", "__future__"}
            ):
                top, at = found.get(name, (False, path))
                found[name] = (top or node in tree.body, at)
    return found


@pytest.mark.parametrize("module", imported())
def test_what_accelsim_imports_is_declared(module: str) -> None:
    top, path = imported()[module]
    brought = [canonicalize_name(name) for name in brought_by().get(module, [])]
    if not brought:
        pytest.skip(f"{module} is not installed")
    extras = set().union(*(DECLARED[name][1] for name in brought if name in DECLARED))
    assert extras & ({""} if top else {"", "explore", "import", "parquet", "plots", "notebook"}), (
        f"{path} imports {module}: {brought}"
    )
