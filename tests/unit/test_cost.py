"""Prices by hand: lookup, laws, operating point, spread; and a missing one stops the run before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.architecture import load_architecture, load_cost
from accelsim.cost.lookup import OperatingPoint, PriceList, Range
from accelsim.cost.pricing import Bill, Term, interval, price_list
from accelsim.cost.scaling import node_energy_factor, voltage_energy_factor
from accelsim.engines.deploy import deploy
from accelsim.engines.execute import execute
from accelsim.errors import InputError
from accelsim.inputs import load_batch
from accelsim.library import find
from accelsim.pipeline import operate
from accelsim.schema.cost import CostTable
from accelsim.workload import load_workload

HERE = OperatingPoint(voltage=0.9, temperature=300.0, node=28e-9)


def row(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, "low": value, "high": value, "source": "a test", "tag": "read"} | more


def table(**sections: Any) -> CostTable:
    """Return a table for 28 nm, 0.9 V, 300 K with the given sections."""
    data = {
        "name": "test",
        "node": "28 nm",
        "voltage": "0.9 V",
        "temperature": "300 K",
        "energy": [],
        "area": [],
        "leakage": [],
        "leakage_scaling": {"dibl": 0.1, "swing_mv_per_decade": 100.0, "doubling_kelvin": 10.0, "source": "a test"},
    }
    return CostTable.model_validate(data | sections)


def prices(point: OperatingPoint = HERE, **sections: Any) -> PriceList:
    return PriceList(table(**sections), point)


def test_a_row_without_a_law_holds_for_any_size() -> None:
    found = prices(energy=[row("sram", "10 pJ", action="read")]).energy("sram", "read", {"rows": 7})
    assert (found.value, found.low, found.high) == pytest.approx((10e-12, 10e-12, 10e-12))
    assert not found.calibrated


def test_proportional() -> None:
    listed = prices(
        laws={"bus": {"width_bits": "proportional", "length": "proportional"}},
        energy=[row("bus", "0.08 pJ", action="transfer", at={"width_bits": 1, "length": "1 mm"})],
    )
    # 512 bits over a quarter of a millimetre: 0.08 x 512 x 0.25 = 10.24 pJ.
    found = listed.energy("bus", "transfer", {"width_bits": 512, "length": 0.25e-3})
    assert found.value == pytest.approx(10.24e-12)


def test_power_law_between_and_beyond_rows() -> None:
    # 10 pJ at 100 rows, 40 pJ at 400: proportional, so 20 pJ at 200, and beyond the ends 80 pJ at 800, 5 pJ at 50.
    # From 400 rows to 1,600 it only doubles: power 1/2, so 40 x sqrt(2) at 800 once that row is there.
    two = [row("sram", "10 pJ", action="read", at={"rows": 100}), row("sram", "40 pJ", action="read", at={"rows": 400})]
    laws = {"sram": {"rows": "interpolate"}}
    listed = prices(laws=laws, energy=two)
    for rows, expected in ((100, 10), (200, 20), (400, 40), (800, 80), (50, 5)):
        assert listed.energy("sram", "read", {"rows": rows}).value == pytest.approx(expected * 1e-12)
    three = prices(laws=laws, energy=[*two, row("sram", "80 pJ", action="read", at={"rows": 1600})])
    assert three.energy("sram", "read", {"rows": 800}).value == pytest.approx(40e-12 * np.sqrt(2))
    assert three.energy("sram", "read", {"rows": 200}).value == pytest.approx(20e-12)


def test_rows_at_other_dimensions_are_parts() -> None:
    # 2 um2 a lane (3 at twice the bits), and 5 um2 an entry: 4 x 2 + 10 x 5 = 58, and 4 x 3 + 10 x 5 = 62 um2.
    rows = [
        row("vector_unit", "2 um2", at={"lanes": 1, "number_bits": 16}),
        row("vector_unit", "5 um2", at={"entries": 1}, tag="calibrated") | {"low": "4 um2", "high": "7 um2"},
        row("vector_unit", "3 um2", at={"lanes": 1, "number_bits": 32}),
    ]
    laws = {"vector_unit": {"lanes": "proportional", "entries": "proportional", "number_bits": "interpolate"}}
    listed = prices(laws=laws, area=rows)
    found = listed.area("vector_unit", {"lanes": 4, "entries": 10, "number_bits": 16})
    assert (found.low, found.value, found.high) == pytest.approx((48e-12, 58e-12, 78e-12))
    assert found.calibrated
    assert listed.area("vector_unit", {"lanes": 4, "entries": 10, "number_bits": 32}).value == pytest.approx(62e-12)


def test_order_of_rows_does_not_matter() -> None:
    rows = [row("sram", f"{e} pJ", action="read", at={"rows": n}) for n, e in ((400, 40), (100, 10), (1600, 80))]
    listed = prices(laws={"sram": {"rows": "interpolate"}}, energy=rows)
    assert listed.energy("sram", "read", {"rows": 200}).value == pytest.approx(20e-12)


def test_voltage_and_node() -> None:
    point = OperatingPoint(voltage=0.45, temperature=300.0, node=28e-9)
    half = prices(point, energy=[row("sram", "8 pJ", action="read")])
    assert half.energy("sram", "read", {}).value == pytest.approx(2e-12)
    # A row may stand at another voltage or node than its table.
    other = [row("sram", "8 pJ", action="read", voltage="1.8 V", node="45 nm")]
    expected = 8e-12 / 4 * 0.37 / 0.63
    assert prices(energy=other).energy("sram", "read", {}).value == pytest.approx(expected)
    area = prices(area=[row("sram", "100 um2", node="45 nm", utilization=0.5)]).area("sram", {})
    assert area.value == pytest.approx(100e-12 * 0.35 / 0.5)


def test_leakage_moves_with_voltage_and_temperature() -> None:
    # dibl 0.1 V/V over 100 mV per decade: -0.3 V is a factor 10^-0.3; V is 2/3; 20 K at a doubling per 10 K is 4.
    point = OperatingPoint(voltage=0.6, temperature=320.0, node=28e-9)
    found = prices(point, leakage=[row("sram", "9 uW")]).leakage("sram", {})
    assert found.value == pytest.approx(9e-6 * 2 / 3 * 10**-0.3 * 4)


def test_included_rows_cost_nothing_themselves() -> None:
    included = {"kind": "bus", "included_in": "sram", "source": "a test", "tag": "estimated"}
    found = prices(area=[row("sram", "1 um2"), included]).area("bus", {})
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_an_energy_within_another_costs_nothing_itself() -> None:
    covered = row("crossbar", "1 pJ", action="read_nanowatt")
    for key in ("value", "low", "high"):
        del covered[key]
    rows = [covered | {"included_in": "write_pulse"}, row("crossbar", "1 pJ", action="write_pulse")]
    assert prices(energy=rows).energy("crossbar", "read_nanowatt", {}).value == 0
    assert prices(energy=rows).energy("crossbar", "write_pulse", {}).value > 0


def test_a_price_that_neither_node_nor_supply_decides() -> None:
    point = OperatingPoint(voltage=0.45, temperature=300.0, node=14e-9)
    listed = prices(point, energy=[row("crossbar", "1 pJ", action="write_pulse", scales=False)])
    assert listed.energy("crossbar", "write_pulse", {}).value == pytest.approx(1e-12)


def test_a_price_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no price for the energy of sram read in cost table 'test'"):
        prices().energy("sram", "read", {})
    with pytest.raises(InputError, match="no price for the clock of a flip-flop, gated in cost table 'test'"):
        prices().clock("sram", "gated")
    with pytest.raises(InputError, match="no price for the standby of dram, self_refresh in cost table 'test'"):
        prices(standby=[row("dram", "1 mW", state="active")]).standby("dram", {}, "self_refresh")


@pytest.mark.parametrize(
    ("more", "dimensions", "message"),
    [
        ({"at": {"rows": 1}}, {"columns": 4}, "it has no size 'rows'"),
        ({"at": {"rows": 1e-9}}, {"rows": 2**31}, "2.15e\\+12 is no price"),
        ({"model": "adc", "value": None, "low": None, "high": None}, {"rows": 4}, "no model 'adc'"),
        ({"model": "adc_energy_andrulis", "value": None, "low": None, "high": None}, {"bits": 4}, "the size 'rate'"),
    ],
)
def test_a_price_that_no_size_has(more: dict[str, Any], dimensions: dict[str, float], message: str) -> None:
    listed = prices(laws={"sram": {"rows": "proportional"}}, energy=[row("sram", "1 uJ", action="read") | more])
    with pytest.raises(InputError, match=f"no price for the energy of sram read in cost table 'test': .*{message}"):
        listed.energy("sram", "read", dimensions)


@pytest.mark.parametrize(
    ("at", "value", "rows", "message"),
    [
        ((1, 1), "2 pJ", 4, "two rows stand at the same size"),
        ((1, 1.0001), "1 uJ", 2**31, "no power law reaches from 1 .. 1.0001 to 2.14748e\\+09"),
        ((1, 2), "2 pJ", 0, "a power law has no 0"),
    ],
)
def test_a_price_that_no_power_law_reaches(at: tuple[float, float], value: str, rows: int, message: str) -> None:
    two = [row("sram", v, action="read", at={"rows": n}) for v, n in zip(("1 pJ", value), at, strict=True)]
    listed = prices(laws={"sram": {"rows": "interpolate"}}, energy=two)
    with pytest.raises(InputError, match=message):
        listed.energy("sram", "read", {"rows": rows})


def test_a_clock_row_of_a_kind_goes_before_that_of_every_kind() -> None:
    """A cycle at work costs as one that is clocked, unless the kind's actions hold its registers: then one gated."""
    every = [row("*", "1.2 fJ", state="clocked"), row("*", "0.04 fJ", state="gated")]
    own = [row("cpu", "0 fJ", state="gated"), {**row("dma", "1 fJ"), "state": "working"}]
    held = {"kind": "sram", "state": "working", "included_in": "actions", "source": "a test", "tag": "read"}
    listed = prices(clock=[*every, *own, held])
    assert [listed.clock("lif", s).value * 1e15 for s in STATES] == pytest.approx([1.2, 1.2, 0.04])
    assert [listed.clock("cpu", s).value * 1e15 for s in STATES] == pytest.approx([1.2, 1.2, 0.0])
    assert [listed.clock("dma", s).value * 1e15 for s in STATES] == pytest.approx([1.0, 1.2, 0.04])
    assert [listed.clock("sram", s).value * 1e15 for s in STATES] == pytest.approx([0.04, 1.2, 0.04])


