"""Digital-to-analogue converters: they drive the rows of a crossbar."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import PositiveInt

from accelsim.components.kind import ComponentSpec, Counts, component_kind
from accelsim.schema import Effect


class Dac(ComponentSpec):
    """``units`` row drivers in each of ``tiles`` tiles.

    ``mode``: ``amplitude`` puts a whole input of ``bits`` on a row as one voltage; ``bit_serial`` puts one bit after
    the other, so that a vector takes ``bits`` phases.
    """

    kind: Literal["dac"]
    effects = {
        "tiles": Effect(energy="more", area="more", spare="tiles that no matrix lies on"),
        "units": Effect(energy="more", area="more", spare="more drivers than rows"),
        "bits": Effect(
            values="either", counts="either", cycles="more", energy="more", area="more", spare="more steps than codes"
        ),
        "cycles_per_drive": Effect(cycles="more", given="what a driver takes at this clock"),
    }
    tiles: PositiveInt
    units: PositiveInt
    bits: Annotated[int, Ge(1), Le(12)]
    mode: Literal["amplitude", "bit_serial"] = "amplitude"
    cycles_per_drive: PositiveInt = 1

    def instances(self) -> int:
        return self.tiles * self.units

    def phases(self) -> int:
        """Return how many times the rows are driven for one input vector."""
        return self.bits if self.mode == "bit_serial" else 1

    def pass_cycles(self) -> int:
        return self.cycles_per_drive

    def dimensions(self) -> dict[str, float]:
        return super().dimensions() | {"drive_bits": self.bits // self.phases()}

    def flip_flops(self) -> int:
        """Return 0: while a row is driven its code stands in the registers that it came from."""
        return 0


def service_cycles(spec: Dac, counts: Counts) -> NDArray[np.int64]:
    """Return cycles = phases * cycles_per_drive; all rows of a tile are driven together."""
    return counts["phases"] * spec.cycles_per_drive


component_kind(
    "dac",
    Dac,
    {"drive": "one row driven for one phase"},
    service_cycles,
    {"phases": "times that the rows of a tile are driven"},
)
