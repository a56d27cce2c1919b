"""LayerNorm and softmax of the vector unit, with the order of their operations.

R rounds to the unit's number format, A to that of its accumulator: S x_j stands for a sum in ascending order,
acc = A(acc + x_j) from 0 on. See `accelsim.kernels.number`.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.number import (
    RESCALED,
    FloatExceptions,
    NormForm,
    Number,
    SoftmaxForm,
    Values,
    counts_for,
    is_half,
    over,
    plus,
    power_of_e,
    rounded,
    row_of,
    times,
    values_of,
)

_ONE, _QUARTER = np.float32(1), np.float32(0.25)
_SHIFTED, _PLAIN, _RESCALED = range(3)
_FORMS: dict[str, int] = {"shifted": _SHIFTED, "plain": _PLAIN, "rescaled": _RESCALED}


def layer_norm(
    values: Values,
    gain: NDArray[np.float32],
    bias: NDArray[np.float32],
    epsilon: float = 1e-5,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    form: NormForm = "plain",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return (x_j - mean) / sqrt(variance + epsilon) gain_j + bias_j over each frame.

    Form "plain" (Ba et al. 2016): mean = R(S x_j / n); d_j = R(x_j - mean); variance = R(S A(d_j d_j) / n);
    s = R(1 / R(sqrt(R(variance + epsilon)))); y_j = R(R(R(d_j s) gain_j) + bias_j).

    Form "pre_normalised" (Xu et al., arXiv 2312.10359): the norm of z = (x - mean) / MAD, MAD = mean|x - mean|, so
    ordered that no row of finite float16 values overflows, up to n = 4096. With c = R(1/n), r = R(1/sqrt n):
    g_j = R(R(x_j / 4) - R(x_0 / 4)); m = R(S A(g_j c)); d_j = R(g_j - m); MAD = max(R(S A(|d_j| c)), R(n 2^-24));
    z_j = R(d_j / MAD); mean = R(S A(z_j c)); e_j = R(z_j - mean); variance = R(S A(w_j w_j)) with w_j = R(e_j r);
    s as above; y_j = R(R(R(e_j s) gain_j) + bias_j). The pre-normaliser is theirs, orders and constants are ours.
    A constant row gives g = 0 and so the bias. As z has no scale, epsilon stands for epsilon (4 max(MAD, R(n 2^-24)))^2
    in units of x^2: small deviations are blown up to unit variance, unlike in the plain form. In float16 an epsilon
    below 2^-25 is 0, and then a constant row gives NaN.

    values: [frames, n]; gain, bias: [n], rounded by R first. Raises ValueError for shapes or names that do not fit.
    """
    frames, width = values.shape
    if gain.shape != (width,) or bias.shape != (width,):
        raise ValueError(f"gain {gain.shape} and bias {bias.shape} do not fit {width} values per frame")
    if form not in ("plain", "pre_normalised"):
        raise ValueError(f"unknown form of a norm '{form}' (one of: plain, pre_normalised)")
    out, counts = np.empty((frames, width), np.float32), counts_for(exceptions, frames)
    half, narrow = is_half(number), is_half(accumulator)
    affine = values_of(gain, number), values_of(bias, number), np.float32(epsilon)
    values = np.ascontiguousarray(values, np.float32)
    if form == "plain":
        _layer_norm(values, *affine, half, narrow, counts, out)
    elif width:
        n = np.float32(width)
        c, r, floor = values_of(np.array([_ONE / n, _ONE / np.sqrt(n), n * np.float32(2.0**-24)]), number)
        _pre_normalised(values, *affine, c, r, floor, half, narrow, counts, out)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


