"""Prices of the memristor tile, against the figures of the sources and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.architecture import load_architecture
from accelsim.components.crossbar import Crossbar
from accelsim.cost.models import adc_area_andrulis, adc_energy_andrulis
from accelsim.cost.pricing import price_list
from accelsim.errors import InputError
from accelsim.library import find
from accelsim.pipeline import run_in_full


@pytest.mark.parametrize(
    ("bits", "rate", "node", "energy_pj", "area_um2"),
    [  # the regression evaluated with its own public code
        (4, 100e6, 28e-9, 0.719, 2660),
        (5, 100e6, 28e-9, 0.728, 2671),
        (6, 100e6, 28e-9, 0.829, 2776),
        (8, 100e6, 28e-9, 1.333, 3200),
        (10, 100e6, 28e-9, 2.575, 3896),
        (8, 1.28e9, 28e-9, 1.501, 5256),
        (8, 1.28e9, 32e-9, 1.929, 6469),
    ],
)
def test_converter_by_the_survey_regression(bits, rate, node, energy_pj, area_um2) -> None:
    size = {"bits": bits, "rate": rate}
    assert adc_energy_andrulis(size, node) * 1e12 == pytest.approx(energy_pj, rel=1e-3)
    assert adc_area_andrulis(size, node) * 1e12 == pytest.approx(area_um2, rel=1e-3)


def test_the_regression_has_no_value_below_four_bits() -> None:
    with pytest.raises(ValueError, match="undefined below 4 bits, found 3"):
        adc_energy_andrulis({"bits": 3, "rate": 1e8}, 28e-9)


def test_array_energy_is_power_times_pulse() -> None:
    """1 nW for a 10 ns pulse is 1e-17 J, whatever the size of the array."""
    chip = load_architecture("memristor_tile")
    each = price_list(chip).energy("crossbar", "read_nanowatt", chip.components()["crossbar"].dimensions())
    assert each.value == pytest.approx(1e-17)
    assert each.low == each.value == each.high


def test_energy_of_a_frame_adds_up_by_hand() -> None:
    """360 x 40 on 3 tiles, 3 planes: 360 conversions of 0.8 x 1.333 pJ and 360 shift-adds of 0.106 pJ (0.88 to 0.9 V),
    2,160 row drives of 0.063 pJ, and over 1 mm of 256-bit bus (0.08 pJ/bit/mm: 20.48 pJ a word) 4 + 4 + 4 words in (of
    128, 128 and 104 bytes) and 3 x 3 words out (40 x 16 bits)."""
    full = run_in_full("memristor_tile")
    frames, terms = len(full.batch.features), full.outcome.bill.energy_j
    picojoules = {name: shares["dynamic"] * 1e12 / frames for name, shares in terms.items()}
    assert picojoules["adc"] == pytest.approx(360 * 0.8 * 1.3332, rel=1e-3)
    assert picojoules["shift_add"] == pytest.approx(360 * 0.106 * (0.9 / 0.88) ** 2, rel=1e-3)
    assert picojoules["dac"] == pytest.approx(2160 * 0.063, rel=1e-3)
    assert picojoules["tile_bus"] == pytest.approx((12 + 9) * 20.48, rel=1e-3)
    # Every cell of 18 arrays conducts: V^2 G t with G between 0 and 0.25 mS at up to 0.6 V gives nanojoules.
    assert 500 < picojoules["crossbar"] < 18 * 128 * 128 * 0.36 * 0.25e-3 * 10e-9 * 1e12
    assert full.execution.activity.conversions["phones"][0] == 360 * frames


def test_programming_by_hand() -> None:
    """3 tiles x 3 planes x 2 signs x 16,384 cells = 294,912, a pulse each, 128 at once: 2,304 x 10 ns = 23.04 us and
    294,912 x 0.6 pJ = 176.9 nJ; none of it in the energy of inference."""
    result = accelsim.run(
        "memristor_tile", overrides={"components.crossbar.device": "ideal", "components.crossbar.wires": "none"}
    )
    written = result.programming
    assert (written.cells, written.write_pulses) == (294_912, 294_912)
    assert written.time_s == pytest.approx(23.04e-6)
    assert written.energy_j == pytest.approx(176.947e-9, rel=1e-4)
    assert written.energy_interval_j == pytest.approx((294_912 * 0.6e-12, 294_912 * 8.8e-12))
    # Pulses of 50 ns cost 0.72 pJ and five times as long, and four rows at once take a quarter of the time.
    slow = {"components.crossbar.write_time": "50 ns", "components.crossbar.cells_written_at_once": "512"}
    other = accelsim.run(
        "memristor_tile", overrides={"components.crossbar.device": "ideal", "components.crossbar.wires": "none", **slow}
    )
    assert other.programming.time_s == pytest.approx(23.04e-6 * 5 / 4)
    assert other.programming.energy_j == pytest.approx(294_912 * 0.72e-12)
    assert (other.energy, other.performance) == (result.energy, result.performance)


@pytest.mark.parametrize(("pulses", "steps"), [(0, 0), (127, 1), (128, 1), (129, 2)])
def test_pulses_reach_so_many_cells_together(pulses: int, steps: int) -> None:
    crossbar = load_architecture("memristor_tile").components()["crossbar"]
    assert isinstance(crossbar, Crossbar)
    assert crossbar.programming_s(pulses) == pytest.approx(steps * 10e-9)


def test_a_missing_price_of_a_write_pulse_stops_the_run(tmp_path: Path) -> None:
    text = find("cmos28", "arch/cost").read_text().replace("action: write_pulse", "action: read_nanowatt")
    (tmp_path / "nowrite.yaml").write_text(text)
    chip = find("memristor_tile", "arch").read_text().replace("cost: cmos28", "cost: nowrite.yaml")
    (tmp_path / "chip.yaml").write_text(chip)
    with pytest.raises(InputError, match=r"no price for action 'write_pulse' of a crossbar in nowrite\.yaml"):
        load_architecture(tmp_path / "chip.yaml")
