"""The numbers of the vector unit: float32, or float16 as a result of every operation, and an exponential to the bit.

Values always travel as float32 arrays; with ``float16`` each lies on the grid of that format. Every operation, whether
an addition, a product, a quotient, a root or an exponential, is computed in float32 and then rounded to the format,
halves to even. For all but the exponential that is the correctly rounded result, since float32 has more than twice the
digits (Figueroa 1995). A sum of many terms is taken in float32, in ascending order, and rounded once.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

Number = Literal["float32", "float16"]
Values = NDArray[np.float32]

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2, the first has 9 bits
_EXP_LIMIT = np.float32(87.0)
_TAYLOR = tuple(np.float32(1 / n) for n in (5040, 720, 120, 24, 6, 2, 1, 1))
_C7, _C6, _C5, _C4, _C3, _C2, _C1, _C0 = _TAYLOR
_LARGEST_HALF = np.float32(65504.0)
_SMALLEST_NORMAL_HALF = np.float32(2.0**-14)
_SUBNORMAL_MAGIC = np.float32(0.75)  # its last binary place is 2^-24, the step of subnormal halves
_ROUND_MAGIC = np.float32(1.5 * 2.0**23)  # x + magic - magic rounds to a whole number, halves to even, for |x| < 2^22


def is_half(number: Number) -> bool:
    """Tell whether results are rounded to float16; raises ValueError for any other name than the two."""
    if number not in ("float32", "float16"):
        raise ValueError(f"unknown number format '{number}' (one of: float32, float16)")
    return number == "float16"


def values_of(x: NDArray[Any], number: Number) -> Values:
    """Return numbers as the vector unit holds them: float32 values on the grid of the format, same shape."""
    wide = np.ascontiguousarray(x, np.float32)
    if is_half(number):
        with np.errstate(over="ignore"):
            return wide.astype(np.float16).astype(np.float32)
    return wide


@numba.njit(inline="always")
def in_number(x, half):  # type: ignore[no-untyped-def]
    """Round a float32 to the format: as it is, or to float16 with halves to even and infinity beyond 65504."""
    if not half:
        return x
    magnitude = abs(x)
    if magnitude < _SMALLEST_NORMAL_HALF:
        return (x + _SUBNORMAL_MAGIC) - _SUBNORMAL_MAGIC
    word = np.float32(x).view(np.uint32)
    word = (word + np.uint32(0xFFF) + ((word >> np.uint32(13)) & np.uint32(1))) & np.uint32(0xFFFFE000)
    short = np.uint32(word).view(np.float32)
    return short if abs(short) <= _LARGEST_HALF else x * np.float32(np.inf)


@numba.njit(inline="always")
def exponential(x):  # type: ignore[no-untyped-def]
    """Return e^x in float32, x first clamped to +-87: 2^n sum_{i=0..7} r^i / i!, n = round(x / ln 2), r = x - n ln 2.

    Horner's rule from the highest power down, no fused multiply-add; within 2 units of the last place.
    """
    x = min(max(x, -_EXP_LIMIT), _EXP_LIMIT)
    n = (x * _LOG2_E + _ROUND_MAGIC) - _ROUND_MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = _C7 * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + _C1
    p = p * r + _C0
    return p * np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
