"""Two's-complement fixed point: range, saturation and shifts, as the hardware does them."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def signed_range(bits: int) -> tuple[int, int]:
    """Return the smallest and largest value of a signed word: -2^(bits-1), 2^(bits-1) - 1."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


@numba.njit(inline="always")
def shift(value, places):  # type: ignore[no-untyped-def]
    """Shift left by ``places``, or arithmetically right (towards minus infinity) when it is negative."""
    return value << places if places >= 0 else value >> -places


def shift_array(values: NDArray[Any], places: int) -> NDArray[Any]:
    """Shift an array left by ``places``, in 64 bits, or arithmetically right (towards minus infinity) when negative."""
    return values.astype(np.int64) << places if places > 0 else values >> -places


def requantise(values: NDArray[Any], scale: float, offset: int, low: int, high: int) -> tuple[NDArray[np.int16], int]:
    """Return codes = clamp(round(scale x) - offset, low, high), halves to even, of any shape, and how many clamped."""
    codes = np.rint(values * scale) - offset
    kept = np.clip(codes, low, high)
    return kept.astype(np.int16), int(np.count_nonzero(kept != codes))
