"""Sigmoid units: look up the activation of a sum."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Sigmoid(ComponentSpec):
    """``units`` lookup units side by side, one value each per cycle."""

    kind: Literal["sigmoid"]
    effects = {
        "units": Effect(cycles="less", energy="more", area="more"),
    }
    units: PositiveInt

    def instances(self) -> int:
        return self.units

    def flip_flops(self) -> int:
        """Return 16, of the result."""
        return 16


def service_cycles(spec: Sigmoid, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(lookups / units)."""
    return -(-counts["lookup"] // spec.units)


component_kind("sigmoid", Sigmoid, {"lookup": "one activation looked up"}, service_cycles)
