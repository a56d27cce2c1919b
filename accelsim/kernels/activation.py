"""What the vector unit does to single numbers: quantise, rescale, SiLU, GLU, ReLU, residual additions.

R rounds to the unit's number format, see `accelsim.kernels.number`. Frames of all utterances lie end to end, and are
shared out among the threads; no result depends on how.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.number import (
    Faults,
    Number,
    Values,
    counts_for,
    in_number,
    is_half,
    over,
    plus,
    power_of_e,
    row_of,
    times,
)

LARGEST_CODE = 127
_LIMIT = np.float32(LARGEST_CODE)
_ONE = np.float32(1)


def quantise(values: Values, scale: float) -> tuple[NDArray[np.int8], int]:
    """Return symmetric 8-bit codes and how many were clamped: code = clamp(round(x / scale), -127, 127).

    The quotient is a float32, halves round to even. values: any shape. Raises ValueError for a scale that is not
    positive, or a value that is not a number.
    """
    if not scale > 0:
        raise ValueError(f"a scale must be greater than 0, found {scale:g}")
    wide = np.ascontiguousarray(values, np.float32)
    codes = np.empty(wide.shape, np.int8)
    clamped, strange = _quantise(wide.reshape(-1), np.float32(scale), codes.reshape(-1))
    if strange:
        raise ValueError("a value to be quantised is not a number")
    return codes, int(clamped)


@compiled(parallel=True)
def _quantise(values, scale, codes):  # type: ignore[no-untyped-def]
    clamped = strange = 0
    for i in numba.prange(len(values)):
        x = np.rint(values[i] / scale)
        code = min(max(x, -_LIMIT), _LIMIT)
        strange += x != x
        clamped += code != x
        codes[i] = np.int8(code)
    return clamped, strange


def dequantise(codes: NDArray[np.int8], scale: float, number: Number = "float32") -> Values:
    """Return R(scale code), same shape."""
    values = np.empty(codes.shape, np.float32)
    _dequantise(np.ascontiguousarray(codes).reshape(-1), np.float32(scale), is_half(number), values.reshape(-1))
    return values


@compiled(parallel=True)
def _dequantise(codes, scale, half, values):  # type: ignore[no-untyped-def]
    for i in numba.prange(len(codes)):
        values[i] = in_number(np.float32(codes[i]) * scale, half)


def rescale(sums: NDArray[Any], scale: float, bias: NDArray[np.float32] | None = None) -> Values:
    """Return the values that sums of products stand for: scale sum_j + bias_j, two operations in float32.

    sums: [frames, outputs], integers, or what memristor tiles make of them; bias: [outputs].
    """
    values = sums.astype(np.float32)
    values *= np.float32(scale)
    if bias is not None:
        values += bias.astype(np.float32)
    return values


def silu(values: Values, number: Number = "float32", *, faults: Faults | None = None) -> Values:
    """Return x / (1 + e^-x), as R(x / R(1 + R(exp(-x)))); any shape."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1] if values.size else 1)
    out, counts = np.empty(rows.shape, np.float32), counts_for(faults, len(rows))
    _silu(rows, is_half(number), counts, out)
    if faults is not None and counts is not None:
        faults.note(counts, out)
    return out.reshape(values.shape)


@compiled(parallel=True)
def _silu(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            gate = plus(_ONE, power_of_e(-values[t, j], half, count), half, count)
            out[t, j] = over(values[t, j], gate, half, count)


def glu(values: Values, number: Number = "float32", *, faults: Faults | None = None) -> Values:
    """Return a_j / (1 + exp(-b_j)), as R(a / R(1 + R(exp(-b)))): [frames, a and b side by side] -> [frames, a].

    Raises ValueError for an odd width.
    """
    frames, width = values.shape
    if width % 2:
        raise ValueError(f"a gated linear unit needs an even number of inputs, found {width}")
    out, counts = np.empty((frames, width // 2), np.float32), counts_for(faults, frames)
    _glu(np.ascontiguousarray(values), is_half(number), counts, out)
    if faults is not None and counts is not None:
        faults.note(counts, out)
    return out


@compiled(parallel=True)
def _glu(values, half, counts, out):  # type: ignore[no-untyped-def]
    width = out.shape[1]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(width):
            gate = plus(_ONE, power_of_e(-values[t, width + j], half, count), half, count)
            out[t, j] = over(values[t, j], gate, half, count)


def relu(values: Values) -> Values:
    """Return max(x, 0), same shape."""
    return np.maximum(values, np.float32(0))


def add(
    residual: Values,
    values: Values,
    factor: float = 1.0,
    number: Number = "float32",
    *,
    faults: Faults | None = None,
) -> Values:
    """Return R(residual + R(factor values)); both of one shape, else ValueError."""
    if residual.shape != values.shape:
        raise ValueError(f"a residual of shape {residual.shape} cannot be added to {values.shape}")
    shape = (-1, values.shape[-1] if values.size else 1)
    rows = np.ascontiguousarray(values, np.float32).reshape(shape)
    out, counts = np.empty(rows.shape, np.float32), counts_for(faults, len(rows))
    _add(
        np.ascontiguousarray(residual, np.float32).reshape(shape), rows,
        np.float32(factor), is_half(number), counts, out,
    )  # fmt: skip
    if faults is not None and counts is not None:
        faults.note(counts, out)
    return out.reshape(values.shape)


@compiled(parallel=True)
def _add(residual, values, factor, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            out[t, j] = plus(residual[t, j], times(factor, values[t, j], half, count), half, count)
