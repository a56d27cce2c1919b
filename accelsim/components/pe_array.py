"""Sets of spike-driven processing elements: AND a spike with a weight, accumulate with saturation."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class PeArray(ComponentSpec):
    """``sets`` x ``pes`` elements that multiply ``weight_bits`` weights by one bit each; 1-bit weights are -1 and 1.

    ``switch_cycles`` is what a change of block costs: latching the partial sums, clearing the accumulators and
    filling the row pipeline.
    """

    kind: Literal["pe_array"]
    effects = {
        "sets": Effect(values="either", counts="either", cycles="less", energy="more", area="more"),
        "pes": Effect(counts="either", cycles="less", energy="more", area="more"),
        "weight_bits": Effect(
            counts="more", cycles="more", energy="more", area="more", spare="wider factors than weights"
        ),
        "accumulator_bits": Effect(
            values="either", counts="either", cycles="either", energy="more", area="more", spare="wider words than sums"
        ),
        "switch_cycles": Effect(cycles="more", given="what the datapath takes for a change of block"),
    }
    sets: PositiveInt
    pes: PositiveInt
    weight_bits: Annotated[int, Ge(1), Le(32)]
    accumulator_bits: Annotated[int, Ge(2), Le(32)]
    switch_cycles: Annotated[int, Ge(0)] = 1

    def instances(self) -> int:
        return self.sets * self.pes

    def multipliers(self) -> int:
        return self.sets * self.pes

    def flip_flops(self) -> int:
        """Return accumulator_bits."""
        return self.accumulator_bits


def service_cycles(spec: PeArray, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = steps + switch_cycles * blocks: one row per step, and a switch after each block."""
    return counts["steps"] + spec.switch_cycles * counts["blocks"]


component_kind(
    "pe_array",
    PeArray,
    {
        "accumulate": "one PE adds one weight to its accumulator",
        "idle": "one PE sits out a step, its clock gated",
    },
    service_cycles,
    {"steps": "rows that are added, one after the other", "blocks": "changes of block"},
)
