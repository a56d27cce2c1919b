"""Vector unit: floating-point lanes for all that is no matrix product, such as norms, activations and residuals."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.kind import NUMBER_BITS, ComponentSpec, Counts, Number, component_kind
from accelsim.kernels.number import Arithmetic
from accelsim.schema import Effect


class VectorUnit(ComponentSpec):
    """``units`` vector units, one per cluster, of ``lanes`` lanes that each do one operation in a cycle.

    ``special_lanes`` of them also do exponentials, quotients and roots, each one in ``cycles_per_special`` cycles.
    Numbers and roundings are those of `accelsim.kernels.number`. Its operands lie in memories of their own. Sums are
    held in the format of the ``accumulator``; ``norm`` and ``softmax``: how it computes them, see
    `accelsim.kernels.norm`.
    """

    kind: Literal["vector_unit"]
    effects = {
        "units": Effect(counts="either", cycles="less", energy="more", area="more"),
        "lanes": Effect(cycles="less", energy="more", area="more"),
        "special_lanes": Effect(cycles="less", energy="more", area="more", spare="more than there are specials"),
        "cycles_per_special": Effect(cycles="more", energy="less", area="less"),
    }
    units: PositiveInt = 1
    lanes: PositiveInt
    special_lanes: PositiveInt
    number: Number
    accumulator: Number = "float32"
    norm: Literal["plain", "pre_normalised"] = "plain"
    softmax: Literal["shifted", "plain", "rescaled"] = "shifted"
    cycles_per_special: PositiveInt = 1

    @model_validator(mode="after")
    def _special_lanes_are_lanes(self) -> VectorUnit:
        if self.special_lanes > self.lanes:
            raise ValueError(
                f"expected at most as many special_lanes as lanes ({self.lanes}), found {self.special_lanes}"
            )
        return self

    def arithmetic(self) -> Arithmetic:
        """Return how it computes."""
        return Arithmetic(self.number, self.accumulator, self.norm, self.softmax)

    def instances(self) -> int:
        return self.units

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {
            "number_bits": NUMBER_BITS[self.number],
            "specials_per_cycle": self.special_lanes / self.cycles_per_special,
        }

    def flip_flops(self) -> int:
        """Return 100 a lane of 16 bits, and 200 of 32: an assumption."""
        return self.lanes * 100 * NUMBER_BITS[self.number] // 16


def service_cycles(spec: VectorUnit, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = ceil(operations / lanes) + ceil(specials / special_lanes) * cycles_per_special."""
    operations = -(-counts["operation"] // spec.lanes)
    return operations - (-counts["special"] // spec.special_lanes) * spec.cycles_per_special


component_kind(
    "vector_unit",
    VectorUnit,
    {
        "operation": "one addition, product, comparison or rounding of one lane",
        "special": "one exponential, quotient or root",
    },
    service_cycles,
)