@compiled(parallel=True)
def _layer_norm(values, gain, bias, epsilon, half, narrow, counts, out):  # type: ignore[no-untyped-def]
    frames, width = values.shape
    n = np.float32(width)
    for t in numba.prange(frames):
        count = row_of(counts, t)
        total = np.float32(0)
        for j in range(width):
            total = plus(total, values[t, j], narrow, count)
        mean = over(total, n, half, count)
        squares = np.float32(0)
        for j in range(width):
            d = plus(values[t, j], -mean, half, count)
            out[t, j] = d
            squares = plus(squares, times(d, d, narrow, count), narrow, count)
        variance = over(squares, n, half, count)
        _scaled(out[t], variance, epsilon, gain, bias, half, count)


@numba.njit(forceinline=True)
def _scaled(row, variance, epsilon, gain, bias, half, count):  # type: ignore[no-untyped-def]
    """Replace deviations by R(R(R(d_j s) gain_j) + bias_j), s = R(1 / R(sqrt(R(variance + epsilon))))."""
    root = np.sqrt(plus(variance, epsilon, half, count))
    scale = over(_ONE, rounded(root, half, np.isfinite(root), count), half, count)
    for j in range(len(row)):
        scaled = times(times(row[j], scale, half, count), gain[j], half, count)
        row[j] = plus(scaled, bias[j], half, count)


# Why nothing overflows in float16 (limit 65504, n <= 4096, u = 2^-11, L the lemma used):
#   L: |A(S + t) - S| <= 2|t|, since S itself is a float16, so a sum is at most 2 sum |t|. And since rounding is
#   monotone, no mean exceeds that of the row whose numbers are all as large as the largest: a test walks those of
#   every n and every largest number, and they stay below 1.34 times that number, however they are rounded.
#   All g lie in [a, b], a <= 0 <= b, b - a <= 2 * 16376 = 32752, for g_0 = 0. So 1.34 a <= m <= 1.34 b and
#   |d| <= 1.34 * 32752 < 43,900; MAD < 1.34 * 43,900 < 58,900. (With x_j / 2 rows of 1364 equal numbers but one break.)
#   MAD >= A(|d_j| c) as partial sums of what is not negative never fall, and that is >= |d_j| c (1 - u) - 2^-25 with
#   MAD >= n 2^-24: |z_j| <= n (1 + 3u) + 1. (n/2 for an exact mean, about which deviations balance; n for any other.)
#   A sum loses at most u S at each step, a term at most 2^-25: sum |d_j| c <= MAD (1 + n u) + n 2^-25 <= 3.6 MAD, so
#   mean|z| < 3.7 and |mean z| < 7.4 by L; mean e^2 <= max|e| mean|e| < (n + 15) (3.7 + 7.4) is too much for L, but
#   mean e^2 <= mean z^2 + 2|mean| mean|z| + mean^2 < 3.7 (n + 7) + 110 < 15,300; doubled by L still < 32768.
#   |w| <= |e| / sqrt n < 65, w^2 < 4,300. |e_j s| <= sqrt n (1 + 4u) < 65 where w_j^2 is normal, for then
#   variance >= A(w_j^2); otherwise |e_j| < 2^-7 sqrt n <= 0.5 and s <= 317 with epsilon 1e-5: below 160.
#   What remains is gain and bias: 160 |gain| + |bias| <= 65504 is enough.
@compiled(parallel=True)
def _pre_normalised(  # type: ignore[no-untyped-def]
    values, gain, bias, epsilon, c, r, floor, half, narrow, counts, out
):
    frames, width = values.shape
    for t in numba.prange(frames):
        count = row_of(counts, t)
        row = out[t]
        anchor = times(values[t, 0], _QUARTER, half, count)
        total = np.float32(0)
        for j in range(width):
            row[j] = plus(times(values[t, j], _QUARTER, half, count), -anchor, half, count)
            total = plus(total, times(row[j], c, narrow, count), narrow, count)
        mean = rounded(total, half, np.isfinite(total), count)
        total = np.float32(0)
        for j in range(width):
            row[j] = plus(row[j], -mean, half, count)
            total = plus(total, times(abs(row[j]), c, narrow, count), narrow, count)
        deviation = rounded(total, half, np.isfinite(total), count)
        deviation = max(deviation, floor)
        total = np.float32(0)
        for j in range(width):
            row[j] = over(row[j], deviation, half, count)
            total = plus(total, times(row[j], c, narrow, count), narrow, count)
        mean = rounded(total, half, np.isfinite(total), count)
        total = np.float32(0)
        for j in range(width):
            row[j] = plus(row[j], -mean, half, count)
            w = times(row[j], r, half, count)
            total = plus(total, times(w, w, narrow, count), narrow, count)
        variance = rounded(total, half, np.isfinite(total), count)
        _scaled(row, variance, epsilon, gain, bias, half, count)


