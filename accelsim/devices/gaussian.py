"""Cells with given conductance levels, Gaussian write noise and stuck cells."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.devices.device import DEVICES, MEASURED, Device, Programmed, linear_curves, states_of
from accelsim.devices.ideal import check_range
from accelsim.kernels.cells import RESTING, gaussian_conductances
from accelsim.kernels.crossbar import Curves
from accelsim.schema import NonNegativeConductance, PositiveConductance

Share = Annotated[float, Ge(0), Le(1)]


class Gaussian(Device):
    """Ohmic cells, G = max(G_level + ``write_noise`` N(0, 1), 0), some of them stuck at an outer level.

    ``levels``: conductances in ascending order. Two of them serve cells of any number of bits, the levels between
    evenly spaced; a longer list must have as many as the cells have levels, or lends its outer ones to binary cells.
    ``stuck_at_low_resistance``, ``stuck_at_high_resistance``: shares of the cells that stay at the highest and at the
    lowest conductance, whatever is written. One pulse writes a cell.
    """

    kind: Literal["gaussian"]
    effects = dict.fromkeys(("levels", "write_noise", "stuck_at_low_resistance", "stuck_at_high_resistance"), MEASURED)
    levels: Annotated[tuple[PositiveConductance, ...], Field(min_length=2, max_length=64)]
    write_noise: NonNegativeConductance
    stuck_at_low_resistance: Share = 0.0
    stuck_at_high_resistance: Share = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Gaussian:
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            check_range(below, above)
        if self.stuck_at_low_resistance + self.stuck_at_high_resistance > 1:
            raise ValueError("the shares of stuck cells are greater than 1 together")
        return self

    def conductances(self, cell_bits: int) -> NDArray[np.float64]:
        """Return the conductances of the levels of cells of so many bits, in S; raises ValueError if they have none."""
        wanted = 1 << cell_bits
        if len(self.levels) == wanted:
            return np.array(self.levels)
        if wanted != 2 and len(self.levels) != 2:
            found = len(self.levels)
            raise ValueError(f"device '{self.name}' has {found} levels, cells of {cell_bits} bits need {wanted}")
        return np.linspace(self.levels[0], self.levels[-1], wanted)

    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        self.conductances(cell_bits)
        return linear_curves(self.levels[0], self.levels[-1], read_voltage, cell_bits)

    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        flat = np.ascontiguousarray(levels.reshape(len(arrays), -1))
        cells = gaussian_conductances(
            flat,
            arrays,
            seed=seed,
            conductances=self.conductances(cell_bits),
            sigma=self.write_noise,
            stuck_low=self.stuck_at_low_resistance,
            stuck_high=self.stuck_at_high_resistance,
        )
        states = states_of(cells, self.levels[0], self.levels[-1]).reshape(levels.shape)
        return Programmed(states, (flat != RESTING).sum(axis=1))


DEVICES.register("gaussian", Gaussian)
