"""Prices of a 7 nm neural processor by hand from their sources, and every one there at any size.

TPUv4i (ISCA 2021, Table 2): operations and SRAM at 7 nm. ASAP7: flip-flops. Micron by DRAMPower: LPDDR4 currents.
freqbench: power of a Cortex-A55.
"""

from __future__ import annotations

from functools import partial

import pytest

from accelsim.architecture import load_cost
from accelsim.components import KINDS, ComponentSpec
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.library import find
from accelsim.schema import parse, parse_yaml

REGISTER = 1.5e-3  # pJ a bit
GATE_AREA, FLIP_FLOP = 4 / 91.2 / 0.798, 0.2916  # 7 nm over 45 nm; um2
LEAKAGE = 0.281 / 0.30618  # nW/um2

ARRAY = "kind: systolic_array, rows: 16, columns: 8, dataflow: {}, number: {}, accumulator: {}"
L2 = "kind: l2, banks: 8, weight_banks: 4, rows: {}, width_bits: {}"
DMA = "kind: dma, engines: 2, width_bits: {}, setup_cycles: 20"
DRAM = "kind: dram, capacity: {}, width_bits: {}, row_bytes: {}, cycles_per_activate: 12, refresh_share: 0.07"
CPU = "kind: cpu, dispatch_cycles: {}, copy_bits_per_cycle: 64, operations_per_cycle: {}"
VECTOR = "kind: vector_unit, lanes: 16, special_lanes: 4, cycles_per_special: 4, number: {}"
SEQUENCER = "kind: sequencer, cycles_per_step: {}"
FORMATS = [("int8", "int32"), ("float16", "float32"), ("float16", "float16")]
FLOWS = ["weight_stationary", "output_stationary"]


def prices(voltage: float = 0.75, temperature: float = 300.0) -> PriceList:
    return PriceList(load_cost(find("npu7", "arch/cost")), OperatingPoint(voltage, temperature, 7e-9))


def part(text: str) -> ComponentSpec:
    kind = text.split(",")[0].removeprefix("kind: ")
    return parse(KINDS[kind].spec, parse_yaml(f"{{{text}}}"))


def picojoules(text: str, action: str, **point: float) -> float:
    spec = part(text)
    return prices(**point).energy(spec.kind, action, spec.dimensions()).value * 1e12


def clock_femtojoules(text: str, state: str) -> float:
    spec = part(text)
    return spec.flip_flops() * prices().clock(spec.kind, state).value * 1e15


def square_microns(text: str) -> float:
    spec = part(text)
    return prices().area(spec.kind, spec.dimensions()).value * 1e12


def nanowatts(text: str, voltage: float = 0.7) -> float:
    spec = part(text)
    return prices(voltage).leakage(spec.kind, spec.dimensions()).value * 1e9


@pytest.mark.parametrize(
    ("formats", "arithmetic", "bits"),
    [(FORMATS[0], 0.07 + 0.03, 8 + 32), (FORMATS[1], 0.34 + 0.38, 16 + 32), (FORMATS[2], 0.34 + 0.16, 16 + 16)],
)
def test_energy_of_a_pe(formats: tuple[str, str], arithmetic: float, bits: int) -> None:
    """TPUv4i's operations, and the registers of an operand and of the sum."""
    for flow in FLOWS:
        array = ARRAY.format(flow, *formats)
        assert picojoules(array, "mac") == pytest.approx(arithmetic + bits * REGISTER)
        operand = 8 if formats[0] == "int8" else 16
        assert picojoules(array, "load") == pytest.approx(operand * REGISTER)
        assert picojoules(array, "drain") == pytest.approx((bits - operand) * REGISTER)
        assert picojoules(array, "stream") == pytest.approx(operand * (0.5 * 0.05 + REGISTER))
        assert picojoules(array, "accumulate") == pytest.approx((bits - operand) / 32 * (32 * 2 * 0.025 + 0.1))


