"""Cells that hold exactly what they are given."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from accelsim.devices.device import DEVICES, MEASURED, Device, Programmed, linear_curves
from accelsim.kernels.cells import RESTING
from accelsim.kernels.crossbar import Curves
from accelsim.schema import PositiveConductance, format_si


class Ideal(Device):
    """Ohmic cells whose levels lie evenly between ``lowest`` and ``highest`` conductance; one pulse writes a cell."""

    kind: Literal["ideal"]
    effects = dict.fromkeys(("lowest", "highest"), MEASURED)
    lowest: PositiveConductance
    highest: PositiveConductance

    @model_validator(mode="after")
    def _in_order(self) -> Ideal:
        check_range(self.lowest, self.highest)
        return self

    def curves(self, read_voltage: float, cell_bits: int = 1) -> Curves:
        return linear_curves(self.lowest, self.highest, read_voltage, cell_bits)

    def write(
        self, levels: NDArray[np.uint8], arrays: NDArray[np.int64], *, seed: int, read_voltage: float, cell_bits: int
    ) -> Programmed:
        written = levels != RESTING
        states = (1.0 - np.where(written, levels, 0) / ((1 << cell_bits) - 1)).astype(np.float32)
        return Programmed(states, written.reshape(len(arrays), -1).sum(axis=1))


DEVICES.register("ideal", Ideal)


def check_range(lowest: float, highest: float) -> None:
    """Raise ValueError for a conductance range that is empty or reversed."""
    if not lowest < highest:
        raise ValueError(
            f"the conductance range is reversed: the lowest, {format_si(lowest, 'S')}, is not below the highest, "
            f"{format_si(highest, 'S')}"
        )
