"""What a split of a converter's bits does to a 512 x 512 matrix of arXiv 2606.13379, by hand.

A conversion rounds to steps of 2^-P weight units: an error of 2^-P / sqrt(12). Four rows of tiles and three planes of
weights 1, 2 and 4 add up to (4 (1 + 4 + 16))^(1/2) = 9.17 times that, whatever the inputs are. The sum itself has
rms x sqrt(512) x deviation of the weights. Rounding alone is then, of the sum,

    9.17 x 2^-P / sqrt(12) / (rms x 22.63 x 2.31) = 0.0507 x 2^-P / rms

With inputs of 0.25 of the full scale, 2 precision bits cost 5 %, beside some 10 % of the cells; with 0.025, as where
few outliers set the scale of a large network's activations, they cost 51 %: the collapse of the whole-model 2/6 split.
"""

from __future__ import annotations

import numpy as np
import pytest

from accelsim.devices import load_device
from accelsim.kernels.attention import sinusoids
from accelsim.kernels.converters import AdcTransfer
from accelsim.kernels.crossbar import Tiles, program_tiles
from accelsim.kernels.product import multiply

SIZE, FRAMES = 512, 200


def weights() -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((SIZE, SIZE)) * 7 / 3
    return np.clip(np.rint(drawn), -7, 7).astype(np.int8)


@pytest.fixture(scope="module")
def programmed() -> dict[str, Tiles]:
    made = {}
    for name in ("ideal", "synaptogen"):
        device = load_device(name)
        made[name] = program_tiles(weights(), device.programmer(1), device.curves(0.6), weight_bits=4)
    return made


def error(tiles: Tiles, codes: np.ndarray, adc: AdcTransfer, noise: str = "off") -> tuple[float, float]:
    """Return the relative root mean square error of the sums, and the share of conversions that clipped."""
    product = multiply(tiles, codes, adc=adc, noise=noise, seed=1)
    exact = codes / 128 @ weights().astype(float)
    relative = np.sqrt(np.square(product.values - exact).mean()) / exact.std()
    return float(relative), float(product.clipped.sum()) / (len(codes) * tiles.conversions_per_frame)


def gaussian_codes(rms: float) -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal((FRAMES, SIZE)) * rms * 128
    return np.clip(np.rint(drawn), -127, 127).astype(np.int16)


@pytest.mark.parametrize("precision", [1, 2, 3, 4])
@pytest.mark.parametrize("rms", [0.2, 0.1, 0.05, 0.025])
def test_rounding_is_as_by_hand(programmed: dict[str, Tiles], rms: float, precision: int) -> None:
    """Ideal cells, range enough: within 10 % of the formula where a sum spans several steps."""
    codes = gaussian_codes(rms)
    deviation = weights().std()
    by_hand = (84 / 12) ** 0.5 * 2.0**-precision / (codes.std() / 128 * SIZE**0.5 * deviation)
    found, clipped = error(programmed["ideal"], codes, AdcTransfer(precision, 8))
    assert clipped == 0
    # A binary column has two thirds of its pairs at 0; its sum should span a step or more for the formula to hold.
    if rms * (128 / 3) ** 0.5 > 2.0**-precision:
        assert found == pytest.approx(by_hand, rel=0.1)


def test_the_collapse_of_two_precision_bits_needs_small_inputs(programmed: dict[str, Tiles]) -> None:
    """Measured cells: 2/6 costs a tenth more than 4/4 at an rms of 0.25, and three times as much at 0.025."""
    tiles = programmed["synaptogen"]
    ratio = {
        rms: error(tiles, gaussian_codes(rms), AdcTransfer(2, 6), "physical")[0]
        / error(tiles, gaussian_codes(rms), AdcTransfer(4, 4), "physical")[0]
        for rms in (0.25, 0.025)
    }
    assert ratio[0.25] < 1.2 and ratio[0.025] > 2.8, ratio


def test_sinusoids_clip_where_activations_do_not(programmed: dict[str, Tiles]) -> None:
    """Position vectors have an rms of 0.7 and slow cosines near 1: their sums leave +-8, those of activations do not.

    Range bits at the same budget (1/7) recover most of what range bits on top (4/8) do.
    """
    tiles = programmed["synaptogen"]
    positions = np.rint(sinusoids(125, SIZE) * 127).astype(np.int16)
    narrow, clipped = error(tiles, positions, AdcTransfer(4, 4), "physical")
    assert clipped > 0.05
    assert error(tiles, gaussian_codes(0.25), AdcTransfer(4, 4), "physical")[1] < 0.001
    wide, constant = (error(tiles, positions, adc, "physical")[0] for adc in (AdcTransfer(4, 8), AdcTransfer(1, 7)))
    assert narrow - constant > 0.8 * (narrow - wide) > 0.03
