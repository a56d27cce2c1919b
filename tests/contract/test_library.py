"""What every file of the library promises: architectures, cost tables, workloads, papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chips import text, write_random_network
from graphs import IDEAL, Shape, tile_keys, write_graph

import accelsim
from accelsim.architecture import load_architecture, load_cost
from accelsim.components import KINDS
from accelsim.cost.pricing import price_list
from accelsim.errors import InputError
from accelsim.explore import load_paper
from accelsim.library import names, root, workload_names
from accelsim.pipeline import split_overrides
from accelsim.result import Result
from accelsim.schedule import build_schedule
from accelsim.schema.paper import StudyRun
from accelsim.schema.ssm import S4dOp
from accelsim.schema.workload import LifOp, RandomInputs
from accelsim.workload import load_workload

ARCHITECTURES, COSTS, PAPERS = names("arch"), names("arch/cost"), names("arch/papers")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_is_whole_and_fully_priced(name: str) -> None:
    chip = load_architecture(name)
    assert chip.spec.name == name, "a file is named after what it describes"
    assert chip.spec.description and chip.spec.assumptions
    prices = price_list(chip)
    covered = {(row.kind, row.action) for row in chip.cost.energy if row.included_in is not None}
    for spec in chip.components().values():
        for action in KINDS[spec.kind].actions:
            price = prices.energy(spec.kind, action, spec.dimensions())
            assert (price.value > 0) == ((spec.kind, action) not in covered)
        for price in (prices.area(spec.kind, spec.dimensions()), prices.leakage(spec.kind, spec.dimensions())):
            assert 0 <= price.low <= price.value <= price.high
    for calibration in chip.spec.calibrated:
        value: Any = chip.spec.model_dump()
        for key in calibration.key.split("."):
            value = value[key]
        assert isinstance(value, int | float)


@pytest.mark.parametrize("name", COSTS)
def test_every_number_of_a_cost_table_has_a_source(name: str) -> None:
    table = load_cost(root() / "arch" / "cost" / f"{name}.yaml")
    rows = [*table.energy, *table.clock, *table.area, *table.leakage, *table.leakage_bracket]
    for row in rows:
        assert len(row.source) > 8 and row.tag
    for row in table.energy:
        if row.model is not None:
            assert row.spread is not None and row.spread[0] < 1 < row.spread[1]
        elif row.action != "nanowatt_read" and row.included_in is None:  # nanowatt_read is a definition: V I t
            assert row.low < row.high, f"{row.kind}: no public number is known that well"
    for row in table.clock:
        assert row.low < row.high, f"{row.kind}: no public number is known that well"
    assert table.leakage_scaling.source


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_run_keeps_the_laws_and_its_record_survives_json(name: str, tmp_path: Path) -> None:
    path = write_random_network(tmp_path, features=7, hidden=[20, 9], classes=30, steps=2, frames=25)
    try:
        build_schedule(load_workload(path), load_architecture(name))
    except InputError as error:
        pytest.skip(f"{name} runs other networks: {error}")
    result = accelsim.run(name, path, seed=3)
    total_cycles = {
        c.busy_cycles + c.wait_input_cycles + c.wait_output_cycles + c.idle_cycles for c in result.components
    }
    assert total_cycles == {result.performance.cycles}
    energy = result.energy
    parts = [part for c in result.components for part in (c.energy_j.dynamic, c.energy_j.clock, c.energy_j.leakage)]
    assert sum(parts) == pytest.approx(energy.total_j)
    assert energy.dynamic_j + energy.clock_j + energy.leakage_j == pytest.approx(energy.total_j)
    assert sum(layer.energy_j for layer in result.layers) == pytest.approx(energy.dynamic_j)
    assert sum(c.area_mm2 for c in result.components) == pytest.approx(result.area_mm2)
    assert sum(layer.macs_dense for layer in result.layers) == result.performance.macs_dense
    assert 0 < result.performance.macs_performed < result.performance.macs_dense
    assert result.power_w * result.performance.seconds == pytest.approx(energy.total_j)
    low, high = result.uncertainty.power_w
    assert low <= result.power_w <= high

    assert Result.from_json(result.to_json()) == result
    again = accelsim.run(name, path, seed=3)
    assert again == result, "the same seed gives the same record"
    assert accelsim.run(name, path, seed=4).performance != result.performance


@pytest.mark.parametrize("name", ["memristor_conformer", "memristor_conformer_ls", "conformer_digital28"])
def test_run_of_a_graph_keeps_the_laws_too(name: str, tmp_path: Path) -> None:
    path = write_graph(tmp_path, Shape(positions="relative").layers(), seconds=0.3)
    keys = {key: text(value) for key, value in {**tile_keys(), **IDEAL}.items() if name.startswith("memristor")}
    result = accelsim.run(name, path, overrides=keys, seed=3)
    energy = result.energy
    parts = [part for c in result.components for part in (c.energy_j.dynamic, c.energy_j.clock, c.energy_j.leakage)]
    assert sum(parts) == pytest.approx(energy.total_j)
    assert sum(layer.energy_j for layer in result.layers) == pytest.approx(energy.dynamic_j)
    assert sum(c.area_mm2 for c in result.components) == pytest.approx(result.area_mm2)
    assert sum(layer.macs_dense for layer in result.layers) == result.performance.macs_performed > 0
    assert Result.from_json(result.to_json()) == result
    assert accelsim.run(name, path, overrides=keys, seed=3) == result, "the same seed gives the same record"


@pytest.mark.parametrize("name", workload_names())
def test_workload_is_whole(name: str) -> None:
    folder = root() / "workloads" / name
    workload = load_workload(name)
    spec = workload.spec
    assert spec.name == name, "a folder is named after what it holds"
    if isinstance(spec.inputs, RandomInputs):
        return
    assert len((folder / "README.md").read_text()) > 500, "says what it was trained on and how well it does"
    for layer in spec.layers:
        matrices = [layer.weights] + ([layer.recurrent_weights] if isinstance(layer, LifOp) else [])
        if isinstance(layer, S4dOp):
            matrices = [f"{layer.weights}.{part}" for part in "abc"]
        for matrix in matrices:
            weights = workload.tensor(matrix)
            assert weights.dtype == np.int8
            assert -(2 ** (layer.weight_bits - 1)) <= weights.min() < 0 < weights.max() < 2 ** (layer.weight_bits - 1)


@pytest.mark.parametrize("name", PAPERS)
def test_paper_points_at_things_that_exist(name: str) -> None:
    paper = load_paper(name)
    assert paper.name == name
    assert len({figure.name for figure in paper.figures}) == len(paper.figures)
    for run in paper.runs.values():
        if isinstance(run, StudyRun):
            continue  # load_paper checked its sweep and point
        for_chip, for_network = split_overrides(run.set)
        load_architecture(paper.architecture, for_chip)
        load_workload(run.workload, for_network)
    for figure in paper.figures:
        if not figure.judged() and figure.role == "predicted":
            assert figure.note, f"{figure.name}: says why it is not judged"
    assert any(figure.judged() for figure in paper.figures), "something is judged"


def test_the_validation_page_has_every_figure_of_every_paper() -> None:
    page = (root() / "reports" / "validation.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    judged = {(row[0].removeprefix("| "), row[-1].rstrip(" |")) for row in rows if row[0] != "| figure"}
    figures = [figure for name in PAPERS for figure in load_paper(name).figures]
    expected = {(figure.name, f"holds ({figure.bounds()})" if figure.judged() else "") for figure in figures}
    assert judged == expected, "accelsim compare --out reports/validation.md makes it again"
