"""Prices of vector units, attention engines, task queues, deep SRAM and row converters, by hand from the sources.

Horowitz (ISSCC 2014) at 45 nm and 0.9 V: float32 addition 0.9 pJ, 4,184 um2, product 3.7 pJ, 7,700 um2; float16 0.4 pJ,
1,360 um2 and 1.1 pJ, 1,640 um2. To 28 nm by DeepScaleTool: energy x 0.37 / 0.63, area x 0.35, placed at 75 %.
"""

from __future__ import annotations

import pytest

from accelsim.architecture import load_cost
from accelsim.components import KINDS, ComponentSpec
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.library import find
from accelsim.schema import parse, parse_yaml

ENERGY, AREA = 0.37 / 0.63, 0.35 / 0.75


def prices(table: str = "cmos28") -> PriceList:
    return PriceList(load_cost(find(table, "arch/cost")), OperatingPoint(0.9, 300.0, 28e-9))


def part(text: str) -> ComponentSpec:
    """Return a component from the keys of a YAML file."""
    kind = text.split(",")[0].removeprefix("kind: ")
    return parse(KINDS[kind].spec, parse_yaml(f"{{{text}}}"))


def picojoules(text: str, action: str, table: str = "cmos28") -> float:
    spec = part(text)
    return prices(table).energy(spec.kind, action, spec.dimensions()).value * 1e12


def square_microns(text: str, table: str = "cmos28") -> float:
    """Return the area of all instances of a component."""
    spec = part(text)
    return spec.instances() * prices(table).area(spec.kind, spec.dimensions()).value * 1e12


def microwatts(text: str, table: str) -> float:
    spec = part(text)
    return spec.instances() * prices(table).leakage(spec.kind, spec.dimensions()).value * 1e6


VECTOR = "kind: vector_unit, units: 3, lanes: 64, special_lanes: 8, cycles_per_special: 4, number: float{}"
ATTENTION = "kind: attention_engine, units: 2, macs: 128, exponentials: 4, frames: 1024, number: float{}"
QUEUE = "kind: task_queue, entries: 40"


@pytest.mark.parametrize(
    ("number", "operation", "special"),
    [
        (32, (0.9 + 3.7) / 2, 8 * (3.7 + 0.9)),  # 1.351 and 21.61 pJ
        (16, (0.4 + 1.1) / 2, 4 * (3.7 + 0.9)),  # 0.440 and 10.81 pJ
    ],
)
def test_energy_of_a_vector_unit(number: int, operation: float, special: float) -> None:
    assert picojoules(VECTOR.format(number), "operation") == pytest.approx(operation * ENERGY)
    assert picojoules(VECTOR.format(number), "special") == pytest.approx(special * ENERGY)


def test_energy_of_attention() -> None:
    """Products in the format, sums in float32: 4.6 and 2.0 pJ at 45 nm, 2.70 and 1.17 pJ at 28 nm.

    An exponential in float32: ten multiply-additions, two products (the scale, the share), four additions (the
    position's score, the maximum, the difference, the sum) 57.0 pJ, and 4.6 pJ for its score memory at 28 nm.
    """
    assert picojoules(ATTENTION.format(32), "mac") == pytest.approx((3.7 + 0.9) * ENERGY)
    assert picojoules(ATTENTION.format(16), "mac") == pytest.approx((1.1 + 0.9) * ENERGY)
    memory = 2 * (0.84 + 1.89) * 0.37 / 0.44  # 32 nm: 0.78 and 1.40 pJ at 2 KB, 0.91 and 2.55 at 8 KB, between them
    full = (10 * 4.6 + 2 * 3.7 + 4 * 0.9) * ENERGY + memory
    assert picojoules(ATTENTION.format(32), "exponential") == pytest.approx(full, rel=2e-3)
    half = (5 * 4.6 + 2 * 1.1 + 3 * 0.4 + 0.9) * ENERGY + memory / 2
    assert picojoules(ATTENTION.format(16), "exponential") == pytest.approx(half, rel=2e-3)


