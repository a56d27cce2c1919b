"""Analogue-to-digital converters that are not perfect: offset, gain error, integral nonlinearity and noise.

All in steps of a code (LSB), referred to the input: with x the input in steps and L the largest code,
code = clamp(round(x + gain x + offset + inl(x / L) + noise), -L, L), halves to even.

inl(u) = bow (1 - u^2) + s_curve (3 sqrt(3) / 2) (u - u^3) + a measured curve, u kept within -1 .. 1. The two
polynomials vanish at both ends of the range, so that offset and gain error are told apart from them, and have a peak of
1. Their form is assumed: the lowest two orders, a bow and an S, of a nonlinearity that is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import CONVERTER_STREAM, cell_normals_into, split_seed

CUBIC_PEAK = 1.5 * 3.0**0.5
"""What makes the largest value of u - u^3 in 0 .. 1 one."""


@dataclass(frozen=True)
class ConverterErrors:
    """Errors of physical converters, float64 [converters], in steps of a code; ``gain`` is relative.

    ``inl`` float64 [converters, points]: measured nonlinearity at evenly spaced inputs from one end of the range to the
    other, linear in between; no points: none. ``noise``: standard deviation, drawn anew for each conversion.
    """

    offset: NDArray[np.float64]
    gain: NDArray[np.float64]
    bow: NDArray[np.float64]
    s_curve: NDArray[np.float64]
    inl: NDArray[np.float64]
    noise: float = 0.0

    def calibrated(self, *, trim_step: float, gain_too: bool, largest_code: int) -> ConverterErrors:
        """Return what a calibration leaves: e - s round(e / s), s the step of a trim, in steps of a code.

        The trim of the offset has steps of ``trim_step``; that of the gain moves the end of the range, the largest
        code, by as much. Calibration averages its noise away, and does not change the nonlinearity.
        """
        offset = _trimmed(self.offset, trim_step)
        gain = _trimmed(self.gain, trim_step / largest_code) if gain_too else self.gain
        return replace(self, offset=offset, gain=gain)


def _trimmed(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return np.asarray(values - step * np.rint(values / step), np.float64)


@dataclass(frozen=True)
class Assigned:
    """Errors of converters, and which ``converter`` converts each column, int64 [row tiles, planes, outputs]."""

    errors: ConverterErrors
    converter: NDArray[np.int64]

    def of_columns(self) -> NDArray[np.float64]:
        """Return gain, offset, bow and s_curve of each column's converter, float64 [row tiles, 4, planes, outputs]."""
        each = self.errors
        return np.stack([of[self.converter] for of in (each.gain, each.offset, each.bow, each.s_curve)], axis=1)


def converters_of_columns(
    row_tiles: int, planes: int, outputs: int, *, tile_columns: int, units: int, shared_by: int
) -> NDArray[np.int64]:
    """Return the converter of each column, int64 [row tiles, planes, outputs], as they are numbered tile by tile.

    Column j of plane p is number n = p tile_columns + j of its tile, and its unit floor(n / shared_by): neighbours
    share a converter, which takes one after the other. Tile (k, m) is number k column_tiles + m, and its unit u
    converter number ``units`` tile + u.
    """
    column_tiles = -(-outputs // tile_columns)
    k, p, j = np.ogrid[:row_tiles, :planes, :outputs]
    tile = k * column_tiles + j // tile_columns
    return np.asarray(tile * units + (p * tile_columns + j % tile_columns) // shared_by, np.int64)


def draw_errors(
    seed: int, tiles: NDArray[np.int64], units: int, *, offset: float, gain: float, inl: float, noise: float
) -> ConverterErrors:
    """Draw the errors of ``units`` converters in each tile: normal, of mean 0, with these standard deviations.

    ``tiles``: numbers on the chip; the draws of a converter follow from (seed, tile, unit) alone. ``inl``: of the peak
    of each of the two curves. Converter number is units * place in ``tiles`` + unit.
    """
    low, high = split_seed(seed)
    drawn = _draw(np.asarray(tiles, np.uint64), units, low, high).astype(np.float64)
    spread = np.array([offset, gain, inl, inl])
    offsets, gains, bows, s_curves = (drawn * spread[:, None]).copy()
    return ConverterErrors(offsets, gains, bows, s_curves, np.empty((len(offsets), 0)), noise)


@compiled()
def _draw(tiles, units, seed_low, seed_high):  # type: ignore[no-untyped-def]
    """Four normals of each converter, float32 [4, tiles * units]."""
    out = np.empty((4, len(tiles) * units), np.float32)
    for k in range(len(tiles)):
        part = out[:, k * units : (k + 1) * units]
        cell_normals_into(
            part, units, np.uint64(0), np.uint64(0), tiles[k], seed_high, seed_low, np.uint64(CONVERTER_STREAM)
        )
    return out


@numba.njit(inline="always")
def misread_smoothly(x, limit, gain, offset, bow, s_curve):  # type: ignore[no-untyped-def]
    """Return x + gain x + offset + inl(x / L), in steps, of a converter without a measured curve."""
    u = min(max(x / limit, -1.0), 1.0)
    return x + gain * x + (offset + bow * (1.0 - u * u) + s_curve * (CUBIC_PEAK * (u - u * u * u)))


@numba.njit(inline="always")
def misread(x, limit, gain, offset, bow, s_curve, inl):  # type: ignore[no-untyped-def]
    """Return the same of a converter with a measured curve of at least two points."""
    place = (min(max(x / limit, -1.0), 1.0) + 1.0) * (0.5 * (len(inl) - 1))
    left = min(int(place), len(inl) - 2)
    measured = inl[left] + (place - left) * (inl[left + 1] - inl[left])
    return misread_smoothly(x, limit, gain, offset, bow, s_curve) + measured
