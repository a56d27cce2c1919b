"""Imports go one way: every module of accelsim may use its own floor and those below, never one above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import accelsim

PACKAGE = Path(accelsim.__file__).parent

# From the ground up. A room is a package or a module of accelsim; `accelsim` itself is the public face, which looks
# names up on first use alone. Where this differs from the design's floor plan the reason stands beside it.
FLOORS = [
    {"text"},
    {"errors"},
    {"limits"},
    {"registry", "result"},
    {"library", "weights", "kernels"},
    {"data"},  # data looks for the sample among the library's folders
    {"schema"},  # LogMel of data is a key of a workload's schema
    {"components", "score"},
    {"devices"},
    {"ops"},
    {"generated"},
    {"architecture", "workload"},
    {"importers", "inputs", "placement"},
    {"schedule"},
    {"engines"},
    {"simulate"},
    {"cost"},
    {"throughput"},
    {"plugins"},
    {"record"},
    {"pipeline"},
    {"explore"},
    {"report"},
    {"api"},
    {"cli", "testing"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# Third-party packages that only these rooms may import.
ONLY_IN = {
    "simpy": {"simulate"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "yaml": {"schema"},
    "safetensors": {"weights", "workload", "data"},
    "soundfile": {"data"},
    "pooch": {"data"},
    "vcd": {"report"},
    "jinja2": {"report"},
    "matplotlib": {"report", "api"},
    "rapidfuzz": {"score"},
    "duckdb": {"explore"},
    "optuna": {"explore"},
    "distributed": {"explore"},
    "pandas": {"api"},
    "IPython": {"api"},
}
STANDARD = {"__future__", "collections", "concurrent", "dataclasses", "math", "typing"}
KERNELS_MAY_IMPORT = {"numpy", "scipy", "numba", "accelsim"} | STANDARD
COMPILE_MAY_IMPORT = KERNELS_MAY_IMPORT | {"contextlib", "functools", "hashlib", "pathlib", "pickle", "time"}
# keeps machine code on disk, and tells how long it takes to make


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_library" not in path.parts)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (full name, line) of everything that a module imports, wherever in it, types alone included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: write the whole path"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_from_a_floor_above(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    assert room in FLOOR, f"{room} stands on no floor: add it to FLOORS"
    wrong = []
    for_kernels = COMPILE_MAY_IMPORT if path.name == "compile.py" else KERNELS_MAY_IMPORT
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] in ONLY_IN and room not in ONLY_IN[parts[0]]:
            wrong.append(f"line {line}: {parts[0]} is for {', '.join(sorted(ONLY_IN[parts[0]]))} alone")
        if room == "kernels" and parts[0] not in for_kernels:
            wrong.append(f"line {line}: kernels import numpy, scipy and numba only, found {name}")
        if parts[0] == "accelsim" and len(parts) > 1 and parts[1] in FLOOR:
            other = parts[1]
            if FLOOR[other] > FLOOR[room] or (FLOOR[other] == FLOOR[room] and other != room):
                wrong.append(f"line {line}: {room} may not import {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_outside_an_engine_knows_its_name() -> None:
    """What all engines share may be imported, a single engine may not: a new one needs no edit elsewhere."""
    shared = {"deploy", "engine", "execute", "memory", "wires"}
    for path in modules():
        for name, line in imports(path):
            parts = name.split(".")
            if parts[:2] == ["accelsim", "engines"] and room_of(path) != "engines":
                assert parts[2] in shared, f"{path.relative_to(PACKAGE)}:{line}: {name}"
        if path.parent.name == "engines" and path.stem in shared:
            wrong = {name for name, _ in imports(path) if name.startswith("accelsim.engines.")}
            assert all(name.split(".")[2] in shared for name in wrong), f"{path.name}: {wrong}"


def test_nothing_but_the_command_line_prints_or_exits() -> None:
    for path in modules():
        if room_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "exit", "sys.exit", "quit"), f"{path.name}:{node.lineno}: {called}()"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__", "__main__"}
    assert rooms <= FLOOR.keys()
