"""Golden figures of the memristor tiles: the device statistics and tile errors of arXiv 2505.24721's public reference.

A figure agrees when it lies within z standard errors of both samples plus half a unit of its last printed digit. The
reference's statistics are of 200,000 cells; z is 4.5, so that a right implementation fails a row once in 150,000 runs
(two-sided normal, confidence 99.9993 % per row, 99.97 % for all of them). Standard errors come from the sample itself:
fourth moments for standard deviations, the density at the quantile for quantiles.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from accelsim.devices import Synaptogen, load_device
from accelsim.kernels.converters import AdcTransfer, DacTransfer, dac_codes
from accelsim.kernels.crossbar import program_tiles
from accelsim.kernels.product import multiply
from accelsim.kernels.synaptogen import Sequence, program_cells, respond

Z, REFERENCE_CELLS = 4.5, 200_000
SIZES = [pytest.param(40_000, id="40k"), pytest.param(200_000, id="200k", marks=pytest.mark.slow)]
DEVICE = load_device("synaptogen")
assert isinstance(DEVICE, Synaptogen)
CURVES = DEVICE.curves(0.6)


def agrees(sample: np.ndarray, what: str | float, figure: float, printed: float) -> None:
    """Compare the mean, the standard deviation or a quantile (in per cent) with a figure printed to a last digit."""
    n = len(sample)
    if what == "mean":
        found, error = sample.mean(), sample.std() / np.sqrt(n)
    elif what == "sd":
        found = sample.std()
        error = found * np.sqrt((stats.kurtosis(sample, fisher=False) - 1) / (4 * n))
    else:
        found, share, width = np.percentile(sample, what), float(what) / 100, 0.5
        near = np.percentile(sample, [max(what - width, 0), min(what + width, 100)])
        error = np.sqrt(share * (1 - share) / n) * (near[1] - near[0]) / (2 * width / 100)
    both = error * np.sqrt(1 + n / REFERENCE_CELLS)
    assert found == pytest.approx(figure, abs=Z * both + printed / 2), f"{what}: {found:.6g}, expected {figure}"


@cache
def fresh(cells: int) -> np.ndarray:
    return respond(np.zeros((0, cells)), array=0, seed=2, parameters=DEVICE.parameters)[1][0]


@cache
def amperes(
    cells: int, level: int, array: int, wear: int = 0, volts: float = 0.6, partial: float | None = None
) -> np.ndarray:
    """Currents of programmed cells at a voltage."""
    voltages = np.array([0.0, 0.0]) if partial is None else np.array([0.0, partial, 0.0])
    sequence = Sequence(wear, DEVICE.reset_voltage, DEVICE.set_voltage, voltages)
    levels = np.full((1, cells), level, np.uint8)
    states, _, _ = program_cells(levels, np.array([array]), seed=2, parameters=DEVICE.parameters, sequence=sequence)
    return CURVES.current(states[0].astype(float), np.array(volts))


@pytest.mark.parametrize("cells", SIZES)
def test_low_resistance(cells: int) -> None:
    for what, figure, printed in (
        ("mean", 4538.7, 0.1),
        ("sd", 231.4, 0.1),
        (1, 4063, 1),
        (50, 4523, 1),
        (99, 5170, 1),
    ):
        agrees(fresh(cells)[:, 2], what, figure, printed)


@pytest.mark.parametrize("cells", SIZES)
def test_high_resistance(cells: int) -> None:
    rows = ((50, 75.3), ("mean", 84.2), (1, 26.1), (5, 36.6), (25, 56.9), (75, 99.6), (95, 157.6), (99, 244.0))
    for what, figure in rows:
        agrees(fresh(cells)[:, 0] / 1e3, what, figure, 0.1)


@pytest.mark.parametrize("cells", SIZES)
def test_set_and_reset_voltage(cells: int) -> None:
    agrees(fresh(cells)[:, 1], "mean", -0.678, 0.001)
    agrees(fresh(cells)[:, 1], "sd", 0.075, 0.001)
    agrees(fresh(cells)[:, 3], "mean", 0.734, 0.001)
    agrees(fresh(cells)[:, 3], "sd", 0.046, 0.001)


@pytest.mark.parametrize("cells", SIZES)
def test_currents(cells: int) -> None:
    low, high = amperes(cells, 1, 0) * 1e6, amperes(cells, 0, 1) * 1e6
    for sample, mean, sd in ((low, 136.99, 6.77), (high, 11.04, 4.23)):
        agrees(sample, "mean", mean, 0.01)
        agrees(sample, "sd", sd, 0.01)


@pytest.mark.parametrize("cells", SIZES)
@pytest.mark.parametrize(("wear", "sd"), [(0, 0.0637), (1, 0.0653), (2, 0.0654), (5, 0.0677), (10, 0.0697)])
def test_a_weight_and_its_wear(cells: int, wear: int, sd: float) -> None:
    if wear > 2:
        cells = min(cells, 100_000)
    pair = (amperes(cells, 1, 2, wear) - amperes(cells, 0, 3, wear)) * 8020
    agrees(pair, "sd", sd, 0.0001)
    if wear == 0:
        agrees(pair, "mean", 1.0102, 0.0001)
    nothing = (amperes(cells, 0, 3, wear) - amperes(cells, 0, 4, wear)) * 8020
    agrees(nothing, "mean", 0.0, 0.001)
    assert 0.0465 <= nothing.std() <= 0.0510  # 0.047 to 0.050


@pytest.mark.parametrize("cells", SIZES)
def test_a_weight_at_other_inputs(cells: int) -> None:
    rows = {1: 1.0099, 0.75: 0.7535, 0.5: 0.4989, 0.25: 0.2474, 0.1: 0.0983}
    rows |= {-0.1: -0.0973, -0.25: -0.2407, -0.5: -0.4698, -0.75: -0.6796, -1: -0.8593}
    for x, weight in rows.items():
        agrees(
            (amperes(cells, 1, 0, volts=0.6 * x) - amperes(cells, 0, 1, volts=0.6 * x)) * 8020, "mean", weight, 0.0001
        )


@pytest.mark.parametrize("cells", SIZES)
def test_a_half_state(cells: int) -> None:
    """A partial reset at 0.89 V, a voltage printed to 5 mV: that moves the mean by 0.0128 and the spread by 0.0017.

    The printed spread fits the cell alone; with an independent HRS cell subtracted it would be 0.098.
    """
    half = (amperes(cells, 1, 5, partial=0.89) - amperes(cells, 0, 1).mean()) * 8020
    agrees(half, "mean", 0.4999, 2 * 0.0128)
    agrees(half, "sd", 0.0929, 2 * 0.0017)


def relative_error(bits: int, adc: AdcTransfer, seed: int) -> tuple[float, float]:
    """Root mean square error of one 128 x 128 tile relative to its output, and the gain; Gaussian weights and inputs,
    each scaled by its largest value."""
    generator = np.random.default_rng(seed)
    weights, inputs = generator.standard_normal((128, 128)), generator.standard_normal((300, 128))
    quantised = np.rint(weights / np.abs(weights).max() * (2 ** (bits - 1) - 1)).astype(int)
    codes = dac_codes(inputs / np.abs(inputs).max(), DacTransfer())
    tiles = program_tiles(quantised, DEVICE.programmer(seed), CURVES, weight_bits=bits)
    found, exact = multiply(tiles, codes, adc=adc, noise="off").values, codes / 128 @ quantised
    return np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()), (found * exact).sum() / (exact**2).sum()


@pytest.mark.parametrize(
    ("bits", "adc", "percent"),
    [
        (3, AdcTransfer(4, 4), 14.2), (4, AdcTransfer(4, 4), 13.2), (8, AdcTransfer(4, 4), 11.9),
        (3, AdcTransfer(1, 7), 21.6), (4, AdcTransfer(1, 7), 18.6), (8, AdcTransfer(1, 7), 18.1),
    ],
)  # fmt: skip
def test_the_error_of_a_tile(bits: int, adc: AdcTransfer, percent: float) -> None:
    """Within 10 %: the figures depend on the draw through the largest weight; the mean of six draws is compared."""
    errors, gains = zip(*(relative_error(bits, adc, seed) for seed in range(6)), strict=True)
    assert 100 * np.mean(errors) == pytest.approx(percent, rel=0.1)
    assert np.mean(gains) == pytest.approx(0.967, rel=0.01)
