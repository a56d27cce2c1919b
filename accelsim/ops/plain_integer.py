"""The integers of quantised networks in plain NumPy, for the references of ops; nothing here calls `accelsim.kernels`.

A code q of a scale s and a zero point z stands for s (q - z). Scales are float32 numbers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from accelsim.ops.op import Quantisation, Signal

Whole = NDArray[np.int64]


def centred(signal: Signal) -> Whole:
    """Return q - z of every code; the same whether codes are unsigned or not."""
    return signal.values.astype(np.int64) - signal.edge.zero_point


def real(signal: Signal) -> NDArray[np.float32]:
    """Return s (q - z) in float32, or real numbers as they are."""
    if signal.edge.kind == "real":
        return np.asarray(signal.values, np.float32)
    return centred(signal).astype(np.float32) * np.float32(signal.edge.scale)


def factor(scale: float) -> tuple[int, int]:
    """Return m and s with scale = m 2^(s - 31), 2^30 <= m < 2^31, rounded to the nearest; 0 below 2^-32."""
    exact, shift = Fraction(scale), 0
    while exact >= 1:
        exact, shift = exact / 2, shift + 1
    while 0 < exact < Fraction(1, 2):
        exact, shift = exact * 2, shift - 1
    whole = int(exact * 2**31 + Fraction(1, 2))
    if whole == 2**31:
        whole, shift = 2**30, shift + 1
    if shift < -31:
        return 0, 0
    return (2**31 - 1, 30) if shift > 30 else (whole, shift)


def scaled(sums: Whole, scale: float, rounding: str, single: Any = None) -> Whole:
    """Return whole numbers times a scale, in one of the roundings of `accelsim.kernels.requantise`.

    ``single``: the scale as float32 arithmetic has it, where halves go to even.
    """
    if rounding in ("half_even", "single"):
        narrow = np.float32(scale if single is None else single)
        whole = np.rint(sums.astype(np.float32) * narrow).astype(np.float64)
        return np.clip(whole, -(2.0**40), 2.0**40).astype(np.int64)
    m, s = factor(scale)
    left = np.clip(sums * 2 ** max(s, 0), -(2**31), 2**31 - 1)
    high = (left * m + 2**30) // 2**31
    if s >= 0:
        return high
    power = 2**-s
    if rounding == "double_up":
        return (high + power // 2) // power
    return np.sign(high) * ((np.abs(high) + power // 2) // power)


def clamped(values: NDArray[Any], output: Quantisation, low: int | None = None) -> NDArray[Any]:
    """Return z + whole numbers, clamped to what an op gives, in the type of its codes."""
    word = np.int8 if output.bits == 8 else np.int16
    least, most = -(2 ** (output.bits - 1)), 2 ** (output.bits - 1) - 1
    least = output.low if output.low is not None else least if low is None else max(low, least)
    most = most if output.high is None else output.high
    return np.clip(values + output.zero_point, least, most).astype(word)


def requantised(
    sums: Whole, first: float, second: Any, output: Quantisation, rounding: str, each: bool = False
) -> NDArray[Any]:
    """Return the codes of sums of products [.., outputs] of scales ``first`` and ``second``, [] or [outputs].

    ``each``: every output is a channel for itself; of these, with ``double_up``, those behind the last whole eight are
    rounded as ``double_away``.
    """
    a, b, given = np.float32(first), np.asarray(second, np.float32), np.float32(output.scale)
    result = np.empty(sums.shape, np.int64)
    for j in range(sums.shape[-1]):
        how = "double_away" if rounding == "double_up" and each and j >= sums.shape[-1] // 8 * 8 else rounding
        if b.ndim == 0:
            result[..., j] = scaled(sums[..., j], float(a * b) / float(given), how, (a * b) / given)
        else:
            exact, narrow = float(a) * float(b[j]) / float(given), (a * b[j]) / given
            result[..., j] = scaled(sums[..., j], exact, how, narrow)
    return clamped(result, output)


def quantised(values: NDArray[Any], output: Quantisation, rounding: str, low: int | None = None) -> NDArray[Any]:
    """Return the codes of real numbers x: z + x / s in float32 to the nearest, see `accelsim.ops.layout.QuantiseOp`."""
    x, scale = np.asarray(values, np.float32), np.float32(output.scale)
    with np.errstate(over="ignore"):
        if rounding == "single":
            whole = np.rint(x * (np.float32(1) / scale))
        elif rounding == "half_even":
            whole = np.rint(x / scale)
        else:
            ratio = (x / scale).astype(np.float64)
            whole = np.copysign(np.floor(np.abs(ratio) + 0.5), ratio)
    return clamped(np.clip(whole.astype(np.float64), -(2.0**40), 2.0**40).astype(np.int64), output, low)
