"""Operating points: what a cost table holds for, what is refused with its line, and what is marked as extrapolated."""

from __future__ import annotations

import math
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweeps import sweep

import accelsim
from accelsim.architecture import Architecture, load_architecture, load_cost
from accelsim.cost import check_point, extrapolated
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.cost.scaling import bit_cell_area, leakage_factor, node_energy_spread, speed_factor
from accelsim.cost.window import fastest_decision, max_frequency, settling_s
from accelsim.errors import InputError
from accelsim.library import find, names
from accelsim.report.comparison import chips_markdown
from accelsim.report.headline import columns, warnings
from accelsim.report.sweep import sweep_table
from accelsim.report.sweep_html import sweep_page
from accelsim.schema.cost import Window

CHIPS = names("arch")
SHORT = {"workload.inputs.utterances": "1"}


def window(table: str) -> Window:
    found = load_cost(find(table, "arch/cost")).window
    assert found is not None
    return found


def refusal(name: str, overrides: dict[str, str]) -> list[str]:
    with pytest.raises(InputError) as error:
        check_point(load_architecture(name, overrides))
    assert all(problem.hint and "technology.extrapolate" in problem.hint for problem in error.value.problems)
    assert all(problem.file is not None for problem in error.value.problems)
    return [problem.message for problem in error.value.problems]


@pytest.mark.parametrize("name", CHIPS)
def test_every_shipped_chip_lies_inside_its_window(name: str) -> None:
    chip = load_architecture(name)
    for point in (chip, *chip.operating_points.values()):
        check_point(point)
        assert extrapolated(point) == [] and not point.spec.technology.extrapolate


@pytest.mark.parametrize("table", names("arch/cost"))
def test_every_shipped_table_has_a_window_that_holds_its_own_point(table: str) -> None:
    cost = load_cost(find(table, "arch/cost"))
    assert cost.window is not None
    nodes = cost.window.nodes
    assert nodes[0].node * 0.999 <= cost.node <= nodes[-1].node * 1.001
    assert max_frequency(cost.window, cost.node, cost.voltage) > 500e6


@pytest.mark.parametrize(
    ("name", "overrides", "messages"),
    [
        (
            "rsnn28nm",
            {"technology.voltage": "0.1 V", "clocks.main.frequency": "500 MHz"},
            ["0.1 V is outside what cost table 'cmos28_rsnn' holds for: 0.5 to 1.05 V at 28 nm", "at most 0 Hz"],
        ),
        ("rsnn28nm", {"technology.voltage": "0.01 V"}, ["0.01 V is outside", "at most 0 Hz"]),
        ("rsnn28nm", {"technology.voltage": "1.2 V"}, ["1.2 V is outside"]),
        ("rsnn28nm", {"technology.temperature": "1000 K"}, ["1000 K is outside", "233 to 398.15 K"]),
        ("rsnn28nm", {"technology.node": "5 nm"}, ["5 nm is outside", "holds for: 7 to 130 nm"]),
        ("rsnn28nm", {"clocks.main.frequency": "5 GHz"}, ["clock 'main' of 5 GHz is faster", "at most 2.5 GHz"]),
        ("memristor_tile", {"clocks.main.frequency": "100 GHz"}, ["clock 'main' of 100 GHz is faster"]),
        ("edge_npu", {"technology.voltage": "0.3 V"}, ["0.3 V is outside", "'memory' of 800 MHz", "'cpu' of 1.8 GHz"]),
        ("edge_npu_tiles", {"clocks.tiles.frequency": "2.6 GHz"}, ["clock 'tiles' of 2.6 GHz", "at 0.9 V and 28 nm"]),
        ("imssa", {"technology.voltage": "0.9 V"}, ["0.9 V is outside", "1.2 to 1.98 V at 180 nm"]),
        ("memristor_tile", {"components.adc.rate": "2 GHz"}, ["'adc' converts 2 GHz with 9", "at most 1.46 GHz"]),
        ("memristor_tile", {"components.crossbar.read_voltage": "1 V"}, ["reads at 1 V, above the 0.9 V that"]),
        # 4 k T 1.657e-20 J, 2 x 64 cells of 150 uS 19.2 mS, 1 / 20 ns 50 MHz: sqrt(1.590e-14) = 126 nA.
        ("imssa28", {"components.crossbar.read_voltage": "0.8 mV"},
         ["a level of a cell is 116 nA: less than the 126 nA of noise of 64 cells in 10 ns"]),
        ("memristor_tile", {"components.crossbar.read_time": "10 ps"}, ["is read for 10 ps", "to settle to 8 bits"]),
    ],
)  # fmt: skip
def test_what_lies_outside_is_refused(name: str, overrides: dict[str, str], messages: list[str]) -> None:
    found = refusal(name, overrides)
    text = "\n".join(found)
    assert all(message in text for message in messages), text
    if len(messages) == 1:
        assert len(found) == 1, found


