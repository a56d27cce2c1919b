"""A converter that is not perfect in plain Python, one conversion at a time, to be checked by eye.

Nothing here is shared with `accelsim.kernels.converter_errors`.
"""

from __future__ import annotations

import math


def code(x: float, limit: int, *, gain=0.0, offset=0.0, bow=0.0, s_curve=0.0, inl=(), noise=0.0) -> tuple[int, int]:
    """The code of an input of x steps, and 1 if it clipped; ``limit``: the largest code."""
    u = max(-1.0, min(1.0, x / limit))
    wrong = offset + bow * (1.0 - u * u) + s_curve * (1.5 * math.sqrt(3.0) * (u - u * u * u))
    y = x + gain * x + wrong
    if len(inl):
        place = (u + 1.0) * (0.5 * (len(inl) - 1))
        left = min(math.floor(place), len(inl) - 2)
        y += inl[left] + (place - left) * (inl[left + 1] - inl[left])
    if noise:
        y += noise
    wanted = round(y)  # halves to even
    return max(-limit, min(limit, wanted)), int(abs(wanted) > limit)


def units(planes: int, outputs: int, tile_columns: int, shared_by: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Which column tile and unit convert a column: (plane, output) -> (column tile, unit); dealt one after the other.

    A tile counts its columns plane by plane, those of no output too, and every unit takes the next ``shared_by``.
    """
    found = {}
    for m in range(math.ceil(outputs / tile_columns)):
        unit = taken = 0
        for plane in range(planes):
            for column in range(tile_columns):
                if taken == shared_by:
                    unit, taken = unit + 1, 0
                taken += 1
                found[plane, m * tile_columns + column] = m, unit
    return found
