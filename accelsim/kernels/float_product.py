"""Products, convolutions and means of float values, every sum in one order.

R rounds to the format of the values, A to that of the accumulator, see `accelsim.kernels.number`; no multiplication is
fused with an addition. Values, weights and biases are those of the format: weights and biases are rounded by R first.
Frames of all utterances lie end to end, ``starts`` tells where each begins, [utterances + 1]. What lies beyond the ends
of an utterance is multiplied as zeros. Results and counts depend neither on threads nor on blocks.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.conv import Padding, Starts, check_starts, gather, pooled_rows, sources, taps_before, windows
from accelsim.kernels.number import (
    UNDERFLOW,
    FloatExceptions,
    Number,
    Values,
    counts_for,
    in_number,
    is_half,
    over,
    overflows_of_sum,
    plus,
    rounded,
    row_of,
    underflows,
    values_of,
)

_ROWS, _OUTPUTS = 16, 64  # of one block: its sums fit into the first cache, the weights of 64 outputs into the second


def product(
    x: Values,
    weights: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None,
    number: Number = "float32",
    *,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return y_j = R(A(acc + bias_j)), acc = A(acc + A(x_i w_ij)) from 0 on for i ascending; R(acc) without a bias.

    x: [rows, inputs]; weights: [inputs, outputs]; bias: [outputs]. Raises ValueError for shapes that do not fit.
    """
    if x.ndim != 2 or weights.ndim != 2 or x.shape[1] != len(weights):
        raise ValueError(f"values {x.shape} do not fit weights {weights.shape}")
    rows, outputs = len(x), weights.shape[1]
    added = _bias(bias, outputs, number)
    out = np.empty((rows, outputs), np.float32)
    counts = counts_for(exceptions, -(-rows // _ROWS) * -(-outputs // _OUTPUTS))
    _product(
        np.ascontiguousarray(x, np.float32), values_of(weights, number), added,
        bias is not None, is_half(number), is_half(accumulator), counts, out,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


def convolve_values(
    x: Values,
    weights: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None,
    starts: Starts,
    stride: tuple[int, int] = (1, 1),
    number: Number = "float32",
    *,
    dilation: tuple[int, int] = (1, 1),
    causal: bool = False,
    padding: Padding | None = None,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> tuple[Values, Starts]:
    """Convolve over time and bands, geometry as of `accelsim.kernels.conv.convolve`, sums as of `product`.

    The inputs of a product ascend by time tap, then band tap, then channel. x: [frames, bands, channels]; weights:
    [I, K, channels, outputs]; bias: [outputs]. Returns [frames', bands', outputs] and the new starts.
    """
    taps, band_taps, channels, outputs = weights.shape
    padded, rows, bands, new_starts = windows(
        np.asarray(x, np.float32), (taps, band_taps, channels), starts, stride, dilation, causal, padding
    )  # fmt: skip
    matrix = values_of(weights.reshape(-1, outputs), number)
    out = np.empty((len(rows), len(bands), outputs), np.float32)
    for part, gathered in gather(padded, rows, bands):
        flat = gathered.reshape(-1, len(matrix))
        made = product(flat, matrix, bias, number, accumulator=accumulator, exceptions=exceptions)
        out[part] = made.reshape(-1, len(bands), outputs)
    return out, new_starts


def depthwise_values(
    x: Values,
    weights: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None,
    starts: Starts,
    number: Number = "float32",
    *,
    dilation: int = 1,
    causal: bool = False,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return y[t, c] = R(A(acc + bias_c)), acc = A(acc + A(x[t + dilation i - before, c] w[i, c])) for i ascending.

    before: `accelsim.kernels.conv.taps_before`. x: [rows, channels]; weights: [taps, channels]; bias: [channels].
    """
    if x.shape[1:] != weights.shape[1:]:
        raise ValueError(f"values of {x.shape[1]} channels, weights of {weights.shape[1]}")
    check_starts(starts, len(x))
    offsets = dilation * np.arange(len(weights)) - taps_before(len(weights), causal, dilation)
    rows = sources(starts, np.asarray(starts, np.int64), 1, offsets, outside=len(x))
    padded = np.concatenate([np.asarray(x, np.float32), np.zeros((1, x.shape[1]), np.float32)])
    one_band = np.zeros((1, 1), np.int64)
    return _convolve_each(
        padded[:, None], rows, one_band, weights[:, None], bias, number, accumulator, exceptions
    )[:, 0]  # fmt: skip


def convolve_each_values(
    x: Values,
    weights: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None,
    starts: Starts,
    stride: tuple[int, int] = (1, 1),
    number: Number = "float32",
    *,
    dilation: tuple[int, int] = (1, 1),
    causal: bool = False,
    padding: Padding | None = None,
    accumulator: Number = "float32",
    exceptions: FloatExceptions | None = None,
) -> tuple[Values, Starts]:
    """Convolve every channel over time and bands by weights of its own, as `accelsim.kernels.conv.convolve_each` does.

    y[t, b, c] = R(A(acc + bias_c)), acc = A(acc + A(x w[i, k, 0, c])), time taps i ascending, band taps k within. x:
    [frames, bands, channels]; weights: [I, K, 1, channels]; bias: [channels]. Returns [frames', bands', channels] and
    the new starts.
    """
    taps, band_taps, _, channels = weights.shape
    padded, rows, bands, new_starts = windows(
        np.asarray(x, np.float32), (taps, band_taps, channels), starts, stride, dilation, causal, padding
    )  # fmt: skip
    return _convolve_each(padded, rows, bands, weights[:, :, 0], bias, number, accumulator, exceptions), new_starts


def average(
    values: Values,
    starts: Starts,
    size: tuple[int, int],
    number: Number = "float32",
    *,
    exceptions: FloatExceptions | None = None,
) -> tuple[Values, Starts]:
    """Return the mean of every ``size`` frames and bands, what is left over at the ends dropped.

    y[t, b, c] = R(sum_{i < m, k < n} x[m t + i, n b + k, c] / (m n)), size = (m, n): the sum in float32, frames i
    ascending and bands k within, then one quotient, rounded once. values: [frames, bands, channels]. Returns [frames',
    bands', channels] and the new starts.
    """
    rows, new_starts = pooled_rows(starts, len(values), size[0])
    out = np.empty((len(rows), values.shape[1] // size[1], values.shape[2]), np.float32)
    counts = counts_for(exceptions, len(rows))
    _average(np.ascontiguousarray(values, np.float32), rows, size[1], is_half(number), counts, out)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out, new_starts


def _convolve_each(
    padded: Values,
    rows: NDArray[np.int64],
    bands: NDArray[np.int64],
    weights: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None,
    number: Number,
    accumulator: Number,
    exceptions: FloatExceptions | None,
) -> Values:
    """Multiply padded[rows[t, i], bands[b, k], c] by weights[i, k, c]: [rows, bands, channels]."""
    channels = weights.shape[2]
    out, counts = np.empty((len(rows), len(bands), channels), np.float32), counts_for(exceptions, len(rows))
    _each(
        padded, rows, bands, values_of(weights, number), _bias(bias, channels, number), bias is not None,
        is_half(number), is_half(accumulator), counts, out,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out


def _bias(bias: NDArray[np.floating[Any]] | None, outputs: int, number: Number) -> Values:
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"a bias of shape {bias.shape} does not fit {outputs} outputs")
    return np.zeros(outputs, np.float32) if bias is None else values_of(bias, number)


@compiled(parallel=True)
def _average(values, rows, bands, half, counts, out):  # type: ignore[no-untyped-def]
    size = np.float32(rows.shape[1] * bands)
    for t in numba.prange(len(rows)):
        count = row_of(counts, t)
        for b in range(out.shape[1]):
            for c in range(out.shape[2]):
                total = np.float32(0)
                for row in rows[t]:
                    for k in range(bands):
                        total = plus(total, values[row, b * bands + k, c], False, count)
                out[t, b, c] = over(total, size, half, count)


@compiled(parallel=True)
def _product(x, weights, bias, biased, half, narrow, counts, out):  # type: ignore[no-untyped-def]
    rows, outputs = len(x), weights.shape[1]
    blocks = (rows + _ROWS - 1) // _ROWS
    tiles = (outputs + _OUTPUTS - 1) // _OUTPUTS
    for item in numba.prange(blocks * tiles):
        count = row_of(counts, item)
        top, left = item % blocks * _ROWS, item // blocks * _OUTPUTS
        height, width = min(rows - top, _ROWS), min(outputs - left, _OUTPUTS)
        sums = np.zeros((height, width), np.float32)
        if narrow:
            _add_in_half(x, weights, top, left, count, sums)
        else:
            _add_in_single(x, weights, top, left, sums)
        for r in range(height):
            _overflows_of_row(x[top + r], weights, left, narrow, count, sums[r])
            _finish(sums[r], bias[left : left + width], biased, half, narrow, count, out[top + r, left : left + width])


@numba.njit(forceinline=True)
def _add_in_single(x, weights, top, left, sums):  # type: ignore[no-untyped-def]
    """Add x_ri w_ij to sums_rj, four inputs at a time in their order: the sums are loaded and stored once for them."""
    height, width = sums.shape
    inputs = x.shape[1]
    for i in range(0, inputs - 3, 4):
        w0, w1 = weights[i, left : left + width], weights[i + 1, left : left + width]
        w2, w3 = weights[i + 2, left : left + width], weights[i + 3, left : left + width]
        for r in range(height):
            x0, x1, x2, x3 = x[top + r, i], x[top + r, i + 1], x[top + r, i + 2], x[top + r, i + 3]
            row = sums[r]
            for j in range(width):
                row[j] = (((row[j] + x0 * w0[j]) + x1 * w1[j]) + x2 * w2[j]) + x3 * w3[j]
    for i in range(inputs // 4 * 4, inputs):
        w = weights[i, left : left + width]
        for r in range(height):
            x0 = x[top + r, i]
            for j in range(width):
                sums[r, j] += x0 * w[j]


@numba.njit(forceinline=True)
def _add_in_half(x, weights, top, left, count, sums):  # type: ignore[no-untyped-def]
    """Add x_ri w_ij to sums_rj, every product and every sum rounded to float16."""
    height, width = sums.shape
    low = np.int32(0)
    for i in range(x.shape[1]):
        w = weights[i, left : left + width]
        for r in range(height):
            low += _add_row_in_half(x[top + r, i], w, count, sums[r])
    if count is not None:
        count[UNDERFLOW] += low


@numba.njit(forceinline=True)
def _add_row_in_half(factor, row, count, sums):  # type: ignore[no-untyped-def]
    """Set sums_j = A(sums_j + A(factor row_j)) in float16; return how many results underflowed, if that is counted."""
    low = np.int32(0)
    for j in range(len(sums)):
        term = factor * row[j]
        held = in_number(term, True)
        total = sums[j] + held
        short = in_number(total, True)
        if count is not None:
            low += np.int32(underflows(term, held)) + np.int32(underflows(total, short))
        sums[j] = short
    return low


@numba.njit(forceinline=True)
def _overflows_of_row(x, weights, left, narrow, count, sums):  # type: ignore[no-untyped-def]
    if count is not None:
        for j in range(len(sums)):
            if not np.isfinite(sums[j]):
                overflows_of_sum(x, weights[:, left + j], narrow, count)


@numba.njit(forceinline=True)
def _finish(sums, bias, biased, half, narrow, count, out):  # type: ignore[no-untyped-def]
    """Set out_j = R(A(sums_j + bias_j)), or R(sums_j)."""
    for j in range(len(sums)):
        total = plus(sums[j], bias[j], narrow, count) if biased else sums[j]
        out[j] = rounded(total, half, np.isfinite(total), count)


@compiled(parallel=True)
def _each(padded, rows, bands, weights, bias, biased, half, narrow, counts, out):  # type: ignore[no-untyped-def]
    taps, band_taps, channels = weights.shape
    for t in numba.prange(len(rows)):
        count = row_of(counts, t)
        sums = np.empty(channels, np.float32)
        for b in range(len(bands)):
            sums[:] = np.float32(0)
            for i in range(taps):
                for k in range(band_taps):
                    x = padded[rows[t, i], bands[b, k]]
                    if narrow:
                        _add_each_in_half(x, weights[i, k], count, sums)
                    else:
                        w = weights[i, k]
                        for c in range(channels):
                            sums[c] += x[c] * w[c]
            _overflows_of_window(padded, rows[t], bands[b], weights, narrow, count, sums)
            _finish(sums, bias, biased, half, narrow, count, out[t, b])


@numba.njit(forceinline=True)
def _add_each_in_half(x, w, count, sums):  # type: ignore[no-untyped-def]
    """Add x_c w_c to sums_c, the product and the sum rounded to float16."""
    low = np.int32(0)
    for c in range(len(sums)):
        term = x[c] * w[c]
        held = in_number(term, True)
        total = sums[c] + held
        short = in_number(total, True)
        if count is not None:
            low += np.int32(underflows(term, held)) + np.int32(underflows(total, short))
        sums[c] = short
    if count is not None:
        count[UNDERFLOW] += low


@numba.njit(forceinline=True)
def _overflows_of_window(padded, rows, bands, weights, narrow, count, sums):  # type: ignore[no-untyped-def]
    if count is not None:
        for c in range(len(sums)):
            if not np.isfinite(sums[c]):
                x = np.empty((len(rows), len(bands)), np.float32)
                for i in range(len(rows)):
                    for k in range(len(bands)):
                        x[i, k] = padded[rows[i], bands[k], c]
                w = np.ascontiguousarray(weights[:, :, c])
                overflows_of_sum(x.reshape(-1), w.reshape(-1), narrow, count)
