"""What is said of a file says where: every message has the file and the line, but for those listed here with a reason.

Two ways: the places in the code that make a message are counted, and the common mistakes are made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import accelsim
from accelsim.cli import app
from accelsim.errors import InputError, Problem
from accelsim.explore.validate import validate_file
from accelsim.library import find, find_workload

PACKAGE = Path(accelsim.__file__).parent

OPTION = "of an option of the command line, or an argument in Python: no file says it"
HERE = "of this installation, machine or network"
FOLDER = "of a file or folder as a whole, which the message names"
CALLER = "whoever reads the file gives the place, with Source.at, Problems or check_prices"
GIVEN = "of a chip or workload that was made in Python, which has no file"

WITHOUT_A_FILE: dict[str, str] = {
    **{f"cli/{family}.py": OPTION for family in ("compare", "explore", "importing", "options", "run")},
    **{f"api/{module}.py": OPTION for module in ("comparisons", "frames", "results", "sweeps")},
    "limits.py": OPTION,
    "cli/data.py": OPTION,
    "cost/lookup.py": CALLER,
    "cost/window.py": GIVEN,
    "data/dataset.py": HERE,
    "data/datasets.py": f"{CALLER}; and of downloads",
    "data/librivox.py": HERE,
    "data/recordings.py": CALLER,
    "engines/execute.py": GIVEN,
    "engines/memory.py": HERE,
    "engines/effective_cache.py": "of an environment variable",
    "explore/comparison.py": f"{OPTION}; of studies that are not on this machine",
    "explore/metrics.py": CALLER,
    "explore/new.py": f"{OPTION}; {CALLER}",
    "explore/paths.py": CALLER,
    "explore/search.py": f"{OPTION}; {HERE}",
    "explore/space.py": f"{CALLER}, or {OPTION}",
    "explore/store.py": FOLDER,
    "explore/studies.py": FOLDER,
    "explore/sweep.py": f"{OPTION}; {FOLDER}",
    "explore/validate.py": f"{OPTION}; {FOLDER}",
    "explore/workers.py": HERE,
    "importers/calibrate.py": OPTION,
    "importers/importer.py": OPTION,
    "importers/onnx/__init__.py": OPTION,
    "inputs.py": CALLER,
    "library.py": CALLER,
    "pipeline.py": CALLER,
    "placement.py": GIVEN,
    "plugins.py": OPTION,
    "registry.py": f"{CALLER}; {HERE}",
    "report/folder.py": f"{OPTION}; {FOLDER}",
    "report/plots.py": f"{FOLDER}; {HERE}",
    "result.py": FOLDER,
    "schedule/mapping.py": CALLER,
    "schema/quantity.py": CALLER,
    "simulate/engine.py": CALLER,
    "simulate/trace.py": OPTION,
    "workload.py": f"{CALLER}; {GIVEN}",
}
"""Modules of which some messages have no file, and why."""

BINARY = "of a file without lines: recordings, arrays, models, weights"
WITHOUT_A_LINE: dict[str, str] = {
    "cli/data.py": "of all recordings of a table, each of which was told with its line",
    "explore/sweep.py": FOLDER,
    "explore/workers.py": OPTION,
    "data/an4.py": BINARY,
    "data/datasets.py": BINARY,
    "data/digits.py": BINARY,
    "data/files.py": BINARY,
    "data/manifest.py": f"{FOLDER}; rows of Parquet have no lines",
    "data/recordings.py": FOLDER,
    "data/from_file.py": BINARY,
    "data/mini_librispeech.py": "of a line that is not there",
    "data/timit.py": BINARY,
    "explore/store.py": FOLDER,
    "explore/studies.py": FOLDER,
    "explore/validate.py": FOLDER,
    "importers/calibrate.py": BINARY,
    "importers/conformer.py": BINARY,
    "importers/hdf5.py": BINARY,
    "importers/importer.py": BINARY,
    "importers/nir.py": BINARY,
    "importers/onnx/__init__.py": BINARY,
    "importers/s4d.py": BINARY,
    "importers/state_dict.py": BINARY,
    "importers/tflite.py": BINARY,
    "limits.py": OPTION,
    "report/folder.py": FOLDER,
    "result.py": "of a record, whose key is named",
    "schema/given.py": "of data from Python, whose key path stands for a line",
    "schema/source.py": f"{FOLDER}; '--set KEY' stands for a file",
    "weights.py": BINARY,
    "workload.py": BINARY,
}
"""Modules of which some messages have a file and no line, and why."""


def sites() -> Iterator[tuple[str, int, bool, bool]]:
    """Yield every place that makes a problem: module, line, whether it gives a file, and a line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "Problem" or re.fullmatch(r"(Input|Data|UnknownName)Error\.of", called):
                keys = {keyword.arg for keyword in node.keywords}
                starred = any(isinstance(one, ast.Starred) for one in node.args)
                file, line = "file" in keys or len(node.args) > 1, "line" in keys or len(node.args) > 2
                yield path.relative_to(PACKAGE).as_posix(), node.lineno, file or starred, line or starred


def test_messages_without_a_place_are_known_ones() -> None:
    wrong = []
    for module, number, file, line in sites():
        if not file and module not in WITHOUT_A_FILE:
            wrong.append(f"{module}:{number}: give file= and line=, or the place with Source.at")
        if file and not line and module not in WITHOUT_A_LINE:
            wrong.append(f"{module}:{number}: give line=")
    assert not wrong, "\n".join(wrong)


