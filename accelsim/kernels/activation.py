"""What the vector unit does to single numbers: quantise, rescale, activation functions, additions and products.

R rounds to the unit's number format, see `accelsim.kernels.number`. Frames of all utterances lie end to end, and are
shared out among the threads; no result depends on how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.compile import compiled
from accelsim.kernels.number import (
    SMALLEST_NORMAL_HALF,
    FloatExceptions,
    Number,
    Values,
    counts_for,
    exponential,
    in_number,
    is_half,
    over,
    plus,
    power_of_e,
    rounded,
    row_of,
    times,
    values_of,
)

LARGEST_CODE = 127
_LIMIT = np.float32(LARGEST_CODE)
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_ROOT_HALF = np.float32(0.70710678)  # 1 / sqrt(2)


def _coefficients(*values: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(value) for value in values)


# Highest power first, from Moshier's Cephes library, single precision: ndtrf.c (erff, erfcf) and tanhf.c.
_ERF = _coefficients(
    7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2,
    1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710,
)  # fmt: skip
_ERFC_FROM_1 = _coefficients(
    2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1,
    -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1,
)  # fmt: skip
_ERFC_FROM_2 = _coefficients(
    -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.015265279202700,
    4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
)  # fmt: skip
_TANH = _coefficients(
    -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1
)  # fmt: skip
_TANH_LIMIT = np.float32(0.625)


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


def dequantise(
    codes: NDArray[np.int8], scale: float, number: Number = "float32", *, exceptions: FloatExceptions | None = None
) -> Values:
    """Return R(scale code), same shape; ``exceptions``: where to count what rounding did."""
    values = np.empty(codes.shape, np.float32)
    if exceptions is not None:
        with np.errstate(over="ignore"):
            wide = np.arange(-128, 128).astype(np.float32) * np.float32(scale)
        held = values_of(wide, number)
        wrong = (held != wide) & (~np.isfinite(held) | (np.abs(held) < SMALLEST_NORMAL_HALF))
        if not np.isfinite(wide).all() or wrong.any():  # else there is nothing to count, whatever the codes
            places = codes.astype(np.int16) + 128
            exceptions.note_rounding(wide[places], held[places])
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


def _of_each(kernel: Callable[..., None], values: Values, number: Number, exceptions: FloatExceptions | None) -> Values:
    """Run a kernel over all values, row by row of the last axis; any shape."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1] if values.size else 1)
    out, counts = np.empty(rows.shape, np.float32), counts_for(exceptions, len(rows))
    kernel(rows, is_half(number), counts, out)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out.reshape(values.shape)


