"""How integer networks make codes of sums: a multiplier and a shift in three roundings, or a float32 scale.

A real scale M is m 2^(s - 31), m = floor(f 2^31 + 1/2) of the mantissa f of M; where that is 2^31, m / 2 and s + 1;
below 2^-32, 0. Sums x become, with a = x 2^max(s, 0) m and e = max(-s, 0),

    double_away  h = floor(a / 2^31 + 1/2), then h / 2^e to the nearest, halves away from 0
    double_up    the same h, then floor(h / 2^e + 1/2)
    single       rint(float32(x) float32(M)), halves to even
    half_even    the same; other ops than those with weights compute float32 numbers

Sources: tflite-micro ``kernels/internal/common.h`` and gemmlowp ``fixedpoint.h`` (double_away), LiteRT's optimised
kernels (double_up), LiteRT with XNNPACK (single), the QLinear operators of ONNX (half_even). LiteRT's depthwise kernel
works on `LANES` channels at a time and on what is left over one by one, where halves go away from 0: observed in
ai-edge-litert 2.3.0, tests/cross/test_tflite_networks.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled

Rounding = Literal["double_away", "double_up", "single", "half_even"]

ROUNDINGS: tuple[Rounding, ...] = ("double_away", "double_up", "single", "half_even")
_AWAY, _UP, _SINGLE, _EVEN = range(4)
LANES = 8
"""How many channels LiteRT's depthwise kernel works on at a time."""
_HALF, _SMALLEST, _LARGEST = 1 << 30, -(1 << 31), (1 << 31) - 1


def multiplier(scale: float) -> tuple[int, int]:
    """Return m and s with scale = m 2^(s - 31), m a whole number of 31 bits; raises ValueError for a negative scale."""
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"a scale is finite and not negative, found {scale:g}")
    mantissa, shift = math.frexp(scale)
    whole = math.floor(mantissa * 2.0**31 + 0.5)
    if whole == 1 << 31:
        whole, shift = whole // 2, shift + 1
    if shift < -31:
        return 0, 0
    return (_LARGEST, 30) if shift > 30 else (whole, shift)