def test_no_exception_outlives_its_reason() -> None:
    found = list(sites())
    assert set(WITHOUT_A_FILE) - {"placement.py"} <= {module for module, _, file, _ in found if not file}
    used = {module for module, _, file, line in found if file and not line}
    assert set(WITHOUT_A_LINE) - {
        "explore/store.py",
        "explore/studies.py",
        "explore/validate.py",
        "report/folder.py",
    } <= (used)


def test_a_problem_takes_the_place_that_it_lacks_alone() -> None:
    error = InputError([Problem("a"), Problem("b", "other", 3)]).at("file", 7)
    assert [str(one) for one in error.problems] == ["file:7: a", "other:3: b"]


CHIP = find("rsnn28nm", "arch").read_text(encoding="utf-8")
NETWORK = find_workload("rsnn_paper_activity").read_text(encoding="utf-8").replace("3000", "4")
PAPER = find("rsnn28nm", "arch/papers").read_text(encoding="utf-8")
SWEEP = """schema: accelsim/sweep@1
architecture: chip.yaml
workload: net.yaml
axes:
  - {components.lif.units: [64, 128]}
  - {clocks.main.frequency: [1 MHz, 2 MHz]}
objectives: [energy, area]
constraints: [area<=2 mm2]
"""


MISTAKES = (
    ("chip.yaml", "schema: accelsim/arch@1", "schema: accelsim/arc@1"),
    ("chip.yaml", "workload: rsnn_phoneme", "workload: nowhere"),
    ("chip.yaml", "cost: cmos28_rsnn", "cost: nowhere"),
    ("chip.yaml", "voltage: 0.9 V", "voltage: 9 V"),
    ("chip.yaml", "frequency: 500 MHz", "frequency: 500 MHzz"),
    ("chip.yaml", "clocks.main.frequency: 500", "clocks.man.frequency: 500"),
    ("chip.yaml", "units: 128, membrane_bits", "units: 1.5, membrane_bits"),
    ("chip.yaml", "  lif:", "  l f:"),
    ("chip.yaml", "kind: controller", "kind: controler"),
    ("chip.yaml", "membrane_bits: 16", "membrane_bits: 2"),
    ("chip.yaml", "sets: 2, pes: 128, weight_bits: 4", "sets: 2, pes: 128, weight_bits: 3"),
    ("chip.yaml", "rows: 960, width_bits: 512", "rows: 1, width_bits: 512"),
    ("chip.yaml", "frame_period: 10 ms", "frame_period: 11 ms"),
    ("chip.yaml", "stores: features, entries: 48", "stores: features, entries: 4"),
    ("net.yaml", "schema: accelsim/workload@1", "schema: accelsim/workload@9"),
    ("net.yaml", "op: ", "op: x"),
    ("net.yaml", "input: l0", "input: l9"),
    ("net.yaml", "name: l1", "name: l 1"),
    ("net.yaml", "source: random", "source: randomly"),
    ("sweep.yaml", "architecture: chip.yaml", "architecture: nowhere"),
    ("sweep.yaml", "workload: net.yaml", "workload: nowhere"),
    ("sweep.yaml", "[64, 128]", "9:1"),
    ("sweep.yaml", "[64, 128]", "[64, wide]"),
    ("sweep.yaml", "components.lif.units", "components.lif.unit"),
    ("sweep.yaml", "clocks.main.frequency", "lif.units"),
    ("sweep.yaml", "[64, 128]", "0.5:1.5"),
    ("sweep.yaml", "[energy, area]", "[energy, nothing]"),
    ("sweep.yaml", "area<=2 mm2", "area is small"),
    ("sweep.yaml", "objectives:", "points: -1\nobjectives:"),
    ("paper.yaml", "architecture: rsnn28nm", "architecture: nowhere"),
    ("paper.yaml", "workload: ", "workload: no"),
    ("paper.yaml", "path: ", "path: no"),
)
"""What is made of a file: its name, what is replaced, by what."""


@pytest.mark.parametrize(("file", "old", "new"), MISTAKES, ids=lambda text: re.sub(r"\W+", "_", text)[:40])
def test_a_mistake_is_said_with_its_line(file, old, new, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {"chip.yaml": CHIP, "net.yaml": NETWORK, "sweep.yaml": SWEEP, "paper.yaml": PAPER}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new, 1)
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    line = next(
        number
        for number, (a, b) in enumerate(zip(texts[file].splitlines(), _before(file).splitlines(), strict=False), 1)
        if a != b
    )
    with pytest.raises(InputError) as told:
        if file in ("chip.yaml", "net.yaml"):
            accelsim.run("chip.yaml", None if "workload: nowhere" in new else "net.yaml")
        elif file == "sweep.yaml":
            accelsim.sweep  # noqa: B018
            app(["sweep", file, "--out", "out"], standalone_mode=False)
        else:
            validate_file(Path(file))
    places = [(str(problem.file), problem.line) for problem in told.value.problems]
    assert all(number is not None for _, number in places), told.value
    assert (file, line) in places, f"expected {file}:{line}\n{told.value}"


def _before(file: str) -> str:
    return {"chip.yaml": CHIP, "net.yaml": NETWORK, "sweep.yaml": SWEEP, "paper.yaml": PAPER}[file]


@pytest.mark.parametrize(
    ("content", "line"),
    [("", 1), ("# nothing\n", 1), ("# a\nschema: accelsim/x@1\n", 2), ("a: 1\n", 1), ("- 1\n", 1), ("a:\n  b: [\n", 3)],
)
def test_a_file_of_no_schema_is_said_with_its_line(content: str, line: int, tmp_path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as told:
        validate_file(path)
    assert [(problem.file, problem.line) for problem in told.value.problems] == [(str(path), line)]
