"""Fixed-point functions of codes in plain Python, one number at a time; nothing here calls `accelsim.kernels`.

A number is a fraction of whole steps; every operation says what it rounds to. See `accelsim.kernels.fixed_functions`
for the equations and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.ops import plain_integer
from accelsim.ops.op import Quantisation, Signal

MOST, LEAST = 2**31 - 1, -(2**31)


def nearest_up(x: Fraction) -> int:
    """Return the whole number nearest to x, of halves the upper one."""
    return math.floor(x + Fraction(1, 2))


def nearest_away(x: Fraction) -> int:
    """Return the whole number nearest to x, of halves the one away from 0."""
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


def product(a: int, b: int) -> int:
    """Return the product of two raw numbers."""
    return nearest_up(Fraction(a * b, 2**31))


def held(a: int) -> int:
    """Return a number in a word of 32 bits."""
    return min(max(a, LEAST), MOST)


def power_of_e(raw: int, integer_bits: int) -> int:
    """Return e^x of x <= 0 that has so many integer bits, raw of none."""
    if raw == 0:
        return MOST
    unit = 2 ** (31 - integer_bits)
    quarters, rest = divmod(raw, unit // 4)  # x = quarters / 4 + rest, the rest at least 0
    x = (rest - unit // 4) * 2**integer_bits + 2**28  # up to a quarter less, and 1/8 more
    second = product(x, x)
    third, fourth = product(second, x), product(second, second)
    series = product(nearest_away(Fraction(fourth, 4)) + third, 715827883) + second
    result = 1895147668 + product(x + nearest_away(Fraction(series, 2)), 1895147668)
    left = -(quarters + 1)  # quarters of 1 by which x lies lower
    for place in range(integer_bits + 2):
        if left >> place & 1:
            constant = nearest_up(Fraction(math.exp(-(2.0 ** (place - 2)))) * 2**31)
            result = product(result, constant)
    return result


def twice_inverse(raw: int) -> int:
    """Return 2 / (1 + x), raw of 2 integer bits, of x from 0 to 1, raw of none."""
    half = nearest_away(Fraction(raw + MOST, 2))
    x = 1515870810 + product(half, -1010580540)
    for _ in range(3):
        x += held(4 * product(x, 2**29 - product(half, x)))
    return x


def inverse(raw: int) -> int:
    """Return 1 / (1 + x)."""
    return held(2 * twice_inverse(raw))


def _into_range(code: int, scale: Any) -> tuple[int, int]:
    """Return a code in 4 integer bits, or the sign of the side on which it lies beyond them."""
    factor = float(scale) * 2**27
    limit = int(Fraction(15 * 2**27) / Fraction(2) ** math.frexp(factor)[1])
    if abs(code) >= limit:
        return 0, 1 if code > 0 else -1
    return int(plain_integer.scaled(np.array([code]), factor, "double_away")[0]), 0


def logistic(code: int, scale: Any, given: Any) -> int:
    """Return 256 logistic(scale code)."""
    raw, beyond = _into_range(code, scale)
    if beyond:
        return 255 if beyond > 0 else 0
    upper = inverse(power_of_e(-abs(raw), 4))
    y = 2**30 if raw == 0 else upper if raw > 0 else MOST - upper
    return nearest_away(Fraction(y, 2**23))


def tanh(code: int, scale: Any, given: Any) -> int:
    """Return 128 tanh(scale code)."""
    raw, beyond = _into_range(code, scale)
    if beyond:
        return 127 if beyond > 0 else -128
    size = held(4 * (twice_inverse(power_of_e(-abs(raw), 5)) - 2**29)) if raw else 0
    return nearest_away(Fraction(size if raw > 0 else -size, 2**24))


def logistic_of_table(code: int, scale: Any, given: Any) -> int:
    """Return logistic(scale code) / given."""
    x = float(np.float32(code) * np.float32(scale))
    y = math.exp(x) / (1 + math.exp(x)) if x < 0 else 1 / (1 + math.exp(-x))
    return nearest_away(Fraction(float(np.float32(y) * (np.float32(1) / given))))


def tanh_of_table(code: int, scale: Any, given: Any) -> int:
    """Return tanh(scale code) / given."""
    y = math.tanh(float(np.float32(code) * np.float32(scale)))
    return nearest_away(Fraction(float(np.float32(y) * (np.float32(1) / given))))


def of_each(function: Callable[[int, Any, Any], int], read: Signal, output: Quantisation) -> NDArray[Any]:
    """Return a function of every code, z + f(q - z), clamped."""
    codes = plain_integer.centred(read)
    scale, given = np.float32(read.edge.scale), np.float32(output.scale)
    found = {int(code): function(int(code), scale, given) for code in np.unique(codes)}
    y = np.array([found[int(code)] for code in codes.reshape(-1)], np.int64).reshape(codes.shape)
    return plain_integer.clamped(y, output)


def softmax(rows: NDArray[np.int64], scale: Any, given: Any) -> NDArray[np.int64]:
    """Return 256 e^(s q_j) / sum_k e^(s q_k) over the last axis."""
    factor = min(float(scale) * 2**26, 2.0**31 - 1)
    whole, shift = plain_integer.factor(factor)
    limit = int(Fraction(31 * 2**26) / Fraction(2) ** math.frexp(factor)[1])

    def power(below: int) -> int:
        return power_of_e(max(product(held(-below * 2**shift), whole), LEAST), 5) if below <= limit else 0

    result = np.zeros(rows.shape, np.int64)
    for place in np.ndindex(rows.shape[:-1]):
        below = [int(rows[place].max() - code) for code in rows[place]]
        terms = [power(one) for one in below]
        total = sum(nearest_away(Fraction(term, 2**12)) for term in terms)
        places = 32 - total.bit_length()
        divisor = inverse(total * 2**places - 2**31)
        step = 2 ** (12 - places + 31 - 8)
        result[place] = [
            nearest_away(Fraction(product(divisor, term), step)) if one <= limit else 0
            for one, term in zip(below, terms, strict=True)
        ]
    return result


def softmax_of_table(rows: NDArray[np.int64], scale: Any, given: Any) -> NDArray[np.int64]:
    """Return e^(s q_j) / (S s_out) over the last axis, all in float32."""
    result = np.zeros(rows.shape, np.int64)
    for place in np.ndindex(rows.shape[:-1]):
        top = int(rows[place].max())
        terms = [np.float32(math.exp(float(np.float32(top - int(q)) * -scale))) for q in rows[place]]
        total = np.float32(0)
        for term in terms:
            total = np.float32(total + term)
        factor = np.float32(1) / (total * given)
        result[place] = [nearest_up(Fraction(float(term * factor))) for term in terms]
    return result