STATES = ("working", "clocked", "gated")


def test_what_another_part_includes_is_there_only_with_that_part() -> None:
    leakage = [row("sram", "1 uW"), {**row("bus", "1 uW"), "value": None, "low": None, "high": None}]
    leakage[1] = {k: v for k, v in leakage[1].items() if v is not None} | {"included_in": "sram"}
    with_sram = PriceList(table(leakage=leakage), HERE, {"sram", "bus"})
    assert with_sram.leakage("bus", {}).value == 0
    without = PriceList(table(leakage=leakage), HERE, {"bus"})
    with pytest.raises(InputError, match=r"leakage of bus .*: the table has it included in that of a sram, of which"):
        without.leakage("bus", {})


def test_calibrated_rows_are_marked() -> None:
    assert prices(leakage=[row("sram", "1 uW", tag="calibrated")]).leakage("sram", {}).calibrated


def test_scaling_factors() -> None:
    assert voltage_energy_factor(0.5, 0.9) == pytest.approx(25 / 81)
    assert node_energy_factor(28e-9, 28e-9) == 1
    # Below 7 nm as from 10 to 7: 0.11 (5 / 7)^p with p = ln(0.15 / 0.11) / ln(10 / 7) = 0.8696, which is 0.08210.
    assert node_energy_factor(5e-9, 7e-9) == pytest.approx(0.08210 / 0.11, rel=1e-4)
    assert node_energy_factor(260e-9, 130e-9) == pytest.approx(2)
    with pytest.raises(ValueError, match=r"no scaling rule for 0\.5 nm, expected 1 to 1000 nm"):
        node_energy_factor(0.5e-9, 28e-9)