@dataclass(frozen=True)
class Scaling:
    """By what sums are multiplied, one factor of each output or one of all: [outputs] or [1].

    ``multipliers``, ``shifts``: whole numbers m and s; ``scales``: float32, for halves to even. ``alike``: outputs that
    are rounded so; those behind them, if any, as ``double_away``.
    """

    rounding: Rounding
    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]
    scales: NDArray[np.float32]
    alike: int = _LARGEST

    @classmethod
    def of(cls, scales: Any, rounding: Rounding, singles: Any = None) -> Scaling:
        """Return the factors of real scales (float64); ``singles``: the same as float32 arithmetic has them."""
        wide = np.atleast_1d(np.asarray(scales, np.float64))
        pairs = [multiplier(float(scale)) for scale in wide]
        narrow = wide if singles is None else np.atleast_1d(singles)
        return cls(
            rounding, np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64),
            np.asarray(narrow, np.float32),
        )  # fmt: skip

    @classmethod
    def product(cls, a: float, b: Any, given: float, rounding: Rounding, alike: int = _LARGEST) -> Scaling:
        """Return the factors a b / given of products; b: one scale, [], or one of each output.

        M = double(float32(a b)) / double(given) of one scale, double(a) double(b) / double(given) of several.
        """
        first, second, last = np.float32(a), np.asarray(b, np.float32), np.float32(given)
        wide = np.float64(first * second) if second.ndim == 0 else np.float64(first) * second.astype(np.float64)
        return replace(cls.of(wide / np.float64(last), rounding, (first * second) / last), alike=alike)

    @classmethod
    def ratio(cls, a: float, given: float, rounding: Rounding) -> Scaling:
        """Return the factor double(a) / double(given)."""
        first, last = np.float32(a), np.float32(given)
        return cls.of(np.float64(first) / np.float64(last), rounding, first / last)

    @classmethod
    def quotient(cls, a: float, given: float, count: int) -> Scaling:
        """Return the factor a / given / count of a mean: floor(2^k m / count) and s - k, k = floor(log2 count).

        m, s: those of a / given; halves away from 0, as `reduce.cc` of TensorFlow Lite has it.
        """
        m, s = multiplier(a / given)
        more = min(count.bit_length() - 1, 32, 31 + s)
        multipliers, shifts = np.array([(m << more) // count], np.int64), np.array([s - more], np.int64)
        return cls("double_away", multipliers, shifts, np.zeros(1, np.float32))

    def __call__(self, sums: NDArray[Any]) -> NDArray[np.int64]:
        """Return sums [.., outputs] times the factors, rounded."""
        rows = _rows(sums)
        out = np.empty(rows.shape, np.int64)
        rounding = ROUNDINGS.index(self.rounding)
        _rescale(rows, self.multipliers, self.shifts, self.scales, rounding, self.alike, out)
        return out.reshape(sums.shape)

    def codes(
        self,
        sums: NDArray[Any],
        offsets: NDArray[np.int64] | int,
        zero_point: int,
        limits: tuple[int, int],
        counted: tuple[bool, bool],
        kind: type[Any],
    ) -> tuple[NDArray[Any], int]:
        """Return clamp(zero_point + round(factor (sum + offset)), limits) in a type, and how many were clamped.

        sums: [.., outputs]; offsets: [outputs] or one of all; ``counted``: whether to count words below, and above.
        """
        rows = _rows(sums)
        out = np.empty(rows.shape, kind)
        clamped = _requantise(
            rows, np.atleast_1d(np.asarray(offsets, np.int64)), self.multipliers, self.shifts, self.scales,
            ROUNDINGS.index(self.rounding), self.alike, zero_point, *limits, *counted, out,
        )  # fmt: skip
        return out.reshape(sums.shape), int(clamped)


def _rows(sums: NDArray[Any]) -> NDArray[Any]:
    """Return sums as rows of the last axis, whole numbers: what memristors give is rounded first."""
    whole = sums if sums.dtype.kind == "i" else np.rint(sums).astype(np.int64)
    return np.ascontiguousarray(whole).reshape(-1, sums.shape[-1])


@numba.njit(inline="always")
def rescaled(x, m, s, scale, rounding):  # type: ignore[no-untyped-def]
    """Return one sum times its factor; where a left shift leaves the word of 32 bits, it saturates."""
    if rounding >= _SINGLE:
        return np.int64(np.rint(np.float32(x) * scale))
    if s > 0:
        x = min(max(x << s, _SMALLEST), _LARGEST)
    h = (x * m + _HALF) >> 31
    if s >= 0:
        return h
    half = (np.int64(1) << -s) >> 1
    if rounding == _AWAY and h < 0:
        return -((-h + half) >> -s)
    return (h + half) >> -s


@compiled(parallel=True)
def _rescale(sums, multipliers, shifts, scales, rounding, alike, out):  # type: ignore[no-untyped-def]
    step = 1 if len(multipliers) > 1 else 0
    for t in numba.prange(len(sums)):
        for j in range(sums.shape[1]):
            k = j * step
            how = rounding if j < alike else _AWAY
            out[t, j] = rescaled(np.int64(sums[t, j]), multipliers[k], shifts[k], scales[k], how)


@compiled(parallel=True)
def _requantise(  # type: ignore[no-untyped-def]
    sums, offsets, multipliers, shifts, scales, rounding, alike, zero_point, low, high, below, above, out
):
    clamped = 0
    step, each = (1 if len(multipliers) > 1 else 0), (1 if len(offsets) > 1 else 0)
    for t in numba.prange(len(sums)):
        for j in range(sums.shape[1]):
            k = j * step
            x = np.int64(sums[t, j]) + offsets[j * each]
            how = rounding if j < alike else _AWAY
            y = zero_point + rescaled(x, multipliers[k], shifts[k], scales[k], how)
            clamped += (below and y < low) or (above and y > high)
            out[t, j] = min(max(y, low), high)
    return clamped


def quantised(
    values: NDArray[Any],
    scale: float,
    zero_point: int,
    limits: tuple[int, int],
    counted: tuple[bool, bool],
    kind: type[Any],
    rounding: Rounding,
) -> tuple[NDArray[Any], int]:
    """Return clamp(zero_point + round(x / scale), limits) of real numbers x, and how many were clamped.

    The quotient is a float32 and its halves go away from 0, with ``half_even`` to even; with ``single`` x is multiplied
    by float32(1 / scale), halves to even. Raises ValueError for a value that is not a number.
    """
    x, divisor = np.asarray(values, np.float32), np.float32(scale)
    if np.isnan(x).any():
        raise ValueError("a value to be quantised is not a number")
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = x * (np.float32(1) / divisor) if rounding == "single" else x / divisor
        whole = np.rint(ratio)
        if rounding.startswith("double"):  # halves away from 0: what is cut off is exact, where adding 1/2 may round
            cut = np.trunc(ratio)
            whole = np.where(np.abs(ratio - cut) == np.float32(0.5), cut + np.sign(ratio), whole)
    codes = whole + np.float32(zero_point)
    low, high = limits
    below, above = codes < low, codes > high
    clamped = int(counted[0] and below.sum()) + int(counted[1] and above.sum())
    return np.where(below, low, np.where(above, high, codes)).astype(kind), clamped


def sum_multipliers(scale_a: float, scale_b: float, given: float) -> tuple[int, int, int]:
    """Return the whole numbers m_a, m_b and the places k of a sum (m_a a + m_b b) / 2^k, as XNNPACK adds codes.

    m = rint(2^k float32(scale / given)), k such that the larger one has 21 bits.
    """
    of_a, of_b = (np.float32(scale) / np.float32(given) for scale in (scale_a, scale_b))
    places = 21 - int(np.frexp(max(of_a, of_b))[1])
    m_a, m_b = (int(np.rint(np.ldexp(np.float64(ratio), places))) for ratio in (of_a, of_b))
    return m_a, m_b, places