def test_a_refusal_names_file_and_line(tmp_path: Path) -> None:
    text = find("rsnn28nm", "arch").read_text().replace("voltage: 0.9 V", "voltage: 0.2 V")
    path = tmp_path / "chip.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        accelsim.run(path, overrides=SHORT)
    line = text[: text.index("voltage: 0.2 V")].count("\n") + 1
    assert f"{path}:{line}" in {f"{problem.file}:{problem.line}" for problem in error.value.problems}


def test_a_table_without_a_window_holds_for_its_own_point_alone(tmp_path: Path) -> None:
    table = find("cmos28", "arch/cost").read_text()
    start, end = table.index("window:\n"), table.index("laws:\n")
    (tmp_path / "cost").mkdir()
    (tmp_path / "cost" / "mine.yaml").write_text(table[:start] + table[end:])
    path = tmp_path / "chip.yaml"
    path.write_text(re.sub(r"cost: \w+", "cost: mine", find("memristor_tile", "arch").read_text()))
    check_point(load_architecture(path))
    check_point(load_architecture(path, {"technology.voltage": "0.85 V"}))
    for key, value in (("voltage", "0.8 V"), ("node", "22 nm"), ("temperature", "500 K")):
        with pytest.raises(InputError, match="is outside what cost table"):
            check_point(load_architecture(path, {f"technology.{key}": value}))


EXTRAPOLATE = {"technology.extrapolate": "true"}


def test_what_is_extrapolated_is_marked_everywhere() -> None:
    inside = accelsim.run("rsnn28nm", overrides=SHORT)
    outside = accelsim.run("rsnn28nm", overrides={**SHORT, **EXTRAPOLATE, "technology.voltage": "0.45 V"})
    assert inside.provenance.extrapolated == []
    reasons = outside.provenance.extrapolated
    assert any("0.45 V is outside" in reason for reason in reasons)
    assert [name for name, _ in columns(outside)] == ["this run (extrapolated)", "peak (extrapolated)"]
    assert warnings(inside) == []
    guess = "extrapolated, no figure of time, energy or area is more than a guess"
    assert warnings(outside) == [f"{guess}: {reason}" for reason in reasons]
    page = chips_markdown([inside, outside], [], "accelsim compare")
    assert "(extrapolated)" in page and "extrapolated: 0.45 V is outside" in page
    assert "extrapolated" not in chips_markdown([inside, inside], [], "accelsim compare")


def test_extrapolated_points_of_a_sweep_are_marked(tmp_path: Path) -> None:
    axes = ["workload.inputs.frames=4", "operating_points={}", "technology.extrapolate=true",
            "technology.voltage=0.45 V,0.9 V"]  # fmt: skip
    store = sweep("rsnn28nm", axes, tmp_path / "sweep", workload="rsnn_paper_activity")
    marks = {c.keys["technology.voltage"]: "extrapolated" in c.mean for c in store.configurations()}
    assert marks == {"0.45 V": True, "0.9 V": False}
    console = Console(width=200, record=True, file=StringIO())
    console.print(sweep_table(store))
    assert "[?] 1 of them extrapolated" in console.export_text()
    assert sweep_page(store).count(" (extrapolated)") == 1
    store.close()