@pytest.mark.parametrize(
    ("value", "low", "high", "ends"),
    [
        # 5 % lie in the outer tenth of the lower triangle: 1 - sqrt(0.1) = 0.6838 of the way to the low end.
        (2.0, 1.0, 6.0, (2 * 0.5**0.6838, 2 * 3**0.6838)),
        (2.0, 0.2, 20.0, (2 * 0.1**0.6838, 2 * 10**0.6838)),
        (2.0, 2.0, 6.0, (2.0, 2 * 3**0.6838)),
        (2.0, 0.0, 2.0, (2 * 0.3162, 2.0)),
        (0.0, 0.0, 6.0, (0.0, 6 * 0.6838)),
    ],
)
def test_spread_of_one_price(value: float, low: float, high: float, ends: tuple[float, float]) -> None:
    # Power: 10 of them in 2 s, so five times the price; 4,096 draws hit a tenth of a triangle to 5 %.
    term = Term("x", "dynamic", 10, Range(value, low, high, "row"))
    bill = Bill({}, {}, {}, (term,), (Term("x", "area", 1, EXACT),))
    assert bill.spread(seconds=2.0)["power_w"] == pytest.approx(tuple(5 * end for end in ends), rel=0.05)


EXACT = Range(2.0, 2.0, 2.0, "exact")


