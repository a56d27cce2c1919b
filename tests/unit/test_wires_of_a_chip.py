"""Wires of crossbars: tables of wires, what a chip may say, and what a run tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accelsim import library, run
from accelsim.architecture import load_architecture
from accelsim.devices.wire_tables import load_wire_table, parse_wire_table
from accelsim.engines.deploy import deploy
from accelsim.errors import InputError
from accelsim.explore.validate import schema_of, validate_file
from accelsim.schema import parse_yaml
from accelsim.workload import load_workload

WIRES = "components.crossbar.wires"
ON = {WIRES: "{row: 0.35 ohm, column: 0.35 ohm}", "components.crossbar.column_gain": "measured"}
# Node, width (nm), aspect ratio, resistivity (1e-8 ohm m) and barrier (nm) of Param.cpp of NeuroSim 1.4.
METALS = [
    (130, 175, 1.6, 2.01, 10), (90, 110, 1.6, 2.20, 10), (65, 105, 1.7, 2.21, 7), (45, 80, 1.7, 2.37, 5),
    (32, 56, 1.8, 2.63, 4), (22, 40, 1.9, 2.97, 2.5), (14, 32, 2.0, 3.25, 2.5), (10, 22, 2.0, 3.95, 2),
    (7, 20, 2.0, 4.17, 2), (5, 15, 2.0, 4.98, 2),
]  # fmt: skip


@pytest.mark.parametrize(("geometry", "widths"), [("pitch_2f", 2), ("row_1t1r", 4), ("column_1t1r", 12)])
def test_the_table_of_neurosim_is_its_geometry(geometry: str, widths: int) -> None:
    table = load_wire_table(library.root() / "arch/wires/neurosim.yaml")
    for node, width, aspect, resistivity, barrier in METALS:
        effective = resistivity * 1e-8 / (1 - (2 * aspect + 1) * barrier / (aspect * width))
        ohm = effective * widths / (width * 1e-9 * aspect)
        assert table.ohm(geometry, node * 1e-9, 300.0) == pytest.approx(ohm, rel=5e-3)


def test_between_two_nodes_and_at_other_temperatures_by_hand() -> None:
    table = load_wire_table(library.root() / "arch/wires/neurosim.yaml")
    # ln(28/22) / ln(32/22) = 0.6436; 1.86 (1.28 / 1.86)^0.6436 = 1.462
    assert table.ohm("row_1t1r", 28e-9, 300.0) == pytest.approx(1.462, abs=1e-3)
    assert table.ohm("row_1t1r", 28e-9, 320.0) == pytest.approx(1.462 * (1 + 0.00451 * 20), abs=1e-3)
    with pytest.raises(ValueError, match="of wires 'neurosim' holds from 5 nm to 130 nm, found 180 nm"):
        table.ohm("row_1t1r", 180e-9, 300.0)
    other = load_wire_table(library.root() / "arch/wires/aihwkit.yaml")
    assert other.ohm("upper_metal", 180e-9, 300.0) == 0.35 and other.ohm("wide_metal", 7e-9, 300.0) == 0.15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ohm: {28 nm: -1 ohm}", "must be greater than 0, found '-1 ohm'"),
        ("ohm: {28 ns: 1 ohm}", "'28 ns' is a time, expected a length"),
        ("ohm: {}", "or at least 1 items, found a mapping"),
        ("ohms: 1 ohm", "unknown key 'ohms'"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(text: str, message: str) -> None:
    head = "schema: accelsim/wires@1\nname: t\nsource: test\ntemperature_coefficient: 0.004\n"
    head += "reference_temperature: 300 K\n"
    with pytest.raises(InputError, match=message) as told:
        parse_wire_table(parse_yaml(f"{head}geometries:\n  g: {{description: d, {text}}}", "wires.yaml"))
    assert all(problem.file == "wires.yaml" for problem in told.value.problems)


@pytest.mark.parametrize(
    ("wires", "message"),
    [
        ("{row: -1 ohm, column: 0.35 ohm}", "must be at least 0, found '-1 ohm'"),
        (
            "{row: uper_metal, column: 1 ohm}",
            "has a geometry 'uper_metal': did you mean 'upper_metal'",
        ),
        ("{row: 0.35, column: 1 ohm}", "0.35 has no unit"),
        ("{row: 0.35 ohm}", "missing key 'column'"),
        ("{row: 1 ohm, column: 1 ohm, sensed: left}", r"unknown value 'left' .one of: one_end, both_ends."),
        ("copper", "unknown value 'copper'|expected 'none'"),
    ],
)
def test_wrong_wires_of_a_chip(wires: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_architecture("memristor_tile", {WIRES: wires})


NAMED = "{row: row_1t1r, column: column_1t1r}"


def test_a_geometry_is_one_of_the_chips_node_and_temperature() -> None:
    chip = load_architecture("neurram_core", {WIRES: NAMED, "technology.temperature": "320 K"})
    wires = chip.of_kind("crossbar")["crossbar"].wires
    factor = 1 + 0.00451 * 20
    assert (wires.row, wires.column) == pytest.approx((0.338 * factor, 1.01 * factor))
    with pytest.raises(InputError, match="holds from 5 nm to 130 nm, found 180 nm"):
        load_architecture("neurram_core", {WIRES: NAMED, "technology.node": "180 nm", "technology.extrapolate": "true"})


OPEN = {"components.dac.mode": "bit_serial", WIRES: "{row: 0 ohm, column: 0.35 ohm, undriven: open}"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"components.dac.mode": "amplitude"}, "the drivers are not 'mode: bit_serial'"),
        (
            {WIRES: "{row: 0 ohm, column: 0 ohm, undriven: open}"},
            "'column' and 'amplifier' are 0 ohm .*write 'undriven: grounded'",
        ),
        (
            {WIRES: "{row: 1 ohm, column: 1 ohm, undriven: open}"},
            "its row, which carry no current: 'row' would change nothing .*write 'row: 0 ohm'",
        ),
        (
            {WIRES: "{row: 0 ohm, column: 1 ohm, driver: 5 ohm, undriven: open}"},
            "'driver' would change nothing .*write 'driver: 0 ohm'",
        ),
    ],
)
def test_open_rows_need_bits_and_what_they_change(more: dict[str, str], message: str) -> None:
    deploy(load_workload("tile_frames"), load_architecture("memristor_tile", OPEN))
    with pytest.raises(InputError) as told:
        deploy(load_workload("tile_frames"), load_architecture("memristor_tile", {**OPEN, **more}))
    (problem,) = told.value.problems
    assert re.search(message, str(problem)), str(problem)


def test_open_rows_of_depthwise_columns_and_of_states_are_refused() -> None:
    chip = load_architecture("imssa", {WIRES: "{row: 0 ohm, column: 1 ohm, undriven: open}"})
    with pytest.raises(InputError, match="fed back as voltages on all rows"):
        deploy(load_workload("s4d_digits"), chip)
    chip = load_architecture("memristor_conformer", OPEN)
    with pytest.raises(InputError, match="is depthwise: its columns have inputs of their own"):
        deploy(load_workload("conformer_an4"), chip)


def test_a_run_tells_what_wires_took() -> None:
    few = {"workload.inputs.utterances": "1", "components.crossbar.noise": "none"}
    wired, plain = (run("memristor_tile", overrides={**few, **more}) for more in (ON, {WIRES: "none"}))
    (arrays,) = wired.arrays
    assert (arrays.name, arrays.row_ohm, arrays.column_ohm, arrays.column_gain) == ("crossbar", 0.35, 0.35, "measured")
    assert 0.05 < arrays.mean_drop < arrays.largest_drop < 0.5
    assert plain.arrays == []
    power = [next(c for c in r.components if c.name == "crossbar").actions["read_nanowatt"] for r in (wired, plain)]
    assert 0.7 * power[1] < power[0] < 0.98 * power[1]


def test_the_schema_of_tables_and_of_results_has_the_wires() -> None:
    assert "geometries" in schema_of("wires")["properties"] and "arrays" in schema_of("result")["properties"]
    for path in (library.root() / "arch/wires").glob("*.yaml"):
        assert validate_file(Path(path)).startswith("table of wires")