def test_a_sweep_outside_the_window_fails_there_and_goes_on(tmp_path: Path) -> None:
    axes = ["workload.inputs.frames=4", "operating_points={}", "technology.voltage=0.1 V,0.9 V"]
    store = sweep("rsnn28nm", axes, tmp_path / "sweep", workload="rsnn_paper_activity")
    errors = {c.keys["technology.voltage"]: c.errors for c in store.configurations()}
    assert errors["0.9 V"] == () and "0.1 V is outside" in errors["0.1 V"][0]
    store.close()


@pytest.mark.parametrize("point", ["peak"])
def test_a_point_outside_marks_its_own_column(point: str, tmp_path: Path) -> None:
    text = find("rsnn28nm", "arch").read_text()
    text = text.replace(
        "clocks.main.frequency: 500 MHz", "clocks.main.frequency: 5 GHz, technology.extrapolate: 'true'"
    )
    path = tmp_path / "chip.yaml"
    path.write_text(text)
    result = accelsim.run(path, overrides=SHORT)
    assert [name for name, _ in columns(result)] == ["this run", f"{point} (extrapolated)"]
    assert result.provenance.extrapolated[0].startswith(f"{point}: clock 'main' of 5 GHz")


@pytest.mark.parametrize(
    "changes",
    [
        {"technology.voltage": "0.001 V"},
        {"technology.voltage": "10 V"},
        {"technology.temperature": "1500 K"},
        {"technology.temperature": "0 K"},
        {"technology.node": "1 nm"},
        {"technology.node": "1 um"},
        {"technology.node": "1 nm", "technology.voltage": "9 V", "technology.temperature": "1400 K"},
    ],
)
def test_extrapolated_figures_are_numbers(changes: dict[str, str]) -> None:
    result = accelsim.run("rsnn28nm", overrides={**SHORT, **EXTRAPOLATE, **changes})
    figures = [result.power_w, result.area_mm2, result.energy.total_j, *result.uncertainty.power_w]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures), figures


@pytest.mark.parametrize(
    ("key", "value"),
    [("voltage", "1e-6 V"), ("voltage", "9 kV"), ("temperature", "9 kK"), ("node", "1 pm"), ("node", "1 m")],
)
def test_no_extrapolation_reaches_everywhere(key: str, value: str) -> None:
    chip = load_architecture("rsnn28nm", {**EXTRAPOLATE, f"technology.{key}": value})
    with pytest.raises(InputError, match=f"'{key}': no law reaches"):
        check_point(chip)
    with pytest.raises(ValueError, match="no leakage law reaches"):
        leakage_factor(0.9, 1e6, 0.9, 300, dibl=0.1, swing_mv_per_decade=90, doubling_kelvin=16.5)


def test_the_alpha_power_law_by_hand() -> None:
    # ((0.6 - 0.35) / (0.9 - 0.35))^1.3 x 0.9 / 0.6 = 0.45455^1.3 x 1.5 = 0.35880 x 1.5 = 0.53820.
    assert speed_factor(0.6, 0.9, threshold=0.35, alpha=1.3) == pytest.approx(0.53820, rel=1e-4)
    assert speed_factor(0.35, 0.9, threshold=0.35, alpha=1.3) == 0
    cmos28 = window("cmos28")
    assert max_frequency(cmos28, 28e-9, 0.9) == pytest.approx(2.5e9)
    assert max_frequency(cmos28, 28e-9, 0.6) == pytest.approx(2.5e9 * 0.53820, rel=1e-4)
    # Delays of DeepScaleTool: 0.67 at 28, 0.53 at 7 and 1.96 at 130 nm, each at its node's nominal voltage.
    assert max_frequency(cmos28, 7e-9, 0.75) == pytest.approx(2.5e9 * 0.67 / 0.53)
    assert max_frequency(cmos28, 130e-9, 1.3) == pytest.approx(2.5e9 * 0.67 / 1.96)
    assert fastest_decision(cmos28, 28e-9, 0.9) == pytest.approx(76e-12)
    assert fastest_decision(cmos28, 28e-9, 0.6) == pytest.approx(76e-12 / 0.53820, rel=1e-4)


