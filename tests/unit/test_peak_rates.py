"""How many multiplications a component can do in a second, by hand, and that no peak depends on waiting."""

from __future__ import annotations

import pytest

import accelsim
from accelsim.architecture import load_architecture
from accelsim.throughput import multiplications_hz


@pytest.mark.parametrize(
    ("chip", "changes", "part", "passes_hz", "multipliers"),
    [
        # Whole inputs as voltages; 8 columns share a converter of 10 ns: a read in 80 ns.
        ("memristor_tile", {}, "crossbar", 100e6 / 8, 3 * 128 * 128),
        # A converter for each column: a read takes its own cycle.
        ("memristor_tile", {"components.adc.shared_by": "1", "components.adc.units": "384"}, "crossbar", 100e6, 49152),
        # One after the other, 8 bits: 8 reads.
        ("memristor_tile", {"components.dac.mode": "bit_serial"}, "crossbar", 100e6 / 8 / 8, 49152),
        # A read of 20 cycles is longer than its 8 conversions; so is a drive of 30.
        ("memristor_tile", {"components.crossbar.cycles_per_read": "20"}, "crossbar", 100e6 / 20, 49152),
        ("memristor_tile", {"components.dac.cycles_per_drive": "30"}, "crossbar", 100e6 / 30, 49152),
        # Twice as long conversions.
        ("memristor_tile", {"components.adc.cycles_per_conversion": "2"}, "crossbar", 100e6 / 16, 49152),
        # A real product of a state takes four of the 64 x 64 cells; 8 pairs of columns share a converter.
        ("state_and_vector", {}, "crossbar", 100e6 / 8, 16 * 64 * 64 / 4),
        ("state_and_vector", {}, "array", 1e6, 64),
        ("rsnn28nm", {"clocks.main.frequency": "500 MHz"}, "pe", 500e6, 256),
        ("edge_npu", {}, "array", 400e6, 256),
    ],
)
def test_multiplications_a_second_by_hand(chip, changes, part, passes_hz, multipliers) -> None:
    found = multiplications_hz(load_architecture(chip, changes), part)
    assert found == pytest.approx(passes_hz * multipliers, rel=1e-3)


def test_waiting_takes_nothing_off_a_peak_but_what_waiting_costs() -> None:
    """Eight times the pause between frames: the same peak rate, and no better efficiency at it."""
    made = [
        accelsim.run(
            "rsnn28nm", "rsnn_paper_activity",
            overrides={
                "clocks.main.frequency": "500 MHz", "pacing.frame_period": period, "operating_points": "{}",
                "workload.inputs.frames": "8", "workload.inputs.frame_period": period,
            },
        )
        for period in ("10 us", "80 us")
    ]  # fmt: skip
    short, long = (each.efficiency.definitions["peak"] for each in made)
    assert short.gops == long.gops == pytest.approx(256)
    assert short.tops_per_w == pytest.approx(long.tops_per_w, rel=0.05)
    assert made[0].efficiency.tops_per_w > 1.4 * made[1].efficiency.tops_per_w
    for each in made:
        assert each.efficiency.definitions["performed"].gops < each.efficiency.definitions["peak"].gops