@pytest.mark.parametrize(
    ("formats", "logic", "bits"),
    [
        (FORMATS[0], 282 + 137, 2 * 8 + 32),
        (FORMATS[1], 1640 + 4184, 2 * 16 + 32),
        (FORMATS[2], 1640 + 1360, 2 * 16 + 16),
    ],
)
def test_area_leakage_and_clock_of_a_pe(formats: tuple[str, str], logic: float, bits: int) -> None:
    """Horowitz' units in gates, flip-flops of two operands and a sum, of the second register, at 1.2 fJ; 3 % gated."""
    still = ARRAY.format("output_stationary", *formats) + ", double_buffered: false"
    cells = logic * GATE_AREA + bits * FLIP_FLOP
    assert square_microns(still) == pytest.approx(cells / 0.7, rel=5e-3)
    assert nanowatts(still) == pytest.approx(cells * LEAKAGE, rel=0.01)
    assert clock_femtojoules(still, "clocked") == pytest.approx(bits * 1.2)
    assert clock_femtojoules(still, "gated") == clock_femtojoules(still, "working") == pytest.approx(bits * 0.036)

    second = bits - (2 * 8 if formats[0] == "int8" else 2 * 16)  # a second sum
    double = ARRAY.format("output_stationary", *formats)
    assert square_microns(double) == pytest.approx((cells + second * FLIP_FLOP) / 0.7, rel=5e-3)
    assert nanowatts(double) == pytest.approx((cells + second * FLIP_FLOP) * LEAKAGE, rel=0.01)
    assert clock_femtojoules(double, "clocked") == pytest.approx((bits + second) * 1.2)

    weights = ARRAY.format("weight_stationary", *formats)  # a second weight, and 256 sums for each 16 PEs
    operand, sums = (bits - second) // 2, 256 * second / 16
    memory = 0.027 / 0.3 * sums
    assert square_microns(weights) == pytest.approx((cells + operand * FLIP_FLOP) / 0.7 + memory, rel=5e-3)