def softmax(
    values: Values,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    form: SoftmaxForm = "shifted",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return exp(x_j) / sum exp(x_k) over the last axis of [rows, n].

    e_j = R(exp(R(x_j - max x))) where a row is shifted, else R(exp(x_j)); s = R(1 / R(S e_j)); y_j = R(e_j s).
    Form "shifted" shifts every row, "plain" none: in float16 R(exp x) overflows beyond x = 11.09. "rescaled" shifts
    only rows that need it, and counts them in ``exceptions.rescaled``: those with max x > T(n) or max x < B. In float16
    T(n) = R(ln(32000 / n)), so that the sum stays below 65504 even where an accumulator rounds every term to twice
    itself, and B = R(-9.7), below which the largest exponential is subnormal; in float32 T(n) = min(R(ln(1.6e38 / n)),
    86) and B = -86, within which `exponential` is not clamped.

    Xu et al. (arXiv 2312.10359) rescale conditionally so that a table can serve for the exponential; the condition
    and the shift by the maximum are our choice.
    """
    out = np.array(values, np.float32, order="C")
    counts = counts_for(exceptions, len(out))
    high, low = shift_bounds(out.shape[1], number)
    _softmax(out, is_half(number), is_half(accumulator), form_code(form), high, low, counts)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


def form_code(form: SoftmaxForm) -> int:
    """Return the number that stands for a form in compiled code; raises ValueError for an unknown one."""
    if form not in _FORMS:
        raise ValueError(f"unknown form of a softmax '{form}' (one of: {', '.join(_FORMS)})")
    return _FORMS[form]


def shift_bounds(n: int, number: Number) -> tuple[np.float32, np.float32]:
    """Return T(n) and B: a "rescaled" softmax of n values shifts rows whose maximum lies beyond them."""
    if is_half(number):
        high, low = values_of(np.array([math.log(32000 / max(n, 1)), -9.7]), number)
        return high, low
    return np.float32(min(math.log(1.6e38 / max(n, 1)), 86.0)), np.float32(-86.0)


@compiled(parallel=True)
def _softmax(values, half, narrow, form, high, low, counts):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        softmax_row(values[t], half, narrow, form, high, low, row_of(counts, t))


@numba.njit(forceinline=True)
def softmax_row(row, half, narrow, form, high, low, count):  # type: ignore[no-untyped-def]
    """Replace one row by its softmax."""
    largest = np.float32(-np.inf)
    if form != _PLAIN:
        for j in range(len(row)):
            largest = max(largest, row[j])
    shift = form == _SHIFTED or (form == _RESCALED and not low <= largest <= high)
    if count is not None:
        count[RESCALED] += shift and form == _RESCALED
    if shift:
        for j in range(len(row)):
            row[j] = power_of_e(plus(row[j], -largest, half, count), half, count)
    else:
        for j in range(len(row)):
            row[j] = power_of_e(row[j], half, count)
    total = np.float32(0)
    for j in range(len(row)):
        total = plus(total, row[j], narrow, count)
    scale = over(_ONE, rounded(total, half, np.isfinite(total), count), half, count)
    for j in range(len(row)):
        row[j] = times(row[j], scale, half, count)
