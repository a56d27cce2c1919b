"""An array of integer multipliers: every cycle it multiplies a few inputs by a block of weights."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.abstract import MatrixArray
from accelsim.components.kind import Counts, component_kind
from accelsim.schema import Effect


class MacArray(MatrixArray):
    """``rows`` x ``columns`` multiply-accumulate units: ``rows`` inputs meet ``columns`` outputs in every cycle.

    Inputs of ``input_bits``, weights of ``weight_bits``, sums of ``accumulator_bits``, which must hold every sum.
    """

    kind: Literal["mac_array"]
    effects = {
        "accumulator_bits": Effect(values="either", energy="more", area="more", spare="wider sums than there are"),
        "rows": Effect(counts="less", cycles="less", energy="more", area="more"),
        "columns": Effect(counts="less", cycles="less", energy="more", area="more"),
    }
    rows: PositiveInt
    columns: PositiveInt
    input_bits: Annotated[int, Ge(1), Le(16)]
    weight_bits: Annotated[int, Ge(1), Le(16)]
    accumulator_bits: Annotated[int, Ge(2), Le(64)]

    def instances(self) -> int:
        return self.rows * self.columns

    def multipliers(self) -> int:
        return self.rows * self.columns

    def sum_bits(self) -> int | None:
        return self.accumulator_bits

    def blocks(self, inputs: int, outputs: int) -> int:
        """Return the cycles of a matrix product: ceil(inputs / rows) * ceil(outputs / columns)."""
        return -(-inputs // self.rows) * -(-outputs // self.columns)

    def flip_flops(self) -> int:
        """Return input_bits + weight_bits + accumulator_bits: the operands and the sum of a unit."""
        return self.input_bits + self.weight_bits + self.accumulator_bits


def service_cycles(spec: MacArray, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = blocks of the matrices, one per cycle."""
    return counts["blocks"]


component_kind(
    "mac_array",
    MacArray,
    {"mac": "one multiplication and addition", "add": "one addition of a residual"},
    service_cycles,
    {"blocks": "blocks of rows and columns, one a cycle"},
)