def silu(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return x / (1 + e^-x), as R(x / R(1 + R(exp(-x)))); any shape."""
    return _of_each(_silu, values, number, exceptions)


@compiled(parallel=True)
def _silu(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            gate = plus(_ONE, power_of_e(-values[t, j], half, count), half, count)
            out[t, j] = over(values[t, j], gate, half, count)


def sigmoid(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return 1 / (1 + e^-x), as R(1 / R(1 + R(exp(-x)))); any shape."""
    return _of_each(_sigmoid, values, number, exceptions)


@compiled(parallel=True)
def _sigmoid(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            gate = plus(_ONE, power_of_e(-values[t, j], half, count), half, count)
            out[t, j] = over(_ONE, gate, half, count)


def tanh(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return R(tanh x), tanh as a float32; any shape.

    |x| < 0.625: x + x (x^2 P(x^2)); else sign(x) (1 - 2 / (1 + e^2|x|)), e as in `accelsim.kernels.number.exponential`.
    Within 1.5e-7 |tanh x| before R. Source of P: Cephes, tanhf.c.
    """
    return _of_each(_tanh, values, number, exceptions)


@compiled(parallel=True)
def _tanh(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            x = values[t, j]
            out[t, j] = rounded(tanh_of(x), half, np.isfinite(x), count)


@numba.njit(forceinline=True, error_model="numpy")
def tanh_of(x):  # type: ignore[no-untyped-def]
    size = abs(x)
    if size < _TANH_LIMIT:
        square = x * x
        return x + x * (square * _horner(square, _TANH))
    return np.copysign(_ONE - _TWO / (exponential(size + size) + _ONE), x)


@numba.njit(forceinline=True)
def _horner(x, coefficients):  # type: ignore[no-untyped-def]
    """Return sum_n c_n x^n, highest power first, no fused multiply-add."""
    total = coefficients[0]
    for c in coefficients[1:]:
        total = total * x + c
    return total


def gelu(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return x Phi(x), Phi the normal distribution, as R(x R(Phi(x))); any shape. This is the exact form, not tanh.

    Phi in float32, with z = |x| / sqrt(2), no fused multiply-add, so that all machines give the same bits:
    z < 1: Phi = 1/2 + 1/2 erf(z) sign(x), erf(z) = z P(z^2); else Phi(-|x|) = 1/2 erfc(z), Phi(|x|) = 1 - 1/2 erfc(z),
    erfc(z) = e^(-z^2) (1/z) Q(1/z^2), one Q below 2 and one from 2 on, e as in `accelsim.kernels.number.exponential`.
    Phi is within 1.2e-7 of the true one, and the float32 GELU within 1.5e-7 max(1, |x|). -inf gives NaN. Source of P
    and Q: Cephes, ndtrf.c.
    """
    return _of_each(_gelu, values, number, exceptions)


@compiled(parallel=True)
def _gelu(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            x = values[t, j]
            out[t, j] = times(x, rounded(_phi_of(x), half, np.isfinite(x), count), half, count)


@numba.njit(forceinline=True, error_model="numpy")
def _phi_of(x):  # type: ignore[no-untyped-def]
    z = abs(x) * _ROOT_HALF
    if z < _ONE:
        return _HALF + _HALF * np.copysign(z * _horner(z * z, _ERF), x)
    inverse = _ONE / z
    square = inverse * inverse
    series = _horner(square, _ERFC_FROM_1) if z < _TWO else _horner(square, _ERFC_FROM_2)
    tail = _HALF * (exponential(-(z * z)) * (inverse * series))
    return tail if x < 0 else _ONE - tail


def softmax(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return e^(x_j - m) / sum_k e^(x_k - m) over the last axis, m = max x, as R(R(e^R(x_j - m)) / S); any shape.

    S is the float32 sum of the exponentials, ascending.
    """
    return _of_each(_softmax, values, number, exceptions)


@compiled(parallel=True)
def _softmax(values, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        largest, total = values[t].max(), np.float32(0)
        for j in range(values.shape[1]):
            out[t, j] = power_of_e(plus(values[t, j], -largest, half, count), half, count)
            total = plus(total, out[t, j], False, count)
        for j in range(values.shape[1]):
            out[t, j] = over(out[t, j], total, half, count)


def glu(values: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return a_j / (1 + exp(-b_j)), as R(a / R(1 + R(exp(-b)))): [frames, a and b side by side] -> [frames, a].

    Raises ValueError for an odd width.
    """
    frames, width = values.shape
    if width % 2:
        raise ValueError(f"a gated linear unit needs an even number of inputs, found {width}")
    out, counts = np.empty((frames, width // 2), np.float32), counts_for(exceptions, frames)
    _glu(np.ascontiguousarray(values), is_half(number), counts, out)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
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
    exceptions: FloatExceptions | None = None,
) -> Values:
    """Return R(residual + R(factor values)); both of one shape, else ValueError."""
    if residual.shape != values.shape:
        raise ValueError(f"a residual of shape {residual.shape} cannot be added to {values.shape}")
    shape = (-1, values.shape[-1] if values.size else 1)
    rows = np.ascontiguousarray(values, np.float32).reshape(shape)
    out, counts = np.empty(rows.shape, np.float32), counts_for(exceptions, len(rows))
    _add(
        np.ascontiguousarray(residual, np.float32).reshape(shape), rows,
        np.float32(factor), is_half(number), counts, out,
    )  # fmt: skip
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out.reshape(values.shape)


@compiled(parallel=True)
def _add(residual, values, factor, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(values)):
        count = row_of(counts, t)
        for j in range(values.shape[1]):
            out[t, j] = plus(residual[t, j], times(factor, values[t, j], half, count), half, count)


def multiply(a: Values, b: Values, number: Number = "float32", *, exceptions: FloatExceptions | None = None) -> Values:
    """Return R(a b), element by element; both of one shape, else ValueError."""
    if a.shape != b.shape:
        raise ValueError(f"values of shape {a.shape} cannot be multiplied by {b.shape}, element by element")
    shape = (-1, b.shape[-1] if b.size else 1)
    rows = np.ascontiguousarray(b, np.float32).reshape(shape)
    out, counts = np.empty(rows.shape, np.float32), counts_for(exceptions, len(rows))
    _multiply(np.ascontiguousarray(a, np.float32).reshape(shape), rows, is_half(number), counts, out)
    if exceptions is not None and counts is not None:
        exceptions.note(counts, out)
    return out.reshape(b.shape)


@compiled(parallel=True)
def _multiply(a, b, half, counts, out):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(a)):
        count = row_of(counts, t)
        for j in range(a.shape[1]):
            out[t, j] = times(a[t, j], b[t, j], half, count)
