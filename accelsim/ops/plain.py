"""The numbers of the vector unit in plain NumPy, for the references of ops; nothing here calls `accelsim.kernels`.

R rounds to the unit's number format: float32 as it is, float16 with halves to even. NumPy computes every operation in
float32 and rounds it correctly; a sum is taken term by term, in ascending order, never by NumPy's own sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from accelsim.ops.op import Signal

Values = NDArray[np.float32]

# Cephes, single precision, highest power first: tanhf.c, ndtrf.c. The last one ends a Taylor series.
TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
ERF = (
    7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2,
    1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710,
)  # fmt: skip
ERFC_FROM_1 = (
    2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1,
    -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1,
)  # fmt: skip
ERFC_FROM_2 = (
    -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.015265279202700,
    4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
)  # fmt: skip
_EXPONENTIAL = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)


def rounded(x: NDArray[Any], number: str) -> Values:
    """Return R(x), as float32; a float16 zero is +0."""
    wide = np.asarray(x, np.float32)
    if number == "float32":
        return wide
    with np.errstate(over="ignore"):
        return np.asarray(wide.astype(np.float16).astype(np.float32) + np.float32(0))


def real(signal: Signal, number: str) -> Values:
    """Return a signal as real numbers: as it is, or R(scale (code - zero_point)) of codes.

    Codes of 8 bits less their zero point are clamped to -127 .. 127, but not those of the full range.
    """
    edge = signal.edge
    if edge.kind == "real":
        return np.asarray(signal.values, np.float32)
    centred = signal.values.astype(np.int64) - edge.zero_point
    if edge.bits <= 8 and not edge.full_range:
        centred = np.clip(centred, -127, 127)
    return rounded(centred.astype(np.float32) * np.float32(edge.scale), number)


def total(terms: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the sum along an axis, term by term from 0 on, in the type of the terms."""
    moved = np.moveaxis(terms, axis, 0)
    result = np.zeros(moved.shape[1:], terms.dtype)
    for term in moved:
        result = result + term
    return result


def polynomial(x: Values, coefficients: Sequence[float]) -> Values:
    """Return sum_n c_n x^n by Horner's rule, the highest power first."""
    result = np.full(x.shape, np.float32(coefficients[0]))
    for c in coefficients[1:]:
        result = result * x + np.float32(c)
    return result


def exponential(x: Values) -> Values:
    """Return e^x = 2^n sum_{i=0..7} r^i / i!, x clamped to +-87, n = round(x / ln 2), r = x - n ln 2 in two steps."""
    x = np.clip(x, np.float32(-87), np.float32(87))
    n = np.rint(x * np.float32(1.44269504))
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    power = np.where(np.isnan(n), 0, n).astype(np.int32)
    return np.asarray(polynomial(r, _EXPONENTIAL) * np.ldexp(np.float32(1), power))


def gate(x: Values, number: str) -> Values:
    """Return R(1 + R(e^-x)), by which a gate divides."""
    return rounded(np.float32(1) + rounded(exponential(-x), number), number)


def tanh(x: Values) -> Values:
    """Return tanh x in float32: x + x (x^2 P(x^2)) below 0.625, else sign(x) (1 - 2 / (1 + e^2|x|))."""
    size, square = np.abs(x), x * x
    far = np.copysign(np.float32(1) - np.float32(2) / (exponential(size + size) + np.float32(1)), x)
    return np.where(size < np.float32(0.625), x + x * (square * polynomial(square, TANH)), far)


def normal_distribution(x: Values) -> Values:
    """Return Phi(x) in float32, with z = |x| / sqrt(2): 1/2 + 1/2 erf(z) sign(x) for z < 1, else by erfc(z) / 2."""
    half, one = np.float32(0.5), np.float32(1)
    z = np.abs(x) * np.float32(0.70710678)
    near = half + half * np.copysign(z * polynomial(z * z, ERF), x)
    inverse = one / z
    square = inverse * inverse
    series = np.where(z < 2, polynomial(square, ERFC_FROM_1), polynomial(square, ERFC_FROM_2))
    tail = half * (exponential(-(z * z)) * (inverse * series))
    return np.where(z < one, near, np.where(x < 0, tail, one - tail))


def shifted(values: NDArray[Any], places: int) -> NDArray[Any]:
    """Return whole numbers times 2^places, rounded towards minus infinity."""
    return values * (1 << places) if places >= 0 else values // (1 << -places)
