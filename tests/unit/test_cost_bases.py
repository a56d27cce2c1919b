"""Cost tables that stand on several others: whose row wins, dies of their own, and what is wrong with them, by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accelsim.architecture import cost_files, load_architecture, load_cost
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.cost.models import adc_area_andrulis, adc_energy_andrulis
from accelsim.cost.pricing import price_list
from accelsim.cost.scaling import node_area_factor, node_energy_factor
from accelsim.errors import InputError
from accelsim.library import find

SOC = OperatingPoint(voltage=0.6, temperature=320.0, node=7e-9)
"""A chip that runs at another voltage and temperature than its table of 7 nm, 0.75 V and 300 K."""


def row(kind: str, value: str, **more: Any) -> str:
    keys = {"kind": kind, "value": value, "low": value, "high": value, "tag": "read", "source": "a test"} | more
    return "  - {" + ", ".join(f"{key}: {one}" for key, one in keys.items()) + "}"


def write(folder: Path, name: str, head: str = "", leakage_scaling: str | None = "0.1, 100", **sections: Any) -> Path:
    """Write a table; ``head``: keys of its own; ``leakage_scaling``: dibl and swing, with a doubling per 10 K."""
    lines = ["schema: accelsim/cost@1", f"name: {name}", "temperature: 300 K", head]
    if leakage_scaling is not None:
        dibl, swing = leakage_scaling.split(", ")
        lines.append(
            f"leakage_scaling: {{dibl: {dibl}, swing_mv_per_decade: {swing}, doubling_kelvin: 10, source: a test}}"
        )
    for section, content in sections.items():
        lines += [f"{section}:", *(content if isinstance(content, list) else [content])]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def two_dies(folder: Path, how: str = "[soc.yaml, {table: tiles.yaml, own_die: true}]", **sections: Any) -> PriceList:
    """Return the prices of a 7 nm die and a 28 nm one at the operating point `SOC`."""
    write(
        folder, "soc", "node: 7 nm\nvoltage: 0.75 V",
        laws="  vector_unit: {lanes: proportional}",
        energy=[row("vector_unit", "1 pJ", action="operation", at="{lanes: 1}"),
                row("sram", "7 pJ", action="read")],
        area=[row("vector_unit", "10 um2")], leakage=[row("vector_unit", "1 uW")],
    )  # fmt: skip
    write(
        folder, "tiles", "node: 28 nm\nvoltage: 0.9 V", leakage_scaling="0.2, 50",
        laws="  vector_unit: {lanes: interpolate}\n  sram: {rows: proportional}\n  bus: {width_bits: proportional}",
        energy=[row("vector_unit", "4 pJ", action="operation"), row("vector_unit", "9 pJ", action="special"),
                row("sram", "8 pJ", action="read", at="{rows: 2}"),
                row("sram", "6 pJ", action="write", at="{rows: 2}", node="45 nm", voltage="1.8 V"),
                row("bus", "0.5 pJ", action="transfer", at="{width_bits: 1}"),
                "  - {kind: adc, action: convert, model: adc_energy_andrulis, tag: derived, source: a test}"],
        area=[row("sram", "100 um2", node="45 nm", utilization=0.5),
              "  - {kind: adc, model: adc_area_andrulis, tag: derived, source: a test}"],
        leakage=[row("sram", "3 uW", voltage="0.8 V"), row("vector_unit", "5 uW")],
    )  # fmt: skip
    top = write(folder, "both", f"node: 7 nm\nvoltage: 0.75 V\nbase: {how}", leakage_scaling=None, **sections)
    return PriceList(load_cost(top), SOC)


def test_the_first_table_that_has_a_row_wins(tmp_path: Path) -> None:
    listed = two_dies(tmp_path, energy=[row("bus", "2 pJ", action="transfer", at="{width_bits: 4}")])
    soc = (0.6 / 0.75) ** 2
    # Its own row, for which the base's law holds: 2 x 8 / 4 pJ; then that of the first base, then of the second.
    assert listed.energy("bus", "transfer", {"width_bits": 8}).value == pytest.approx(4e-12 * soc)
    assert listed.energy("vector_unit", "operation", {"lanes": 32}).value == pytest.approx(32e-12 * soc)
    assert listed.energy("sram", "read", {"rows": 6}).value == pytest.approx(7e-12 * soc)  # soc has no law for it
    assert listed.energy("vector_unit", "special", {"lanes": 32}).value == pytest.approx(9e-12)
    assert listed.area("vector_unit", {"lanes": 32}).value == pytest.approx(10e-12)
    turned = two_dies(tmp_path, "[{table: tiles.yaml, own_die: true}, soc.yaml]")
    assert turned.energy("vector_unit", "operation", {"lanes": 32}).value == pytest.approx(4e-12)
    assert turned.energy("sram", "read", {"rows": 6}).value == pytest.approx(24e-12)


def test_a_die_of_its_own_keeps_node_and_voltage(tmp_path: Path) -> None:
    listed = two_dies(tmp_path)
    # Written at 45 nm and 1.8 V: to 28 nm and 0.9 V of its die, not to the chip's 7 nm and 0.6 V.
    assert listed.energy("sram", "write", {"rows": 6}).value == pytest.approx(
        18e-12 * node_energy_factor(28e-9, 45e-9) / 4
    )
    assert listed.area("sram", {}).value == pytest.approx(100e-12 * node_area_factor(28e-9, 45e-9) / 0.5)
    # The chip's 320 K is that of all dies: two doublings; 0.1 V more than 0.8 V at 0.2 V/V over 50 mV a decade.
    assert listed.leakage("sram", {}).value == pytest.approx(3e-6 * 0.9 / 0.8 * 10**0.4 * 4)
    assert listed.leakage("vector_unit", {}).value == pytest.approx(1e-6 * 0.6 / 0.75 * 10**-0.15 * 4)


def test_models_take_the_node_of_the_die(tmp_path: Path) -> None:
    converter = {"bits": 8, "rate": 1e8}
    listed = two_dies(tmp_path)
    assert listed.energy("adc", "convert", converter).value == pytest.approx(adc_energy_andrulis(converter, 28e-9))
    assert listed.area("adc", converter).value == pytest.approx(adc_area_andrulis(converter, 28e-9))
    shared = two_dies(tmp_path, "[soc.yaml, tiles.yaml]")
    assert shared.energy("adc", "convert", converter).value == pytest.approx(adc_energy_andrulis(converter, 7e-9))


def test_without_a_die_of_its_own_a_table_is_scaled(tmp_path: Path) -> None:
    listed = two_dies(tmp_path, "[soc.yaml, tiles.yaml]")
    scale = node_energy_factor(7e-9, 28e-9) * (0.6 / 0.9) ** 2
    assert listed.energy("bus", "transfer", {"width_bits": 8}).value == pytest.approx(4e-12 * scale)
    # A base that is one of two keeps its own constants of leakage, and its laws; 28 to 7 nm is a quarter.
    assert listed.leakage("sram", {}).value == pytest.approx(3e-6 * 0.6 / 0.8 * 10**-0.8 * 4 / 4)


def test_bases_of_a_die_are_on_it(tmp_path: Path) -> None:
    """A die's table stands on another one itself: that one's rows go to the node of the die, through both."""
    write(tmp_path, "old", "node: 45 nm\nvoltage: 1.8 V", energy=[row("bus", "8 pJ", action="transfer")])
    write(tmp_path, "die", "node: 28 nm\nvoltage: 0.9 V\nbase: old.yaml", leakage_scaling=None)
    write(tmp_path, "soc", "node: 7 nm\nvoltage: 0.75 V")
    how = "base: [soc.yaml, {table: die.yaml, own_die: true}]"
    both = load_cost(write(tmp_path, "both", f"node: 7 nm\nvoltage: 0.75 V\n{how}", leakage_scaling=None))
    expected = 8e-12 / 4 * node_energy_factor(28e-9, 45e-9)
    assert PriceList(both, SOC).energy("bus", "transfer", {}).value == pytest.approx(expected)
    # And a table on top of that one moves no die.
    over = load_cost(write(tmp_path, "over", "node: 14 nm\nvoltage: 0.8 V\nbase: both.yaml", leakage_scaling=None))
    assert PriceList(over, SOC).energy("bus", "transfer", {}).value == pytest.approx(expected)


def test_one_name_is_a_list_of_one(tmp_path: Path) -> None:
    for how in ("tiles.yaml", "[tiles.yaml]", "{table: tiles.yaml}", "[{table: tiles.yaml, own_die: false}]"):
        listed = two_dies(tmp_path, how)
        scale = node_energy_factor(7e-9, 28e-9) * (0.6 / 0.9) ** 2
        assert listed.energy("vector_unit", "operation", {"lanes": 3}).value == pytest.approx(4e-12 * scale)


def test_files_of_a_table_are_each_named_once(tmp_path: Path) -> None:
    """Two bases may share one: its content counts once in the hash of a chip."""
    bases = {"root": "", "a": "base: root.yaml", "b": "base: root.yaml", "top": "base: [a.yaml, b.yaml]"}
    for name, base in bases.items():
        write(tmp_path, name, f"node: 28 nm\nvoltage: 0.9 V\n{base}")
    assert [file.stem for file in cost_files(tmp_path / "top.yaml")] == ["top", "a", "root", "b"]


@pytest.mark.parametrize(
    ("base", "message", "hint"),
    [
        ("[fine.yaml, loop.yaml]", "the bases of the cost table go round: top -> loop -> top", None),
        ("loop.yaml", "the bases of the cost table go round: top -> loop -> top", None),
        ("[fine.yaml, cmos82]", "no cost table named 'cmos82'", "cmos28"),
        ("[fine.yaml, {table: cmos82}]", "no cost table named 'cmos82'", "cmos28"),
        ("[fine.yaml, fine.yaml]", "the base 'fine.yaml' is named twice", None),
        ("[[fine.yaml, loop.yaml]]", "expected a mapping", None),
        ("[{table: fine.yaml, die: true}]", "unknown key 'die'", None),
        ("[fine.yaml, {own_die: true}]", "missing key 'table'", None),
        ("7", "expected a mapping", None),
    ],
)
def test_bases_that_are_wrong(tmp_path: Path, base: str, message: str, hint: str | None) -> None:
    write(tmp_path, "fine", "node: 28 nm\nvoltage: 0.9 V")
    loop = write(tmp_path, "loop", "node: 28 nm\nvoltage: 0.9 V\nbase: [fine.yaml, top.yaml]")
    top = write(tmp_path, "top", f"node: 28 nm\nvoltage: 0.9 V\nbase: {base}")
    with pytest.raises(InputError) as error:
        load_cost(top)
    problem = error.value.problems[0]
    assert message in str(problem)
    assert hint is None or hint in str(problem)
    assert problem.file in (str(top), str(loop)) and problem.line == 6


def test_the_shipped_chip_of_two_dies() -> None:
    """The tiles cost what they do on the chip of tiles alone at 28 nm, and the NPU what it does on edge_npu."""
    both, npu = price_list(load_architecture("edge_npu_tiles")), price_list(load_architecture("edge_npu"))
    tiles = PriceList(load_cost(find("cmos28_dac", "arch/cost")), OperatingPoint(0.9, 310.0, 28e-9))
    chip = load_architecture("edge_npu_tiles").components()
    for name, alone, action in (
        ("adc", tiles, "convert"), ("dac", tiles, "drive"), ("link", tiles, "transfer"), ("bus", tiles, "transfer"),
        ("activations", tiles, "read"), ("tile_inputs", tiles, "write"), ("crossbar", tiles, "write_pulse"),
        ("array", npu, "mac"), ("l2", npu, "read"), ("tile_vector", npu, "operation"),
    ):  # fmt: skip
        spec = chip[name]
        sizes = spec.dimensions()
        assert both.energy(spec.kind, action, sizes) == alone.energy(spec.kind, action, sizes)
        assert both.area(spec.kind, sizes) == alone.area(spec.kind, sizes)
        assert both.leakage(spec.kind, sizes) == alone.leakage(spec.kind, sizes)
