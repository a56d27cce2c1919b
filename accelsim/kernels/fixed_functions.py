"""Logistic, hyperbolic tangent and softmax of 8-bit codes, in fixed point and by tables, as TensorFlow Lite has them.

Fixed point, words of 32 bits: a raw number r of n integer bits stands for r 2^(n - 31). Products are rounded to the
nearest, halves up: floor(a b / 2^31 + 1/2); shifts to the right to the nearest, halves away from 0.

    e^x, x <= 0         x = y - k / 4, -1/4 <= y < 0: a polynomial of degree 4 of y + 1/8, times e^(-2^i) for bits of k
    1 / (1 + x)         d = (1 + x) / 2, three Newton steps x' = x + x (1 - d x) from 48/17 - 32/17 d
    logistic            1 / (1 + e^-|x|), and 1 less it for x < 0
    tanh                (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x

Sources, read for their arithmetic: gemmlowp ``fixedpoint/fixedpoint.h`` (Apache-2.0), tflite-micro
``kernels/internal/reference/integer_ops/logistic.h``, ``tanh.h`` and ``reference/softmax.h`` (Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.requantise import Scaling, multiplier

Whole = NDArray[np.int64]

_ONE = (1 << 31) - 1  # of no integer bits
_LARGEST, _SMALLEST = _ONE, -(1 << 31)
_EXP_MINUS_EIGHTH = 1895147668
_THIRD = 715827883
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)  # e^(-2^i), i = -2 .. 4
_48_17, _MINUS_32_17 = 1515870810, -1010580540  # of 2 integer bits
_SCALED = 4
"""Integer bits of what logistic and tanh read."""
_DIFFERENCE, _SUM = 5, 12
"""Integer bits of a softmax's differences, and of its sum."""


def _times(a: Whole, b: Whole | int) -> Whole:
    return (a * b + (1 << 30)) >> 31


def _halved(a: Whole, places: int) -> Whole:
    """Return a / 2^places to the nearest, halves away from 0."""
    return np.sign(a) * ((np.abs(a) + ((1 << places) >> 1)) >> places)


def _doubled(a: Whole, places: int) -> Whole:
    """Return a 2^places, saturated."""
    return np.clip(a << places, _SMALLEST, _LARGEST)


def exponential(a: Whole, integer_bits: int) -> Whole:
    """Return e^x of raw numbers x <= 0 of at most 5 integer bits, raw of none."""
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    y = (a & (quarter - 1)) - quarter
    x = (y << integer_bits) + (1 << 28)  # y + 1/8
    square = _times(x, x)
    higher = _times(_halved(_times(square, square), 2) + _times(square, x), _THIRD) + square
    result = _EXP_MINUS_EIGHTH + _times(x + _halved(higher, 1), _EXP_MINUS_EIGHTH)
    steps = y - a
    for place, power in enumerate(_POWERS[: integer_bits + 2]):
        result = np.where(steps & (quarter << place), _times(result, power), result)
    return np.where(a == 0, _ONE, result)


def _newton(a: Whole) -> Whole:
    """Return 2 / (1 + x) of raw numbers 0 <= x <= 1 of no integer bits, raw of 2."""
    half_denominator = (a + _ONE + 1) >> 1
    x = _48_17 + _times(half_denominator, _MINUS_32_17)
    for _ in range(3):
        rest = (1 << 29) - _times(half_denominator, x)
        x = x + _doubled(_times(x, rest), 2)
    return x


def reciprocal(a: Whole) -> Whole:
    """Return 1 / (1 + x) of raw numbers 0 <= x <= 1, all of no integer bits."""
    return _doubled(_newton(a), 1)


