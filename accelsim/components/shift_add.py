"""Shift-and-add: weighs the planes of a matrix and sums them, exactly."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind


class ShiftAdd(ComponentSpec):
    """``units`` adders of ``width_bits`` in each of ``tiles`` tiles, one behind each converter."""

    kind: Literal["shift_add"]
    timing_and_cost = ComponentSpec.timing_and_cost | {"tiles", "units", "width_bits"}
    tiles: PositiveInt
    units: PositiveInt
    width_bits: Annotated[int, Ge(2)]

    def instances(self) -> int:
        return self.tiles * self.units


def service_cycles(spec: ShiftAdd, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = additions of the busiest unit, one per cycle."""
    return counts["unit_additions"]


component_kind("shift_add", ShiftAdd, {"add": "one shifted addition"}, service_cycles)
