"""Leaky integrate-and-fire units: leak, add the current, compare, reset."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Lif(ComponentSpec):
    """``units`` neurons updated side by side; membranes are signed words of ``membrane_bits``."""

    kind: Literal["lif"]
    effects = {
        "units": Effect(cycles="less", energy="more", area="more", spare="more units than neurons"),
        "membrane_bits": Effect(
            values="either",
            counts="either",
            cycles="either",
            energy="more",
            area="more",
            spare="wider words than membranes",
        ),
        "cycles_per_update": Effect(cycles="more", given="what an update takes at this clock"),
    }
    units: PositiveInt
    membrane_bits: Annotated[int, Ge(2), Le(32)]
    cycles_per_update: PositiveInt = 1

    def instances(self) -> int:
        return self.units

    def flip_flops(self) -> int:
        """Return membrane_bits, of a pipeline register; the membranes lie in registers of their own."""
        return self.membrane_bits


def service_cycles(spec: Lif, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = time_steps * ceil(neurons / units) * cycles_per_update; time steps depend on each other."""
    return counts["time_steps"] * -(-counts["neurons"] // spec.units) * spec.cycles_per_update


component_kind(
    "lif",
    Lif,
    {"update": "one neuron takes one time step"},
    service_cycles,
    {"neurons": "neurons of the layer", "time_steps": "time steps, one after the other"},
)
