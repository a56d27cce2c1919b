"""What every file of the library promises: architectures, cost tables, workloads, papers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import typer
from chips import text, write_random_network
from graphs import IDEAL, ON_TILES, Shape, Streaming, tile_keys, write_graph

import accelsim
from accelsim.architecture import load_architecture, load_cost
from accelsim.cli import app
from accelsim.components import KINDS
from accelsim.cost.pricing import price_list
from accelsim.engines.deploy import deploy
from accelsim.errors import InputError
from accelsim.explore import load_paper
from accelsim.explore.comparison import CANNOT_TELL, HOLDS, MISSES
from accelsim.explore.validate import SCHEMAS, schema_of
from accelsim.library import names, root, workload_names
from accelsim.ops.conv import ConvOp
from accelsim.ops.graph import Graph
from accelsim.ops.op import WeightedOp
from accelsim.pipeline import split_overrides
from accelsim.placement import place, placement_text
from accelsim.report.comparison import verdicts_of
from accelsim.result import Result
from accelsim.schema import load_yaml
from accelsim.schema.paper import JUDGED, StudyRun
from accelsim.schema.workload import RandomInputs
from accelsim.workload import load_workload

FILES = sorted(
    path.relative_to(root()) for pattern in ("arch/**/*.yaml", "workloads/*/*.yaml") for path in root().glob(pattern)
)
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
        assert isinstance(value, int | float | str)  # a number, or the file that holds it


@pytest.mark.parametrize("file", FILES, ids=str)
def test_file_follows_the_published_schema_of_its_tag(file: Path) -> None:
    data = load_yaml(root() / file).data
    jsonschema.validate(data, schema_of(data["schema"].removeprefix("accelsim/").removesuffix("@1")))


def test_every_published_schema_has_files_to_follow_it() -> None:
    tags = {load_yaml(root() / file).data["schema"] for file in FILES}
    # A placement is written by a run, see below; converters are measured ones, of which none is public.
    assert tags == {f"accelsim/{name}@1" for name in SCHEMAS.keys() - {"placement", "converters"}}


def test_the_command_line_names_every_published_schema() -> None:
    (argument,) = (one for one in typer.main.get_command(app).commands["schema"].params if one.name == "name")
    assert {*re.findall(r"\w+", argument.help)} - {"or"} == {*SCHEMAS, "result"}


def test_a_placement_that_is_written_follows_its_schema(tmp_path: Path) -> None:
    network, chip = load_workload("conformer_an4"), load_architecture("memristor_conformer")
    path = tmp_path / "placement.yaml"
    path.write_text(placement_text(place(network, chip), chip.spec.name, network.spec.name))
    data = load_yaml(path).data
    jsonschema.validate(data, schema_of("placement"))
    assert data["placement"].keys() == network.graph.by_name.keys()


SECTIONS = ("energy", "clock", "standby", "area", "leakage")


@pytest.mark.parametrize("name", COSTS)
def test_every_number_of_a_cost_table_has_a_source_and_a_range(name: str) -> None:
    """A range without a width is a definition, or a part of a printed total; no public number is known that well."""
    table = load_cost(root() / "arch" / "cost" / f"{name}.yaml")
    rows = [row for section in SECTIONS for row in getattr(table, section)]
    for row in [*rows, *table.leakage_bracket]:
        assert len(row.source) > 8 and row.tag
    for row in rows:
        if getattr(row, "model", None) is not None:
            assert row.spread is not None and row.spread[0] < 1 < row.spread[1], row
        elif getattr(row, "included_in", None) is None and row.low == row.high:
            reason = "part of the printed" if row.value == 0 else "definition"
            assert row.source.startswith(reason), f"{row.kind}: {row.source}"
    assert table.leakage_scaling.source


@pytest.mark.parametrize("name", COSTS)
def test_rows_of_one_source_are_named_together(name: str) -> None:
    """Every name is used, and who says 'as above' says as what: else rows that are wrong together would move apart."""
    table = load_cost(root() / "arch" / "cost" / f"{name}.yaml")
    rows = [row for section in SECTIONS for row in getattr(table, section)]
    priced = [row for row in rows if getattr(row, "included_in", None) is None]
    assert {table.source_of(row) for row in priced} >= set(
        load_yaml(root() / "arch/cost" / f"{name}.yaml").data.get("sources", [])
    )
    for row in priced:
        if re.search(r"\bas above\b", row.source) and not row.source.startswith("assumption"):
            assert table.source_of(row) is not None, f"{row.kind}: {row.source}"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_run_keeps_the_laws_and_its_record_survives_json(name: str, tmp_path: Path) -> None:
    path = write_random_network(tmp_path, features=7, hidden=[20, 9], classes=30, steps=2, frames=25)
    try:
        deploy(load_workload(path), load_architecture(name))
    except InputError as error:
        pytest.skip(f"{name} runs other networks: {error}")
    result = accelsim.run(name, path, seed=3)
    total_cycles = {
        c.busy_cycles + c.wait_input_cycles + c.wait_output_cycles + c.idle_cycles for c in result.components
    }
    assert total_cycles == {result.performance.cycles}
    energy = result.energy
    parts = [c.energy_j.total() for c in result.components]
    assert sum(parts) == pytest.approx(energy.total_j)
    shares = (energy.dynamic_j, energy.clock_j, energy.standby_j, energy.leakage_j, energy.wake_j)
    assert sum(shares) == pytest.approx(energy.total_j)
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


TILES = {key: text(value) for key, value in {**tile_keys(), **IDEAL}.items()}
EVERY_ROW = {"pacing.frame_period": "10 ms"}
"""A graph without strides takes one row of features a frame."""
BSC = {"compiler.layout": "BSC", "compiler.attention": "batched"}
SMALL_L2 = {"components.l2.rows": "1", "components.l2.width_bits": "64", "components.l2.banks": "160",
            "components.l2.weight_banks": "96"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "keys", "streams"),
    [
        ("memristor_conformer", TILES | EVERY_ROW, False),
        ("memristor_conformer_ls", TILES | EVERY_ROW, False),
        ("conformer_digital28", EVERY_ROW, False),
        ("memristor_conformer", TILES | {"placement": f"{{{ON_TILES}, 'c*': {{engine: digital}}}}"}, True),
        ("conformer_digital28", {}, True),
        ("edge_npu", {}, True),
        ("edge_npu_phone", {}, True),
        ("edge_npu", BSC, True),
        ("edge_npu_phone", {"compiler.attention": "batched", "pacing.mode": "back_to_back"}, True),
        ("edge_npu", SMALL_L2, True),
        ("edge_npu", SMALL_L2 | BSC | {"compiler.split": "false"}, True),
    ],
)
def test_run_of_a_graph_keeps_the_laws_too(name: str, keys: dict[str, str], streams: bool, tmp_path: Path) -> None:
    integers = not name.startswith("edge_npu")
    network = Streaming(weight_bits=8 if integers else 16) if streams else Shape(positions="relative")
    path = write_graph(tmp_path, network.layers(), bands=network.bands, seconds=0.3)
    result = accelsim.run(name, path, overrides=keys, seed=3)
    energy = result.energy
    parts = [c.energy_j.total() for c in result.components]
    assert sum(parts) == pytest.approx(energy.total_j)
    shares = (energy.dynamic_j, energy.clock_j, energy.standby_j, energy.leakage_j, energy.wake_j)
    assert sum(shares) == pytest.approx(energy.total_j)
    assert sum(layer.energy_j for layer in result.layers) == pytest.approx(energy.dynamic_j)
    assert sum(c.area_mm2 for c in result.components) == pytest.approx(result.area_mm2)
    assert sum(layer.macs_dense for layer in result.layers) == result.performance.macs_performed > 0
    assert result.power_w * result.performance.seconds == pytest.approx(energy.total_j)
    low, high = result.uncertainty.power_w
    assert low <= result.power_w <= high
    chip, duration_ps = load_architecture(name, keys), round(result.performance.seconds * 1e12)
    for component in result.components:
        spent = (component.busy_cycles, component.wait_input_cycles, component.wait_output_cycles)
        total, rest = divmod(sum(spent) + component.idle_cycles, -(-duration_ps // chip.period_ps(component.name)))
        assert rest == 0 and total >= 1, "what stands several times counts the time of each of them"
        if result.plan is not None:
            streams_too = (
                result.plan.spilled or not result.plan.state_in_l2 or chip.spec.compiler.attention == "batched"
            )
            assert total == {"l2": 3, "dma": 2 if streams_too else 1}.get(component.kind, 1)
        assert min(*spent, component.idle_cycles) >= 0
    assert (result.plan is not None) == name.startswith("edge_npu")
    if "compiler.layout" in keys and result.plan is not None:
        assert "c0" in result.plan.on_cpu and "front" not in result.plan.on_cpu
    if "components.l2.rows" in keys and result.plan is not None:
        assert result.plan.spilled or result.plan.pieces, "L2 is small enough for the case"
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
    found = 0
    for op in workload.graph.ops:
        named = {end: workload.tensors.get(op.tensor_name(end)) for end in op.shapes(workload.graph.read(op))}
        integers = [tensor for tensor in named.values() if tensor is not None and tensor.dtype == np.int8]
        if integers:
            lowest, highest = (pick(np.concatenate([of.ravel() for of in integers])) for pick in (np.min, np.max))
            assert -(2 ** (op.weight_bits - 1)) <= lowest < 0 < highest < 2 ** (op.weight_bits - 1), op.name
        weight = named.get("weight")
        assert weight is None or weight.dtype == (np.float16 if op.weight_bits == 16 else np.int8), op.name
        found += bool(integers) or weight is not None
    assert found


@pytest.mark.parametrize(
    ("name", "bits", "divided"),
    [
        ("conformer_stream", 16, True),
        ("conformer_stream/vanilla", 16, False),
        ("conformer_stream/separable_8", 8, True),
        ("conformer_stream/vanilla_8", 8, False),
        ("conformer_stream_384", 16, False),
        ("conformer_stream_384/separable", 16, True),
    ],
)
def test_variants_of_streaming_networks_differ_in_what_they_say(name: str, bits: int, divided: bool) -> None:
    """Weights of so many bits, the second convolution divided or not; all else is alike, and an NPU runs them."""
    workload = load_workload(name)
    assert workload.spec.name == name
    base = load_workload(name.split("/")[0])
    ops = {op.name: op for op in workload.graph.ops}
    assert {op.weight_bits for op in ops.values() if isinstance(op, WeightedOp)} == {bits}
    second = ops["front.convs.1"]
    assert isinstance(second, ConvOp) and second.depthwise == divided == ("front.convs.2" in ops)

    def of_blocks(graph: Graph) -> list[Any]:
        found = [op.model_dump(exclude={"weight_bits"}) for op in graph.ops if op.name.startswith("blocks.")]
        assert len(found) > 100
        return found

    assert of_blocks(workload.graph) == of_blocks(base.graph) and workload.spec.inputs == base.spec.inputs
    plan = deploy(workload, load_architecture("edge_npu")).schedule.plan
    assert plan is not None and plan.chunk == 16


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
    assert any(figure.role in JUDGED for figure in paper.figures), "something is judged"


def test_the_validation_page_has_a_verdict_on_every_judged_figure() -> None:
    found = verdicts_of((root() / "reports" / "validation.md").read_text())
    papers = [load_paper(name) for name in PAPERS]
    figures = {(paper.title, figure.name): figure for paper in papers for figure in paper.figures}
    assert found.keys() == figures.keys(), "accelsim compare --out reports/validation.md makes it again"
    for key, figure in figures.items():
        assert bool(found[key]) == (figure.role in JUDGED), key
    assert set(found.values()) <= {HOLDS, MISSES, CANNOT_TELL, ""}


FLOAT = {
    "conformer_an4/workload": "relative_8",
    "conformer_an4/relative_3": "relative_8",
    "conformer_an4/relative_8": "relative_8",
    "conformer_an4/none_4": "none_4",
    "conformer_an4/learnable_4": "learnable_4",
    "conformer_an4/relative_no_linear_4": "relative_no_linear_4",
    "conformer_ls/workload": "relative_8",
    "conformer_ls/relative_3": "relative_8",
    "conformer_ls/relative_8": "relative_8",
    "conformer_stream/separable_8": "separable_16",
    "conformer_stream/vanilla_8": "vanilla_16",
}
"""Networks whose file names no float weights: their READMEs say what stands for them, and what it scores."""
NETWORKS = [path for path in FILES if path.parts[0] == "workloads"]


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_network_that_recognises_ships_with_its_float(path: Path) -> None:
    """So that float against hardware can be measured on anybody's recordings."""
    network, key = load_workload(root() / path), f"{path.parent.name}/{path.stem}"
    matrices = [tensor for name, tensor in network.tensors.items() if name.endswith(".weight")]
    drawn = network.spec.generated_weights is not None or path.parent.name in ("isaac_tile_full", "neurram_core_full")
    if isinstance(network.spec.inputs, RandomInputs) or drawn:
        assert network.spec.score is None and key not in FLOAT
    elif network.reference is not None or (matrices and all(one.dtype.kind == "f" for one in matrices)):
        assert key not in FLOAT
    else:
        file = f"{FLOAT[key]}.safetensors"
        given = load_workload(root() / path, {"reference_weights": file})
        assert given.reference and all(one.dtype.kind == "f" for one in given.reference.values())
        assert file.removesuffix(".safetensors") in (root() / path).with_name("README.md").read_text(encoding="utf-8")
