"""L2: the on-chip memory of an accelerator, with two halves for weights and the rest for activations and state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, MultipleOf
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from accelsim.components.kind import ComponentSpec, Counts, component_kind


class L2(ComponentSpec):
    """``banks`` macros of ``rows`` x ``width_bits``, one row of a bank per access.

    ``weight_banks`` of them hold weights, in two equal halves: one is worked from while the other is filled. The rest
    hold activations and state.
    """

    kind: Literal["l2"]
    timing_and_cost = ComponentSpec.timing_and_cost | {"cycles_per_access"}
    banks: Annotated[int, Ge(3)]
    weight_banks: Annotated[int, Ge(2), MultipleOf(2)]
    rows: PositiveInt
    width_bits: PositiveInt
    cycles_per_access: PositiveInt = 1

    @model_validator(mode="after")
    def _room_for_activations(self) -> L2:
        if self.weight_banks >= self.banks:
            raise ValueError(f"expected fewer weight_banks than banks ({self.banks}), found {self.weight_banks}")
        return self

    def instances(self) -> int:
        return self.banks

    def bits(self) -> int:
        """Return the capacity of all banks in bits."""
        return self.banks * self.rows * self.width_bits

    def weight_bits_of_half(self) -> int:
        """Return the capacity of one half of the weight banks in bits."""
        return self.weight_banks // 2 * self.rows * self.width_bits

    def activation_banks(self) -> int:
        """Return how many banks hold activations and state."""
        return self.banks - self.weight_banks

    def activation_bits(self) -> int:
        """Return the capacity for activations and state in bits."""
        return self.activation_banks() * self.rows * self.width_bits

    def moved_bits(self, counts: Mapping[str, int]) -> int:
        """Return width_bits * (reads + writes)."""
        return self.width_bits * (counts.get("read", 0) + counts.get("write", 0))

    def peak_bits_per_cycle(self) -> float:
        """Return banks * width_bits / cycles_per_access."""
        return self.banks * self.width_bits / self.cycles_per_access

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"macro_bits": self.rows * self.width_bits}


def service_cycles(spec: L2, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = cycles_per_access * accesses of the busiest bank (``bank_accesses``)."""
    return counts["bank_accesses"] * spec.cycles_per_access


component_kind(
    "l2",
    L2,
    {"read": "one row of one bank read", "write": "one row of one bank written"},
    service_cycles,
)
