"""Which way an operating point moves the figures of a chip: ten directions, over all shipped tables."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.architecture import Architecture, load_architecture, load_cost
from accelsim.components import KINDS
from accelsim.components.adc import Adc
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.cost.scaling import bit_cell_area, speed_factor
from accelsim.cost.window import limits, max_frequency
from accelsim.library import find
from accelsim.schema.cost import Window

CHIPS = ("rsnn28nm", "memristor_conformer", "imssa", "imssa28", "edge_npu", "isaac_tile", "s4d_digital28")
SHARE = st.floats(0, 1)
SMALL = 1 - 1e-12
_ADC = {"kind": "adc", "tiles": 1, "units": 1, "shared_by": 1, "precision_bits": 0, "rate": "1 MHz"}


@cache
def chip(name: str) -> Architecture:
    return load_architecture(name)


def window(name: str) -> Window:
    found = chip(name).cost.window
    assert found is not None
    return found


def node_at(name: str, share: float) -> float:
    nodes = window(name).nodes
    return float(nodes[0].node * (nodes[-1].node / nodes[0].node) ** share)


def bill(name: str, voltage: float, temperature: float, node: float) -> dict[str, float]:
    """Return the sums over a chip of the prices of one of each event, of a clocked cycle, of leakage and of area."""
    prices = PriceList(chip(name).cost, OperatingPoint(voltage, temperature, node))
    total = dict.fromkeys(("dynamic", "leakage", "area"), 0.0)
    for spec in chip(name).components().values():
        size, copies = spec.dimensions(), spec.instances()
        total["dynamic"] += sum(prices.energy(spec.kind, action, size).value for action in KINDS[spec.kind].actions)
        total["dynamic"] += prices.clock(spec.kind, "clocked").value
        total["leakage"] += copies * prices.leakage(spec.kind, size).value
        total["area"] += copies * prices.area(spec.kind, size).value
    return total


@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=20)
@given(SHARE, SHARE, SHARE)
def test_voltage(name: str, one: float, other: float, at: float) -> None:
    """More volts: more dynamic energy, more leakage, a faster clock, the same area."""
    node = node_at(name, at)
    lowest, highest = limits(window(name), node).voltage
    low, high = (lowest + share * (highest - lowest) for share in sorted((one, other)))
    below, above = bill(name, low, 300, node), bill(name, high, 300, node)
    assert below["dynamic"] * SMALL <= above["dynamic"]
    assert below["leakage"] * SMALL <= above["leakage"]
    assert max_frequency(window(name), node, low) * SMALL <= max_frequency(window(name), node, high)
    assert below["area"] == pytest.approx(above["area"])
    if high > low * 1.01:
        assert below["dynamic"] < above["dynamic"]
        assert max_frequency(window(name), node, low) < max_frequency(window(name), node, high)


@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=20)
@given(SHARE, SHARE)
def test_temperature(name: str, one: float, other: float) -> None:
    """More kelvin: more leakage, but of parts off the chip, twice for 16.5 K; the same dynamic energy and area."""
    point = window(name).nodes[0]
    low, high = sorted(window(name).temperature[0] + 165 * share for share in (one, other))
    below, above = bill(name, point.nominal, low, point.node), bill(name, point.nominal, high, point.node)
    doubled = below["leakage"] * 2 ** ((high - low) / 16.5)
    assert below["leakage"] * SMALL <= above["leakage"] <= doubled * (1 + 1e-9)
    if not chip(name).of_kind("dram"):
        assert above["leakage"] == pytest.approx(doubled)
    assert (below["dynamic"], below["area"]) == pytest.approx((above["dynamic"], above["area"]))


@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=20)
@given(SHARE, SHARE)
def test_node(name: str, one: float, other: float) -> None:
    """A finer node at the same voltage: less area, less dynamic energy, no more leakage; memory keeps its bit cells."""
    fine, coarse = sorted(node_at(name, share) for share in (one, other))
    small, large = bill(name, 0.9, 300, fine), bill(name, 0.9, 300, coarse)
    for figure in ("area", "dynamic", "leakage"):
        assert small[figure] * SMALL <= large[figure], figure
    prices = PriceList(chip(name).cost, OperatingPoint(0.9, 300, fine))
    for kind in ("sram", "l2"):
        for spec in chip(name).of_kind(kind).values():
            area = spec.instances() * prices.area(kind, spec.dimensions()).value
            assert area > spec.bits() * bit_cell_area(fine)


@pytest.mark.parametrize("name", CHIPS)
@given(SHARE, SHARE)
def test_a_finer_node_is_faster_at_its_own_nominal_voltage(name: str, one: float, other: float) -> None:
    fine, coarse = sorted(node_at(name, share) for share in (one, other))
    nominal = [limits(window(name), node).nominal for node in (fine, coarse)]
    fast, slow = (max_frequency(window(name), n, v) for n, v in zip((fine, coarse), nominal, strict=True))
    assert fast >= slow * SMALL


@given(st.floats(0.2, 0.5), st.floats(1, 2), st.floats(0.01, 2), st.floats(0.01, 2))
def test_less_overdrive_is_slower_and_none_stands_still(threshold: float, alpha: float, one: float, two: float) -> None:
    slow, fast = sorted((one, two))
    reference = threshold + 0.5
    factors = [speed_factor(threshold + v, reference, threshold=threshold, alpha=alpha) for v in (slow, fast)]
    assert 0 < factors[0] <= factors[1] * (1 + 1e-9)
    assert speed_factor(threshold, reference, threshold=threshold, alpha=alpha) == 0


@pytest.mark.parametrize("table", ["cmos28", "cmos28_dac", "cmos180", "isaac32"])
@given(st.integers(4, 15), st.floats(1e4, 1e9))
def test_more_bits_of_a_conversion_are_never_free(table: str, bits: int, rate: float) -> None:
    """One bit more: more energy, no less area, and a longer conversion at the least."""
    cost = load_cost(find(table, "arch/cost"))
    assert cost.window is not None
    prices = PriceList(cost, OperatingPoint(cost.voltage, 300, cost.node))
    few, many = ({"bits": float(b), "rate": rate} for b in (bits, bits + 1))
    assert prices.energy("adc", "convert", few).value < prices.energy("adc", "convert", many).value
    assert prices.area("adc", few).value <= prices.area("adc", many).value
    slower, faster = (Adc.model_validate(_ADC | {"range_bits": b}).decisions()[0] for b in (bits + 1, bits))
    assert slower == faster + 1