@pytest.mark.parametrize(("kibibytes", "read"), [(8, 7.5), (32, 8.5), (1024, 14)])
def test_l2(kibibytes: int, read: float) -> None:
    """TPUv4i's macros for 64 bits, twice as much for 128; writes x 1.18; 10 pW a bit."""
    narrow, wide = (L2.format(kibibytes * 8192 // width, width) for width in (64, 128))
    assert picojoules(narrow, "read") == pytest.approx(read)
    assert picojoules(wide, "read") == pytest.approx(2 * read)
    assert picojoules(narrow, "write") == pytest.approx(1.18 * read, rel=0.01)
    assert nanowatts(narrow, 0.75) == pytest.approx(kibibytes * 8192 * 0.01, rel=2e-3)
    assert 0.027 / 0.75 < square_microns(narrow) / (kibibytes * 8192) < 0.027 / 0.3


def test_a_larger_macro_costs_more() -> None:
    sizes = [L2.format(rows, 128) for rows in (64, 512, 1000, 4096, 65536, 200_000)]
    for found in ([picojoules(s, "read") for s in sizes], [picojoules(s, "write") for s in sizes],
                  [square_microns(s) for s in sizes], [nanowatts(s) for s in sizes]):  # fmt: skip
        assert found == sorted(found)
    assert all(square_microns(s) > 0.027 * part(s).dimensions()["macro_bits"] for s in sizes), "smaller than its cells"


def test_dram() -> None:
    """(275 - 30) and (210 - 30) mA of 1.1 V over 102.4 Gbit/s, 149.25 mA of wires at 0.6 V; its supply is its own."""
    memory = DRAM.format("4 GiB", 64, 2048)
    wires = 149.25 * 1.1 * 0.6 / 1.1 / 102.4
    for voltage in (0.6, 0.75):
        found = {action: picojoules(memory, action, voltage=voltage) for action in KINDS["dram"].actions}
        assert found["read"] == pytest.approx(64 * (245 * 1.1 / 102.4 + wires + 2.25), rel=2e-3)
        assert found["write"] == pytest.approx(64 * (180 * 1.1 / 102.4 + wires + 2.25), rel=2e-3)
        assert found["activate"] == pytest.approx((1.8 * 1.25 + 1.1 * 15) * 97 / 1.6, rel=3e-3)
        power_down = 1.8 * 1.2 + 1.1 * 3.0 + 1.1 * 0.75
        refresh = 1.8 * 0.5 + 1.1 * 3.0
        # 4 GiB of 0.75 GiB each: standby IDD2N 34.1 mW, power-down, self-refresh IDD6 1.2 mW.
        states = {"active": 34.1 + refresh, "power_down": power_down + refresh, "self_refresh": 1.2}
        for state, expected_mw in states.items():
            standby_w = prices(voltage).standby("dram", part(memory).dimensions(), state).value
            assert standby_w * 1e3 == pytest.approx(4 * expected_mw / 0.75, rel=5e-3)
        assert nanowatts(memory, voltage) == 0
    assert picojoules(DRAM.format("4 GiB", 64, 1024), "activate") == pytest.approx(found["activate"] / 2)


def test_cpu() -> None:
    """129 mW at 1.478 GHz: 87.3 pJ a cycle, shared by as many operations as it does in one."""
    cycle = 129 / 1.478
    for lanes in (1, 4, 8, 32):
        core = CPU.format(2000, lanes)
        assert picojoules(core, "dispatch") == pytest.approx(2000 * cycle, rel=5e-3)
        assert picojoules(core, "copy") == pytest.approx(cycle, rel=5e-3)
        assert picojoules(core, "operation") == pytest.approx(cycle / lanes, rel=5e-3)


@pytest.mark.parametrize(
    ("number", "operation", "special", "lane"),
    [("float32", (0.38 + 1.31) / 2, 8 * 1.69, 4184 + 7700), ("float16", (0.16 + 0.34) / 2, 4 * 1.69, 1360 + 1640)],
)
def test_vector_unit(number: str, operation: float, special: float, lane: float) -> None:
    """A special lane of four cycles gives a quarter of a special a cycle: 4 lanes one, in 8 or 4 steps of float32."""
    unit = VECTOR.format(number)
    assert picojoules(unit, "operation") == pytest.approx(operation)
    assert picojoules(unit, "special") == pytest.approx(special, rel=2e-3)
    steps = (8 if number == "float32" else 4) * (4184 + 7700)
    cells = (16 * lane + steps) * GATE_AREA
    assert square_microns(unit) == pytest.approx(cells / 0.7, rel=5e-3)
    assert nanowatts(unit) == pytest.approx(cells * LEAKAGE, rel=0.01)


def test_what_controls() -> None:
    """A step: 64 bytes of 0.147 pJ/bit and its cycles; a descriptor: 32 bytes; a word: a millimetre and a buffer."""
    assert picojoules(SEQUENCER.format(10), "step") == pytest.approx(512 * (9.4 / 64 + REGISTER) + 10 * 2, rel=0.01)
    assert picojoules(DMA.format(128), "descriptor") == pytest.approx(256 * (9.4 / 64 + REGISTER), rel=0.06)
    assert picojoules(DMA.format(256), "word") == pytest.approx(256 * (0.05 + 2 * REGISTER), rel=0.01)


def test_supply_and_temperature() -> None:
    """Energies go with V^2, leakage doubles in 16.5 K; the CPU's cycle was measured alike at all its supplies."""
    array = ARRAY.format("weight_stationary", *FORMATS[0])
    assert picojoules(array, "mac", voltage=0.6) == pytest.approx(0.16 * (0.6 / 0.75) ** 2)
    assert picojoules(CPU.format(1, 1), "copy", voltage=0.6) == picojoules(CPU.format(1, 1), "copy")
    spec = part(L2.format(512, 128))
    cold, warm = (prices(0.75, t).leakage("l2", spec.dimensions()).value for t in (300.0, 316.5))
    assert warm == pytest.approx(2 * cold)


@pytest.mark.parametrize(
    "text",
    [
        *(ARRAY.format(flow, *formats) for flow in FLOWS for formats in FORMATS),
        *(L2.format(rows, width) for rows in (16, 512, 200_000) for width in (8, 128, 1024)),
        *(DMA.format(width) for width in (8, 128, 512)),
        *(DRAM.format(size, width, row) for size in ("64 MiB", "8 GiB") for width in (16, 256) for row in (1024, 4096)),
        *(CPU.format(cycles, lanes) for cycles in (1, 100_000) for lanes in (1, 32)),
        *(SEQUENCER.format(cycles) for cycles in (1, 1000)),
        *(VECTOR.format(number) for number in ("float16", "float32")),
    ],
)
@pytest.mark.parametrize("voltage", [0.55, 0.9])
def test_every_price_is_there(text: str, voltage: float) -> None:
    spec, listed = part(text), prices(voltage, 320.0)
    for action in KINDS[spec.kind].actions:
        found = listed.energy(spec.kind, action, spec.dimensions())
        assert 0 < found.low < found.value < found.high
    found = listed.area(spec.kind, spec.dimensions())
    assert 0 < found.low < found.value < found.high
    of = listed.leakage
    if spec.kind == "dram":  # the chip beside it: its standby holds all
        of = partial(listed.standby, state="active")
    found = of(spec.kind, spec.dimensions())
    assert 0 < found.low < found.value < found.high
    for state in ("clocked", "gated", "working"):
        found = listed.clock(spec.kind, state)
        assert 0 <= found.low <= found.value < found.high


def test_nothing_is_fitted_and_assumptions_are_tagged() -> None:
    table = load_cost(find("npu7", "arch/cost"))
    rows = [*table.energy, *table.clock, *table.standby, *table.area, *table.leakage]
    assert {row.tag for row in rows} == {"read", "derived", "estimated"}
    assert all(row.tag == "estimated" for row in rows if "assumption" in row.source)
