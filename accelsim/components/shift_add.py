"""Shift-and-add: weighs the planes of a matrix and sums them, exactly."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import TILE_COUNTS, ComponentSpec, Counts, component_kind, of_busiest, rows_of
from accelsim.schema import Effect


class ShiftAdd(ComponentSpec):
    """``units`` adders of ``width_bits`` in each of ``tiles`` tiles, which share what their converters give.

    ``adds_per_cycle``: additions that one of them does in a cycle.
    """

    kind: Literal["shift_add"]
    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "units": Effect(cycles="less", energy="more", area="more", spare="more units than converters"),
        "width_bits": Effect(values="either", energy="more", area="more", spare="wider words than sums"),
        "adds_per_cycle": Effect(cycles="less", energy="more", area="more"),
    }
    tiles: PositiveInt
    units: PositiveInt
    width_bits: Annotated[int, Ge(2), Le(62)]
    adds_per_cycle: PositiveInt = 1

    def instances(self) -> int:
        return self.tiles * self.units

    def flip_flops(self) -> int:
        """Return width_bits, of the sum."""
        return self.width_bits


def service_cycles(spec: ShiftAdd, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = rows * ceil(additions of the busiest tile / (units * adds_per_cycle))."""
    return rows_of(counts) * -(-of_busiest(counts, "add") // (spec.units * spec.adds_per_cycle))


component_kind("shift_add", ShiftAdd, {"add": "one shifted addition"}, service_cycles, TILE_COUNTS)
