"""LayerNorm and softmax of the vector unit, with the order of their operations.

R rounds to the unit's number format; sums are taken in float32, ascending, see `accelsim.kernels.number`.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.number import Number, Values, exponential, in_number, is_half

_ONE = np.float32(1)


def layer_norm(
    values: Values,
    gain: NDArray[np.float32],
    bias: NDArray[np.float32],
    epsilon: float = 1e-5,
    number: Number = "float32",
) -> Values:
    """Return (x_j - mean) / sqrt(variance + epsilon) gain_j + bias_j over each frame.

    mean = R(sum x_j / n); d_j = R(x_j - mean); variance = R(sum d_j d_j / n);
    s = R(1 / R(sqrt(R(variance + epsilon)))); y_j = R(R(R(d_j s) gain_j) + bias_j) (Ba et al. 2016).

    values: [frames, n]; gain, bias: [n], rounded by R first. Raises ValueError for shapes that do not fit.
    """
    frames, width = values.shape
    if gain.shape != (width,) or bias.shape != (width,):
        raise ValueError(f"gain {gain.shape} and bias {bias.shape} do not fit {width} values per frame")
    out = np.empty((frames, width), np.float32)
    _layer_norm(
        np.ascontiguousarray(values), gain.astype(np.float32), bias.astype(np.float32),
        np.float32(epsilon), is_half(number), out,
    )  # fmt: skip
    return out


@numba.njit(parallel=True, cache=True)
def _layer_norm(values, gain, bias, epsilon, half, out):  # type: ignore[no-untyped-def]
    frames, width = values.shape
    n = np.float32(width)
    for t in numba.prange(frames):
        total = np.float32(0)
        for j in range(width):
            total += values[t, j]
        mean = in_number(total / n, half)
        squares = np.float32(0)
        for j in range(width):
            d = in_number(values[t, j] - mean, half)
            out[t, j] = d
            squares += d * d
        variance = in_number(squares / n, half)
        deviation = in_number(np.sqrt(in_number(variance + epsilon, half)), half)
        scale = in_number(_ONE / deviation, half)
        for j in range(width):
            scaled = in_number(in_number(out[t, j] * scale, half) * in_number(gain[j], half), half)
            out[t, j] = in_number(scaled + in_number(bias[j], half), half)


def softmax(values: Values, number: Number = "float32") -> Values:
    """Return exp(x_j) / sum exp(x_k) over the last axis of [rows, n].

    e_j = R(exp(R(x_j - max x))); s = R(1 / R(sum e_j)); y_j = R(e_j s).
    """
    out = np.array(values, np.float32, order="C")
    _softmax(out, is_half(number))
    return out


@numba.njit(parallel=True, cache=True)
def _softmax(values, half):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        softmax_row(values[t], half)


@numba.njit(inline="always")
def softmax_row(row, half):  # type: ignore[no-untyped-def]
    """Replace one row by its softmax."""
    largest = np.float32(-np.inf)
    for j in range(len(row)):
        largest = max(largest, row[j])
    for j in range(len(row)):
        row[j] = in_number(exponential(in_number(row[j] - largest, half)), half)
    total = np.float32(0)
    for j in range(len(row)):
        total += row[j]
    scale = in_number(_ONE / in_number(total, half), half)
    for j in range(len(row)):
        row[j] = in_number(row[j] * scale, half)