def test_amounts_of_one_row_move_together_and_rows_apart() -> None:
    wide = Range(2.0, 1.0, 3.0, "one")
    apart = Range(2.0, 1.0, 3.0, "two")
    area = (Term("x", "area", 1, EXACT),)
    together = Bill({}, {}, {}, (Term("x", "dynamic", 1, wide), Term("y", "dynamic", 1, wide)), area)
    separate = Bill({}, {}, {}, (Term("x", "dynamic", 1, wide), Term("y", "dynamic", 1, apart)), area)
    widths = [b - a for a, b in (bill.spread(1.0)["power_w"] for bill in (together, separate))]
    # Two rows that move together are twice as wide as one; independent ones about sqrt(2) times.
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(2), rel=0.05)
    density = together.spread(1.0)["power_density_w_per_m2"]
    assert density == pytest.approx(tuple(v / 2 for v in together.spread(1.0)["power_w"]))


def test_prices_of_one_source_move_together_and_alike_in_every_run() -> None:
    """By hand: 2 x [1, 3] of one source is as wide as twice one of them, of two sources about sqrt(2) times as wide."""
    area = (Term("x", "area", 1, EXACT),)

    def width(first: str, second: str) -> float:
        prices = [Range(2.0, 1.0, 3.0, row, source=source) for row, source in (("one", first), ("two", second))]
        low, high = Bill({}, {}, {}, tuple(Term("x", "dynamic", 1, p) for p in prices), area).spread(1.0)["power_w"]
        return high - low

    assert width("CACTI", "CACTI") / width("CACTI", "NeuroSim") == pytest.approx(np.sqrt(2), rel=0.05)
    assert width("", "") == pytest.approx(width("CACTI", "NeuroSim"), rel=0.05), "without a source a row stands alone"
    term = Term("x", "dynamic", 3, Range(2.0, 1.0, 3.0, "row", source="CACTI"))
    other = Term("y", "clock", 1, Range(2.0, 1.0, 3.0, "else", source="CACTI"))
    alone, both = Bill({}, {}, {}, (term,), area).draws(), Bill({}, {}, {}, (other, term), area).draws()
    assert np.array_equal(alone.energy_j["x"]["dynamic"], both.energy_j["x"]["dynamic"])
    assert np.allclose(both.total_j(), both.total_j("dynamic") * 4 / 3) and np.allclose(
        both.total_j("clock"), both.total_j() / 4
    )


def test_the_source_of_a_row_is_the_one_that_its_text_names_first() -> None:
    texts = {"read": "CACTI 7, where ISAAC has 2", "write": "ISAAC, where CACTI has 2"}
    rows = [row("sram", "1 pJ", action=action, source=text) for action, text in texts.items()]
    mine = table(sources=["NeuroSim", "CACTI", "ISAAC"], energy=[*rows, row("dac", "1 pJ", action="drive")])
    assert [mine.source_of(each) for each in mine.energy] == ["CACTI", "ISAAC", None]
    listed = PriceList(mine, HERE)
    assert [listed.energy("sram", action, {}).moves_with() for action in ("read", "write")] == ["CACTI", "ISAAC"]
    assert listed.energy("dac", "drive", {}).moves_with() == "energy of dac drive"


