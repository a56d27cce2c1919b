"""The numbers of the vector unit: float32, or float16 as a result of every operation, and an exponential to the bit.

Values always travel as float32 arrays; with ``float16`` each lies on the grid of that format. Every operation, whether
an addition, a product, a quotient, a root or an exponential, is computed in float32 and then rounded to the format,
halves to even. For all but the exponential that is the correctly rounded result, since float32 has more than twice the
digits (Figueroa 1995). A sum of many terms is taken in float32, in ascending order, and rounded once; or it is held in
an accumulator of float16: A rounds each term and each partial sum to the accumulator's format, R the end to the unit's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

Number = Literal["float32", "float16"]
Values = NDArray[np.float32]
NormForm = Literal["plain", "pre_normalised"]
SoftmaxForm = Literal["shifted", "plain", "rescaled"]
Counts = NDArray[np.int64]

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2, the first has 9 bits
_EXP_LIMIT = np.float32(87.0)
_TAYLOR = tuple(np.float32(1 / n) for n in (5040, 720, 120, 24, 6, 2, 1, 1))
_C7, _C6, _C5, _C4, _C3, _C2, _C1, _C0 = _TAYLOR
_LARGEST_HALF = np.float32(65504.0)
SMALLEST_NORMAL_HALF = np.float32(2.0**-14)
_SUBNORMAL_MAGIC = np.float32(0.75)  # its last binary place is 2^-24, the step of subnormal halves
_ROUND_MAGIC = np.float32(1.5 * 2.0**23)  # x + magic - magic rounds to a whole number, halves to even, for |x| < 2^22

OVERFLOW, UNDERFLOW, RESCALED = range(3)  # what a kernel counts per row


@dataclass(frozen=True)
class Arithmetic:
    """How a unit computes: format of its values, format of its sums, order of its norms and of its softmax."""

    number: Number = "float32"
    accumulator: Number = "float32"
    norm: NormForm = "plain"
    softmax: SoftmaxForm = "shifted"


@dataclass
class FloatExceptions:
    """What went wrong in kernels, added up over all that were given this object.

    ``overflow``: results of finite operands that rounded to infinity; a division by zero is none (IEEE 754).
    ``underflow``: results x, not 0 in float32, with R(x) != x and |R(x)| < 2^-14 (or A instead of R); of float16 alone.
    ``infinity``, ``nan``: values given out that are such. ``rescaled``: rows that a conditional softmax shifted.
    No count depends on the number of threads.
    """

    overflow: int = 0
    infinity: int = 0
    nan: int = 0
    underflow: int = 0
    rescaled: int = 0

    def note_rounding(self, x: Values, y: Values) -> None:
        """Add what rounding x to y did, and the infinities and NaN of y."""
        infinite = np.isinf(y)
        self.overflow += int((infinite & np.isfinite(x)).sum())
        self.underflow += int(((x != y) & (np.abs(y) < SMALLEST_NORMAL_HALF)).sum())
        self.infinity += int(infinite.sum())
        self.nan += int(np.isnan(y).sum())

    def note(self, counts: Counts, out: Values) -> None:
        """Add the counts [rows, 3] of a kernel, and the infinities and NaN of what it gave out."""
        overflow, underflow, rescaled = counts.sum(axis=0).tolist()
        self.overflow += overflow
        self.underflow += underflow
        self.rescaled += rescaled
        self.infinity += int(np.isinf(out).sum())
        self.nan += int(np.isnan(out).sum())


def counts_for(exceptions: FloatExceptions | None, rows: int) -> Counts | None:
    """Return zeros [rows, 3] for a kernel to count in, or None where nobody asks: then it is compiled without."""
    return None if exceptions is None else np.zeros((rows, 3), np.int64)


def is_half(number: Number) -> bool:
    """Tell whether results are rounded to float16; raises ValueError for any other name than the two."""
    if number not in ("float32", "float16"):
        raise ValueError(f"unknown number format '{number}' (one of: float32, float16)")
    return number == "float16"


def values_of(x: NDArray[Any], number: Number, *, exceptions: FloatExceptions | None = None) -> Values:
    """Return numbers as the vector unit holds them: float32 values on the grid of the format, same shape.

    ``exceptions``: where to count overflows and underflows of finite numbers, and infinities and NaN of the result.
    """
    wide = np.ascontiguousarray(x, np.float32)
    held = wide
    if is_half(number):
        with np.errstate(over="ignore"):
            held = wide.astype(np.float16).astype(np.float32)
    if exceptions is not None:
        exceptions.note_rounding(wide, held)
    return held


@numba.njit(inline="always")
def in_number(x, half):  # type: ignore[no-untyped-def]
    """Round a float32 to the format: as it is, or to float16 with halves to even and infinity beyond 65504.

    A float16 zero is always +0. No other result depends on its sign: kernels divide by nothing that could be -0.
    """
    if not half:
        return x
    magnitude = abs(x)
    if magnitude < SMALLEST_NORMAL_HALF:
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


# Below, ``counts`` is None or a row of counts. Its type is known when a kernel is compiled, so that counting costs
# nothing where it is not asked for. Every function computes in float32, rounds, and counts what that did.


@numba.njit(forceinline=True)
def row_of(counts, row):  # type: ignore[no-untyped-def]
    """Return the counts of a row, if they are kept."""
    if counts is None:
        return None
    return counts[row]


@numba.njit(forceinline=True)
def rounded(x, half, finite, counts):  # type: ignore[no-untyped-def]
    """Return R(x); ``finite``: whether the operands that gave x were."""
    y = in_number(x, half)
    if counts is not None:
        counts[OVERFLOW] += finite and np.isinf(y)
        counts[UNDERFLOW] += underflows(x, y)
    return y


@numba.njit(forceinline=True)
def underflows(x, y):  # type: ignore[no-untyped-def]
    """Tell whether a float32 x underflowed when it was rounded to y."""
    return (x != y) & (abs(y) < SMALLEST_NORMAL_HALF)


@numba.njit(forceinline=True)
def plus(a, b, half, counts):  # type: ignore[no-untyped-def]
    """Return R(a + b)."""
    if counts is None:
        return in_number(a + b, half)
    return rounded(a + b, half, np.isfinite(a) and np.isfinite(b), counts)


@numba.njit(forceinline=True)
def times(a, b, half, counts):  # type: ignore[no-untyped-def]
    """Return R(a b)."""
    if counts is None:
        return in_number(a * b, half)
    return rounded(a * b, half, np.isfinite(a) and np.isfinite(b), counts)


@numba.njit(forceinline=True, error_model="numpy")
def over(a, b, half, counts):  # type: ignore[no-untyped-def]
    """Return R(a / b)."""
    if counts is None:
        return in_number(a / b, half)
    return rounded(a / b, half, np.isfinite(a) and np.isfinite(b) and b != 0, counts)


@numba.njit(forceinline=True)
def power_of_e(x, half, counts):  # type: ignore[no-untyped-def]
    """Return R(e^x)."""
    if counts is None:
        return in_number(exponential(x), half)
    return rounded(exponential(x), half, np.isfinite(x), counts)


@numba.njit
def overflows_of_sum(x, column, narrow, counts):  # type: ignore[no-untyped-def]
    """Count the overflows in acc = A(acc + A(x_d column_d)), d ascending: for sums that a fast loop found not finite.

    No sum overflows and then becomes finite again, so that others need no second look.
    """
    again = np.zeros(3, np.int64)
    total = np.float32(0)
    for d in range(len(x)):
        total = plus(total, times(x[d], column[d], narrow, again), narrow, again)
    counts[OVERFLOW] += again[OVERFLOW]
