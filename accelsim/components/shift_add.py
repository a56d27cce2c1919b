"""Shift-and-add: weighs the planes of a matrix and sums them, exactly."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import TILE_COUNTS, ComponentSpec, Counts, component_kind, of_busiest, rows_of


class ShiftAdd(ComponentSpec):
    """``units`` adders of ``width_bits`` in each of ``tiles`` tiles, which share what their converters give.

    ``adds_per_cycle``: additions that one of them does in a cycle.
    """

    kind: Literal["shift_add"]
    timing_and_cost = ComponentSpec.timing_and_cost | {"tiles", "units", "width_bits", "adds_per_cycle"}
    tiles: PositiveInt
    units: PositiveInt
    width_bits: Annotated[int, Ge(2), Le(62)]
    adds_per_cycle: PositiveInt = 1

    def instances(self) -> int:
        return self.tiles * self.units


def service_cycles(spec: ShiftAdd, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * ceil(additions of the busiest tile / (units * adds_per_cycle))."""
    return rows_of(counts) * -(-of_busiest(counts, "add") // (spec.units * spec.adds_per_cycle))


component_kind("shift_add", ShiftAdd, {"add": "one shifted addition"}, service_cycles, TILE_COUNTS)