def test_an_assumed_size_widens_what_it_prices_alone() -> None:
    """By hand: a bus of 1 mm, 0.5 to 4 mm, in proportion: its 5 and 95 % points are 0.5^0.684 and 4^0.684."""

    def bill(length: float) -> Bill:
        bus, other = Range(2.0 * length, 2.0 * length, 2.0 * length, "bus"), Range(1.0, 1.0, 1.0, "other")
        areas = (Term("bus", "area", 1, Range(length, length, length, "wires")), Term("pe", "area", 1, EXACT))
        return Bill({}, {}, {}, (Term("bus", "dynamic", 3, bus), Term("pe", "dynamic", 5, other)), areas)

    whole = replace(bill(1.0), ends={"components.bus.length": (bill(0.5), bill(4.0))})
    drawn = whole.draws()
    assert interval(drawn.energy_j["bus"]["dynamic"]) == pytest.approx((6 * 0.5**0.6838, 6 * 4**0.6838), rel=0.05)
    assert set(drawn.energy_j["pe"]["dynamic"]) == {5.0} and set(drawn.area_m2["pe"]) == {2.0}
    assert np.allclose(drawn.energy_j["bus"]["dynamic"] / 6, drawn.area_m2["bus"]), "one length in every line"
    assert whole.spread(2.0)["power_w"] == pytest.approx(tuple(end / 2 for end in interval(drawn.total_j())))


def test_an_assumed_size_of_nothing_may_still_cost_something() -> None:
    """By hand: 0 of 0 to 7 flip-flops: half of the draws cost nothing, one in twenty more than 0.684 of all 7."""

    def bill(registers: int) -> Bill:
        return Bill({}, {}, {}, (Term("x", "clock", registers, EXACT), Term("x", "dynamic", 1, EXACT)), ())

    whole = replace(bill(0), ends={"components.x.flip_flops": (bill(0), bill(7))})
    clock = whole.draws().energy_j["x"]["clock"]
    assert np.mean(clock == 0) == pytest.approx(0.5, abs=0.03) and clock.min() == 0
    assert interval(clock)[1] == pytest.approx(0.6838 * 7 * EXACT.value, rel=0.05)
    assert set(whole.draws().energy_j["x"]["dynamic"]) == {EXACT.value}


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ("components.weight_buss.length: {low: 1 mm, high: 2 mm, source: x}", r"no size of a component.*'weight_bus'"),
        ("technology.voltage: {low: 1 V, high: 2 V, source: x}", "no size of a component: 'technology.voltage'"),
        ("components.weight_bus.width_bits: {low: 1, high: 512, source: x}", "'width_bits' of a bus is no size that"),
        ("components.weight_bus.length: {low: 1 V, high: 2 mm, source: x}", "'1 V' is a voltage, expected a length"),
        ("components.weight_bus.length: {low: 1 mm, high: 2 mm, source: x}", "expected low <= length <= high"),
        ("components.weight_bus.length: {low: 0.1 mm, high: 2 mm}", "source"),
    ],
)
def test_a_range_that_is_none_is_told_with_its_line(tmp_path: Path, ranges: str, message: str) -> None:
    text = find("rsnn28nm", "arch").read_text().partition("\nranges:")[0] + f"\nranges:\n  {ranges}\n"
    (tmp_path / "chip.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"chip\.yaml:\d+: .*{message}") as error:
        load_architecture(tmp_path / "chip.yaml")
    assert len(error.value.problems) == 1


def test_a_size_that_is_set_is_assumed_no_longer() -> None:
    assert list(load_architecture("rsnn28nm").ends) == ["components.weight_bus.length"]
    chip = load_architecture("rsnn28nm", {"components.weight_bus.length": "0.3 mm"})
    assert list(chip.ends) == []
    (key, low, high), *_ = load_architecture("rsnn28nm").at_ends()
    lengths = [one.components()["weight_bus"].length for one in (low, high)]
    assert key == "components.weight_bus.length" and lengths == pytest.approx([0.15e-3, 0.4e-3])


def test_calibrated_share() -> None:
    fitted = Range(3.0, 3.0, 3.0, "fitted", calibrated=True)
    bill = Bill({}, {}, {}, (Term("x", "leakage", 2, fitted), Term("x", "dynamic", 4, EXACT)), ())
    assert (bill.calibrated_j(), bill.total_j(), bill.total_j("dynamic")) == (6.0, 14.0, 8.0)


def edited_chip(folder: Path, old: str, new: str) -> Path:
    """Write the chip and its price list into a folder, with a piece of the price list replaced."""
    chip, cost = find("rsnn28nm", "arch"), find("cmos28", "arch/cost").read_text()
    assert old in cost
    (folder / "cmos28.yaml").write_text(cost.replace(old, new))
    text = chip.read_text().replace("cost: cmos28_rsnn", "cost: cmos28.yaml")
    (folder / "chip.yaml").write_text(text)
    return folder / "chip.yaml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: lif, action: update", "kind: sram, action: write",
         "no price for action 'update' of a lif in cmos28.yaml"),
        ("kind: zero_skip, at: {width: 128}, value: 495", "kind: lif, value: 495",
         "no price for area of a zero_skip in cmos28.yaml"),
        ("- {kind: bus, at: {width_bits: 1, length: 1 mm}, value: 0.000207 uW", "- {kind: lif, value: 0.000207 uW",
         "no standby row with a value for kind 'leakage'"),
        ("- {kind: bus, included_in: leakage", "- {kind: lif, included_in: leakage",
         "no price for standby of a bus in cmos28.yaml"),
    ],
)  # fmt: skip
def test_a_missing_price_stops_the_run_before_it_starts(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_architecture(edited_chip(tmp_path, old, new))
    assert message in str(error.value)
    assert all(problem.line for problem in error.value.problems)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: lif, action: update", "kind: lif, action: updat", "a lif has no action 'updat'"),
        ("kind: lif, action: update", "kind: lift, action: update", r"unknown kind 'lift' \(did you mean 'lif'\?\)"),
        ("value: 20 pJ, low: 13 pJ", "value: 20 pJ, low: 21 pJ", "expected low <= value <= high"),
        ("value: 20 pJ", "value: 20 uW", "'20 uW' is a power, expected an energy"),
        ("value: 20 pJ", "value: 20", "20 has no unit"),
        ("kind: crossbar, included_in: leakage", "kind: crossbar, included_in: leakages", "leakages"),
    ],
)
def test_a_wrong_row_is_named_by_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    chip = edited_chip(tmp_path, old, new)
    with pytest.raises(InputError, match=message) as error:
        load_cost(chip.parent / "cmos28.yaml")
    text = (chip.parent / "cmos28.yaml").read_text().splitlines()
    where = next(i for i, line in enumerate(text, 1) if new in line)
    assert error.value.problems[0].line in (where, where + 1)