def test_area_of_a_vector_unit() -> None:
    """Lanes of an adder and a multiplier; 8 special lanes of 4 cycles give two specials a cycle, 8 or 4 steps each."""
    lane, short = 4184 + 7700, 1360 + 1640
    assert square_microns(VECTOR.format(32)) == pytest.approx(3 * (64 * lane + 2 * 8 * lane) * AREA)  # 1.331 mm2
    assert square_microns(VECTOR.format(16)) == pytest.approx(3 * (64 * short + 2 * 4 * lane) * AREA)


def test_area_of_an_attention_engine() -> None:
    """128 multiply-accumulators, 4 units of the softmax, and 1,024 scores of 16 or 32 bits at 0.263 um2."""
    special = 5 * (4184 + 7700) + 2 * 1640 + 3 * 1360 + 4184
    logic = 128 * (1640 + 4184) + 4 * special
    assert square_microns(ATTENTION.format(16)) == pytest.approx(2 * (logic * AREA + 1024 * 4.2))  # 0.969 mm2
    special = 10 * (4184 + 7700) + 2 * 7700 + 4 * 4184
    logic = 128 * (7700 + 4184) + 4 * special
    assert square_microns(ATTENTION.format(32)) == pytest.approx(2 * (logic * AREA + 1024 * 8.4))


def test_a_sweep_pays_for_what_makes_it_faster() -> None:
    before, engine = square_microns(VECTOR.format(16)), square_microns(ATTENTION.format(16))
    for key, more in (
        ("special_lanes: 8", "special_lanes: 16"),
        ("lanes: 64", "lanes: 128"),
        ("special: 4", "special: 2"),
    ):
        assert square_microns(VECTOR.format(16).replace(key, more)) > before
    for key, more in (("macs: 128", "macs: 256"), ("exponentials: 4", "exponentials: 8"), ("1024", "2048")):
        assert square_microns(ATTENTION.format(16).replace(key, more)) > engine


def test_task_queue() -> None:
    """64 flip-flops of 2.06 and two 8-bit adders of 18.57 um2 at 75 %; 64 x 0.207 + 2 x 1.5 = 16.2 nW at 0.88 V."""
    assert picojoules(QUEUE, "dispatch") == pytest.approx(0.5)
    assert square_microns(QUEUE) == pytest.approx(40 * (64 * 2.06 + 2 * 18.57) / 0.75, rel=1e-3)
    assert part(QUEUE).flip_flops() == 64
    to_supply = 0.9 / 0.88 * 10 ** (0.115 * 0.02 / 0.0925)
    assert microwatts(QUEUE, "cmos28_lstp") == pytest.approx(40 * 16.25e-3 * to_supply, rel=5e-3)


def test_leakage() -> None:
    """0.081 nW for each um2 of cells at 28 nm; in cmos28 as under its old name."""
    density, lane = 0.081e-3 * 0.35, 4184 + 7700
    assert microwatts(VECTOR.format(32), "cmos28") == microwatts(VECTOR.format(32), "cmos28_lstp")
    vector = 3 * (64 * lane + 2 * 8 * lane) * density
    assert microwatts(VECTOR.format(32), "cmos28_lstp") == pytest.approx(vector, rel=5e-3)  # 80.9 uW
    special = 5 * lane + 2 * 1640 + 3 * 1360 + 4184
    logic = (128 * (1640 + 4184) + 4 * special) * density
    attention = 2 * (logic + 2 * 0.0215)  # 2 KiB of scores
    assert microwatts(ATTENTION.format(16), "cmos28_lstp") == pytest.approx(attention, rel=5e-3)


@pytest.mark.parametrize(
    ("rows", "read", "write", "efficiency"),
    [  # CACTI 7 HP, 512 bits: pJ at 32 nm and 0.9 V, at 22 nm and 0.8 V; share of the area that is cells
        (4096, (74.74, 40.64), (116.02, 60.72), 0.577),
        (16384, (177.13, 96.43), (195.31, 102.95), 0.627),
        (65536, (392.25, 212.18), (410.43, 218.70), 0.632),
    ],
)
def test_deep_memories(rows: int, read: tuple[float, ...], write: tuple[float, ...], efficiency: float) -> None:
    """V^2 to 0.9 V, then six tenths of the way from 22 to 32 nm; a cell of 0.127 um2 over the efficiency."""
    macro = f"kind: sram, stores: weights, rows: {rows}, width_bits: 512"
    for action, (at_32, at_22) in (("read", read), ("write", write)):
        small = at_22 * (0.9 / 0.8) ** 2
        assert picojoules(macro, action) == pytest.approx(small + 0.6 * (at_32 - small), rel=5e-3)
    assert square_microns(macro) == pytest.approx(rows * 512 * 0.127 / efficiency, rel=5e-3)
    kib = rows * 512 / 8192
    assert microwatts(macro, "cmos28_lstp") == pytest.approx(kib * 0.0215)