def _rescaled(centred: Whole, scale: float) -> tuple[Whole, Whole]:
    """Return codes as raw numbers of 4 integer bits, and where they lie beyond them: -1, 0 or 1."""
    factor = float(np.float32(scale)) * 2.0 ** (31 - _SCALED)
    shift = math.frexp(factor)[1]
    radius = math.floor(((1 << _SCALED) - 1) * 2.0 ** (31 - _SCALED - shift))
    beyond = np.where(centred >= radius, 1, np.where(centred <= -radius, -1, 0))
    return Scaling.of(factor, "double_away")(np.where(beyond, 0, centred)), beyond


def logistic(centred: Whole, scale: float) -> Whole:
    """Return 256 / (1 + e^-(s c)) of codes c = q - z, 0 .. 256."""
    raw, beyond = _rescaled(centred, scale)
    positive = reciprocal(exponential(-np.abs(raw), _SCALED))
    y = np.where(raw == 0, 1 << 30, np.where(raw > 0, positive, _ONE - positive))
    return np.where(beyond > 0, 255, np.where(beyond < 0, 0, _halved(y, 23)))


def tanh(centred: Whole, scale: float) -> Whole:
    """Return 128 tanh(s c) of codes c = q - z, -128 .. 128."""
    raw, beyond = _rescaled(centred, scale)
    size = _doubled(_newton(exponential(-np.abs(raw), _SCALED + 1)) - (1 << 29), 2)  # x - 1, of 2 integer bits
    y = np.sign(raw) * size
    return np.where(beyond > 0, 127, np.where(beyond < 0, -128, _halved(y, 24)))


def softmax(below: Whole, scale: float) -> Whole:
    """Return 256 e^(-s b_j) / sum_k e^(-s b_k) over the last axis, b how far codes lie below the largest, 0 .. 256."""
    factor = min(float(np.float32(scale)) * 2.0 ** (31 - _DIFFERENCE), 2.0**31 - 1)
    m, shift = multiplier(factor)
    radius = math.floor(((1 << _DIFFERENCE) - 1) * 2.0 ** (31 - _DIFFERENCE - math.frexp(factor)[1]))
    steps = np.arange(256)
    raw = (np.clip(-steps << shift, _SMALLEST, _LARGEST) * m + (1 << 30)) >> 31
    of_step = np.where(steps <= radius, exponential(np.maximum(raw, _SMALLEST), _DIFFERENCE), 0)
    terms = of_step[below]
    sums = _halved(of_step, _SUM)[below].sum(axis=-1)
    digits = np.array([int(one).bit_length() for one in sums.reshape(-1)]).reshape(sums.shape)
    headroom = 32 - digits
    inverse = reciprocal((sums << headroom) - (1 << 31))
    places = _SUM - headroom + 31 - 8
    product = _times(inverse[..., None], terms)
    half = (1 << places >> 1)[..., None]
    return np.where(below <= radius, (product + half) >> places[..., None], 0)


def table(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], centred: Whole, scale: float,
          given: float) -> Whole:  # fmt: skip
    """Return f(s c) / s_out to the nearest, halves away from 0, of codes c = q - z: f as a float32."""
    x = centred.astype(np.float32) * np.float32(scale)
    with np.errstate(over="ignore"):
        ratio = function(x.astype(np.float64)).astype(np.float32) * (np.float32(1) / np.float32(given))
    return (np.sign(ratio) * np.floor(np.abs(ratio.astype(np.float64)) + 0.5)).astype(np.int64)


def softmax_of_table(below: Whole, scale: float, given: float) -> Whole:
    """Return e^(-s b_j) / (S s_out) to the nearest over the last axis, S = sum_k e^(-s b_k); all in float32."""
    x = np.arange(256).astype(np.float32) * -np.float32(scale)
    terms = np.exp(x.astype(np.float64)).astype(np.float32)[below]
    sums = np.zeros(below.shape[:-1], np.float32)
    for j in range(below.shape[-1]):
        sums += terms[..., j]
    inverse = np.float32(1) / (sums * np.float32(given))
    return np.floor((terms * inverse[..., None]).astype(np.float64) + 0.5).astype(np.int64)
