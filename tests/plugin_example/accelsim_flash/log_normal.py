"""Cells whose write noise is log-normal: the higher a conductance, the wider it spreads."""

from __future__ import annotations

from typing import Annotated, Literal

import numba
import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from accelsim.devices.device import DEVICES, Device, Programmed, linear_curves, states_of
from accelsim.kernels.cells import RESTING
from accelsim.kernels.compile import compiled
from accelsim.kernels.counter_random import CELL_STREAM, normal_pair, philox, split_seed
from accelsim.kernels.crossbar import Curves
from accelsim.schema import PositiveConductance


class LogNormal(Device):
    """Ohmic cells, G = G_level e^(``sigma`` N(0, 1)), levels even from ``lowest`` to ``highest``; one pulse a cell."""

    kind: Literal["log_normal"]
    lowest: PositiveConductance
    highest: PositiveConductance
    sigma: Annotated[float, Ge(0)]

    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        return linear_curves(self.lowest, self.highest, read_voltage, cell_bits)

    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        written = levels != RESTING
        mean = np.linspace(self.lowest, self.highest, 1 << cell_bits)[np.where(written, levels, 0)]
        noise = np.exp(self.sigma * _normals(*split_seed(seed), arrays, levels[0].size)).reshape(levels.shape)
        states = states_of(np.where(written, mean * noise, mean), self.lowest, self.highest)
        return Programmed(states, written.reshape(len(arrays), -1).sum(axis=1))


@compiled()
def _normals(seed_low, seed_high, arrays, cells):
    """Return a normal number for every cell, [arrays, cells]: a function of (seed, array, cell)."""
    out = np.empty((len(arrays), cells))
    for n in range(len(arrays)):
        for c in range(cells):
            words = philox(numba.uint64(0), numba.uint64(c), numba.uint64(arrays[n]), seed_high, seed_low,
                           numba.uint64(CELL_STREAM))  # fmt: skip
            out[n, c] = normal_pair(words[0], words[1])[0]
    return out


DEVICES.register("log_normal", LogNormal)