def test_a_deeper_memory_costs_more() -> None:
    macros = [f"kind: sram, stores: weights, rows: {64 << n}, width_bits: 512" for n in range(12)]
    for measure in (lambda m: picojoules(m, "read"), lambda m: picojoules(m, "write"), square_microns):
        found = [measure(macro) for macro in macros]
        assert found == sorted(found)
    assert all(square_microns(m) > 0.127 * 512 * (64 << n) for n, m in enumerate(macros)), "smaller than its cells"


@pytest.mark.parametrize(("bits", "area"), [(4, 3.48), (6, 13.9), (8, 55.7)])
def test_row_converters_by_their_bits(bits: int, area: float) -> None:
    """A row driver of 0.063 pJ and 50 fF x bits x V^2; a driver of 3.14 um2 and a converter that doubles with a bit."""
    dac = f"kind: dac, tiles: 1, units: 1, bits: {bits}"
    assert picojoules(dac, "drive", "cmos28_dac") == pytest.approx(0.063 + 0.05 * bits * 0.81, rel=1e-3)
    assert square_microns(dac, "cmos28_dac") == pytest.approx(3.14 + area)
    assert picojoules(dac, "drive") == pytest.approx(0.063)
    serial = dac + ", mode: bit_serial"
    assert picojoules(serial, "drive", "cmos28_dac") == pytest.approx(0.063 + 0.0405)


@pytest.mark.parametrize("table", ["cmos28", "cmos28_lstp", "cmos28_dac"])
@pytest.mark.parametrize("side", [64, 128, 256])
@pytest.mark.parametrize(("adc_bits", "dac_bits", "planes", "cell_bits"), [(6, 4, 7, 1), (8, 6, 4, 2), (16, 8, 3, 2)])
def test_a_chip_of_thousands_of_tiles_has_every_price(
    table: str, side: int, adc_bits: int, dac_bits: int, planes: int, cell_bits: int
) -> None:
    tiles = "tiles: 4700"
    parts = [
        f"kind: crossbar, {tiles}, planes: {planes}, rows: {side}, columns: {side}, device: ideal,"
        f" cell_bits: {cell_bits}, read_voltage: 0.3 V, read_time: 10 ns, write_time: 10 ns, cells_written_at_once: 64",
        f"kind: dac, {tiles}, units: {side}, bits: {dac_bits}",
        f"kind: adc, {tiles}, units: 16, shared_by: 8, precision_bits: {adc_bits - 4}, range_bits: 4, rate: 100 MHz",
        f"kind: sample_hold, {tiles}, units: {side}",
        f"kind: shift_add, {tiles}, units: 16, width_bits: 24",
        f"kind: register_file, {tiles}, stores: inputs, entries: {side}, width_bits: {dac_bits}",
        "kind: accumulator, units: 64, width_bits: 24",
        "kind: bus, units: 16, lanes: 2, width_bits: 512, length: 10 mm",
        "kind: sram, stores: activations, rows: 2048, width_bits: 256, banks: 64",
        VECTOR.format(16), ATTENTION.format(32), QUEUE,
        "kind: mac_array, rows: 64, columns: 64, input_bits: 8, weight_bits: 8, accumulator_bits: 32",
    ]  # fmt: skip
    listed = prices(table)
    for text in parts:
        spec = part(text)
        for action in KINDS[spec.kind].actions:
            found = listed.energy(spec.kind, action, spec.dimensions())
            assert 0 < found.low <= found.value <= found.high
        found = listed.area(spec.kind, spec.dimensions())
        assert found.low <= found.value <= found.high and (found.low > 0 or spec.kind == "bus")
        found = listed.leakage(spec.kind, spec.dimensions())
        assert 0 <= found.low <= found.value <= found.high