def test_settling_by_hand() -> None:
    # 128 x 128 cells at 32 nm: a row of 128 x 4 x 32 nm = 16.384 um has 3.2768 fF and 128 x 1.28 = 163.84 ohm, a column
    # of 49.152 um 9.8304 fF and 490.24 ohm: 0.26844 + 2.40963 ps; 128 cells of 10 uS charge it in 7.68 ps. To half a
    # step of 8 bits: 9 ln 2 x 10.35807 ps = 64.617 ps.
    crossbar = load_architecture("memristor_tile").of_kind("crossbar")["crossbar"]
    assert settling_s(crossbar, 10e-6, 8, 32e-9) == pytest.approx(64.617e-12, rel=1e-4)


def sums(chip: Architecture, **point: Any) -> float:
    """Return the area of the chip's SRAM in um2 at a point."""
    prices = PriceList(chip.cost, OperatingPoint(**point))
    srams = chip.of_kind("sram").values()
    return sum(spec.instances() * prices.area("sram", spec.dimensions()).value for spec in srams) * 1e12


def test_sram_shrinks_with_its_cells_by_hand() -> None:
    """At 7 nm, where logic shrinks by 32, the weights of rsnn28nm keep 1.5 times the area of their bit cells."""
    chip = load_architecture("rsnn28nm")
    # 48, 2 x 192 and 2 x 960 rows of 512 bits: 12,288 + 2 x 25,854 + 2 x 82,575 = 229,146 um2 at 28 nm.
    assert sums(chip, voltage=0.9, temperature=300.0, node=28e-9) == pytest.approx(229_146)
    at_7 = sums(chip, voltage=0.75, temperature=300.0, node=7e-9)
    assert at_7 == pytest.approx(229_146 * 0.027 / 0.127)
    bits = sum(spec.bits() for spec in chip.of_kind("sram").values())
    assert bits == 1_204_224 and at_7 > bits * 0.027
    assert bit_cell_area(28e-9) == pytest.approx(0.127e-12) and bit_cell_area(7e-9) == pytest.approx(0.027e-12)


def test_leakage_by_node_by_hand() -> None:
    """SRAM of cmos28_lstp, 0.0215 uW/KiB (0.017 to 0.215): a quarter at 7 nm, range x 0.4 and x 1.88."""
    table = load_cost(find("cmos28_lstp", "arch/cost"))
    here = PriceList(table, OperatingPoint(0.9, 300.0, 28e-9)).leakage("sram", {"rows": 16, "macro_bits": 8192})
    there = PriceList(table, OperatingPoint(0.9, 300.0, 7e-9)).leakage("sram", {"rows": 16, "macro_bits": 8192})
    assert here.value == pytest.approx(0.0215e-6) and there.value == pytest.approx(0.0215e-6 / 4)
    assert (there.low, there.high) == pytest.approx((0.017e-6 * 0.1, 0.215e-6 * 0.47))
    coarse = PriceList(table, OperatingPoint(0.9, 300.0, 180e-9)).leakage("sram", {"rows": 16, "macro_bits": 8192})
    assert coarse.value == pytest.approx(here.value) and coarse.high == pytest.approx(6.4 * here.high)


def test_energy_between_nodes_has_both_readings_of_its_voltage() -> None:
    # 45 nm at 1.0 V, 28 nm at 0.9 V nominal: the high end has (1.0 / 0.9)^2 = 1.2346 of the value.
    assert node_energy_spread(28e-9, 45e-9) == pytest.approx((1, 1.2346), rel=1e-4)
    assert node_energy_spread(45e-9, 28e-9) == pytest.approx((0.81, 1))
    assert node_energy_spread(28e-9, 28e-9) == (1, 1)
