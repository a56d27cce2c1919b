"""L2: the on-chip memory of an accelerator, with two halves for weights and the rest for activations and state."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, MultipleOf
from pydantic import model_validator

from accelsim.components.kind import component_kind
from accelsim.components.sram import ACTIONS, COUNTS, Banks, service_cycles
from accelsim.schema import Effect


class L2(Banks):
    """Banks of equal macros, of which ``weight_banks`` hold weights, in two equal halves.

    One half is worked from while the other is filled. The rest hold activations and state.
    """

    kind: Literal["l2"]
    effects = {
        "rows": Effect(counts="either", cycles="either", energy="more", area="more", spare="room for more words"),
        "banks": Effect(counts="either", cycles="less", energy="more", area="more", spare="room for more words"),
        "weight_banks": Effect(counts="either", cycles="either"),
    }
    banks: Annotated[int, Ge(3)]
    weight_banks: Annotated[int, Ge(2), MultipleOf(2)]

    @model_validator(mode="after")
    def _room_for_activations(self) -> L2:
        if self.weight_banks >= self.banks:
            raise ValueError(f"expected fewer weight_banks than banks ({self.banks}), found {self.weight_banks}")
        return self

    def weight_bits_of_half(self) -> int:
        """Return the capacity of one half of the weight banks in bits."""
        return self.weight_banks // 2 * self.rows * self.width_bits

    def activation_banks(self) -> int:
        """Return how many banks hold activations and state."""
        return self.banks - self.weight_banks

    def activation_bits(self) -> int:
        """Return the capacity for activations and state in bits."""
        return self.activation_banks() * self.rows * self.width_bits


component_kind("l2", L2, ACTIONS, service_cycles, COUNTS)
