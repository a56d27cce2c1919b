"""Temperature reaches the leakage of every part of every chip by the stated law, and nothing else that is drawn.

Static logic and memory leak: twice for 16.5 K, the law of the cost tables. A crossbar's cells at rest carry no voltage;
what its range of leakage allows for them and for their access transistors follows the same law. The standing power of
converters, sample-and-holds and off-chip DRAM is a bias current or a figure of a data sheet, which no law here moves.
"""

from __future__ import annotations

import pytest

from accelsim import library
from accelsim.architecture import load_architecture
from accelsim.cost.lookup import OperatingPoint, PriceList
from accelsim.pipeline import run_in_full

LAW = 2 ** (50 / 16.5)
"""From 300 to 350 K; CACTI 7 LSTP between 300 and 400 K."""


@pytest.mark.parametrize("name", library.names("arch"))
def test_every_component_leaks_by_the_law(name: str) -> None:
    chip = load_architecture(name)
    technology = chip.spec.technology
    cold, warm = (
        PriceList(chip.cost, OperatingPoint(technology.voltage, kelvin, technology.node or chip.cost.node))
        for kelvin in (300.0, 350.0)
    )
    leaking = set()
    for part, spec in chip.components().items():
        below, above = (prices.leakage(spec.kind, spec.dimensions()) for prices in (cold, warm))
        assert above.value == pytest.approx(LAW * below.value, rel=1e-12), part
        assert (above.low, above.high) == pytest.approx((LAW * below.low, LAW * below.high), rel=1e-12), part
        leaking |= {spec.kind} if below.high else set()
        for state in spec.standby_names():
            one, other = (prices.standby(spec.kind, spec.dimensions(), state) for prices in (cold, warm))
            assert (one.value, one.low, one.high) == (other.value, other.low, other.high), part
    assert leaking
    if chip.of_kind("crossbar") and chip.cost.name != "isaac32":  # whose printed power holds it
        assert "crossbar" in leaking


@pytest.mark.parametrize("name", ["memristor_tile", "imssa"])
def test_a_warm_run_leaks_more_for_as_long(name: str) -> None:
    few = {"workload.inputs.utterances": "1", "components.crossbar.noise": "none"}
    cold, warm = (
        run_in_full(name, overrides={**few, "technology.temperature": kelvin}).outcome for kelvin in ("300 K", "350 K")
    )
    assert cold.timeline.duration_ps == warm.timeline.duration_ps
    for part, energy in cold.bill.energy_j.items():
        assert warm.bill.energy_j[part]["leakage"] == pytest.approx(LAW * energy["leakage"], rel=1e-9), part
        assert warm.bill.energy_j[part]["standby"] == energy["standby"], part
    assert sum(energy["leakage"] for energy in cold.bill.energy_j.values()) > 0
