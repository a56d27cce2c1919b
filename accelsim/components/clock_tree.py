"""Clock distribution: costs energy in every cycle, works on no job."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class ClockTree(ComponentSpec):
    """Buffers and wires that clock ``flip_flops`` registers, after clock gating."""

    kind: Literal["clock_tree"]
    effects = {
        "flip_flops": Effect(energy="more", given="the registers that there are, after clock gating"),
    }
    flip_flops: PositiveInt


def service_cycles(spec: ClockTree, counts: Counts) -> NDArray[np.int64]:
    """Return no cycles: the clock runs beside every job and holds up none."""
    return np.zeros(1, np.int64)


component_kind("clock_tree", ClockTree, {}, service_cycles)
