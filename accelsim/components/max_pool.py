"""Max-pool units: keep the largest of the values of a window."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class MaxPool(ComponentSpec):
    """``units`` comparators side by side, one value each per cycle."""

    kind: Literal["max_pool"]
    effects = {
        "units": Effect(cycles="less", energy="more", area="more"),
    }
    units: PositiveInt

    def instances(self) -> int:
        return self.units

    def flip_flops(self) -> int:
        """Return 16, of the largest value so far."""
        return 16


def service_cycles(spec: MaxPool, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(comparisons / units)."""
    return -(-counts["compare"] // spec.units)


component_kind("max_pool", MaxPool, {"compare": "one value compared with the largest so far"}, service_cycles)