def test_prices_that_are_not_to_be_had_stop_the_run_before_it_starts() -> None:
    bits = {"components.adc.precision_bits": "1", "components.adc.range_bits": "2"}
    with pytest.raises(InputError) as error:
        accelsim.run("memristor_tile", overrides=bits)
    there, why = f"{find('memristor_tile', 'arch')}:22", "the survey's regression is undefined below 4 bits, found 3"
    assert [str(problem) for problem in error.value.problems] == [
        f"{there}: no price for the {what} in cost table 'cmos28': {why}"
        for what in ("energy of adc convert", "area of adc", "standby of adc")
    ]
    with pytest.raises(InputError, match="5 nm is outside what cost table 'cmos28' holds for: 7 to 130 nm"):
        accelsim.run("memristor_tile", overrides={"technology.node": "5 nm"})


def test_what_a_chip_draws_at_full_activity() -> None:
    """Never less than at rest, whatever is gated; the same however long the pauses of a run are.

    Of rsnn28nm by hand: all flip-flops in cycles at work, standby and leakage of all parts; here against the two ends
    of a run in which every part works in every cycle, or in none.
    """
    chips = [load_architecture("rsnn28nm", {"pacing.frame_period": period}) for period in ("20 ms", "40 ms")]
    bills = []
    for chip in chips:
        deployment = deploy(load_workload("rsnn_paper_activity", {"inputs.frames": "3"}), chip)
        batch = load_batch(deployment.network)
        execution = execute(deployment, batch)
        bills.append(operate(chip, deployment.schedule, execution.activity, execution.frames).bill)
    assert bills[0].full_w == pytest.approx(bills[1].full_w)
    prices, by_hand = price_list(chips[0]), 0.0
    for spec in chips[0].components().values():
        dimensions, units = spec.dimensions(), spec.instances()
        by_hand += units * spec.flip_flops() * prices.clock(spec.kind, "working").value * 100e3
        by_hand += units * (prices.leakage(spec.kind, dimensions).value)
        by_hand += units * prices.standby(spec.kind, dimensions, spec.standby_names()[0]).value
    assert bills[0].full_w == pytest.approx(by_hand)
    assert bills[0].full_w > bills[0].idle_w > 0
